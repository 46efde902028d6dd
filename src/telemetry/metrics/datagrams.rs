//! What came by UDP 138, and why some of it became no message.

use prometheus::IntCounter;

use super::Metrics;
use crate::message::notice::Listener;

/// Why a datagram did not become a message. Every increase may be a message lost: legacy senders do not repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// The NetBIOS header is not what RFC 1002 §4.4 says.
    MalformedDatagram,
    /// The SMB or its transaction is not what MS-CIFS says, or its lengths lie.
    MalformedTransaction,
    /// The data of the mailslot is not what its specification says.
    MalformedMessage,
    /// A datagram that carries no mailslot write: an error, a query, another SMB.
    NotAMailslotWrite,
    /// Sent in a NetBIOS scope that is not ours.
    ForeignScope,
    /// Fragments of one datagram that overlap, leave a gap, or contradict each other.
    FragmentConflict,
    /// A fragment whose other part did not come in time.
    FragmentTimeout,
    /// More unfinished datagrams than are kept.
    FragmentLimit,
    /// Sent by this process itself.
    Own,
    /// The queue between socket and spool was full.
    SpoolBacklog,
    /// The spool accepts nothing: limit reached, disk full, or failed.
    SpoolRefused,
    /// The kernel's socket buffer was full.
    Kernel,
}

impl DropReason {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::MalformedDatagram,
        Self::MalformedTransaction,
        Self::MalformedMessage,
        Self::NotAMailslotWrite,
        Self::ForeignScope,
        Self::FragmentConflict,
        Self::FragmentTimeout,
        Self::FragmentLimit,
        Self::Own,
        Self::SpoolBacklog,
        Self::SpoolRefused,
        Self::Kernel,
    ];

    /// The label, and the word in the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MalformedDatagram => "malformed_datagram",
            Self::MalformedTransaction => "malformed_transaction",
            Self::MalformedMessage => "malformed_message",
            Self::NotAMailslotWrite => "not_a_mailslot_write",
            Self::ForeignScope => "foreign_scope",
            Self::FragmentConflict => "fragment_conflict",
            Self::FragmentTimeout => "fragment_timeout",
            Self::FragmentLimit => "fragment_limit",
            Self::Own => "own",
            Self::SpoolBacklog => "spool_backlog",
            Self::SpoolRefused => "spool_refused",
            Self::Kernel => "kernel",
        }
    }

    const fn index(self) -> usize {
        self as usize
    }
}

/// Why a message that was understood is not taken, though no rule discards it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Withheld {
    /// Its source, or the interface it came by, is not heard.
    NotAllowed,
    /// Messages that are heard are switched off.
    SwitchedOff,
    /// The same was taken from the same source a moment ago.
    Duplicate,
    /// Its source sent more than its share.
    Throttled,
}

impl Withheld {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::NotAllowed, Self::SwitchedOff, Self::Duplicate, Self::Throttled];

    /// The label, and the word in the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotAllowed => "not_allowed",
            Self::SwitchedOff => "switched_off",
            Self::Duplicate => "duplicate",
            Self::Throttled => "throttled",
        }
    }

    const fn index(self) -> usize {
        self as usize
    }
}

impl Metrics {
    /// One or more datagrams were read from UDP 138.
    pub fn datagrams_received(&self, count: u64) {
        self.declared.datagrams_received.inc_by(count);
    }

    /// One or more datagrams did not become a message.
    pub fn datagrams_dropped(&self, reason: DropReason, count: u64) {
        if let Some(counter) = self.dropped.get(reason.index()) {
            counter.inc_by(count);
        }
    }

    /// How many datagrams were dropped for this reason since start.
    #[must_use]
    pub fn dropped_so_far(&self, reason: DropReason) -> u64 {
        self.dropped.get(reason.index()).map_or(0, IntCounter::get)
    }

    /// A datagram's DGM_LENGTH lied.
    pub fn dgm_length_mismatch(&self) {
        self.declared.dgm_length_mismatches.inc();
    }

    /// A message was not taken.
    pub fn notice_withheld(&self, listener: Listener, reason: Withheld) {
        if let Some(counter) = self.withheld_counter(listener, reason) {
            counter.inc();
        }
    }

    /// How many messages were not taken for this reason since start.
    #[must_use]
    pub fn withheld_so_far(&self, listener: Listener, reason: Withheld) -> u64 {
        self.withheld_counter(listener, reason).map_or(0, IntCounter::get)
    }

    fn withheld_counter(&self, listener: Listener, reason: Withheld) -> Option<&IntCounter> {
        let of_listener = match listener {
            Listener::Datagram => self.withheld.first(),
            Listener::Messenger => self.withheld.last(),
        };
        of_listener.and_then(|counters| counters.get(reason.index()))
    }
}
