//! What is counted of the SMTP front-end.

use prometheus::{IntCounter, IntGauge};

use super::Metrics;
use crate::message::id::ListenerName;

/// Why a connection was not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// As many as `relay.limits` allows were open, of everybody together.
    ConnectionsInAll,
    /// As many as `relay.limits.connections_per_network` were open of its network.
    ConnectionsOfNetwork,
    /// Its network connected more often than `relay.limits.connections` allows.
    RateOfNetwork,
    /// It came from a named proxy without a PROXY header, or with a broken one.
    ProxyHeader,
    /// The process may open no more files.
    OutOfFiles,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::ConnectionsInAll,
        Self::ConnectionsOfNetwork,
        Self::RateOfNetwork,
        Self::ProxyHeader,
        Self::OutOfFiles,
    ];

    /// The label, and the word in the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConnectionsInAll => "connections_in_all",
            Self::ConnectionsOfNetwork => "connections_of_network",
            Self::RateOfNetwork => "rate_of_network",
            Self::ProxyHeader => "proxy_header",
            Self::OutOfFiles => "out_of_files",
        }
    }
}

/// What became of a message whose content was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MessageOutcome {
    /// It is in the spool.
    Accepted,
    /// The spool had no room: 452.
    SpoolFull,
    /// The spool failed: 451.
    SpoolFailed,
    /// It had gone through too many hosts: 554 5.4.6.
    Loop,
    /// Its header had no end: 552.
    HeaderTooLong,
    /// It was too large, or contained what no message may: 552 or 554.
    Refused,
    /// Its end did not come.
    Abandoned,
}

impl MessageOutcome {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Accepted,
        Self::SpoolFull,
        Self::SpoolFailed,
        Self::Loop,
        Self::HeaderTooLong,
        Self::Refused,
        Self::Abandoned,
    ];

    /// The label, and the word in the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::SpoolFull => "spool_full",
            Self::SpoolFailed => "spool_failed",
            Self::Loop => "loop",
            Self::HeaderTooLong => "header_too_long",
            Self::Refused => "refused",
            Self::Abandoned => "abandoned",
        }
    }
}

/// How an AUTH was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuthOutcome {
    /// The client is who it claims to be.
    Proved,
    /// It is not.
    Refused,
    /// Its network failed too often of late: nothing was computed.
    TooManyFailures,
    /// Too many waited already: nothing was computed.
    LineFull,
    /// It could not be computed.
    Failed,
}

impl AuthOutcome {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Proved, Self::Refused, Self::TooManyFailures, Self::LineFull, Self::Failed];

    /// The label, and the word in the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Proved => "proved",
            Self::Refused => "refused",
            Self::TooManyFailures => "too_many_failures",
            Self::LineFull => "line_full",
            Self::Failed => "failed",
        }
    }
}

/// The handles of one listener; made once and shared by its connections.
#[derive(Debug)]
pub struct ListenerMetrics {
    name: ListenerName,
    connections: IntGauge,
    refused: [IntCounter; Refusal::ALL.len()],
    messages: [IntCounter; MessageOutcome::ALL.len()],
    replies: [IntCounter; CLASSES.len()],
}

/// Of reply codes, by their first digit from 2 on.
pub const CLASSES: [&str; 4] = ["2yz", "3yz", "4yz", "5yz"];

impl Metrics {
    /// The handles of a listener.
    #[must_use]
    pub fn smtp_listener(&self, name: &ListenerName) -> ListenerMetrics {
        let declared = &self.declared;
        let label = name.as_str();
        ListenerMetrics {
            name: name.clone(),
            connections: declared.smtp_connections.with_label_values(&[label]),
            refused: Refusal::ALL
                .map(|reason| declared.smtp_connections_refused.with_label_values(&[label, reason.as_str()])),
            messages: MessageOutcome::ALL
                .map(|outcome| declared.smtp_messages.with_label_values(&[label, outcome.as_str()])),
            replies: CLASSES.map(|class| declared.smtp_replies.with_label_values(&[label, class])),
        }
    }

    /// A session ended; `ending` is a word of the program's.
    pub fn smtp_session_ended(&self, listener: &ListenerMetrics, ending: &'static str) {
        self.declared.smtp_sessions_ended.with_label_values(&[listener.name.as_str(), ending]).inc();
    }

    /// A TLS handshake ended; `outcome` is the version that was agreed on, or a word of the program's for its failure.
    pub fn smtp_tls_handshake(&self, listener: &ListenerMetrics, outcome: &'static str) {
        self.declared.smtp_tls_handshakes.with_label_values(&[listener.name.as_str(), outcome]).inc();
    }

    /// An AUTH was decided; `mechanism` is the name of one that the listener offers.
    pub fn smtp_auth(&self, listener: &ListenerName, mechanism: &'static str, outcome: AuthOutcome) {
        self.declared.smtp_auth.with_label_values(&[listener.as_str(), mechanism, outcome.as_str()]).inc();
    }

    /// The policy refused a sender or a recipient; `reason` is a word of the program's.
    pub fn smtp_denied(&self, listener: &ListenerMetrics, reason: &'static str) {
        self.declared.smtp_denied.with_label_values(&[listener.name.as_str(), reason]).inc();
    }
}

impl ListenerMetrics {
    /// Whose they are.
    #[must_use]
    pub const fn name(&self) -> &ListenerName {
        &self.name
    }

    /// Connections that are open now; whoever opens one counts it in, and out at its end.
    #[must_use]
    pub const fn connections(&self) -> &IntGauge {
        &self.connections
    }

    /// A connection was not served.
    pub fn refused(&self, reason: Refusal) {
        if let Some(counter) = self.refused.get(reason as usize) {
            counter.inc();
        }
    }

    /// A message whose content was begun is over.
    pub fn message(&self, outcome: MessageOutcome) {
        if let Some(counter) = self.messages.get(outcome as usize) {
            counter.inc();
        }
    }

    /// How many messages ended so since the start.
    #[must_use]
    pub fn messages(&self, outcome: MessageOutcome) -> u64 {
        self.messages.get(outcome as usize).map_or(0, IntCounter::get)
    }

    /// A reply with this code was sent.
    pub fn replied(&self, code: u16) {
        let class = usize::from(code / 100).checked_sub(2);
        if let Some(counter) = class.and_then(|class| self.replies.get(class)) {
            counter.inc();
        }
    }
}

/// Why the tar pit turned a client away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TurnedAway {
    /// Its network owed more than `tarpit.max_line`, or it had waited that long.
    LineTooLong,
    /// `tarpit.max_delayed` sessions waited already, or no more networks could be remembered.
    Full,
}

impl TurnedAway {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::LineTooLong, Self::Full];

    /// The label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LineTooLong => "line_too_long",
            Self::Full => "full",
        }
    }
}

/// The handles of the tar pit.
#[derive(Debug, Clone)]
pub struct TarpitMetrics {
    /// Sessions that wait now.
    pub delayed: IntGauge,
    /// Replies that were held.
    pub replies: IntCounter,
    /// Seconds that replies were held, in all.
    pub seconds: prometheus::Counter,
    /// RCPTs that waited for their turn.
    pub turns_waited: IntCounter,
    /// Commands that got 421, by why.
    turned_away: [IntCounter; TurnedAway::ALL.len()],
    /// Clients that went away while one was held.
    pub gave_up: IntCounter,
    /// Clients that were held and later authenticated, or had a message accepted: honest ones.
    pub proved_good: IntCounter,
}

impl Metrics {
    /// The handles of the tar pit.
    #[must_use]
    pub fn tarpit(&self) -> TarpitMetrics {
        let declared = &self.declared;
        TarpitMetrics {
            delayed: declared.tarpit_delayed.clone(),
            replies: declared.tarpit_replies.clone(),
            seconds: declared.tarpit_seconds.clone(),
            turns_waited: declared.tarpit_turns_waited.clone(),
            turned_away: TurnedAway::ALL
                .map(|reason| declared.tarpit_turned_away.with_label_values(&[reason.as_str()])),
            gave_up: declared.tarpit_gave_up.clone(),
            proved_good: declared.tarpit_proved_good.clone(),
        }
    }
}

impl TarpitMetrics {
    /// So many commands more got 421.
    pub fn turned_away(&self, reason: TurnedAway, count: u64) {
        if let Some(counter) = self.turned_away.get(reason as usize) {
            counter.inc_by(count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_label_stands_at_its_own_place() {
        let metrics = Metrics::new();
        let listener = metrics.smtp_listener(&ListenerName::new("devices").unwrap());
        for reason in Refusal::ALL {
            listener.refused(reason);
        }
        for outcome in MessageOutcome::ALL {
            listener.message(outcome);
        }
        for code in [220, 354, 421, 599, 0, 100, 700] {
            listener.replied(code);
        }
        let text = metrics.encode();
        for reason in Refusal::ALL.map(Refusal::as_str) {
            let line = format!("refused_total{{listener=\"devices\",reason=\"{reason}\"}} 1");
            assert!(text.contains(&line), "{line}");
        }
        for outcome in MessageOutcome::ALL.map(MessageOutcome::as_str) {
            let line = format!("messages_total{{listener=\"devices\",outcome=\"{outcome}\"}} 1");
            assert!(text.contains(&line), "{line}");
        }
        for class in CLASSES {
            let line = format!("replies_total{{class=\"{class}\",listener=\"devices\"}} 1");
            assert!(text.contains(&line), "{line}");
        }
    }
}
