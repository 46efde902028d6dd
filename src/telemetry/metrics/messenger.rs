//! What is counted of `net send` over sessions, TCP 139.

use prometheus::{IntCounter, IntGauge};

use super::Metrics;

/// Why a connection of the messenger was not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SessionRefusal {
    /// As many as there may be were open, of everybody together.
    ConnectionsInAll,
    /// As many as there may be were open of its source address.
    ConnectionsOfSource,
    /// Its source, or the interface it came by, is not heard.
    NotAllowed,
    /// The process may open no more files.
    OutOfFiles,
}

impl SessionRefusal {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::ConnectionsInAll, Self::ConnectionsOfSource, Self::NotAllowed, Self::OutOfFiles];

    /// The label, and the word in the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConnectionsInAll => "connections_in_all",
            Self::ConnectionsOfSource => "connections_of_source",
            Self::NotAllowed => "not_allowed",
            Self::OutOfFiles => "out_of_files",
        }
    }
}

/// What became of a message that a session began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SessionMessageOutcome {
    /// It is in the spool; the sender was told so.
    Durable,
    /// It is a copy of one that is; the sender was told the same.
    Duplicate,
    /// A rule discards it; the sender was refused.
    Discarded,
    /// Its source sent more than its share; the sender was refused.
    Throttled,
    /// Messages that are heard are switched off; the sender was refused.
    SwitchedOff,
    /// The spool took nothing; the sender was refused.
    SpoolRefused,
    /// Its text was too long; the sender was refused.
    TooLong,
    /// The sender vanished, took too long or began another before its end.
    Incomplete,
}

impl SessionMessageOutcome {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Durable,
        Self::Duplicate,
        Self::Discarded,
        Self::Throttled,
        Self::SwitchedOff,
        Self::SpoolRefused,
        Self::TooLong,
        Self::Incomplete,
    ];

    /// The label, and the word in the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Durable => "durable",
            Self::Duplicate => "duplicate",
            Self::Discarded => "discarded",
            Self::Throttled => "throttled",
            Self::SwitchedOff => "switched_off",
            Self::SpoolRefused => "spool_refused",
            Self::TooLong => "too_long",
            Self::Incomplete => "incomplete",
        }
    }
}

/// The handles of the messenger; made once and shared by its connections.
#[derive(Debug)]
pub struct MessengerMetrics {
    connections: IntGauge,
    refused: [IntCounter; SessionRefusal::ALL.len()],
    messages: [IntCounter; SessionMessageOutcome::ALL.len()],
}

impl Metrics {
    /// The handles of the messenger.
    #[must_use]
    pub fn messenger(&self) -> MessengerMetrics {
        let declared = &self.declared;
        MessengerMetrics {
            connections: declared.messenger_connections.clone(),
            refused: SessionRefusal::ALL
                .map(|reason| declared.messenger_connections_refused.with_label_values(&[reason.as_str()])),
            messages: SessionMessageOutcome::ALL
                .map(|outcome| declared.messenger_messages.with_label_values(&[outcome.as_str()])),
        }
    }

    /// A session of the messenger ended like this.
    pub fn messenger_session_ended(&self, ending: &'static str) {
        self.declared.messenger_sessions_ended.with_label_values(&[ending]).inc();
    }
}

impl MessengerMetrics {
    /// The gauge of connections that are open.
    #[must_use]
    pub const fn connections(&self) -> &IntGauge {
        &self.connections
    }

    /// A connection was turned away.
    pub fn refused(&self, reason: SessionRefusal) {
        if let Some(counter) = self.refused.get(reason as usize) {
            counter.inc();
        }
    }

    /// How many messages had this end so far.
    #[must_use]
    pub fn messages(&self, outcome: SessionMessageOutcome) -> u64 {
        self.messages.get(outcome as usize).map_or(0, IntCounter::get)
    }

    /// A message had this end.
    pub fn message(&self, outcome: SessionMessageOutcome) {
        if let Some(counter) = self.messages.get(outcome as usize) {
            counter.inc();
        }
    }
}
