//! Microsoft Graph as a place that mail goes.

use super::{BrokerTls, OAuth, QueueLimits, Sender};
use crate::wire::smtp::path::Mailbox;
use crate::wire::url::HttpUrl;

/// A mailbox of Exchange Online that sends what it is given, through Graph.
#[derive(Debug, Clone)]
pub struct Graph {
    /// The mailbox.
    pub mailbox: Mailbox,
    /// Where Graph is: scheme, host and port.
    pub url: HttpUrl,
    /// Where tokens come from.
    pub oauth: OAuth,
    /// The sender of notices, and of mail whose own sender the mailbox may not use.
    pub from: Sender,
    /// Whom to trust, and what to show.
    pub tls: BrokerTls,
    /// How much it takes.
    pub limits: QueueLimits,
}
