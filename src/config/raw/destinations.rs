//! `destinations` as they are written.

use std::sync::Arc;
use std::time::Duration;

use super::super::document::{Node, Value};
use super::super::problem::{Place, Problem, Problems};
use super::super::settings::DisplayName;
pub(in crate::config) use super::super::settings::{Mechanism, ProviderPreset, TlsMode, Unconfirmed};
use super::oauth::OAuth;
use super::read::{At, Listed, Lost, Many, Read, entries, section, shown};
use super::replies::Reply;
use super::scalar::{OrOff, Size};
use super::{Amqp, Graph, Mqtt, Nats, Redis, Webhook};
use crate::message::id::DestinationName;
use crate::policy::rate::Rate;
use crate::policy::relay::AddressPattern;
use crate::wire::oem_text::CodePage;

/// Destinations by name, in the order they were written.
#[derive(Debug, Default)]
pub(in crate::config) struct Destinations {
    pub(in crate::config) named: Vec<(DestinationName, At<Destination>)>,
    /// Names whose destination could not be read.
    pub(in crate::config) lost: Vec<String>,
}

section! {
    /// Where messages go: exactly one of these.
    pub(in crate::config) struct Destination {
        /// Mail over authenticated SMTP submission, or to a relay.
        submission: Submission,
        /// Mail through Microsoft Graph.
        graph: Graph,
        /// Mail as files.
        maildir: Maildir,
        /// Messages on legacy displays.
        netbios: Displays,
        /// Events in a stream of NATS JetStream.
        nats: Nats,
        /// Events as HTTP requests.
        webhook: Webhook,
        /// Events for an exchange of an AMQP broker.
        amqp: Amqp,
        /// Events for topics of an MQTT broker.
        mqtt: Mqtt,
        /// Events in streams of Redis.
        redis: Redis,
    }
    later: []
}

section! {
    /// An SMTP next hop.
    pub(in crate::config) struct Submission {
        /// A provider whose hosts, limits and replies are known: `m365`, `m365-connector`, `m365-hve`, `google`,
        /// `google-relay`, `amazon-ses`. Each other key overrides it. Default: none.
        preset: ProviderPreset,
        /// With `m365-connector`: a domain of the tenant, from which the name of its MX host is made.
        domain: String,
        /// Host name, which its certificate must have, or IP address. Default: the preset's.
        host: String,
        /// Default: the preset's; else 587 with `starttls`, 465 with `implicit`, 25 with `none`.
        port: u16,
        /// How the connection is protected.
        tls: Tls,
        /// `none`, or who we are there. Default: `none` with `m365-connector` and `google-relay`, which know us by our address
        /// or certificate.
        auth: Auth,
        /// The sender of notices, and of mail whose own sender the next hop would not take. Needed by rules that deliver
        /// here; without it, mail that is relayed keeps its sender.
        from: From,
        /// How much the next hop takes.
        limits: Limits,
        /// How long one reply may take. Default: `5m` (RFC 5321 §4.5.3.2).
        timeout: Duration,
        /// What some of its replies mean, whatever their code says; the first that fits counts. Default: what is known of the
        /// preset's, and of servers in general.
        replies: Many<Reply>,
    }
    later: []
}

section! {
    /// How a connection is protected.
    pub(in crate::config) struct Tls {
        /// `starttls` (required, not tried: the default), `implicit` or `none`.
        mode: TlsMode,
        /// Absolute path of a PEM file with the authorities to trust instead of the system's.
        ca_file: String,
        /// Absolute path of a PEM file with the certificate that says who we are, and those that lead to its root, for a
        /// next hop that asks. Default: none.
        client_certificate: String,
        /// Absolute path of a PEM file with its key. Needed with `client_certificate`.
        key_file: String,
    }
    later: []
}

/// Who we are at a next hop.
#[derive(Debug)]
pub(in crate::config) enum Auth {
    /// `auth: none`: nobody in particular.
    None,
    /// A user with a password.
    User(Box<User>),
    /// A mailbox with tokens.
    Bearer(Box<OAuth>),
}

section! {
    /// A mailbox with tokens.
    pub(in crate::config) struct Tokens {
        /// Where they come from.
        oauth: OAuth,
    }
    later: []
}

section! {
    /// A user with a password.
    pub(in crate::config) struct User {
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
    later: []
}

section! {
    /// The sender that the next hop lets us use.
    pub(in crate::config) struct From {
        /// The address in MAIL FROM and From. No default.
        address: String,
        /// Senders of relayed mail that stay as they are: addresses, `*@corp.example`, `*@.corp.example`, `<>`, `*`.
        /// Default: none.
        keep: Listed<AddressPattern>,
        /// The name before the address where it replaces another; `{original}` is whom From named. Default: `{original}`.
        display: DisplayName,
    }
    later: []
}

section! {
    /// How much a next hop takes.
    pub(in crate::config) struct Limits {
        /// Connections at once. Default: 3.
        max_connections: u32,
        /// Messages in a time: `30/min`. Default: `off`.
        rate: OrOff<Rate>,
        /// The greatest message. Default: `off`; what the next hop announces holds anyway.
        message_size: OrOff<Size>,
        /// Recipients of one transaction. Default: `off`, which is 100 (RFC 5321 §4.5.3.1.8).
        max_recipients: OrOff<u32>,
    }
    later: []
}

section! {
    /// Mail as files.
    pub(in crate::config) struct Maildir {
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
    /// Messages on legacy displays; `to` is a name, `*` for everyone, or `/domain:NAME` for a workgroup.
    pub(in crate::config) struct Displays {
        /// The NetBIOS name that messages come from, at most 15 bytes in the code page. Default: `netbios.host_name`.
        from: String,
        /// The OEM code page of the displays. Default: `netbios.code_page`.
        code_page: CodePage,
        /// `never`: a message is delivered when a display confirms it over TCP 139. `accept`: where none does, it goes to
        /// the mailslot over UDP, which nobody confirms, and counts as delivered. Default: `never`.
        unconfirmed: Unconfirmed,
        /// Bytes of text that are sent at most; the rest is cut. A datagram carries about 400. Default: `1KiB`.
        max_text: Size,
        /// Messages in a time. Default: `30/min`.
        rate: OrOff<Rate>,
    }
    later: []
}

impl Read for Destinations {
    fn read(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
        let mut destinations = Self::default();
        for entry in entries(node, place, problems)? {
            let mut place = place.key(&entry.key, entry.line);
            place.file = Arc::clone(&entry.node.file);
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
        const FIX: &str =
            "write `auth: none`, `auth: { user: …, password_file: … }`, or `auth: { oauth: { … } }`";
        match &node.value {
            Value::Text(text) if text == "none" => Some(Self::None),
            Value::Map(entries) if entries.iter().any(|entry| entry.key == "oauth") => {
                let oauth = Tokens::read(node, place, problems)?.oauth?;
                Some(Self::Bearer(Box::new(oauth.value)))
            }
            Value::Map(_) => User::read(node, place, problems).map(|user| Self::User(Box::new(user))),
            Value::Text(_) | Value::Nothing | Value::Truth(_) | Value::Number(_) | Value::List(_) => {
                problems.push(Problem::new(
                    place,
                    format!("{} is neither `none` nor a map", shown(node)),
                    FIX,
                ));
                None
            }
        }
    }
}
