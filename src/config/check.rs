//! The configuration as it is written → [`Settings`] made only of valid values, or everything that is wrong with it.
//!
//! Pure: the text of the files comes in, secrets come through the functions of [`Secrets`]. Checks go on after a
//! problem with whatever can still be read, so one run names all there is to mend.

mod accounts;
mod address;
mod amqp;
mod auth_guard;
mod broker;
mod broker_url;
mod certificates;
mod destinations;
mod directory;
mod displays;
mod front_end;
mod graph;
mod hearing;
mod keeping;
mod ldap_filter;
mod listeners;
mod mailslots;
mod mqtt;
mod nats;
mod netbios;
mod oauth;
mod operator;
mod outbound_proxy;
mod queue;
mod redis;
mod relay;
mod routes;
mod rules;
mod secrets;
mod shadow;
mod sizes;
mod submission;
mod tarpit;
mod webhook;

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use zeroize::Zeroizing;

use super::document::{self, Node, Value};
use super::merge::merge;
use super::problem::{Place, Problem, Problems};
use super::raw::{self, At, Lost, Read as _};
use super::settings::Settings;
use crate::message::id::DestinationName;
use crate::policy::mapping::Context;
use crate::policy::relay::DomainName;
use crate::policy::spelling::nearest;
use front_end::Written;

/// The text of one file.
#[derive(Debug, Clone, Copy)]
pub struct Source<'t> {
    /// As problems name it.
    pub file: &'t str,
    /// All of it.
    pub text: &'t str,
}

/// What the configuration does not say of itself.
#[derive(Debug, Clone)]
pub struct Surroundings<'a> {
    /// `state_dir` where the configuration names none.
    pub state_dir: PathBuf,
    /// `timezone` where the configuration names none.
    pub timezone: TimeZone,
    /// Where passwords come from.
    pub secrets: Secrets<'a>,
    /// The routers through which the Internet reaches this machine, as far as it knows them.
    pub routers: Vec<IpAddr>,
    /// The names of this machine's interfaces; none where that is not known.
    pub interfaces: Vec<String>,
}

/// Where passwords come from.
#[derive(Clone, Copy)]
pub enum Secrets<'a> {
    /// Nowhere: passwords stay empty, and the settings are good for looking at only.
    Offline,
    /// Through these.
    Online {
        /// Reads a file.
        file: &'a dyn Fn(&Path) -> io::Result<SecretFile>,
        /// Reads an environment variable.
        variable: &'a dyn Fn(&str) -> Option<Zeroizing<String>>,
        /// For certificates that have expired.
        now: Timestamp,
    },
}

impl std::fmt::Debug for Secrets<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Offline => "Offline",
            Self::Online { .. } => "Online",
        })
    }
}

/// A file that a secret is in.
#[derive(Clone)]
pub struct SecretFile {
    /// What is in it.
    pub text: Zeroizing<String>,
    /// Who may read it.
    pub readers: Readers,
}

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readers {
    /// Its owner and perhaps its group.
    Few,
    /// Every user of the machine.
    Everybody,
}

/// A configuration without problems.
#[derive(Debug)]
pub struct Checked {
    /// What it means.
    pub settings: Settings,
    /// What is probably not meant; sorted.
    pub warnings: Problems,
    /// Where each password came from.
    pub secrets: Vec<(SecretOwner, SecretOrigin)>,
    /// Where each of the settings' sources of recipients stands.
    pub recipient_places: Vec<Place>,
}

/// Whose password it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretOwner {
    /// That of a destination.
    Destination(DestinationName),
    /// That of a directory: its place among the settings' sources of recipients, from 0.
    Directory(usize),
    /// That of settings which say themselves where it stands, in a [`Secret`](super::settings::Secret).
    Settings,
}

/// Where a password came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretOrigin {
    /// A file.
    File(PathBuf),
    /// An environment variable.
    Variable(String),
}

/// Checks files that make one configuration together: the main one and, after it, those of `conf.d` in the order of
/// their names. None at all is valid too.
///
/// # Errors
/// Everything that is wrong, and the warnings, sorted by file and line.
pub fn check(sources: &[Source<'_>], surroundings: &Surroundings<'_>) -> Result<Checked, Problems> {
    let mut problems = Problems::default();
    let names: Vec<Arc<str>> = sources.iter().map(|source| source.file.into()).collect();
    let main = names.first().cloned().unwrap_or_default();
    let mut root = Node { value: Value::Nothing, file: Arc::clone(&main), line: 1 };
    for (file, source) in names.iter().zip(sources) {
        match document::parse(file, source.text) {
            Ok(node) => merge(&mut root, node),
            Err(problem) => problems.push(problem),
        }
    }
    // A file that is no YAML hides its keys: whether something is missing is not known.
    let mut whole = if problems.problems.is_empty() { Completeness::Whole } else { Completeness::Partial };
    let place = Place { file: Arc::clone(&root.file), line: 1, path: String::new() };
    let file = raw::File::read(&root, &place, &mut problems).unwrap_or_else(|| {
        whole = Completeness::Partial;
        raw::File::default()
    });
    let mut checking =
        Checking { surroundings, problems, secrets: Vec::new(), recipient_places: Vec::new(), whole };
    let settings = checking.settings(file);
    let Checking { mut problems, secrets, recipient_places, .. } = checking;
    problems.sort(&names);
    if problems.problems.is_empty() {
        Ok(Checked { settings, warnings: problems, secrets, recipient_places })
    } else {
        Err(problems)
    }
}

impl Settings {
    /// What is in effect without any file: announcements are discarded, everything else goes into the Maildir `inbox`
    /// under `state_dir`, nothing is sent anywhere. Senders' text is taken as CP850.
    #[must_use]
    pub fn built_in(state_dir: &Path, timezone: TimeZone) -> Self {
        let surroundings = Surroundings {
            state_dir: state_dir.into(),
            timezone,
            secrets: Secrets::Offline,
            routers: Vec::new(),
            interfaces: Vec::new(),
        };
        let mut checking = Checking {
            surroundings: &surroundings,
            problems: Problems::default(),
            secrets: Vec::new(),
            recipient_places: Vec::new(),
            whole: Completeness::Whole,
        };
        checking.settings(raw::File::default())
    }
}

/// A check under way. Values that have problems are replaced by something harmless, which is never used.
struct Checking<'a> {
    surroundings: &'a Surroundings<'a>,
    problems: Problems,
    secrets: Vec<(SecretOwner, SecretOrigin)>,
    recipient_places: Vec<Place>,
    whole: Completeness,
}

/// Whether all that was written could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Completeness {
    Whole,
    Partial,
}

impl Checking<'_> {
    fn settings(&mut self, mut file: raw::File) -> Settings {
        let state_dir = match file.state_dir {
            Some(path) => self.absolute(&path).unwrap_or_else(|| self.surroundings.state_dir.clone()),
            None => self.surroundings.state_dir.clone(),
        };
        let timezone = self.timezone(file.timezone);
        let site = file.site.map(|site| site.value).unwrap_or_default();
        let written_hostname = file.hostname.is_some() || file.lost.has("hostname");
        let hostname = file.hostname.and_then(|hostname| self.hostname(hostname));
        let context = Context {
            site: site.clone(),
            host: hostname.clone().unwrap_or_default(),
            timezone: timezone.clone(),
        };
        let mut destinations = self.destinations(file.destinations, &state_dir, written_hostname);
        if file.lost.has("destinations") {
            destinations.whole = Completeness::Partial;
        }
        let code_page = file.lost.has("netbios")
            || file.netbios.as_ref().is_some_and(|netbios| {
                netbios.value.code_page.is_some() || netbios.value.lost.has("code_page")
            });
        let retry = self.retry(file.retry);
        let outbound_proxy = self.outbound_proxy(file.outbound_proxy);
        let operator = self.operator(file.operator.as_mut(), &destinations);
        let hostname_is_written = if written_hostname { Completeness::Whole } else { Completeness::Partial };
        let written = Written {
            listeners: file.listeners.as_mut().and_then(|listeners| listeners.value.smtp.take()),
            relay: file.relay,
            tarpit: file.tarpit,
            users_file: file.users_file,
            auth: file.auth,
            dns_server: file.dns_server,
            pickup: file.pickup,
            operator: file.operator,
            hostname: hostname_is_written,
            own_name: hostname.as_deref().and_then(|name| DomainName::parse(name).ok()),
        };
        let smtp = self.front_end(written, &destinations, &context);
        let rules = self.rules(file.rules, &destinations, &context, retry.expire);
        self.senders_are_known(&destinations, &rules.set);
        self.operator_hears(&operator, &smtp, &destinations, &rules.set);
        let spool = file.spool.as_ref().and_then(|spool| spool.value.nats.as_ref()).map(|name| &*name.value);
        self.unused(&destinations, &rules.set, &smtp.relay.routes, &operator.policy, spool);
        if !code_page {
            self.code_page_is_needed(&rules, file.netbios.as_ref(), &file.place);
        }
        let hearing::Addresses { datagram, name_service, messenger, admin } = self.listeners(file.listeners);
        let (spool, spool_group) = self.spool(file.spool, &destinations);
        let (decoding, netbios) = self.hearing(file.netbios, hostname.as_deref());
        self.displays_are_others(&destinations, &rules.set, &context, &netbios);
        Settings {
            decoding,
            netbios,
            mailslots: self.mailslots(file.mailslots, &timezone),
            hostname,
            site,
            timezone,
            state_dir,
            datagram,
            name_service,
            messenger,
            admin,
            destinations: destinations.known.into_iter().map(|(destination, _)| destination).collect(),
            rules: Arc::new(rules.set),
            retry,
            spool,
            spool_group,
            operator: operator.policy,
            log: file.log.and_then(|log| log.value.format).map(|format| format.value).unwrap_or_default(),
            outbound_proxy,
            smtp,
        }
    }

    fn problem(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// Notes that `key` is missing, unless something unreadable was written for it.
    fn missing(&mut self, place: &Place, lost: &Lost, key: &str, fix: impl Into<String>) {
        if !lost.has(key) {
            self.incomplete(place, format!("has no `{key}`"), fix);
        }
    }

    /// Notes that something is missing, unless it may stand in a file that could not be read.
    fn incomplete(&mut self, place: &Place, cause: impl Into<String>, fix: impl Into<String>) {
        if self.whole == Completeness::Whole {
            self.problems.push(Problem::subject(place, cause, fix));
        }
    }

    /// Whether nothing was wrong so far at this path and below it: only then is something missing there.
    fn is_sound(&self, path: &str) -> bool {
        let below = |problem: &Problem| {
            let rest = problem.place().path.strip_prefix(path);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[', ' ']))
        };
        self.whole == Completeness::Whole && !self.problems.problems.iter().any(below)
    }

    fn absolute(&mut self, path: &At<String>) -> Option<PathBuf> {
        if path.value.starts_with('/') {
            return Some(path.value.clone().into());
        }
        let cause = format!("{:?} is not an absolute path", path.value);
        self.problem(
            path.problem(cause, "begin it with `/`: what it would start from differs with the caller"),
        );
        None
    }

    fn hostname(&mut self, hostname: At<String>) -> Option<String> {
        let name = hostname.value.trim_end_matches('.');
        let cause = match domain_fault(name) {
            Some(fault) => format!("{:?} {fault}", hostname.value),
            None if !name.contains('.') => format!("{name:?} is not fully qualified"),
            None if name.len() > MAX_HOSTNAME => {
                format!(
                    "{name:?} is longer than {MAX_HOSTNAME} characters, too long for the address mailslotd@…"
                )
            }
            None => return Some(name.to_ascii_lowercase()),
        };
        let fix = "write the machine's whole name in ASCII, for example gw1.plant.example";
        self.problem(hostname.problem(cause, fix));
        None
    }

    fn timezone(&mut self, name: Option<At<String>>) -> TimeZone {
        let Some(name) = name else { return self.surroundings.timezone.clone() };
        TimeZone::get(&name.value).unwrap_or_else(|_| {
            let known: Vec<String> = jiff::tz::db().available().map(|name| name.to_string()).collect();
            let fix = match nearest(&name.value, known.iter().map(|name| &**name)) {
                Some(meant) => format!("write {meant}"),
                None => "write a name such as Asia/Tokyo, Europe/Berlin or UTC".to_owned(),
            };
            self.problem(name.problem(format!("there is no time zone {:?}", name.value), fix));
            TimeZone::UTC
        })
    }

    /// The duration, which may not be zero.
    fn nonzero(&mut self, duration: Option<At<Duration>>, default: Duration) -> Duration {
        let Some(duration) = duration else { return default };
        if duration.value.is_zero() {
            self.problem(duration.problem("may not be zero", "write a time such as 30s, or remove it"));
            return default;
        }
        duration.value
    }
}

/// What `mailslotd@` leaves of a mailbox's 254 octets (RFC 5321 §4.5.3.1.3).
const MAX_HOSTNAME: usize = 244;

/// What keeps a text from being a domain name in ASCII (RFC 5321 §4.1.2, RFC 1035 §2.3.4).
fn domain_fault(name: &str) -> Option<&'static str> {
    let label_fits = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.is_empty() {
        Some("is empty")
    } else if name.len() > 253 {
        Some("is longer than 253 characters")
    } else if !name.is_ascii() {
        Some("has letters outside ASCII")
    } else if !name.split('.').all(label_fits) {
        Some("is no domain name")
    } else {
        None
    }
}

/// A duration in the greatest unit that divides it: `90s`, `2h`.
#[must_use]
pub fn spelled(duration: Duration) -> String {
    let seconds = duration.as_secs();
    [("d", 24 * 60 * 60), ("h", 60 * 60), ("m", 60)]
        .into_iter()
        .find(|(_, unit)| seconds > 0 && seconds.is_multiple_of(*unit))
        .map_or_else(|| format!("{seconds}s"), |(name, unit)| format!("{}{name}", seconds / unit))
}
