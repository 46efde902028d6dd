//! How many legacy messages one source address may send: `netbios.rate`.

use super::rate::Rate;

/// The share of one source address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceRate {
    /// How many for long.
    pub rate: Rate,
    /// How many at once after a silence; at least 1.
    pub burst: u32,
}
