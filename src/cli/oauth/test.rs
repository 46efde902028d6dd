//! `mailslotd oauth test`: the way to a token and a login, step by step.
#![expect(clippy::disallowed_methods, reason = "ages of tokens and ends of secrets are shown against now")]

use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::Found;
use super::steps::{Form, Steps, Stopped};
use crate::admin::words::spell_between;
use crate::cli::Global;
use crate::cli::exit::Exit;
use crate::cli::output::{answer_json, note};
use crate::config::check::SecretOrigin;
use crate::config::settings::{
    BearerCredentials, ClientProof, DestinationKind, Grant, Settings, Submission as SubmissionSettings,
};
use crate::delivery::oauth::{Missed, TokenSource, Traced, spell_skew};
use crate::delivery::outcome::Health;
use crate::delivery::submission::Submission;
use crate::message::compose::Identity;
use crate::message::id::DestinationName;
use crate::net::connect::{ConnectFault, connect};
use crate::net::http::{self, Finding};
use crate::net::stream::Protection;
use crate::policy::expiry::{Stage, day_of, end_of};
use crate::session::oauth::AccessToken;
use crate::session::oauth::claims::TokenClaims;
use crate::session::oauth::response::Granted;
use crate::wire::x509;

/// Takes the steps: done when all went well.
pub(super) async fn run(
    name: &DestinationName,
    found: Found<'_>,
    settings: &Settings,
    global: &Global,
) -> Exit {
    let mut steps = Steps::new(if global.json { Form::Json } else { Form::Lines });
    let mut asked = Asked::default();
    let done = tokio::select! {
        done = take(&mut steps, &mut asked, name, found, settings) => done,
        _ = tokio::signal::ctrl_c() => {
            asked.settled().await;
            Err(steps.bad("interrupted", "the steps after this one were not taken"))
        }
    };
    if global.json {
        answer_json(&steps);
    }
    match done {
        Ok(()) => Exit::Done,
        Err(Stopped) => Exit::No,
    }
}

/// Who has asked for tokens.
#[derive(Default)]
struct Asked {
    source: Option<TokenSource>,
    hop: Option<Submission>,
}

impl Asked {
    /// Waits for answers: a provider may have rotated the refresh token, and the service would be left with a spent one.
    async fn settled(&self) {
        let Some(source) = &self.source else { return };
        if !matches!(source.settings().grant, Grant::RefreshToken { .. }) {
            return;
        }
        note("Interrupted; an answer of the provider that is under way is waited for.");
        source.settled().await;
        if let Some(hop) = &self.hop {
            hop.settled().await;
        }
    }
}

async fn take(
    steps: &mut Steps,
    asked: &mut Asked,
    name: &DestinationName,
    found: Found<'_>,
    settings: &Settings,
) -> Result<(), Stopped> {
    let Found { oauth, bearer, destination } = found;
    let scope = if oauth.scope.is_empty() { "as granted" } else { &oauth.scope };
    steps.good(
        "settings",
        format!("grant {}, from {}, scope {scope}", oauth.grant.as_str(), oauth.token_url.absolute()),
    );
    secrets(steps, &oauth.grant)?;
    let source = TokenSource::new(name.clone(), oauth, settings.outbound_proxy.as_ref())
        .map_err(|error| steps.bad("token TLS", error.to_string()))?;
    let granted = token(steps, asked.source.insert(source)).await?;
    claims(steps, &granted.token, &oauth.grant)?;
    if let (DestinationKind::Submission(submission), Some(bearer)) = (&destination.kind, bearer) {
        login(steps, asked, name, submission, bearer, settings).await?;
    }
    Ok(())
}

/// What proves who we are, as it lies on the disk.
fn secrets(steps: &mut Steps, grant: &Grant) -> Result<(), Stopped> {
    if let Some((_, Some(proof))) = grant.client() {
        client(steps, proof)?;
    }
    match grant {
        Grant::ClientCredentials { .. } => Ok(()),
        Grant::RefreshToken { file, .. } => there(steps, "refresh token", file),
        Grant::JwtBearer { service_account, subject } => {
            let subject = subject.as_deref().unwrap_or("itself");
            steps.good(
                "key",
                format!(
                    "that of the service account is in {}; it acts for {subject}",
                    service_account.display()
                ),
            );
            Ok(())
        }
    }
}

fn there(steps: &mut Steps, what: &'static str, file: &Path) -> Result<(), Stopped> {
    match std::fs::metadata(file) {
        Ok(_) => {
            steps.good(what, format!("it is in {}", file.display()));
            Ok(())
        }
        Err(error) => Err(steps.bad(
            what,
            format!(
                "{} cannot be read: {error}; run `mailslotd oauth login` as the service's user",
                file.display()
            ),
        )),
    }
}

fn client(steps: &mut Steps, proof: &ClientProof) -> Result<(), Stopped> {
    let now = Timestamp::now();
    match proof {
        ClientProof::Secret { secret, expires } => {
            let place = match &secret.origin {
                SecretOrigin::File(path) => path.display().to_string(),
                SecretOrigin::Variable(name) => format!("the environment variable {name}"),
            };
            let end = expires.and_then(end_of);
            ending(steps, "client secret", &format!("it is in {place}"), end, now)
        }
        ClientProof::Certificate { files, algorithm } => {
            let certificate = CertificateDer::from_pem_file(&files.certificate).map_err(|error| {
                steps.bad("certificate", format!("{}: {error}", files.certificate.display()))
            })?;
            let what = format!("{}, signs by {}", files.certificate.display(), algorithm.as_str());
            ending(steps, "certificate", &what, x509::not_after(&certificate), now)
        }
    }
}

fn ending(
    steps: &mut Steps,
    step: &'static str,
    what: &str,
    end: Option<Timestamp>,
    now: Timestamp,
) -> Result<(), Stopped> {
    match end.map(|end| (Stage::at(end, now), end)) {
        None => steps.good(step, format!("{what}; when it ends is not written down")),
        Some((None, end)) => {
            steps.good(step, format!("{what}; it ends on {}, in {}", day_of(end), spell_between(now, end)));
        }
        Some((Some(Stage::Over), end)) => {
            // The provider has the last word: a date that was written down may be an old one.
            steps
                .doubtful(step, format!("{what}; it ended on {}: make another at the provider", day_of(end)));
        }
        Some((Some(_), end)) => {
            let left = spell_between(now, end);
            steps.doubtful(step, format!("{what}; it ends on {}, in {left}: make another soon", day_of(end)));
        }
    }
    Ok(())
}

/// The request for a token, on a connection of its own.
async fn token(steps: &mut Steps, source: &TokenSource) -> Result<Granted, Stopped> {
    let Traced { steps: taken, result } = source.traced().await;
    for step in &taken {
        shown(steps, &step.finding, step.took);
    }
    let granted = result.map_err(|missed| match missed {
        Missed::Request(fault) => steps.bad("request", fault.reason()),
        Missed::Answer(fault) => steps.bad(stage(&fault), fault.to_string()),
        Missed::Token(fault) => steps.bad("token", fault.reason()),
    })?;
    let minutes = granted.lifetime.as_secs() / 60;
    steps.good("token", format!("the provider gave one, good for {minutes} min"));
    Ok(granted)
}

const fn stage(fault: &http::Fault) -> &'static str {
    match fault.stage() {
        http::Stage::Resolve => "token DNS",
        http::Stage::Connect => "token TCP",
        http::Stage::Proxy => "proxy",
        http::Stage::Tls => "token TLS",
        http::Stage::Exchange => "token HTTP",
    }
}

fn shown(steps: &mut Steps, finding: &Finding, took: Duration) {
    let took = format!("{} ms", took.as_millis());
    match finding {
        Finding::Resolved { host, addresses } => {
            let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            steps.good("token DNS", format!("{host} is {} ({took})", addresses.join(", ")));
        }
        Finding::Connected { address } => {
            steps.good("token TCP", format!("{address} answers over TCP ({took})"));
        }
        Finding::Tunnelled { target } => steps.good("proxy", format!("it leads to {target} ({took})")),
        Finding::Secured { version, issuer } => steps.good(
            "token TLS",
            format!("{version}; the certificate is from {issuer}, an inspecting proxy's where that is not a public authority ({took})"),
        ),
        Finding::Answered { status, clock_skew } => {
            steps.good("token HTTP", format!("it answers {status} ({took})"));
            match clock_skew {
                Some(skew) if skew.abs().as_secs() > 60 => {
                    steps.doubtful("clock", format!("{}; set it by NTP", spell_skew(*skew)));
                }
                Some(skew) => steps.good("clock", spell_skew(*skew)),
                None => {}
            }
        }
    }
}

/// What the token says of itself; the token is not shown.
fn claims(steps: &mut Steps, token: &AccessToken, grant: &Grant) -> Result<(), Stopped> {
    let Some(claims) = TokenClaims::of(token) else {
        steps.good("claims", "the token is one that only its receiver can read");
        return Ok(());
    };
    let mut parts = Vec::new();
    let mut part = |name: &str, value: Option<String>| {
        parts.extend(value.filter(|value| !value.is_empty()).map(|value| format!("{name} {value}")));
    };
    part("aud", claims.audience.clone());
    part("for", claims.principal.clone());
    part("roles", Some(claims.roles.join(" ")));
    part("scp", Some(claims.scopes.join(" ")));
    part("exp", claims.expires_at.map(|at| at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()));
    steps.good("claims", parts.join(", "));
    let microsoft = claims.issuer.as_deref().is_some_and(|issuer| {
        issuer.starts_with("https://sts.windows.net/")
            || issuer.starts_with("https://login.microsoftonline.com/")
    });
    let for_exchange = claims
        .audience
        .as_deref()
        .is_some_and(|audience| audience.contains("outlook.office") || audience == EXCHANGE_ONLINE);
    match grant {
        Grant::ClientCredentials { .. } if microsoft && for_exchange => {
            if !claims.roles.iter().any(|role| role == "SMTP.SendAsApp") {
                return Err(steps.bad(
                    "permission",
                    "the token lacks the role SMTP.SendAsApp: add it under App registrations > API permissions > APIs my \
                     organization uses > Office 365 Exchange Online > Application permissions, and grant admin consent",
                ));
            }
        }
        Grant::RefreshToken { .. } if microsoft && for_exchange => {
            if !claims.scopes.iter().any(|scope| scope == "SMTP.Send") {
                return Err(steps.bad(
                    "permission",
                    "the token lacks the scope SMTP.Send: add the delegated permission to the application, then log in again",
                ));
            }
        }
        Grant::ClientCredentials { .. } | Grant::RefreshToken { .. } | Grant::JwtBearer { .. } => {}
    }
    Ok(())
}

/// The login at the SMTP next hop.
async fn login(
    steps: &mut Steps,
    asked: &mut Asked,
    name: &DestinationName,
    submission: &SubmissionSettings,
    bearer: &BearerCredentials,
    settings: &Settings,
) -> Result<(), Stopped> {
    let (host, port) = (&submission.host, submission.port);
    let began = Instant::now();
    let stream = connect(host, port, Duration::from_secs(30)).await.map_err(|fault| {
        let (step, text) = match fault {
            ConnectFault::Resolve(error) => ("SMTP DNS", format!("{host} does not resolve: {error}; check `host` and DNS")),
            ConnectFault::Refused(address, error) => (
                "SMTP TCP",
                format!("{address} answers \"{error}\"; check `port` and the firewalls on the way"),
            ),
            ConnectFault::TimedOut => (
                "SMTP TCP",
                format!("{host}:{port} does not answer; port 25 and 587 are often closed outwards: ask for a rule in the firewall"),
            ),
        };
        steps.bad(step, text)
    })?;
    let address = stream.peer_addr().map(|address| address.to_string()).unwrap_or_default();
    steps.good("SMTP TCP", format!("{address} answers over TCP ({} ms)", began.elapsed().as_millis()));
    drop(stream);
    let identity = Identity::new(
        settings.hostname.as_deref(),
        &settings.site,
        submission.from.as_ref().map(|sender| sender.address.as_str()),
        settings.timezone.clone(),
    );
    let hop = Submission::new(name.clone(), submission, identity, settings.outbound_proxy.as_ref())
        .map_err(|error| steps.bad("SMTP", error.to_string()))?;
    match asked.hop.insert(hop).try_login().await {
        Ok(welcome) => {
            if let Some(Protection { version, issuer }) = welcome.protection {
                steps.good("SMTP TLS", format!("{version}; the certificate is from {issuer}"));
            }
            steps.good("SMTP AUTH", format!("{host} offers {}", welcome.extensions.auth.join(" ")));
            steps.good("login", format!("logged in as {}", bearer.user));
            Ok(())
        }
        Err(Health::Up) => Ok(()),
        Err(
            Health::Down { reason } | Health::OperatorFault { reason } | Health::Throttled { reason, .. },
        ) => Err(steps.bad("login", reason)),
    }
}

/// The application ID of Office 365 Exchange Online, which some tokens name in place of its address.
const EXCHANGE_ONLINE: &str = "00000002-0000-0ff1-ce00-000000000000";
