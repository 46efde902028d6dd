//! `relay` and `tarpit` as they are written: for whom mail is taken, where it goes, and how long refusals are held.

use std::time::Duration;

use super::super::document::Node;
use super::super::problem::{Place, Problems};
use super::super::settings::{Bounces, OnFailure};
use super::destinations::TlsMode;
use super::read::{At, Lost, Many, Read, section};
use super::scalar::{Network, OrOff, PrefixLength, Size};
use crate::policy::rate::Rate;
use crate::policy::relay::DomainPattern;
use crate::policy::route::RouteDomain;
use crate::policy::tarpit::Trusted;
use crate::policy::template::{MailField, Template};

section! {
    /// For whom mail is taken, and where it goes.
    pub(in crate::config) struct Relay {
        /// Recipient domains we are responsible for: `corp.example`, or `.corp.example` for every domain below it.
        /// Default: none.
        accepted_domains: Many<DomainPattern>,
        /// Who knows which recipients of accepted domains exist; any yes wins. Default: nobody is asked, all exist.
        recipients: Many<RecipientSource>,
        /// `defer`: 451 while one cannot be asked and no other says yes. `accept`: trusted and authenticated clients are
        /// believed then. Default: `defer`.
        on_directory_failure: OnFailure,
        /// Where accepted mail goes; the first that matches decides. No default.
        routes: Many<Route>,
        /// What clients may do that are neither trusted nor authenticated; sizes and counts hold for all.
        limits: RelayLimits,
        /// Whose senders are told that a message could not be delivered: `own-users` (trusted and authenticated ones),
        /// `everyone` or `off`. Default: `own-users`.
        bounces: Bounces,
        /// How long a mail is under way before its sender is told so, where it asked for that (NOTIFY=DELAY, RFC 3461), or
        /// `off`; it counts from the mail's acceptance on, and for mail that is accepted later. Default: `4h`.
        delay_report: OrOff<Duration>,
    }
    later: []
}

section! {
    /// Who knows which recipients exist: exactly one of these.
    pub(in crate::config) struct RecipientSource {
        /// Addresses, or `@corp.example` for all of a domain.
        list: Many<String>,
        /// Absolute path of a file with such an address a line; `#` begins a comment. Read again when it changes.
        file: String,
        /// A directory.
        ldap: Ldap,
        /// The next hop is asked with RCPT.
        callforward: CallForward,
    }
    later: []
}

section! {
    /// An LDAP directory, Active Directory for example.
    pub(in crate::config) struct Ldap {
        /// `ldaps://host[:port]` or `ldap://host[:port]`. No default.
        url: String,
        /// How the connection is protected.
        tls: DirectoryTls,
        /// The distinguished name where the search begins, its whole subtree included. No default.
        base: String,
        /// A filter (RFC 4515) in which `{address}` stands for the address, escaped. No default.
        filter: String,
        /// Who asks. Default: anonymous.
        bind_dn: String,
        /// Absolute path of a file that holds its password and nothing else.
        password_file: String,
        /// Name of the environment variable that holds its password.
        password_env: String,
        /// How long one answer may take. Default: `5s`.
        timeout: Duration,
    }
    later: []
}

section! {
    /// How the connection to a directory is protected.
    pub(in crate::config) struct DirectoryTls {
        /// `implicit` with `ldaps://`; with `ldap://` `starttls` or `none`. Default: the first of each.
        mode: TlsMode,
        /// Absolute path of a PEM file with the authorities to trust instead of the system's.
        ca_file: String,
    }
    later: []
}

section! {
    /// A next hop that is asked with RCPT.
    pub(in crate::config) struct CallForward {
        /// Host name or IP address, and a port unless it is 25: `mail.corp.example:25`. No default.
        host: String,
        /// How the connection is protected.
        tls: CallForwardTls,
        /// How long one answer may take. Default: `30s`.
        timeout: Duration,
    }
    later: []
}

section! {
    /// How the connection to a next hop that is asked is protected.
    pub(in crate::config) struct CallForwardTls {
        /// `opportunistic` (STARTTLS where it is offered, whatever the certificate: no secret travels), or as for
        /// destinations `starttls` (required), `implicit` or `none`. Default: `opportunistic`.
        mode: CallForwardTlsMode,
        /// Absolute path of a PEM file with the authorities to trust instead of the system's.
        ca_file: String,
        /// Absolute path of a PEM file with the certificate that says who we are, for a next hop that asks. Default: none.
        client_certificate: String,
        /// Absolute path of a PEM file with its key. Needed with `client_certificate`.
        key_file: String,
    }
    later: []
}

/// When TLS begins, or that it need not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum CallForwardTlsMode {
    Opportunistic,
    As(TlsMode),
}

section! {
    /// Where mail for a domain goes.
    pub(in crate::config) struct Route {
        /// The recipient's domain: `corp.example`, `.corp.example` for every domain below it, or `*` for any. No default.
        domain: RouteDomain,
        /// The name of a destination. No default.
        via: String,
        /// The folder there, where the destination is a Maildir. Default: `mail`.
        folder: String,
        /// The subject, routing key, topic or stream there, where the destination takes events, with the fields
        /// {recipient}, {local_part}, {domain}, {sender}, {host} and {site}. No default, but where the destination has one.
        to: Template<MailField>,
    }
    later: []
}

section! {
    /// What clients may do. What holds for one client network holds four times for all those of one IPv6 /48.
    pub(in crate::config) struct RelayLimits {
        /// The greatest message. Default: `35MiB`.
        message_size: OrOff<Size>,
        /// Recipients of one transaction; at least 100. Default: 100.
        recipients: u32,
        /// Connections at once, of one client network. Default: 50.
        connections_per_network: OrOff<u32>,
        /// Messages in a time, of one client network that is neither trusted nor authenticated. Default: `600/min`.
        messages: OrOff<Rate>,
        /// Connections in a time, of one client network. Default: `off`.
        connections: OrOff<Rate>,
        /// Connections at once, of everybody. Default: 12000.
        connections_in_all: u32,
    }
    later: []
}

section! {
    /// How long refusals are held.
    pub(in crate::config) struct Tarpit {
        /// Each 5yz reply to an unauthenticated client is held so long. Default: `0s`, which is off.
        time: Duration,
        /// Added for each further one of the same client network. Default: `0s`.
        step: Duration,
        /// No reply is held longer; below 5m. Default: `60s`.
        max: Duration,
        /// A network that owes more than this gets 421 at its next MAIL or RCPT. Default: `60s`.
        max_line: Duration,
        /// The reply to a failed AUTH is held so long. Default: `5s`.
        failed_auth: Duration,
        /// Sessions that may wait at once, in all; past it: 421. Default: 10000.
        max_delayed: u32,
        /// `exempt` or `delay`: clients in a listener's `trusted_networks`. Default: `exempt`.
        trusted: Trusted,
        /// Further networks that are never held. Default: none.
        exempt: Many<Network>,
        /// What counts as one client network, here and in `relay.limits`.
        prefix: Prefix,
    }
    later: []
}

section! {
    /// How guessing passwords is stopped. A client network is one as `tarpit.prefix` says.
    pub(in crate::config) struct AuthGuard {
        /// Failed logins of one client network within `within`, after which its AUTH is refused; past 16 networks of one
        /// IPv6 /48 that failed, of all its others together. Default: 10.
        failures: OrOff<u32>,
        /// Counted from the first; a success forgives those of its own account. Default: `10m`.
        within: Duration,
        /// How long AUTH is refused then. Default: `5m`.
        refused_for: Duration,
        /// Checks of passwords that may wait, in all; past it: 454. Default: 256.
        line: u32,
        /// Checks of one client network that may wait, or of one IPv6 /48. Default: 64.
        line_per_network: u32,
    }
    later: []
}

section! {
    /// How many leading bits of an address make one client network.
    pub(in crate::config) struct Prefix {
        /// Of public IPv4 addresses. Default: 24.
        ipv4: PrefixLength,
        /// Of public IPv6 addresses; in the tar pit the /48 where more than 16 of its networks are remembered. Default: 64.
        ipv6: PrefixLength,
        /// Of private (RFC 1918), loopback and link-local IPv4 addresses. Default: 32.
        private: PrefixLength,
    }
    later: []
}
