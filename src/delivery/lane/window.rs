//! What is due for one destination, some of it at a time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::message::id::QueueId;
use crate::message::recipient::RecipientNumber;
use crate::spool::Due;

/// A copy in the spool.
pub(super) type CopyId = (QueueId, RecipientNumber);

/// The head of the queue: bounded, so a backlog of any length costs the same memory.
#[derive(Debug)]
pub(super) struct Window {
    rows: VecDeque<Due>,
    /// How many copies are asked for at once.
    size: usize,
    /// The spool may have what is not here, or what should go before it.
    stale: bool,
    fetched_at: Option<Instant>,
}

impl Window {
    /// For so many attempts at once.
    pub(super) fn new(concurrency: usize) -> Self {
        let size = concurrency.saturating_mul(2).clamp(SMALLEST, GREATEST);
        Self { rows: VecDeque::new(), size, stale: true, fetched_at: None }
    }

    /// How many copies to ask for.
    pub(super) const fn size(&self) -> usize {
        self.size
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Something changed in the spool.
    pub(super) const fn expire(&mut self) {
        self.stale = true;
    }

    /// Has nothing any more; what it had.
    pub(super) fn give_up(&mut self) -> Vec<CopyId> {
        self.stale = true;
        self.rows.drain(..).map(|row| (row.id, row.number)).collect()
    }

    /// Whether the spool may have others to offer.
    pub(super) const fn is_stale(&self) -> bool {
        self.stale
    }

    /// Whether to ask the spool before the next [`Self::take`]. Under a stream of arrivals a window that has rows is
    /// renewed a few times a second, and so an urgent message overtakes at most that long a stretch of others.
    pub(super) fn wants_rows(&self, now: Instant) -> bool {
        let fresh = self.fetched_at.is_some_and(|at| now.saturating_duration_since(at) < FRESH);
        self.stale && (self.rows.is_empty() || !fresh)
    }

    /// What the spool answered. Whether that was all there is.
    pub(super) fn fill(&mut self, rows: Vec<Due>, now: Instant) -> Extent {
        let extent = if rows.len() < self.size { Extent::Whole } else { Extent::Part };
        self.rows = rows.into();
        self.stale = extent == Extent::Part;
        self.fetched_at = Some(now);
        extent
    }

    /// The messages of the copies in it, in rank.
    pub(super) fn messages(&self) -> impl Iterator<Item = QueueId> {
        self.rows.iter().map(|row| row.id)
    }

    /// Takes the copy at this place with those for other recipients of its message that have the same subject, at most
    /// `limit` of them.
    pub(super) fn take(&mut self, place: usize, limit: usize) -> Vec<Due> {
        let Some(chosen) = self.rows.remove(place) else { return Vec::new() };
        let mut taken = vec![chosen];
        if limit <= 1 {
            return taken;
        }
        self.rows.retain(|row| {
            let first = taken.first();
            let belongs = taken.len() < limit
                && first.is_some_and(|first| {
                    first.id == row.id && first.recipient.subject == row.recipient.subject
                });
            if belongs {
                taken.push(row.clone());
            }
            !belongs
        });
        taken
    }
}

/// How much of what is due a window holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// All of it.
    Whole,
    /// There may be more.
    Part,
}

/// The names of copies.
pub(super) fn copies(rows: &[Due]) -> impl Iterator<Item = CopyId> {
    rows.iter().map(|row| (row.id, row.number))
}

/// A window that is often renewed costs more than it saves.
const SMALLEST: usize = 256;
/// Each copy takes a few hundred bytes.
const GREATEST: usize = 4096;

/// How long a window that has rows is not renewed.
const FRESH: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::message::id::DestinationName;
    use crate::message::recipient::Recipient;

    fn due(id: i64, number: u32, subject: Option<&str>) -> Due {
        let via = DestinationName::new("hop").unwrap();
        Due {
            id: QueueId::from_row(id).unwrap(),
            number: RecipientNumber(number),
            recipient: Recipient {
                subject: subject.map(str::to_owned),
                ..Recipient::new(via, format!("{number}@corp.example"))
            },
            attempts: 0,
            accepted_at: Timestamp::UNIX_EPOCH,
            expires_at: Timestamp::UNIX_EPOCH,
        }
    }

    fn window(rows: Vec<Due>) -> Window {
        #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
        let now = Instant::now();
        let mut window = Window::new(1);
        window.fill(rows, now);
        window
    }

    fn names(rows: &[Due]) -> Vec<(i64, u32)> {
        rows.iter().map(|row| (row.id.as_row(), row.number.0)).collect()
    }

    #[test]
    fn recipients_of_one_message_go_together_when_their_subject_is_the_same() {
        let rows =
            vec![due(1, 0, None), due(2, 0, None), due(1, 1, None), due(1, 2, Some("UPS")), due(1, 3, None)];
        let mut window = window(rows);
        assert_eq!(names(&window.take(0, 100)), [(1, 0), (1, 1), (1, 3)]);
        assert_eq!(names(&window.take(0, 100)), [(2, 0)]);
        assert_eq!(names(&window.take(0, 100)), [(1, 2)]);
        assert_eq!(names(&window.take(0, 100)), []);
    }

    #[test]
    fn no_attempt_has_more_recipients_than_its_limit() {
        let mut window = window((0..5).map(|number| due(1, number, None)).collect());
        let sizes: Vec<_> = (0..4).map(|_| window.take(0, 2).len()).collect();
        assert_eq!(sizes, [2, 2, 1, 0]);
    }
}
