//! How much the spool may hold, and whether one more message fits.

use std::time::Duration;

/// How much the spool may hold. The same fields as the configuration's, which this layer does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of messages; past it nothing more is accepted.
    pub max_size: Option<u64>,
    /// Bytes that stay free on its file system.
    pub min_free: u64,
    /// Bytes of both limits that only notices may use.
    pub reserved_for_notices: u64,
    /// How long failed messages are kept for the operator.
    pub failed_keep: Duration,
}
