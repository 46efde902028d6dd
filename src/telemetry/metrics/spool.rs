//! The spool: what lies in it, and whether it takes more.

use super::Metrics;
use crate::message::mail::Class;

/// The state of a recipient in the spool, as `mailslotd_spool_messages` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SpoolState {
    /// To be delivered.
    Queued,
    /// Kept back by the operator.
    Held,
    /// Refused or expired; kept for the operator.
    Failed,
    /// Unreadable; kept for the operator.
    Corrupt,
}

impl SpoolState {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Queued, Self::Held, Self::Failed, Self::Corrupt];

    /// The label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Held => "held",
            Self::Failed => "failed",
            Self::Corrupt => "corrupt",
        }
    }
}

impl Metrics {
    /// Bytes between socket and spool.
    pub fn set_backlog_bytes(&self, bytes: usize) {
        self.declared.backlog_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Copies for one destination in one state.
    pub fn set_spool_messages(&self, destination: &str, state: SpoolState, count: i64) {
        self.declared.spool_messages.with_label_values(&[destination, state.as_str()]).set(count);
    }

    /// Bytes of all messages in the spool.
    pub fn set_spool_bytes(&self, bytes: u64) {
        self.declared.spool_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Whether the spool accepts messages of a class.
    pub fn set_spool_accepting(&self, class: Class, accepting: bool) {
        self.declared.spool_accepting.with_label_values(&[class_label(class)]).set(accepting.into());
    }

    /// The spool refused messages, for a reason of `SpoolError`'s.
    pub fn spool_refused(&self, reason: &'static str, count: u64) {
        self.declared.spool_refused.with_label_values(&[reason]).inc_by(count);
    }

    /// A message could not be read back.
    pub fn spool_corrupt(&self) {
        self.declared.spool_corrupt.inc();
    }

    /// One commit took this long.
    pub fn spool_committed(&self, seconds: f64) {
        self.declared.spool_commit_seconds.observe(seconds);
    }

    /// Messages of a class became durable.
    pub fn spool_accepted(&self, class: Class, count: u64) {
        self.declared.spool_accepted.with_label_values(&[class_label(class)]).inc_by(count);
    }

    /// Messages were counted into an earlier one.
    pub fn spool_gathered(&self, count: u64) {
        self.declared.spool_gathered.inc_by(count);
    }

    /// Messages of the group's spool that were there twice, and of which one was dropped.
    pub fn spool_doubled(&self, count: u64) {
        self.declared.spool_doubled.inc_by(count);
    }
}

const fn class_label(class: Class) -> &'static str {
    match class {
        Class::Notice => "notice",
        Class::Mail => "mail",
    }
}
