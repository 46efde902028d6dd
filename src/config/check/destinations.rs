//! Where messages go.

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use super::super::problem::{Place, Problem};
use super::super::raw::{self, At};
use super::super::settings::{Destination, DestinationKind, Maildir, Tls, TlsMode};
use super::certificates::WrittenFiles;
use super::rules::names;
use super::{Checking, Completeness};
use crate::message::id::DestinationName;
use crate::policy::mapping::RuleSet;

/// A destination and where it was written; `None` for the built-in inbox.
pub(super) type Placed = (Destination, Option<Place>);

/// Every destination.
pub(super) struct Destinations {
    pub(super) known: Vec<Placed>,
    /// Next hops for which no sender was written, and where they were.
    pub(super) senderless: Vec<(DestinationName, Place)>,
    /// Names of those that could not be read.
    pub(super) lost: Vec<String>,
    /// Whether there may be others.
    pub(super) whole: Completeness,
}

impl Destinations {
    /// Whether the one that is meant was written and could not be read: one complaint is enough.
    pub(super) fn is_lost(&self, via: Option<&At<String>>) -> bool {
        via.is_some_and(|via| self.lost.contains(&via.value))
    }
}

/// What a destination is, as it was written.
enum Written {
    Submission(Box<raw::Submission>),
    Graph(Box<raw::Graph>),
    Maildir(raw::Maildir),
    Netbios(raw::Displays),
    Nats(Box<raw::Nats>),
    Webhook(Box<raw::Webhook>),
    Amqp(Box<raw::Amqp>),
    Mqtt(Box<raw::Mqtt>),
    Redis(Box<raw::Redis>),
}

impl Written {
    /// For "is … already".
    const fn article(&self) -> &'static str {
        match self {
            Self::Submission(_) => "a submission destination",
            Self::Graph(_) => "a mailbox of Graph",
            Self::Maildir(_) => "a Maildir",
            Self::Netbios(_) => "a destination of displays",
            Self::Nats(_) => "a stream of NATS",
            Self::Webhook(_) => "a webhook",
            Self::Amqp(_) => "an AMQP destination",
            Self::Mqtt(_) => "an MQTT destination",
            Self::Redis(_) => "a Redis destination",
        }
    }
}

/// What stands there, of which one is allowed.
fn written(destination: raw::Destination) -> Vec<(Written, Place)> {
    fn kind<T>(at: Option<At<T>>, kind: impl FnOnce(T) -> Written) -> Option<(Written, Place)> {
        at.map(|At { value, place }| (kind(value), place))
    }
    let raw::Destination { submission, graph, maildir, netbios, nats, webhook, amqp, mqtt, redis, .. } =
        destination;
    [
        kind(submission, |submission| Written::Submission(Box::new(submission))),
        kind(graph, |graph| Written::Graph(Box::new(graph))),
        kind(maildir, Written::Maildir),
        kind(netbios, Written::Netbios),
        kind(nats, |nats| Written::Nats(Box::new(nats))),
        kind(webhook, |webhook| Written::Webhook(Box::new(webhook))),
        kind(amqp, |amqp| Written::Amqp(Box::new(amqp))),
        kind(mqtt, |mqtt| Written::Mqtt(Box::new(mqtt))),
        kind(redis, |redis| Written::Redis(Box::new(redis))),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The Maildir that is there without being written.
pub(super) const INBOX: &str = "inbox";

impl Checking<'_> {
    pub(super) fn destinations(
        &mut self,
        destinations: Option<At<raw::Destinations>>,
        state_dir: &Path,
        hostname_is_written: bool,
    ) -> Destinations {
        let raw::Destinations { named, mut lost } = destinations.map(|map| map.value).unwrap_or_default();
        let mut checked: Vec<Placed> = Vec::new();
        let mut first_submission = None;
        let mut senderless = Vec::new();
        for (name, At { value, place }) in named {
            let is_whole = value.lost.is_empty();
            let mut kinds = written(value);
            if let [(first, _), (_, second), ..] = &*kinds {
                let cause = format!("is {} already", first.article());
                self.problem(Problem::subject(second, cause, "give each destination a name of its own"));
                lost.push(name.to_string());
                continue;
            }
            let kind = match kinds.pop().map(|(kind, _)| kind) {
                Some(Written::Submission(submission)) => {
                    first_submission.get_or_insert_with(|| place.clone());
                    if submission.from.is_none() && !submission.lost.has("from") {
                        senderless.push((name.clone(), submission.place.clone()));
                    }
                    DestinationKind::Submission(Box::new(self.submission(&name, *submission)))
                }
                Some(Written::Graph(graph)) => {
                    first_submission.get_or_insert_with(|| place.clone());
                    match self.graph(&name, *graph) {
                        Some(graph) => DestinationKind::Graph(Box::new(graph)),
                        None => {
                            lost.push(name.to_string());
                            continue;
                        }
                    }
                }
                Some(Written::Maildir(maildir)) => {
                    DestinationKind::Maildir(self.maildir(&name, maildir, state_dir))
                }
                Some(Written::Netbios(displays)) => DestinationKind::Netbios(self.displays(displays)),
                Some(Written::Nats(nats)) => match self.nats(*nats) {
                    Some(nats) => DestinationKind::Nats(Box::new(nats)),
                    None => {
                        lost.push(name.to_string());
                        continue;
                    }
                },
                Some(Written::Webhook(webhook)) => match self.webhook(*webhook) {
                    Some(webhook) => DestinationKind::Webhook(Box::new(webhook)),
                    None => {
                        lost.push(name.to_string());
                        continue;
                    }
                },
                Some(Written::Amqp(amqp)) => DestinationKind::Amqp(Box::new(self.amqp(*amqp))),
                Some(Written::Mqtt(mqtt)) => DestinationKind::Mqtt(Box::new(self.mqtt(*mqtt))),
                Some(Written::Redis(redis)) => DestinationKind::Redis(Box::new(self.redis(*redis))),
                None if is_whole && name.as_str() == INBOX => DestinationKind::Maildir(inbox(state_dir)),
                None => {
                    if is_whole {
                        let fix =
                            "add `submission:` with its host, `maildir:` with its path, or `netbios: {}`";
                        self.incomplete(&place, "does not say what it is", fix);
                    }
                    lost.push(name.to_string());
                    continue;
                }
            };
            checked.push((Destination { name, kind }, Some(place)));
        }
        if let Some(place) = first_submission
            && !hostname_is_written
        {
            let cause = "needs `hostname`, which the next hop and the Message-ID are told";
            let fix = "add a line at the top, for example `hostname: gw1.plant.example`";
            self.incomplete(&place, cause, fix);
        }
        let name = DestinationName::new(INBOX).unwrap_or_else(|_| unreachable!("it is a name"));
        if !checked.iter().any(|(destination, _)| destination.name == name) {
            checked.push((Destination { name, kind: DestinationKind::Maildir(inbox(state_dir)) }, None));
        }
        Destinations { known: checked, senderless, lost, whole: self.whole }
    }

    fn maildir(&mut self, name: &DestinationName, maildir: raw::Maildir, state_dir: &Path) -> Maildir {
        let default = inbox(state_dir);
        let path = match &maildir.path {
            Some(path) => self.absolute(path).unwrap_or(default.path),
            None if name.as_str() == INBOX => default.path,
            None => {
                let fix = format!("add it, for example `path: /var/lib/mailslotd/{name}`");
                self.missing(&maildir.place, &maildir.lost, "path", fix);
                default.path
            }
        };
        let path = match &maildir.path {
            Some(written) => self.beside_the_spool(written, path, state_dir),
            None => path,
        };
        self.holds_something(maildir.max_size.as_ref(), "each new mail would push out the one before");
        Maildir {
            path,
            max_size: maildir.max_size.map_or(default.max_size, |size| size.value.limit().map(|size| size.0)),
            keep: maildir.keep.map_or(default.keep, |keep| keep.value.limit()),
        }
    }

    /// The path, where the Maildir's folders cannot get among the files of the spool.
    fn beside_the_spool(&mut self, written: &At<String>, path: PathBuf, state_dir: &Path) -> PathBuf {
        let (plain, state) = (normal(&path), normal(state_dir));
        let cause = if plain.starts_with(state.join("spool")) {
            "is in the spool, where nothing else may write"
        } else if plain == state {
            "is `state_dir` itself, where a folder could be named as the spool is"
        } else {
            return path;
        };
        let fix = format!("write a folder of its own, for example {}", state.join("mail").display());
        self.problem(written.problem(format!("{} {cause}", path.display()), fix));
        path
    }

    pub(super) fn tls(&mut self, tls: raw::Tls) -> Tls {
        let mode = tls.mode.as_ref().map_or(TlsMode::StartTls, |mode| mode.value);
        let ca_file = tls.ca_file.and_then(|path| self.authorities(&path, mode));
        let client_certificate = match (tls.client_certificate, tls.key_file) {
            (None, None) => None,
            (Some(file), _) | (None, Some(file)) if mode == TlsMode::None => {
                self.problem(
                    file.problem("there is no TLS to show it in", "remove it, or write `mode: starttls`"),
                );
                None
            }
            (certificate, key_file) => self.certificate_files(WrittenFiles {
                place: &tls.place,
                lost: &tls.lost,
                certificate_key: "client_certificate",
                certificate,
                key_file,
            }),
        };
        Tls { mode, ca_file, client_certificate }
    }

    /// Notes every next hop that rules deliver to and that has no sender for notices.
    pub(super) fn senders_are_known(&mut self, destinations: &Destinations, rules: &RuleSet) {
        for (name, place) in &destinations.senderless {
            let rule = rules.rules().iter().find(|rule| names(rule).contains(&name));
            let Some(rule) = rule else { continue };
            let cause =
                format!("has no `from.address`, from which rule {:?} could send", rule.name().as_str());
            let fix = "add the address that mail is sent from: `from: { address: alerts@example.com }`";
            self.incomplete(place, cause, fix);
        }
    }
}

/// The path without `.`, and without `..` and what they take back.
fn normal(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => plain.push(part),
        }
    }
    plain
}

/// The built-in inbox.
fn inbox(state_dir: &Path) -> Maildir {
    Maildir {
        path: state_dir.join(INBOX),
        max_size: Some(1 << 30),
        keep: Some(Duration::from_secs(90 * 24 * 60 * 60)),
    }
}
