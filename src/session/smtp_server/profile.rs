//! What a session is told before it begins.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::room::RecipientRoom;
use crate::policy::account::Cleartext;
use crate::policy::relay::{ListenerPolicy, RelayPolicy};
use crate::session::sasl::Nonces;
use crate::wire::smtp::mechanism::Mechanism;
use crate::wire::smtp::tolerance::Tolerance;

/// What a session is told before it begins.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Our name in the greeting and in EHLO's reply.
    pub hostname: Arc<str>,
    /// Where the client is; behind a named proxy, where that says it is.
    pub client: IpAddr,
    /// The listener that it came to.
    pub listener: Arc<ListenerPolicy>,
    /// Who may send what to whom.
    pub relay: Arc<RelayPolicy>,
    /// How forgiving the grammar is.
    pub tolerance: Tolerance,
    /// What EHLO offers.
    pub offers: Offers,
    /// The TLS session that was there before the first octet, if any.
    pub tls: Option<TlsSession>,
    /// How much the client may send.
    pub limits: Limits,
    /// How much it may send once it has authenticated.
    pub proved_limits: Limits,
    /// Where recipients are kept before AUTH; `None`: as many as `limits` has, whatever that takes.
    pub room: Option<RecipientRoom>,
    /// For the challenges of AUTH.
    pub nonces: Nonces,
    /// Whether replies to it are held.
    pub tarpit: Standing,
    /// What a DNS block list says of the client: every RCPT before AUTH gets 550 5.7.1 with this text, but for those to
    /// a postmaster.
    pub listed: Option<Arc<str>>,
    /// How long the client may be silent.
    pub timeouts: Timeouts,
}

/// What EHLO offers. PIPELINING, 8BITMIME, ENHANCEDSTATUSCODES are there unless hidden.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offers {
    /// STARTTLS, while there is no TLS.
    pub starttls: bool,
    /// Mechanisms for accounts, in the order they are offered.
    pub mechanisms: Vec<Mechanism>,
    /// Whether they are offered without TLS too.
    pub cleartext: Cleartext,
    /// Keywords that this client must not see, in upper case: `STARTTLS`, `CHUNKING`, `AUTH`, ….
    pub hidden: Arc<[String]>,
}

/// How much a client may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Octets of one message; `None`: no limit but the spool's.
    pub message_size: Option<u64>,
    /// Recipients of one transaction; at least 100. The next gets 452 4.5.3.
    pub recipients: usize,
}

/// Whether replies to a client are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Its 5yz replies are held, and its RCPTs wait their turn, until it has authenticated.
    Subject,
    /// Never, but for a failed AUTH.
    Exempt,
}

/// How long a client may be silent (RFC 5321 §4.5.3.2.7: at least 5 minutes for a command).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For the next command.
    pub command: Duration,
    /// For the next octets of content.
    pub content: Duration,
    /// For the whole of one command line or one message, however slowly it comes.
    pub whole: Duration,
}

/// A TLS session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TlsSession {
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: &'static str,
    /// The cipher suite as IANA names it.
    pub cipher: &'static str,
}
