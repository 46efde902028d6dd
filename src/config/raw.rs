//! The configuration as it is written: one struct for each map, one field for each key.
//!
//! Every value is read on its own and remembers its place, so a mistake in one hides none of the others. A key that is
//! none of the struct's is a problem that names the key probably meant; one that this version does not know yet, but
//! that the manual has for a later one, says so. What values mean together, [`super::check`] decides.

mod read;
mod scalar;
pub(super) mod users;

pub(super) use read::{At, Lost, Many, OneOrMany, Read};
pub(super) use scalar::{Network, OrOff, Size, rate};

use std::net::SocketAddr;
use std::time::Duration;

use super::document::{Node, Value};
use super::problem::{Place, Problem, Problems};
use crate::message::id::{DestinationName, DiscardReason, RuleName};
use crate::message::mail::Priority;
use crate::message::notice::Listener;
use crate::policy::mapping::{Glob, TextPattern};
use crate::policy::rate::Rate;
use crate::policy::template::{Field, Template};
use crate::wire::oem_text::{CodePage, Utf8};
use read::section;

section! {
    /// The whole file, and with it those of `conf.d`.
    pub(super) struct File {
        /// EHLO name and Message-ID domain: a fully qualified domain name in ASCII. Needed by every submission
        /// destination; no default.
        hostname: String,
        /// A free label for templates and subjects. Default: empty.
        site: String,
        /// An IANA time zone for mail and templates. Default: the system's.
        timezone: String,
        /// Absolute path of the spool, the inbox and the control socket. Default: /var/lib/mailslotd, for an
        /// unprivileged user $XDG_STATE_HOME/mailslotd.
        state_dir: String,
        /// How legacy senders are heard.
        netbios: Netbios,
        /// Addresses that are listened on.
        listeners: Listeners,
        /// Where messages go. `inbox` is there without being written: a Maildir under `state_dir`.
        destinations: Destinations,
        /// Which messages go where. Default: announcements are discarded, everything else goes to `inbox`.
        rules: Many<Rule>,
        /// When a delayed delivery is tried again.
        retry: Retry,
        /// How much the spool may hold.
        spool: Spool,
        /// How the log looks.
        log: Log,
    }
    later: ["operator", "mailslots", "relay", "tarpit", "users_file", "outbound_proxy", "expect"]
}

section! {
    /// How legacy senders are heard and their bytes understood.
    pub(super) struct Netbios {
        /// `observe`: nothing is sent, no name claimed. Default and only value of this version.
        mode: Mode,
        /// The OEM code page of senders, as `chcp` shows it there: `cp850`, `cp932`, … Needed as soon as text leaves
        /// the inbox; until then `cp850`.
        code_page: CodePage,
        /// `never`: the code page decides alone. `auto`: text that is valid UTF-8 is taken as such, which Samba sends
        /// for characters outside its page; not with cp932, cp936, cp949, cp950. Default: `never`.
        utf8: Utf8,
        /// Exceptions by source address; the first that contains it decides.
        code_pages: Many<CodePageException>,
        /// The NetBIOS scope that is heard. Default: the empty one.
        scope: String,
    }
    later: [
        "host_name", "names", "workgroup", "interfaces", "allow", "wins", "dedup_window", "rate"
    ]
}

/// What the gateway does on the NetBIOS side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// It listens.
    Observe,
    /// It claims names and answers.
    Answer,
}

section! {
    /// The code page of some senders.
    pub(super) struct CodePageException {
        /// A network or an address, or a list of them.
        source: OneOrMany<Network>,
        /// As `netbios.code_page`.
        code_page: CodePage,
        /// As `netbios.utf8`. Default: `never`.
        utf8: Utf8,
    }
    later: []
}

section! {
    /// Addresses that are listened on.
    pub(super) struct Listeners {
        /// UDP 138. Default address: 0.0.0.0:138.
        datagram: Address,
        /// Metrics and health over HTTP. Default address: 127.0.0.1:9138. Only loopback addresses.
        admin: Address,
    }
    later: ["name_service", "messenger", "smtp", "metrics"]
}

section! {
    /// One listener.
    pub(super) struct Address {
        /// IP address and port.
        address: SocketAddr,
    }
    later: ["tls", "allow", "tokens"]
}

/// Destinations by name, in the order they were written.
#[derive(Debug, Default)]
pub(super) struct Destinations {
    pub(super) named: Vec<(DestinationName, At<Destination>)>,
    /// Names whose destination could not be read.
    pub(super) lost: Vec<String>,
}

section! {
    /// Where messages go: exactly one of these.
    pub(super) struct Destination {
        /// Mail over authenticated SMTP submission, or to a relay.
        submission: Submission,
        /// Mail as files.
        maildir: Maildir,
    }
    later: ["nats", "amqp", "mqtt", "redis", "webhook"]
}

section! {
    /// An SMTP next hop.
    pub(super) struct Submission {
        /// Host name, which its certificate must have, or IP address. No default.
        host: String,
        /// Default: 587 with `starttls`, 465 with `implicit`, 25 with `none`.
        port: u16,
        /// How the connection is protected.
        tls: Tls,
        /// `none`, or who we are there. No default.
        auth: Auth,
        /// The sender of mail.
        from: From,
        /// How much the next hop takes.
        limits: Limits,
        /// How long one reply may take. Default: `5m` (RFC 5321 §4.5.3.2).
        timeout: Duration,
    }
    later: ["preset"]
}

section! {
    /// How a connection is protected.
    pub(super) struct Tls {
        /// `starttls` (required, not tried: the default), `implicit` or `none`.
        mode: TlsMode,
        /// Absolute path of a PEM file with the authorities to trust instead of the system's.
        ca_file: String,
    }
    later: ["client_certificate", "key_file"]
}

pub(super) use super::settings::TlsMode;

/// Who we are at a next hop.
#[derive(Debug)]
pub(super) enum Auth {
    /// `auth: none`: nobody in particular.
    None,
    /// A user with a password.
    User(Box<User>),
}

section! {
    /// A user with a password.
    pub(super) struct User {
        /// The authentication identity. No default.
        user: String,
        /// Absolute path of a file that holds the password and nothing else.
        password_file: String,
        /// Name of the environment variable that holds the password.
        password_env: String,
        /// Mechanisms that may be used, best first: `scram-sha-256`, `plain`, `login`, `cram-md5`. Default: the first
        /// three.
        mechanisms: Many<Mechanism>,
    }
    later: ["oauth"]
}

pub(super) use super::settings::Mechanism;

section! {
    /// The sender of mail.
    pub(super) struct From {
        /// The address in MAIL FROM and From. No default.
        address: String,
    }
    later: ["keep", "display"]
}

section! {
    /// How much a next hop takes.
    pub(super) struct Limits {
        /// Connections at once. Default: 3.
        max_connections: u32,
        /// Messages in a time: `30/min`. Default: `off`.
        rate: OrOff<Rate>,
        /// The greatest message. Default: `off`; what the next hop announces holds anyway.
        message_size: OrOff<Size>,
    }
    later: []
}

section! {
    /// Mail as files.
    pub(super) struct Maildir {
        /// Absolute path of the folder; made when absent. No default, but for `inbox`.
        path: String,
        /// The oldest mail goes when it would grow over this. Default: `1GiB`.
        max_size: OrOff<Size>,
        /// Mail older than this goes. Default: `90d`.
        keep: OrOff<Duration>,
    }
    later: []
}

section! {
    /// One rule. The first that matches decides.
    pub(super) struct Rule {
        /// 1 to 64 letters, digits, `-`, `_` or `.`; unique. No default.
        name: RuleName,
        /// `any`, or the keys that must all hold. No default.
        when = "match": Match,
        /// Repeats that become one mail.
        group: Group,
        /// `urgent`, `normal` or `bulk`. Default: `normal`.
        priority: Priority,
        /// When undelivered messages are given up. Default: `retry.expire`.
        expire: Duration,
        /// Where messages go.
        deliver: Many<Delivery>,
        /// The reason under which messages are counted and dropped.
        discard: DiscardReason,
    }
    later: []
    label: name
}

/// Which messages a rule is for.
#[derive(Debug)]
pub(super) enum Match {
    /// All.
    Any,
    /// Those of which every key holds.
    Keys(Box<Keys>),
}

section! {
    /// What must hold of a message. Patterns ignore case; `*` is any characters, `?` one. A list means one of them.
    pub(super) struct Keys {
        /// The mailslot, for example `\MAILSLOT\MESSNGR`.
        mailslot: OneOrMany<Glob>,
        /// The From inside the message, else the source name: a claim, not a proof.
        originator: OneOrMany<Glob>,
        /// The To inside the message, else the destination name.
        to: OneOrMany<Glob>,
        /// The sender's name in the NetBIOS header, without its type.
        source_name: OneOrMany<Glob>,
        /// The receiver's name in the NetBIOS header, without its type.
        destination_name: OneOrMany<Glob>,
        /// `datagram` (UDP 138) or `messenger` (TCP 139).
        listener: Listener,
        /// Networks or addresses that the packet came from.
        source: OneOrMany<Network>,
        /// A regular expression that is found anywhere in the text, as written or after NFKC.
        text: TextPattern,
    }
    later: []
}

section! {
    /// Repeats that become one mail.
    pub(super) struct Group {
        /// Messages are repeats when these fields are equal. No default.
        by: OneOrMany<GroupField>,
        /// How long the first one waits for repeats. Default: `20s`.
        wait: Duration,
        /// How long after that further repeats are gathered into the next mail. Default: `10m`.
        repeat_after: Duration,
    }
    later: []
}

/// A field of a message that tells repeats from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GroupField(pub(super) Field);

section! {
    /// Where one copy goes.
    pub(super) struct Delivery {
        /// The name of a destination. No default.
        via: String,
        /// A mail address for submission, a folder for a Maildir. Of the template fields only {host}, {site} and
        /// {rule}. No default.
        to: Template,
        /// The subject, with template fields. Default: originator and first line.
        subject: Template,
        /// Who gets it when this copy is not delivered in time.
        otherwise: Many<Otherwise>,
    }
    later: []
}

section! {
    /// Where a copy goes when the one before it was not delivered in time.
    pub(super) struct Otherwise {
        /// As in `deliver`.
        via: String,
        /// As in `deliver`.
        to: Template,
        /// As in `deliver`.
        subject: Template,
        /// How long the first copy has, from acceptance. Default: `10m`.
        after: Duration,
    }
    later: []
}

section! {
    /// When a delayed delivery is tried again.
    pub(super) struct Retry {
        /// After the first attempt; then doubled. Default: `30s`.
        first: Duration,
        /// Never longer than this. Default: `30m`.
        max: Duration,
        /// Given up so long after acceptance. Default: `5d`.
        expire: Duration,
    }
    later: []
}

section! {
    /// How much the spool may hold.
    pub(super) struct Spool {
        /// Of all messages; past it nothing more is accepted. Default: `10GiB`.
        max_size: OrOff<Size>,
        /// Stays free on its file system. Default: `200MiB`.
        min_free: OrOff<Size>,
        /// The part of both limits that only legacy messages may use. Default: `256MiB`.
        reserved_for_notices: OrOff<Size>,
        /// How long failed messages are kept for the operator. Default: `30d`.
        failed_keep: Duration,
    }
    later: ["sqlite", "nats", "replicas"]
}

section! {
    /// How the log looks.
    pub(super) struct Log {
        /// `human` or `json`. Default: `human`.
        format: LogFormat,
    }
    later: []
}

pub(super) use super::settings::Log as LogFormat;

impl Read for Destinations {
    fn read(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
        let mut destinations = Self::default();
        for entry in read::entries(node, place, problems)? {
            let mut place = place.key(&entry.key, entry.line);
            place.file = std::sync::Arc::clone(&entry.node.file);
            let name = DestinationName::new(&entry.key).map_err(|error| {
                problems.push(Problem::new(&place, error.to_string(), "rename it"));
            });
            match (name, At::read(&entry.node, &place, problems)) {
                (Ok(name), Some(destination)) => destinations.named.push((name, destination)),
                _ => destinations.lost.push(entry.key.clone()),
            }
        }
        Some(destinations)
    }
}

impl Read for Auth {
    fn read(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
        const FIX: &str = "write `auth: none`, or `auth: { user: …, password_file: … }`";
        match &node.value {
            Value::Text(text) if text == "none" => Some(Self::None),
            Value::Map(_) => User::read(node, place, problems).map(|user| Self::User(Box::new(user))),
            Value::Text(_) | Value::Nothing | Value::Truth(_) | Value::Number(_) | Value::List(_) => {
                problems.push(Problem::new(
                    place,
                    format!("{} is neither `none` nor a map", read::shown(node)),
                    FIX,
                ));
                None
            }
        }
    }
}

impl Read for Match {
    fn read(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
        match &node.value {
            Value::Text(text) if text == "any" => Some(Self::Any),
            Value::Map(entries) if !entries.is_empty() => {
                Keys::read(node, place, problems).map(|keys| Self::Keys(Box::new(keys)))
            }
            Value::Nothing
            | Value::Truth(_)
            | Value::Number(_)
            | Value::Text(_)
            | Value::List(_)
            | Value::Map(_) => {
                let fix =
                    "write `match: any` for every message, or keys such as `match: { originator: 'UPS-*' }`";
                problems.push(Problem::new(
                    place,
                    format!("{} does not say which messages match", read::shown(node)),
                    fix,
                ));
                None
            }
        }
    }
}
