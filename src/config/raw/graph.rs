//! Destinations of kind `graph`, as they are written.

use super::super::document::Node;
use super::super::problem::{Place, Problems};
use super::destinations::{From, Tokens};
use super::read::{At, Lost, Read, section};
use super::{BrokerTls, QueueLimits};

section! {
    /// Mail through Microsoft Graph, for tenants that allow no SMTP; `to` is a mail address.
    pub(in crate::config) struct Graph {
        /// The mailbox of Exchange Online that sends. No default.
        mailbox: String,
        /// Where tokens come from. No default.
        auth: Tokens,
        /// Where Graph is, for national clouds: `https://graph.microsoft.us`. Default: `https://graph.microsoft.com`.
        url: String,
        /// The sender of notices, and of mail whose own sender the mailbox may not use. Default: the mailbox.
        from: From,
        /// Authorities, and a certificate that says who we are.
        tls: BrokerTls,
        /// How much it takes: by default 4 requests at once, 30 messages a minute, mail of 3 MB.
        limits: QueueLimits,
    }
    later: []
}
