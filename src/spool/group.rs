//! Which message a repeat is counted into.

use jiff::Timestamp;

use super::rows::later;
use crate::message::id::QueueId;
use crate::message::mail::Group;

/// What is known of a group that something belonged to before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    /// The latest message of it; it may be gone.
    pub(super) message: QueueId,
    /// When that message stops, or stopped, taking repeats.
    pub(super) closes_at: Timestamp,
    /// From then on nothing belongs to the group any more.
    pub(super) over_at: Timestamp,
    /// Whether that message still takes repeats.
    pub(super) taking: Taking,
}

/// Whether a message takes repeats before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taking {
    /// It waits in the spool.
    Repeats,
    /// It was loaded for delivery: what it counts must not change any more.
    Nothing,
}

/// What becomes of a message of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Kept as a message of its own that waits for repeats until `closes_at`.
    Open {
        /// When it stops waiting.
        closes_at: Timestamp,
    },
    /// Counted into `message`; if that is gone, kept in its place.
    Gather {
        /// The waiting message.
        message: QueueId,
        /// When it stops waiting.
        closes_at: Timestamp,
    },
}

/// Decides for a message accepted `at`.
///
/// The first opens the group and waits `wait`. What comes before that ends is counted into it. What comes within
/// `repeat_after` of its end opens the next message, which ends `repeat_after` after the one before: so a person hears
/// of the first at once and of the rest at a steady pace. After a pause of `repeat_after` the group is forgotten.
pub(super) fn decide(group: &Group, standing: Option<Standing>, at: Timestamp) -> Verdict {
    let first = Verdict::Open { closes_at: later(at, group.wait) };
    let Some(standing) = standing else { return first };
    // A time further ahead than any group reaches was written before the clock was set back.
    let reach = later(later(at, group.wait.max(group.repeat_after)), group.repeat_after);
    if at >= standing.over_at || standing.closes_at > reach {
        return first;
    }
    match standing.taking {
        Taking::Repeats if at < standing.closes_at => {
            Verdict::Gather { message: standing.message, closes_at: standing.closes_at }
        }
        Taking::Repeats | Taking::Nothing => {
            Verdict::Open { closes_at: later(standing.closes_at, group.repeat_after) }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const GROUP: Group =
        Group { key: [7; 16], wait: Duration::from_secs(20), repeat_after: Duration::from_secs(600) };

    fn second(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn standing(closes_at: i64, taking: Taking) -> Option<Standing> {
        let message = QueueId::from_row(1).unwrap();
        Some(Standing { message, closes_at: second(closes_at), over_at: second(closes_at + 600), taking })
    }

    fn decided(standing: Option<Standing>, at: i64) -> (&'static str, i64) {
        let since = |time: Timestamp| time.as_second() - 1_800_000_000;
        match decide(&GROUP, standing, second(at)) {
            Verdict::Open { closes_at } => ("open", since(closes_at)),
            Verdict::Gather { closes_at, .. } => ("gather", since(closes_at)),
        }
    }

    #[test]
    fn the_first_waits_and_repeats_are_gathered_until_it_closes() {
        assert_eq!(decided(None, 0), ("open", 20));
        assert_eq!(decided(standing(20, Taking::Repeats), 0), ("gather", 20));
        assert_eq!(decided(standing(20, Taking::Repeats), 19), ("gather", 20));
    }

    #[test]
    fn a_repeat_after_the_close_opens_the_next_which_closes_repeat_after_the_one_before() {
        assert_eq!(decided(standing(20, Taking::Repeats), 20), ("open", 620));
        assert_eq!(decided(standing(20, Taking::Repeats), 619), ("open", 620));
    }

    #[test]
    fn after_a_pause_of_repeat_after_the_group_is_forgotten() {
        assert_eq!(decided(standing(20, Taking::Repeats), 620), ("open", 640));
    }

    #[test]
    fn a_message_already_on_its_way_takes_no_more_repeats() {
        assert_eq!(decided(standing(20, Taking::Nothing), 5), ("open", 620));
    }

    #[test]
    fn a_clock_set_back_by_a_day_does_not_make_repeats_wait_a_day() {
        assert_eq!(decided(standing(86_400, Taking::Repeats), 0), ("open", 20));
    }
}
