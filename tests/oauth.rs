//! Submission by tokens to a real Postfix that asks a real Dovecot, which asks an OAuth provider of the test's own.

mod support;

use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::tz::TimeZone;
use mailslotd::config::check::SecretOrigin;
use mailslotd::config::settings::{
    self, Auth, BearerCredentials, BearerMechanism, BrokerTls, ClientProof, Grant, OAuth, Secret, Tls,
    TlsMode,
};
use mailslotd::delivery::outcome::{Health, Outcome, Report};
use mailslotd::delivery::submission::Submission;
use mailslotd::message::compose::Identity;
use mailslotd::message::id::DestinationName;
use mailslotd::policy::replies::ReplyTable;
use mailslotd::wire::url::HttpUrl;
use serde_json::json;
use support::attempt::notice;
use support::dovecot::{Dovecot, MAILBOX, Provider, SECRET};
use support::gateway::{Gateway, command, until, write_config};
use support::messngr::messngr;
use support::postfix::Postfix;
use support::require;
use zeroize::Zeroizing;

/// All that a login by token needs.
struct World {
    dir: tempfile::TempDir,
    provider: Provider,
    dovecot: Dovecot,
    postfix: Postfix,
}

impl World {
    fn start() -> Result<Self, support::Missing> {
        let provider = Provider::start()?;
        let dovecot = Dovecot::start(&provider)?;
        let postfix = Postfix::start_with_dovecot(&dovecot.socket())?;
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("secret"), SECRET).unwrap();
        Ok(Self { dir, provider, dovecot, postfix })
    }

    fn secret(&self) -> PathBuf {
        self.dir.path().join("secret")
    }

    fn submission(&self, mechanism: BearerMechanism) -> Submission {
        let secret = Secret { text: Zeroizing::default(), origin: SecretOrigin::File(self.secret()) };
        let proof = ClientProof::Secret { secret, expires: None };
        self.submission_by(mechanism, Grant::ClientCredentials { client_id: "gateway".to_owned(), proof })
    }

    fn submission_by(&self, mechanism: BearerMechanism, grant: Grant) -> Submission {
        let oauth = OAuth {
            grant,
            token_url: HttpUrl::parse(&self.provider.url("token")).unwrap(),
            device_url: None,
            scope: "mail".to_owned(),
            tls: BrokerTls::default(),
        };
        let bearer = BearerCredentials { user: MAILBOX.to_owned(), mechanisms: vec![mechanism], oauth };
        let settings = settings::Submission {
            host: "localhost".to_owned(),
            port: self.postfix.starttls_port(),
            tls: Tls {
                mode: TlsMode::StartTls,
                ca_file: Some(self.postfix.ca_file()),
                client_certificate: None,
            },
            auth: Some(Auth::Bearer(Box::new(bearer))),
            from: None,
            max_connections: 2,
            rate: None,
            message_size: None,
            max_recipients: None,
            timeout: Duration::from_secs(20),
            replies: ReplyTable::default(),
            preset: None,
        };
        let identity = Identity::new(Some("gw1.plant.example"), "", Some(MAILBOX), TimeZone::UTC);
        Submission::new(DestinationName::new("smarthost").unwrap(), &settings, identity, None).unwrap()
    }

    /// Tokens made so far are not good any more.
    fn end_tokens(&self, generation: u32) {
        self.provider.set("generation", json!(generation));
    }
}

#[tokio::test]
async fn both_mechanisms_deliver_and_one_token_serves_all_connections() {
    let world = require!(World::start());
    for (number, mechanism) in
        [BearerMechanism::Xoauth2, BearerMechanism::OauthBearer].into_iter().enumerate()
    {
        let submission = world.submission(mechanism);
        let mut attempts = tokio::task::JoinSet::new();
        for id in 1..=4 {
            let submission = submission.clone();
            attempts.spawn(async move { submission.deliver(notice(id, &["ops"])).await });
        }
        for report in attempts.join_all().await {
            assert_eq!(report.health, Health::Up, "{}\n{}", world.postfix.maillog(), world.dovecot.log());
        }
        submission.close().await;
        assert_eq!(world.provider.requests("token").len(), number + 1, "one request for all");
        let login = format!("sasl_method={mechanism}, sasl_username={MAILBOX}");
        assert!(world.postfix.maillog().contains(&login), "no {login} in\n{}", world.postfix.maillog());
    }
    world.postfix.delivered("ops", 8).await;
}

#[tokio::test]
async fn a_token_that_ended_early_is_refused_in_a_dialogue_and_renewed_once() {
    let world = require!(World::start());
    for (round, mechanism) in [BearerMechanism::Xoauth2, BearerMechanism::OauthBearer].into_iter().enumerate()
    {
        let submission = world.submission(mechanism);
        let before = world.provider.requests("token").len();
        assert_eq!(submission.deliver(notice(1, &["ops"])).await.health, Health::Up);
        submission.close().await;
        world.end_tokens(u32::try_from(round).unwrap() + 10);
        // The server says so in a challenge, and waits: without the right answer this would hang.
        assert_eq!(
            submission.deliver(notice(2, &["ops"])).await.health,
            Health::Up,
            "{}",
            world.dovecot.log()
        );
        assert_eq!(world.provider.requests("token").len(), before + 2, "renewed once");
        submission.close().await;
    }
    world.postfix.delivered("ops", 4).await;
}

#[tokio::test]
async fn a_mailbox_that_the_token_is_not_for_is_the_operators_fault_and_blames_no_message() {
    let world = require!(World::start());
    let submission = world.submission(BearerMechanism::Xoauth2);
    world.provider.set("mailbox", json!("other@plant.example"));
    let report = submission.deliver(notice(1, &["ops"])).await;
    let Health::OperatorFault { reason } = &report.health else { panic!("{report:?}") };
    assert!(reason.contains("refuses the token by XOAUTH2, and a new one too: 535"), "{reason}");
    assert!(reason.contains("oauth test") && !reason.contains("tok-"), "{reason}");
    assert_undecided(&report);
    assert_eq!(world.provider.requests("token").len(), 2, "renewed once, not in a circle");
}

#[tokio::test]
async fn what_the_provider_refuses_is_told_in_its_administrators_words() {
    let world = require!(World::start());
    let submission = world.submission(BearerMechanism::Xoauth2);
    let answer = |status: u16, body: serde_json::Value| json!([status, body]);
    for (answer, health, words) in [
        (
            answer(
                401,
                json!({ "error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret" }),
            ),
            "operator",
            "its Value",
        ),
        (
            answer(
                400,
                json!({ "error": "unauthorized_client", "error_description": "AADSTS700016: not found" }),
            ),
            "operator",
            "client_id",
        ),
        (answer(503, json!("<html>busy</html>")), "down", "HTTP 503"),
        (answer(400, json!({ "error": "temporarily_unavailable" })), "down", "not well"),
        (answer(429, json!({ "error": "odd" })), "throttled", "no more requests"),
        (answer(302, json!("")), "operator", "token_url"),
    ] {
        world.provider.set("answer", answer.clone());
        let report = submission.deliver(notice(1, &["ops"])).await;
        assert_undecided(&report);
        let (found, reason) = match &report.health {
            Health::OperatorFault { reason } => ("operator", reason),
            Health::Down { reason } => ("down", reason),
            Health::Throttled { reason, .. } => ("throttled", reason),
            Health::Up => panic!("{answer}: up"),
        };
        assert_eq!(found, health, "{answer}: {reason}");
        assert!(reason.contains(words) && !reason.contains(SECRET), "{reason}");
    }
    world.provider.set("answer", json!(null));
    assert_eq!(submission.deliver(notice(1, &["ops"])).await.health, Health::Up);
}

#[tokio::test]
async fn a_refresh_token_that_rotates_is_kept_before_it_is_used() {
    let world = require!(World::start());
    let file = world.dir.path().join("refresh");
    std::fs::write(&file, "refresh-0\n").unwrap();
    let secret = Secret { text: Zeroizing::default(), origin: SecretOrigin::File(world.secret()) };
    let grant = || Grant::RefreshToken {
        client_id: "gateway".to_owned(),
        proof: Some(ClientProof::Secret { secret: secret.clone(), expires: None }),
        file: file.clone(),
    };
    for generation in 1..=3 {
        world.end_tokens(generation);
        // A new source each time, as after a restart: only the file knows the next token.
        let submission = world.submission_by(BearerMechanism::Xoauth2, grant());
        assert_eq!(submission.deliver(notice(generation.into(), &["ops"])).await.health, Health::Up);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), format!("refresh-{generation}\n"));
    }
    world.postfix.delivered("ops", 3).await;
}

/// The queue is held, nobody gets a report, the other destination goes on; the mended secret counts at once.
#[test]
fn a_revoked_secret_holds_the_queue_until_it_is_mended() {
    let world = require!(World::start());
    let config = write_config(world.dir.path(), &configuration(&world));
    let checked = command(&config).args(["check"]).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    let mut gateway = Gateway::start(&config);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    gateway.send(&socket, &messngr("UPS-1", "first"));
    until("the first message", || world.postfix.mails("ops").len() == 1);

    world.provider.set("secret", json!("another"));
    world.end_tokens(2);
    // The kept connection is still logged in; it is ended first.
    world.postfix.stop();
    world.postfix.start_again();
    for number in 0..5 {
        gateway.send(&socket, &messngr("UPS-1", &format!("later {number}")));
    }
    until("the other destination", || mails(&world.dir.path().join("state/inbox")) == 6);
    let fault = gateway.wait_for("waits for the operator");
    assert!(
        fault.to_string().contains("AADSTS7000222") && fault.to_string().contains("make another"),
        "{fault}"
    );
    gateway.wait_for_metric(
        "mailslotd_destination_state{destination=\"smarthost\",state=\"operator_fault\"}",
        1,
    );
    assert_eq!(gateway.metric("mailslotd_spool_messages{destination=\"smarthost\",state=\"queued\"}"), 5);
    assert_eq!(gateway.metric("mailslotd_spool_messages{destination=\"smarthost\",state=\"failed\"}"), 0);

    std::fs::write(world.secret(), "another\n").unwrap();
    let retried = command(&config).args(["queue", "retry", "--all"]).output().unwrap();
    assert!(retried.status.success(), "{}", String::from_utf8_lossy(&retried.stderr));
    until("what was held", || world.postfix.mails("ops").len() == 6);
    assert!(world.postfix.mails("archive").is_empty() && world.postfix.mails("night").is_empty());
    let (status, events) = gateway.stop();
    assert!(status.success());
    for event in events {
        assert!(!event.to_string().contains(SECRET) && !event.to_string().contains("tok-"), "{event}");
    }
}

#[test]
fn oauth_test_shows_each_step_and_what_is_wrong() {
    let world = require!(World::start());
    let config = write_config(world.dir.path(), &configuration(&world));
    let test = || {
        let output = command(&config).args(["oauth", "test", "smarthost"]).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, said) = test();
    assert_eq!(code, Some(0), "{said}");
    for step in ["client secret", "answers over TCP", "SMTP TLS", "CN=Test authority", "token", "logged in"] {
        assert!(said.contains(step), "no {step} in\n{said}");
    }
    assert!(!said.contains("tok-") && !said.contains(SECRET), "{said}");

    std::fs::write(world.secret(), "wrong").unwrap();
    let (code, said) = test();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("AADSTS7000222") && said.contains("Certificates & secrets"), "{said}");
}

#[test]
fn oauth_login_waits_for_the_person_and_keeps_the_refresh_token_for_the_service_alone() {
    let provider = require!(Provider::start());
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("secret"), SECRET).unwrap();
    let file = dir.path().join("refresh");
    let yaml = format!(
        "netbios: {{ code_page: cp850 }}
destinations:
  smarthost:
    submission:
      host: localhost
      auth:
        oauth:
          grant: refresh-token
          user: {MAILBOX}
          token_url: {token}
          device_url: {device}
          client_id: gateway
          client_secret_file: {secret}
          refresh_token_file: {file}
          scope: mail
      from: {{ address: {MAILBOX} }}
rules: [{{ name: all, match: any, deliver: [{{ via: smarthost, to: ops@plant.example }}, {{ via: inbox, to: operator }}] }}]
",
        token = provider.url("token"),
        device = provider.url("device"),
        secret = dir.path().join("secret").display(),
        file = file.display(),
    );
    let config = write_config(dir.path(), &yaml);
    let checked = command(&config).args(["check"]).output().unwrap();
    let said = String::from_utf8(checked.stdout).unwrap();
    assert!(
        said.contains("nobody has logged in") && said.contains("mailslotd oauth login smarthost"),
        "{said}"
    );

    provider.set("pending", json!(2));
    let login = command(&config).args(["oauth", "login", "smarthost"]).output().unwrap();
    let said = String::from_utf8(login.stdout).unwrap();
    assert!(login.status.success(), "{said}{}", String::from_utf8_lossy(&login.stderr));
    assert!(said.contains("https://provider.example/device") && said.contains("ABCD-1234"), "{said}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "refresh-1\n");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!said.contains("refresh-1") && !said.contains(SECRET), "{said}");
    assert_eq!(provider.requests("token").len(), 3, "two too early");

    let setup = command(&config).args(["oauth", "setup", "m365", "--mailbox", MAILBOX]).output().unwrap();
    let said = String::from_utf8(setup.stdout).unwrap();
    assert!(
        setup.status.success() && said.contains(&format!("Set-CASMailbox -Identity {MAILBOX}")),
        "{said}"
    );
}

fn configuration(world: &World) -> String {
    format!(
        "netbios: {{ code_page: cp850 }}
destinations:
  smarthost:
    submission:
      host: localhost
      port: {port}
      tls: {{ ca_file: {ca} }}
      auth:
        oauth:
          grant: client-credentials
          user: {MAILBOX}
          token_url: {url}
          client_id: gateway
          client_secret_file: {secret}
          scope: mail
      from: {{ address: {MAILBOX} }}
rules:
  - name: all
    match: any
    deliver: [{{ via: smarthost, to: ops@plant.example }}, {{ via: inbox, to: operator }}]
operator: {{ notify: [] }}
",
        port = world.postfix.starttls_port(),
        ca = world.postfix.ca_file().display(),
        url = world.provider.url("token"),
        secret = world.secret().display(),
    )
}

fn mails(folder: &Path) -> usize {
    let new = folder.join("operator/new");
    let new = if new.exists() { new } else { folder.join(".operator/new") };
    std::fs::read_dir(new).map_or(0, Iterator::count)
}

/// A session that ended over the login decided nothing for good.
fn assert_undecided(report: &Report) {
    let waits = |(_, outcome): &(_, Outcome)| matches!(outcome, Outcome::Delayed { .. });
    assert!(report.outcomes.iter().all(waits), "{report:?}");
}
