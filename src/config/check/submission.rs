//! SMTP next hops.

use std::borrow::Cow;
use std::time::Duration;

use super::super::presets::{Facts, Host, Login};
use super::super::problem::{Place, Problem};
use super::super::raw::{self, At, Lost};
use super::super::settings::{
    Auth, Credentials, Mechanism, ProviderPreset, Sender, Submission, Tls, TlsMode,
};
use super::{Checking, SecretOwner, domain_fault};
use crate::message::id::DestinationName;
use crate::policy::replies::{ReplyRule, ReplyTable};
use crate::wire::smtp::path::Mailbox;

/// What was written of a next hop: its own map.
#[derive(Clone, Copy)]
struct Section<'s> {
    name: &'s DestinationName,
    place: &'s Place,
    lost: &'s Lost,
    /// What is known of its preset.
    facts: Option<&'static Facts>,
}

impl Checking<'_> {
    pub(super) fn submission(&mut self, name: &DestinationName, submission: raw::Submission) -> Submission {
        let preset = submission.preset.map(|preset| preset.value);
        let facts = preset.map(|preset| preset.facts());
        let section = Section { name, place: &submission.place, lost: &submission.lost, facts };
        let host = self.next_hop(submission.host, submission.domain, section);
        let mut written = submission.tls.map(|tls| tls.value).unwrap_or_default();
        if let (None, Some(facts)) = (&written.mode, facts) {
            written.mode = Some(At { value: facts.mode, place: submission.place.clone() });
        }
        let tls = self.tls(written);
        let port = self.port(submission.port, &tls, facts);
        let auth_place = submission.auth.as_ref().map(|auth| auth.place.clone());
        let auth = self.auth(submission.auth, &tls, section);
        if let (Some(ProviderPreset::M365), Some(Auth::Password(_)), Some(place)) =
            (preset, &auth, &auth_place)
        {
            let cause = "Microsoft 365 ends passwords over SMTP, for new tenants at once";
            let fix =
                "use `auth: { oauth: … }`; `mailslotd oauth setup m365 --mailbox MAILBOX` prints the steps";
            self.problems.warn(Problem::new(place, cause, fix));
        }
        let from = submission.from.and_then(|from| self.sender(from.value));
        let raw::Limits { max_connections, rate, message_size, max_recipients, .. } =
            submission.limits.map(|limits| limits.value).unwrap_or_default();
        let count = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
        Submission {
            host,
            port,
            tls,
            auth,
            from,
            max_connections: max_connections.map_or_else(
                || facts.map_or(DEFAULT_CONNECTIONS, |facts| facts.max_connections),
                |written| count(written.value),
            ),
            rate: rate.map_or_else(|| facts?.rate, |rate| rate.value.limit()),
            message_size: message_size
                .map_or_else(|| facts?.message_size, |size| size.value.limit().map(|size| size.0)),
            max_recipients: max_recipients
                .map_or_else(|| facts?.max_recipients, |most| most.value.limit().map(count)),
            timeout: self.nonzero(submission.timeout, DEFAULT_TIMEOUT),
            replies: self.replies(submission.replies, facts),
            preset,
        }
    }

    fn next_hop(
        &mut self,
        host: Option<At<String>>,
        domain: Option<At<String>>,
        section: Section<'_>,
    ) -> String {
        let Section { place, lost, facts, .. } = section;
        let of_domain = match facts.map(|facts| facts.host) {
            Some(Host::OfDomain(suffix)) => Some(suffix),
            Some(Host::Fixed(_) | Host::Such(_)) | None => None,
        };
        if let Some(domain) = domain.as_ref().filter(|_| of_domain.is_none() || host.is_some()) {
            let cause =
                if of_domain.is_none() { "is for `preset: m365-connector`" } else { "there is a `host` too" };
            self.problem(domain.problem(cause, "remove it, and keep `host`"));
        }
        match (host, domain, facts.map(|facts| facts.host)) {
            (Some(host), ..) => self.host(host),
            (None, Some(domain), Some(Host::OfDomain(suffix))) => self.mx_host(&domain, suffix),
            (None, None, Some(Host::OfDomain(suffix))) => {
                let fix = format!(
                    "add a domain of the tenant, `domain: example.com`, or its MX host, `host: example-com{suffix}`"
                );
                self.missing(place, lost, "host", fix);
                String::new()
            }
            (None, _, Some(Host::Fixed(host))) => host.to_owned(),
            (None, _, Some(Host::Such(example))) => {
                let fix = format!("add the endpoint of your region, for example `host: {example}`");
                self.missing(place, lost, "host", fix);
                String::new()
            }
            (None, _, None) if lost.has("preset") => String::new(),
            (None, _, None) => {
                self.missing(place, lost, "host", "add the next hop, for example `host: smtp.example.com`");
                String::new()
            }
        }
    }

    /// The MX host that Microsoft 365 has for a domain.
    fn mx_host(&mut self, domain: &At<String>, suffix: &str) -> String {
        let name = domain.value.trim_end_matches('.').to_ascii_lowercase();
        let fault = if domain_fault(&name).is_some() || !name.contains('.') {
            Some("is no domain name")
        } else if name.contains('-') || name.starts_with("xn--") {
            Some("has a hyphen, and then its MX host has a name that cannot be told from it")
        } else {
            None
        };
        if let Some(fault) = fault {
            let fix = "write the MX host that the Microsoft 365 admin center shows under Settings > Domains: `host: …`";
            self.problem(domain.problem(format!("{:?} {fault}", domain.value), fix));
        }
        format!("{}{suffix}", name.replace('.', "-"))
    }

    fn host(&mut self, host: At<String>) -> String {
        let name = &host.value;
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        if name.parse::<std::net::IpAddr>().is_err() && domain_fault(name).is_some() {
            let fix = match (name.rsplit_once(':'), bare.parse::<std::net::IpAddr>()) {
                (_, Ok(address)) => format!("write {address}"),
                (Some((host, port)), _) if port.parse::<u16>().is_ok() && domain_fault(host).is_none() => {
                    format!("write `host: {host}` and `port: {port}`")
                }
                _ => "write a host name such as smtp.example.com, or an IP address".to_owned(),
            };
            self.problem(host.problem(format!("{name:?} is neither a host name nor an IP address"), fix));
        }
        host.value
    }

    fn port(&mut self, port: Option<At<u16>>, tls: &Tls, facts: Option<&Facts>) -> u16 {
        let usual = match tls.mode {
            TlsMode::StartTls => 587,
            TlsMode::Implicit => 465,
            TlsMode::None => 25,
        };
        let Some(port) = port else {
            return facts.filter(|facts| facts.mode == tls.mode).map_or(usual, |facts| facts.port);
        };
        let hint = match (port.value, tls.mode) {
            (465, TlsMode::StartTls) => Some((
                "465 speaks TLS from the first byte, not STARTTLS",
                "write `tls: { mode: implicit }`, or `port: 587`",
            )),
            (465, TlsMode::None) => {
                Some(("465 speaks TLS from the first byte", "write `tls: { mode: implicit }`"))
            }
            (25 | 587, TlsMode::Implicit) => {
                Some(("25 and 587 begin without TLS", "write `tls: { mode: starttls }`, or `port: 465`"))
            }
            _ => None,
        };
        if let Some((cause, fix)) = hint {
            self.problems.warn(port.problem(cause, fix));
        }
        port.value
    }

    fn auth(&mut self, auth: Option<At<raw::Auth>>, tls: &Tls, section: Section<'_>) -> Option<Auth> {
        let Section { name, place, lost, facts } = section;
        match auth.map(|auth| auth.value) {
            Some(raw::Auth::User(user)) => self.user(name, *user, tls).map(Auth::Password),
            Some(raw::Auth::Bearer(oauth)) => {
                let tokens = facts.and_then(|facts| facts.tokens);
                self.bearer(name, *oauth, tls, tokens).map(|bearer| Auth::Bearer(Box::new(bearer)))
            }
            Some(raw::Auth::None) => None,
            None => {
                let fix = match facts.map(|facts| facts.login) {
                    Some(Login::None) => return None,
                    Some(Login::Needed(fix)) => fix,
                    None => {
                        "add `auth: { user: …, password_file: … }`, or `auth: none` where the next hop knows us by our address"
                    }
                };
                self.missing(place, lost, "auth", fix);
                None
            }
        }
    }

    fn user(&mut self, name: &DestinationName, user: raw::User, tls: &Tls) -> Option<Credentials> {
        let mechanisms = self.mechanisms(user.mechanisms, tls, &user.place);
        let owner = SecretOwner::Destination(name.clone());
        let password =
            self.password(&owner, user.password_file, user.password_env, (&user.place, &user.lost));
        let Some(identity) = user.user.filter(|user| !user.value.is_empty()) else {
            self.missing(&user.place, &user.lost, "user", "add the name that the next hop knows us by");
            return None;
        };
        Some(Credentials { user: identity.value, password, mechanisms })
    }

    fn mechanisms(
        &mut self,
        mechanisms: Option<At<raw::Many<Mechanism>>>,
        tls: &Tls,
        place: &Place,
    ) -> Vec<Mechanism> {
        let written: Vec<Mechanism> = match &mechanisms {
            Some(list) => list.value.0.iter().map(|mechanism| mechanism.value).collect(),
            None => DEFAULT_MECHANISMS.into(),
        };
        let place = mechanisms.as_ref().map_or(place, |list| &list.place);
        if written.is_empty() {
            self.problem(Problem::new(
                place,
                "the list is empty",
                "name one, for example `[plain]`, or remove the key",
            ));
        }
        let in_clear =
            written.iter().any(|mechanism| matches!(mechanism, Mechanism::Plain | Mechanism::Login));
        if tls.mode == TlsMode::None && in_clear {
            let cause = "the password would go over the network in clear: `plain` and `login` need TLS";
            let fix = "write `tls: { mode: starttls }`; if the next hop has no TLS, `mechanisms: [scram-sha-256]` or `[cram-md5]`";
            self.problem(Problem::new(place, cause, fix));
        }
        written
    }

    pub(super) fn sender(&mut self, from: raw::From) -> Option<Sender> {
        let raw::From { place, lost, address, keep, display } = from;
        let Some(address) = address else {
            let fix = "add the address that mail is sent from, for example `address: alerts@example.com`";
            self.missing(&place, &lost, "address", fix);
            return None;
        };
        match Mailbox::parse_ascii(&address.value) {
            Ok(address) => Some(Sender {
                address,
                keep: keep
                    .map(|list| list.value.0.into_iter().map(|pattern| pattern.value).collect())
                    .unwrap_or_default(),
                display: display.map(|display| display.value).unwrap_or_default(),
            }),
            Err(error) => {
                self.problem(address.problem(error.to_string(), error.fix()));
                None
            }
        }
    }

    /// What was written, then what is known of the preset's replies and does not stand there already.
    fn replies(&mut self, written: Option<At<raw::Many<raw::Reply>>>, facts: Option<&Facts>) -> ReplyTable {
        let written = written.map(|list| list.value.0).unwrap_or_default();
        let mut rules: Vec<ReplyRule> =
            written.into_iter().filter_map(|reply| self.reply(reply.value)).collect();
        let known = facts.map(|facts| facts.replies).unwrap_or_default();
        let unwritten: Vec<ReplyRule> = known.iter().filter(|rule| !rules.contains(rule)).cloned().collect();
        rules.extend(unwritten);
        ReplyTable::new(rules)
    }

    fn reply(&mut self, reply: raw::Reply) -> Option<ReplyRule> {
        let raw::Reply { place, lost, code, status, text, means, fix } = reply;
        if code.is_none() && status.is_none() && text.is_none() && lost.is_empty() {
            let fix = "add at least one of `code`, `status` and `text`";
            self.incomplete(&place, "fits every refusal", fix);
        }
        if let (Some(code), Some(status)) = (&code, &status)
            && code.value.0 / 100 != u16::from(status.value.class)
        {
            let cause = format!("never comes with code {}: its first digit is another", code.value.0);
            self.problem(status.problem(cause, "correct one of the two"));
        }
        let Some(means) = means else {
            let fix = "add `means: wait`, `later`, `operator`, `sender` or `failed`";
            self.missing(&place, &lost, "means", fix);
            return None;
        };
        Some(ReplyRule {
            code: code.map(|code| code.value.0),
            status: status.map(|status| status.value),
            text: Cow::Owned(text.map(|text| text.value.to_lowercase()).unwrap_or_default()),
            meaning: means.value,
            fix: fix.map(|fix| Cow::Owned(fix.value)),
        })
    }
}

const DEFAULT_CONNECTIONS: usize = 3;
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5 * 60);
const DEFAULT_MECHANISMS: [Mechanism; 3] = [Mechanism::ScramSha256, Mechanism::Plain, Mechanism::Login];
