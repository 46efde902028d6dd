//! Whether the account has room for new messages. What is left near its end is kept for what becomes of those that are
//! there: a fate must find room, or nothing leaves any more.

use std::time::Instant;

use async_nats::jetstream::account::{Account, Limits};

use super::Shared;
use super::fault::Fault;
use super::link::Session;
use super::state::State;

/// What the account has for new messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// Enough, or there is no limit that one can see.
    Enough,
    /// Only what is kept for fates.
    Scarce {
        /// Bytes in files.
        used: u64,
        /// The most there may be.
        limit: u64,
    },
}

impl Room {
    fn of(used: u64, limit: Option<u64>) -> Self {
        let Some(limit) = limit else { return Self::Enough };
        let reserve = limit.checked_div(RESERVED_PART).unwrap_or_default().min(MOST_RESERVED);
        if used.saturating_add(reserve) < limit { Self::Enough } else { Self::Scarce { used, limit } }
    }
}

impl State {
    /// Whether new messages go into the local spool for want of room.
    pub(super) fn is_scarce(&self) -> bool {
        self.room != Room::Enough
    }
}

impl Shared {
    /// Looks for room, and says when there is none for new messages any more, or again.
    pub(super) async fn look_for_room(&self, session: &Session, now: Instant) -> Result<(), Fault> {
        let account = match session.context.query_account().await {
            Ok(account) => account,
            Err(error) => {
                // It may be denied. Then a refusal tells that there is no room.
                tracing::debug!(%error, "The account of the shared spool does not tell its limits.");
                return Ok(());
            }
        };
        let (used, limits) = figures(&account, self.0.plan.replicas);
        let room = Room::of(used, limits.max_storage.and_then(|most| u64::try_from(most).ok()));
        let before = std::mem::replace(&mut self.state().room, room);
        match (before, room) {
            (Room::Enough, Room::Scarce { used, limit }) if self.state().may_tell_of_room(now) => {
                tracing::warn!(
                    used,
                    limit,
                    "The account of the shared spool has no room for new messages; the local spool takes them until some \
                 have left, and deliveries go on. Raise `max_store` of the account if that is too little."
                )
            }
            (Room::Scarce { .. }, Room::Enough) => {
                tracing::debug!(used, "The account of the shared spool has room for new messages again.");
            }
            (Room::Enough | Room::Scarce { .. }, _) => {}
        }
        Ok(())
    }
}

/// Bytes in files and the limits, of the tier with so many replicas where the account has tiers.
fn figures(account: &Account, replicas: usize) -> (u64, Limits) {
    match account.tiers.get(&format!("R{replicas}")) {
        Some(tier) => (tier.storage, tier.limits),
        None => (account.storage, account.limits),
    }
}

/// One of so many parts of the room is kept.
const RESERVED_PART: u64 = 16;
/// And no more than this.
const MOST_RESERVED: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_its_end_room_is_kept_for_what_becomes_of_the_messages_that_are_there() {
        for (used, limit, scarce) in [
            (0, None, false),
            (u64::MAX, None, false),
            (0, Some(16 << 20), false),
            ((15 << 20) - 1, Some(16 << 20), false),
            (15 << 20, Some(16 << 20), true),
            (17 << 20, Some(16 << 20), true),
            ((1 << 40) - (65 << 20), Some(1 << 40), false),
            ((1 << 40) - (64 << 20), Some(1 << 40), true),
            (0, Some(0), true),
        ] {
            assert_eq!(Room::of(used, limit) != Room::Enough, scarce, "{used} of {limit:?}");
        }
    }
}
