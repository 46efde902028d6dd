//! How much the spool may hold, and whether one more message fits.

use std::path::Path;
use std::time::Duration;

use super::error::FullReason;
use crate::message::mail::Class;

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
    /// How long a mail is under way before its sender is told so, where it asked for that (NOTIFY=DELAY); `None`: never.
    pub delay_report: Option<Duration>,
    /// Whether the operator is told of notices that fail.
    pub notice_failures: NoticeFailures,
}

/// What becomes of a notice that fails. Decided when it is accepted: one that is to be told of fails only together with
/// its report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoticeFailures {
    /// The operator is told, and it is kept.
    Told,
    /// It is kept, and the log says so.
    Kept,
}

/// What there is, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    /// In messages.
    pub(super) held: u64,
    /// On the file system, and in the database's own free pages.
    pub(super) free: u64,
}

impl Limits {
    /// Whether a message of `size` bytes may come in. `dir` is for the operator's eyes.
    pub(super) fn admit(&self, class: Class, size: u64, room: Room, dir: &Path) -> Result<(), FullReason> {
        let reserve = match class {
            Class::Notice => 0,
            Class::Mail => self.reserved_for_notices,
        };
        if let Some(max_size) = self.max_size {
            let limit = max_size.saturating_sub(reserve);
            if room.held.saturating_add(size) > limit {
                return Err(FullReason::MaxSize { held: room.held, limit });
            }
        }
        let limit = self.min_free.saturating_add(reserve);
        if room.free.saturating_sub(size) < limit {
            return Err(FullReason::MinFree { free: room.free, limit, path: dir.to_owned() });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        max_size: Some(1000),
        min_free: 500,
        reserved_for_notices: 200,
        failed_keep: Duration::ZERO,
        delay_report: None,
        notice_failures: NoticeFailures::Kept,
    };

    fn admit(class: Class, size: u64, held: u64, free: u64) -> Option<&'static str> {
        let verdict = LIMITS.admit(class, size, Room { held, free }, Path::new("spool"));
        verdict.err().map(|reason| reason.as_str())
    }

    #[test]
    fn only_notices_use_the_reserve_of_the_size() {
        assert_eq!(admit(Class::Mail, 100, 700, 9999), None);
        assert_eq!(admit(Class::Mail, 101, 700, 9999), Some("max_size"));
        assert_eq!(admit(Class::Notice, 300, 700, 9999), None);
        assert_eq!(admit(Class::Notice, 301, 700, 9999), Some("max_size"));
    }

    #[test]
    fn only_notices_use_the_reserve_of_the_free_space() {
        assert_eq!(admit(Class::Mail, 100, 0, 800), None);
        assert_eq!(admit(Class::Mail, 101, 0, 800), Some("min_free"));
        assert_eq!(admit(Class::Notice, 300, 0, 800), None);
        assert_eq!(admit(Class::Notice, 301, 0, 800), Some("min_free"));
    }

    #[test]
    fn the_reason_names_the_limit_the_figures_and_what_mends_it() {
        let full = LIMITS.admit(Class::Mail, 1, Room { held: 800, free: 9999 }, Path::new("spool"));
        let text = full.unwrap_err().to_string();
        for part in ["800 bytes", "spool.max_size", "mailslotd queue list", "raise"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
