//! The SMTP front-end: who may bring mail, and where it goes.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use zeroize::Zeroizing;

use super::{CertificateFiles, Mechanism, Tls, TlsMode};
use crate::message::mail::Reports;
use crate::policy::account::Cleartext;
use crate::policy::admission::Acquaintance;
use crate::policy::auth_guard::AuthGuardPolicy;
use crate::policy::rate::Rate;
use crate::policy::relay::{ListenerPolicy, RelayPolicy, RelayTo};
use crate::policy::tarpit::TarpitPolicy;
use crate::wire::smtp::path::Mailbox;
use crate::wire::smtp::tolerance::Tolerance;

/// The whole front-end.
#[derive(Debug, Clone)]
pub struct SmtpFrontEnd {
    /// Where clients connect.
    pub listeners: Vec<SmtpListener>,
    /// Who may send what to whom, and where it goes.
    pub relay: Arc<RelayPolicy>,
    /// Who knows which recipients of accepted domains exist; empty: all do.
    pub recipients: Vec<RecipientSource>,
    /// What an answer is worth when a directory cannot be asked.
    pub on_directory_failure: OnFailure,
    /// The DNS server that is asked about block lists; `None`: those of the system. Lists turn away public resolvers.
    pub dns_server: Option<SocketAddr>,
    /// For clients that are neither trusted nor authenticated.
    pub limits: SmtpLimits,
    /// Whose senders are told that a message could not be delivered.
    pub bounces: Bounces,
    /// How long a mail is under way before its sender is told so, where it asked for that (NOTIFY=DELAY); `None`: never.
    pub delay_report: Option<Duration>,
    /// Who gets mail for the postmaster, and is the postmaster that reports name.
    pub postmaster: Option<Mailbox>,
    /// How long refusals are held.
    pub tarpit: TarpitPolicy,
    /// Accounts, where there are any.
    pub users_file: Option<PathBuf>,
    /// How guessing their passwords is stopped.
    pub auth_guard: AuthGuardPolicy,
    /// A directory that mail is picked up from, where there is one.
    pub pickup: Option<Pickup>,
}

/// Where clients connect.
#[derive(Debug, Clone)]
pub struct SmtpListener {
    /// Its addresses; at least one.
    pub addresses: Vec<SocketAddr>,
    /// What it lets through; has its name.
    pub policy: Arc<ListenerPolicy>,
    /// `None`: Device for trusted networks, Strict for everybody else.
    pub tolerance: Option<Tolerance>,
    /// Stubborn devices; the first that contains the client decides.
    pub clients: Vec<ClientException>,
    /// TLS, where there is a certificate.
    pub tls: Option<ServerTls>,
    /// AUTH, where there are accounts.
    pub auth: Option<ServerAuth>,
    /// DNS block lists that are asked about clients that are not trusted: domains such as zen.dnsbl.example.
    pub dnsbl: Vec<String>,
    /// Load balancers that must speak the PROXY protocol; nobody else may.
    pub proxy_protocol_from: Vec<IpNet>,
}

/// One stubborn device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientException {
    /// Where it is.
    pub source: Vec<IpNet>,
    /// EHLO keywords that it must not see, in upper case.
    pub hide: Arc<[String]>,
    /// Instead of the listener's.
    pub tolerance: Option<Tolerance>,
}

/// TLS of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTls {
    /// When it begins.
    pub start: TlsStart,
    /// What the client is shown.
    pub files: CertificateFiles,
}

/// When TLS begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsStart {
    /// When the client says STARTTLS.
    StartTls,
    /// With the first octet (RFC 8314).
    Implicit,
}

/// AUTH of a listener. Whether it is required, [`ListenerPolicy`] says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAuth {
    /// In the order they are offered.
    pub mechanisms: Vec<Mechanism>,
    /// Whether they may be used without TLS.
    pub cleartext: Cleartext,
}

/// Who knows which recipients exist.
#[derive(Debug, Clone)]
pub enum RecipientSource {
    /// Addresses in the configuration.
    List(Vec<String>),
    /// A file with an address (or `@domain` for all of one) a line; read again when it changes.
    File(PathBuf),
    /// A directory.
    Ldap(Box<Ldap>),
    /// The next hop is asked with RCPT.
    CallForward(CallForward),
}

/// An LDAP directory, Active Directory for example.
#[derive(Clone)]
pub struct Ldap {
    /// `ldaps://host[:port]`, or `ldap://` with StartTLS unless `tls` is `None`.
    pub url: String,
    /// How the connection is protected.
    pub tls: TlsMode,
    /// PEM file with the authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Where the search begins.
    pub base: String,
    /// An RFC 4515 filter in which `{address}` stands for the escaped address.
    pub filter: String,
    /// Who asks; `None`: anonymous.
    pub bind: Option<(String, Zeroizing<String>)>,
    /// How long one answer may take.
    pub timeout: Duration,
}

/// Shows no password.
impl std::fmt::Debug for Ldap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ldap").field("url", &self.url).field("base", &self.base).finish_non_exhaustive()
    }
}

/// A next hop that is asked with RCPT whether it knows a recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallForward {
    /// Host name or IP address.
    pub host: String,
    /// Usually 25.
    pub port: u16,
    /// How the connection is protected.
    pub tls: CallForwardTls,
    /// How long one answer may take.
    pub timeout: Duration,
}

/// How the connection to a next hop that is asked is protected.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum CallForwardTls {
    /// By STARTTLS where it is offered, whatever the certificate says, else in clear text (RFC 7435): no secret travels,
    /// and nobody who can read the questions is kept from the message itself, which goes the same way.
    #[default]
    Opportunistic,
    /// As a destination's: the certificate is checked, and without TLS nothing is asked, unless the mode is `none`.
    Configured(Tls),
}

/// What an answer is worth when a directory cannot be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnFailure {
    /// 451: the client tries again.
    #[default]
    Defer,
    /// Trusted and authenticated clients are believed; others get 451.
    Accept,
}

/// What clients may do that are neither trusted nor authenticated; the size holds for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SmtpLimits {
    /// Octets of one message, as it is written; see [`Self::size_to`].
    pub message_size: Option<u64>,
    /// Octets of the greatest message that fits wherever the routes lead.
    pub routes: RouteSizes,
    /// Recipients of one transaction; at least 100.
    pub recipients: usize,
    /// Connections of one client network at once.
    pub connections_per_network: Option<usize>,
    /// Messages of one client network in a time.
    pub messages: Option<Rate>,
    /// Connections of one client network in a time.
    pub connections: Option<Rate>,
    /// Connections in all, of everybody; an eighth of them is kept for clients in trusted networks.
    pub connections_in_all: usize,
}

/// The greatest mail that fits into each destination that a route may lead to; `None`: nothing limits it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RouteSizes {
    /// On the routes of accepted domains.
    pub accepted_domains: Option<u64>,
    /// On all routes.
    pub any: Option<u64>,
}

/// Whose senders are told that a message could not be delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Bounces {
    /// Those that are trusted or authenticated: nobody on the Internet can have us send reports to a third person.
    #[default]
    OwnUsers,
    /// All (RFC 5321 §6.1).
    Everyone,
    /// Nobody, against RFC 5321.
    Off,
}

impl Bounces {
    /// Whether the sender of a mail is owed reports; decided when the mail is accepted. `acquaintance`: of who brought it;
    /// whoever has authenticated, or dropped it on this host, is trusted.
    #[must_use]
    pub const fn reports(self, acquaintance: Acquaintance) -> Reports {
        match (self, acquaintance) {
            (Self::Everyone, Acquaintance::Trusted | Acquaintance::Stranger)
            | (Self::OwnUsers, Acquaintance::Trusted) => Reports::Owed,
            (Self::OwnUsers, Acquaintance::Stranger)
            | (Self::Off, Acquaintance::Trusted | Acquaintance::Stranger) => Reports::None,
        }
    }
}

/// A directory that applications drop mail into, and `mailslotd sendmail`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pickup {
    /// The directory; made when absent.
    pub path: PathBuf,
    /// What is let through; this host's own addresses are its trusted networks.
    pub policy: Arc<ListenerPolicy>,
    /// How long files that were set aside in `badmail` stay there; `None`: until somebody removes them.
    pub badmail_keep: Option<Duration>,
}

impl Default for SmtpFrontEnd {
    /// Nobody may bring anything.
    fn default() -> Self {
        Self {
            listeners: Vec::new(),
            relay: Arc::default(),
            recipients: Vec::new(),
            on_directory_failure: OnFailure::Defer,
            dns_server: None,
            limits: SmtpLimits::default(),
            bounces: Bounces::OwnUsers,
            delay_report: Some(DELAY_REPORT),
            postmaster: None,
            tarpit: TarpitPolicy::default(),
            users_file: None,
            auth_guard: AuthGuardPolicy::default(),
            pickup: None,
        }
    }
}

/// As long as most mail servers wait.
const DELAY_REPORT: Duration = Duration::from_secs(4 * 60 * 60);

impl SmtpLimits {
    /// Octets of one message of a client that may send there: SIZE announces it. What is longer would be accepted only to
    /// come back from a destination that never takes it.
    #[must_use]
    pub fn size_to(&self, relay_to: RelayTo) -> Option<u64> {
        let routes = match relay_to {
            RelayTo::AcceptedDomains => self.routes.accepted_domains,
            RelayTo::Any => self.routes.any,
        };
        [self.message_size, routes].into_iter().flatten().min()
    }

    /// Recipients of one transaction of a client that is trusted or has authenticated: newsletters of our own pass.
    #[must_use]
    pub fn own_recipients(&self) -> usize {
        self.recipients.max(OWN_RECIPIENTS)
    }
}

/// Recipients of one transaction that own clients may always have.
const OWN_RECIPIENTS: usize = 1000;

impl Default for SmtpLimits {
    /// 35 MiB, 100 recipients, 50 connections of one network, 600 messages a minute of one network, 12 000 connections in all.
    fn default() -> Self {
        Self {
            message_size: Some(35 << 20),
            routes: RouteSizes::default(),
            recipients: 100,
            connections_per_network: Some(50),
            messages: Some(Rate { count: 600, period: Duration::from_secs(60) }),
            connections: None,
            connections_in_all: 12_000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_size_on_the_way_holds() {
        let limits = |message_size, accepted_domains, any| SmtpLimits {
            message_size,
            routes: RouteSizes { accepted_domains, any },
            ..SmtpLimits::default()
        };
        for (limits, to_accepted, to_any) in [
            (limits(Some(9), None, None), Some(9), Some(9)),
            (limits(Some(9), Some(12), Some(7)), Some(9), Some(7)),
            (limits(None, Some(8), Some(7)), Some(8), Some(7)),
            (limits(None, None, None), None, None),
        ] {
            let sizes = [RelayTo::AcceptedDomains, RelayTo::Any].map(|relay_to| limits.size_to(relay_to));
            assert_eq!(sizes, [to_accepted, to_any]);
        }
    }

    #[test]
    fn each_mode_of_bounces_owes_reports_to_those_whom_it_names() {
        for (bounces, to_our_own, to_strangers) in [
            (Bounces::OwnUsers, Reports::Owed, Reports::None),
            (Bounces::Everyone, Reports::Owed, Reports::Owed),
            (Bounces::Off, Reports::None, Reports::None),
        ] {
            assert_eq!(bounces.reports(Acquaintance::Trusted), to_our_own, "{bounces:?}");
            assert_eq!(bounces.reports(Acquaintance::Stranger), to_strangers, "{bounces:?}");
        }
    }
}
