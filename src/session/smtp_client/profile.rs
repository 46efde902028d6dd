//! What a session is told before it begins.

use std::time::Duration;

use crate::policy::replies::ReplyTable;
use crate::session::sasl::Nonce;
use crate::session::sasl::client::Identity;

/// What a session is told before it begins.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Our name in EHLO: a domain name or an address literal.
    pub hostname: String,
    /// How the connection is protected.
    pub security: Security,
    /// Who logs in; `None` where the next hop knows us otherwise.
    pub identity: Option<Identity>,
    /// Fresh for each session.
    pub nonce: Nonce,
    /// How long replies may take.
    pub timeouts: Timeouts,
    /// What is known of this next hop's replies.
    pub replies: ReplyTable,
}

/// How a connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// TLS by STARTTLS, and nothing before it but EHLO.
    StartTls,
    /// TLS was there before the first octet.
    Established,
    /// None.
    Absent,
}

/// How long each reply may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// The greeting, and the replies to EHLO, STARTTLS, AUTH, MAIL, RCPT.
    pub command: Duration,
    /// The reply to DATA.
    pub data: Duration,
    /// One piece of content to be taken.
    pub block: Duration,
    /// The reply to the end of data. Giving up early here makes duplicates, so this is the longest.
    pub end_of_data: Duration,
    /// The reply to QUIT; nothing hangs on it.
    pub quit: Duration,
}

impl Timeouts {
    /// Those of RFC 5321 §4.5.3.2, but none longer than `limit`; the end of data gets twice as long.
    #[must_use]
    pub fn within(limit: Duration) -> Self {
        let minutes = |count: u64| Duration::from_secs(count.saturating_mul(60));
        Self {
            command: minutes(5).min(limit),
            data: minutes(2).min(limit),
            block: minutes(3).min(limit),
            end_of_data: minutes(10).min(limit.saturating_mul(2)),
            quit: Duration::from_secs(5).min(limit),
        }
    }
}
