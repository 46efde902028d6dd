//! The configuration as it is written: one struct for each map, one field for each key.
//!
//! Every value is read on its own and remembers its place, so a mistake in one hides none of the others. A key that is
//! none of the struct's is a problem that names the key probably meant; one that this version does not know yet, but
//! that the manual has for a later one, says so. What values mean together, [`super::check`] decides.

mod amqp;
mod destinations;
mod graph;
mod mqtt;
mod nats;
mod netbios;
mod oauth;
mod outbound_proxy;
mod queue;
mod read;
mod redis;
mod relay;
mod replies;
mod rules;
mod scalar;
mod smtp;
pub(super) mod users;
mod webhook;
mod words;

pub(super) use amqp::*;
pub(super) use destinations::*;
pub(super) use graph::*;
pub(super) use mqtt::*;
pub(super) use nats::*;
pub(super) use netbios::*;
pub(super) use oauth::*;
pub(super) use outbound_proxy::*;
pub(super) use queue::*;
pub(super) use read::{At, Listed, Lost, Many, OneOrMany, Read};
pub(super) use redis::*;
pub(super) use relay::*;
pub(super) use replies::*;
pub(super) use rules::*;
pub(super) use scalar::{Network, OrOff, PrefixLength, Size, duration, rate};
pub(super) use smtp::*;
pub(super) use webhook::*;

use std::net::SocketAddr;
use std::time::Duration;

use super::document::Node;
use super::problem::{Place, Problems};
pub(super) use super::settings::Log as LogFormat;
use read::section;

section! {
    /// The whole file, and with it those of `conf.d`.
    pub(super) struct File {
        /// The name in EHLO, greetings, Received and Message-ID: a fully qualified domain name in ASCII. Needed by every
        /// submission destination and as soon as mail is taken in; no default.
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
        /// Whether legacy messages pass at all.
        mailslots: Mailslots,
        /// Addresses that are listened on.
        listeners: Listeners,
        /// Where messages go. `inbox` is there without being written: a Maildir under `state_dir`.
        destinations: Destinations,
        /// The proxy through which tokens are asked for, and Graph and webhooks reached. Default: none.
        outbound_proxy: OutboundProxy,
        /// Which messages go where. Default: announcements are discarded, everything else goes to `inbox`.
        rules: Many<Rule>,
        /// Mail that devices, applications and the Internet bring: for whom it is taken, and where it goes.
        relay: Relay,
        /// How long refusals are held.
        tarpit: Tarpit,
        /// Absolute path of the accounts that `mailslotd user add` writes. Needed by every listener with `auth`; no
        /// default.
        users_file: String,
        /// How guessing passwords is stopped, on all listeners.
        auth: AuthGuard,
        /// The DNS server that is asked about `dnsbl`: block lists turn away public resolvers. IP address and port.
        /// Default: the system's.
        dns_server: SocketAddr,
        /// A directory that mail is picked up from. Default: none.
        pickup: Pickup,
        /// Who is told, and is the postmaster.
        operator: Operator,
        /// When a delayed delivery is tried again.
        retry: Retry,
        /// How much the spool may hold.
        spool: Spool,
        /// How the log looks.
        log: Log,
    }
    later: ["expect"]
}

section! {
    /// One listener.
    pub(super) struct Address {
        /// IP address and port.
        address: SocketAddr,
    }
    later: ["tls", "allow", "tokens"]
}

section! {
    /// Who is told, and is the postmaster.
    pub(super) struct Operator {
        /// A mailbox: gets mail for `<postmaster>` and the reports that have nowhere else to go, and is the one that reports
        /// name. Needed as soon as mail is taken in; no default.
        postmaster: String,
        /// Who is told of legacy messages that could not be delivered, and of secrets and certificates that end: all of
        /// these; an empty list means nobody. Default: the postmaster, by its route.
        notify: Many<Way>,
        /// Between two such reports about the same destination and kind of cause; the next one counts what was held back.
        /// Default: `4h`.
        repeat: OrOff<Duration>,
    }
    later: []
}

section! {
    /// One way to tell the operator.
    pub(super) struct Way {
        /// The name of a destination. No default.
        via: String,
        /// A mail address for submission, a folder for a Maildir, a name for displays. No default.
        to: String,
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
        /// The destination of kind `nats` on whose servers the spool lies, for all gateways that name it. Default: none,
        /// the spool lies in `state_dir`.
        nats: String,
        /// On how many of these servers, 1 to 5. Default: 3.
        replicas: u32,
    }
    later: ["sqlite"]
}

section! {
    /// How the log looks.
    pub(super) struct Log {
        /// `human` or `json`. Default: `human`.
        format: LogFormat,
    }
    later: []
}
