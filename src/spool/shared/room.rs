//! Whether the account has room for new messages. What is left near its end is kept for what becomes of those that are
//! there: a fate must find room, or nothing leaves any more.

use std::collections::HashMap;
use std::time::Instant;

use serde::Deserialize;

use super::Shared;
use super::fault::Fault;
use super::link::Session;
use super::state::State;

/// What the account has for new messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// Enough.
    Enough {
        /// Bytes that are left for them; very many where there is no limit that one can see.
        left: u64,
    },
    /// Only what is kept for fates.
    Scarce {
        /// Bytes in files.
        used: u64,
        /// The most there may be.
        limit: u64,
    },
}

impl Room {
    /// As long as nobody has looked.
    pub(super) const UNKNOWN: Self = Self::Enough { left: u64::MAX };

    fn of(used: u64, limit: Option<u64>) -> Self {
        let Some(limit) = limit else { return Self::UNKNOWN };
        let reserve = limit.checked_div(RESERVED_PART).unwrap_or_default().min(MOST_RESERVED);
        match limit.saturating_sub(used).saturating_sub(reserve) {
            0 => Self::Scarce { used, limit },
            left => Self::Enough { left },
        }
    }
}

impl State {
    /// Whether new messages go into the local spool for want of room.
    pub(super) const fn is_scarce(&self) -> bool {
        matches!(self.room, Room::Scarce { .. } | Room::Enough { left: 0 })
    }

    /// So many bytes were written since the last look.
    pub(super) const fn spend(&mut self, bytes: u64) {
        if let Room::Enough { left } = self.room
            && left != u64::MAX
        {
            self.room = Room::Enough { left: left.saturating_sub(bytes) };
        }
    }
}

impl Shared {
    /// Looks for room, and says when there is none for new messages any more, or again.
    pub(super) async fn look_for_room(&self, session: &Session, now: Instant) -> Result<(), Fault> {
        let account: Account = match session.context.request("INFO", &serde_json::json!({})).await {
            Ok(account) => account,
            Err(error) => {
                // It may be denied. Then a refusal tells that there is no room.
                tracing::debug!(%error, "The account of the shared spool does not tell its limits.");
                return Ok(());
            }
        };
        let room = account.room(self.0.plan.replicas);
        let before = std::mem::replace(&mut self.state().room, room);
        match (before, room) {
            (Room::Enough { .. }, Room::Scarce { used, limit }) if self.state().may_tell_of_room(now) => {
                tracing::warn!(
                    used,
                    limit,
                    "The account of the shared spool has no room for new messages; the local spool takes them until some \
                 have left, and deliveries go on. Raise `max_store` of the account if that is too little."
                )
            }
            (Room::Scarce { .. }, Room::Enough { .. }) => {
                tracing::debug!("The account of the shared spool has room for new messages again.");
            }
            (Room::Enough { .. } | Room::Scarce { .. }, _) => {}
        }
        Ok(())
    }
}

/// What of an account's figures is looked at; the client asks for more than older servers say.
#[derive(Debug, Deserialize)]
struct Account {
    /// Bytes in files.
    storage: u64,
    limits: Limits,
    #[serde(default)]
    tiers: HashMap<String, Tier>,
}

/// What an account may have with one number of replicas.
#[derive(Debug, Deserialize)]
struct Tier {
    storage: u64,
    limits: Limits,
}

#[derive(Debug, Deserialize)]
struct Limits {
    /// Bytes in files; below 0 where there is no limit.
    max_storage: i64,
}

impl Account {
    fn room(&self, replicas: usize) -> Room {
        let of = |used, limits: &Limits| Room::of(used, u64::try_from(limits.max_storage).ok());
        if self.tiers.is_empty() {
            return of(self.storage, &self.limits);
        }
        let tier = self.tiers.get(&format!("R{replicas}"));
        tier.map_or(Room::UNKNOWN, |tier| of(tier.storage, &tier.limits))
    }
}

/// One of so many parts of the room is kept.
const RESERVED_PART: u64 = 16;
/// And no more than this.
const MOST_RESERVED: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use super::super::record::GatewayId;
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
            let room = Room::of(used, limit);
            assert_eq!(matches!(room, Room::Scarce { .. }), scarce, "{used} of {limit:?}");
        }
    }

    #[test]
    fn the_figures_of_an_account_are_read_whichever_server_says_them() {
        let room = |text: &str| serde_json::from_str::<Account>(text).map(|account| account.room(3));
        let flat = r#"{"type":"x","memory":0,"storage":100,"streams":1,"consumers":1,
            "limits":{"max_memory":-1,"max_storage":1600},"api":{"total":1,"errors":0}}"#;
        assert_eq!(room(flat).unwrap(), Room::Enough { left: 1400 });
        assert_eq!(room(&flat.replace("1600", "-1")).unwrap(), Room::UNKNOWN);
        let tiers = r#"{"storage":0,"limits":{"max_storage":0},
            "tiers":{"R3":{"storage":1600,"limits":{"max_storage":1600}}}}"#;
        assert_eq!(room(tiers).unwrap(), Room::Scarce { used: 1600, limit: 1600 });
        assert_eq!(room(&tiers.replace("R3", "R1")).unwrap(), Room::UNKNOWN);
        assert!(room(r#"{"error":{"code":503,"err_code":10039}}"#).is_err());
    }

    #[test]
    fn what_is_written_between_two_looks_counts_and_without_a_limit_nothing_does() {
        let mut state = State::new(GatewayId("me".to_owned()));
        state.spend(u64::MAX);
        assert!(!state.is_scarce());
        state.room = Room::of(0, Some(16 << 20));
        state.spend(14 << 20);
        assert!(!state.is_scarce());
        state.spend(1 << 20);
        assert!(state.is_scarce());
        state.room = Room::of(0, Some(16 << 20));
        assert!(!state.is_scarce());
    }
}
