//! How great an event may become.

use super::attributes::Attributes;
use super::values::json;

/// The greatest event where nothing limits it: each that is on its way stands in memory.
pub const LARGEST_EVENT: u64 = 64 << 20;

/// The longest mail of which an event of at most `event_octets` still holds the original, whatever its header and its
/// envelope say. 0 where not even a short one would fit.
#[must_use]
pub const fn mail_capacity(event_octets: u64) -> u64 {
    event_octets.saturating_sub(BESIDE_ORIGINAL) / 4 * 3
}

/// Octets that the data may have in a structured event of at most `limit`.
pub(super) fn room_for_data(attributes: &Attributes, limit: u64) -> usize {
    let limit = usize::try_from(limit.min(LARGEST_EVENT)).unwrap_or(usize::MAX);
    limit.saturating_sub(json(attributes).len()).saturating_sub(AROUND_DATA)
}

/// What stands around the data: `,"data":`, and a closing brace more than is taken away.
pub(super) const AROUND_DATA: usize = 8;

/// Octets of attributes, envelope and header fields at most; each of them is bounded.
const BESIDE_ORIGINAL: u64 = 48 << 10;
