//! How much a client may send, and whose share it is counted in.

use std::fmt;

use serde::Serialize;

use crate::config::settings::SmtpFrontEnd;
use crate::config::show::{rate, size};
use crate::policy::admission::{Acquaintance, ConnectionLimits, SITE_SHARE};
use crate::policy::relay::{RelayTo, Supposed};

/// One limit that holds for a client.
#[derive(Debug, Serialize)]
pub(super) struct Limit {
    what: What,
    /// `off`: there is none.
    limit: String,
    /// Who shares it.
    of: String,
}

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum What {
    Messages,
    ConnectionsAtOnce,
    NewConnections,
    ConnectionsInAll,
    Recipients,
    MessageSize,
}

/// Those that hold for this client, in the order in which it would meet them.
pub(super) fn of(smtp: &SmtpFrontEnd, supposed: Supposed<'_>) -> Vec<Limit> {
    let Supposed { listener, client, account, .. } = supposed;
    let trusted = listener.trusted_network_of(client);
    let network = smtp.tarpit.prefixes.network_of(client);
    let network = match network.site() {
        Some(site) => format!("{network}, and {SITE_SHARE} times as many of {site}"),
        None => network.to_string(),
    };
    let limit = |what, limit: Option<String>, of: &str| Limit {
        what,
        limit: limit.unwrap_or_else(|| "off".to_owned()),
        of: of.to_owned(),
    };
    let mut limits = Vec::new();
    // Nobody connects to a directory of files.
    if smtp.listeners.iter().any(|socket| socket.policy.name == listener.name) {
        let in_all = |acquaintance, of| {
            let count = ConnectionLimits {
                per_network: smtp.limits.connections_per_network,
                rate: smtp.limits.connections,
                in_all: smtp.limits.connections_in_all,
            };
            limit(What::ConnectionsInAll, Some(count.most_for(acquaintance).to_string()), of)
        };
        if trusted.is_some() {
            limits.push(in_all(Acquaintance::Trusted, "everybody"));
        } else {
            let at_once = smtp.limits.connections_per_network.map(|count| count.to_string());
            limits.push(limit(What::ConnectionsAtOnce, at_once, &network));
            limits.push(limit(What::NewConnections, smtp.limits.connections.map(rate), &network));
            limits.push(in_all(Acquaintance::Stranger, "all clients but those of trusted networks"));
        }
    }
    let (messages, of) = match (account, trusted) {
        (Some(account), _) => (account.rate(), format!("account {}", account.name())),
        (None, Some(trusted)) => (trusted.rate, client.to_canonical().to_string()),
        (None, None) => (smtp.limits.messages, network),
    };
    limits.push(limit(What::Messages, messages.map(rate), &of));
    let is_own = account.is_some() || trusted.is_some();
    let recipients = if is_own { smtp.limits.own_recipients() } else { smtp.limits.recipients };
    limits.push(limit(What::Recipients, Some(recipients.to_string()), "one message"));
    let relay_to = match (account, trusted) {
        (Some(_), _) => RelayTo::Any,
        (None, Some(trusted)) => trusted.relay_to,
        (None, None) => RelayTo::AcceptedDomains,
    };
    limits.push(limit(What::MessageSize, smtp.limits.size_to(relay_to).map(size), "one message"));
    limits
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, limit, of } = self;
        let what = match what {
            What::Messages => "messages",
            What::ConnectionsAtOnce => "connections at once",
            What::NewConnections => "new connections",
            What::ConnectionsInAll => "connections in all",
            What::Recipients => "recipients",
            What::MessageSize => "size",
        };
        write!(f, "{what}: {limit}")?;
        if limit == "off" { Ok(()) } else { write!(f, ", of {of}") }
    }
}
