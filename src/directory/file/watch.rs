//! When a file is looked at, and when its change is over.
//!
//! A file that is written in place is for a moment empty, or half there; whoever reads it then refuses recipients that
//! exist. So a change counts only when two looks, at least [`PAUSE`] apart, found the same.

use std::time::{Duration, Instant};

/// What tells one state of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fingerprint {
    /// Device and inode: a file that was put in its place.
    pub(super) file: (u64, u64),
    pub(super) size: u64,
    /// Seconds and nanoseconds of the last change of its content.
    pub(super) modified: (i64, i64),
    /// Of its content or its owner, rights, name.
    pub(super) changed: (i64, i64),
}

/// What is to be done after a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// It is what was read.
    Nothing,
    /// It changed: look again.
    Wait,
    /// It changed, and has come to rest.
    Read,
}

/// What is known of the file.
#[derive(Debug)]
pub(super) struct Watch {
    pending: Pending,
    next_look: Option<Instant>,
}

/// What was found before; `None` inside: no file, or none that can be looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pending {
    read: Option<Fingerprint>,
    seen: Option<Option<Fingerprint>>,
}

impl Watch {
    pub(super) fn new(now: Instant) -> Self {
        Self { pending: Pending { read: None, seen: None }, next_look: now.checked_add(PAUSE) }
    }

    /// Whether to look now. Says so once for each pause, so that one caller looks and no others.
    pub(super) fn begin_look(&mut self, now: Instant) -> bool {
        let due = self.next_look.is_none_or(|next| next <= now);
        if due {
            self.next_look = now.checked_add(PAUSE);
        }
        due
    }

    /// Looks at the very next opportunity.
    #[cfg(test)]
    pub(super) const fn end_pause(&mut self) {
        self.next_look = None;
    }

    pub(super) const fn pending(&self) -> Pending {
        self.pending
    }

    /// A look found a change.
    pub(super) const fn seen(&mut self, found: Option<Fingerprint>) {
        self.pending.seen = Some(found);
    }

    /// The file was read, whether its content can be used or not.
    pub(super) const fn read(&mut self, found: Option<Fingerprint>) {
        self.pending = Pending { read: found, seen: None };
    }

    /// Whether a change was seen that is not read yet.
    pub(super) const fn is_settling(&self) -> bool {
        self.pending.seen.is_some()
    }
}

impl Pending {
    /// What to do about what a look found.
    pub(super) fn step(&self, found: Option<Fingerprint>) -> Step {
        if found == self.read && self.seen.is_none() {
            Step::Nothing
        } else if self.seen == Some(found) {
            Step::Read
        } else {
            Step::Wait
        }
    }
}

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn state(size: u64) -> Option<Fingerprint> {
        Some(Fingerprint { file: (1, 2), size, modified: (3, 4), changed: (3, 4) })
    }

    fn look(watch: &mut Watch, found: Option<Fingerprint>) -> Step {
        let step = watch.pending().step(found);
        match step {
            Step::Nothing => {}
            Step::Wait => watch.seen(found),
            Step::Read => watch.read(found),
        }
        step
    }

    fn start() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
        Instant::now()
    }

    #[test]
    fn a_file_is_looked_at_once_a_second_however_many_ask() {
        let start = start();
        let mut watch = Watch::new(start);
        assert!(!watch.begin_look(start + PAUSE / 2));
        assert!(watch.begin_look(start + PAUSE));
        assert!(!watch.begin_look(start + PAUSE));
        assert!(watch.begin_look(start + PAUSE * 2));
    }

    #[test]
    fn a_change_is_read_when_it_has_come_to_rest() {
        let mut watch = Watch::new(start());
        watch.read(state(10));
        let steps = [state(10), state(0), state(5), state(20), state(20), state(20)]
            .map(|found| (look(&mut watch, found), watch.is_settling()));
        assert_eq!(
            steps,
            [
                (Step::Nothing, false),
                (Step::Wait, true),
                (Step::Wait, true),
                (Step::Wait, true),
                (Step::Read, false),
                (Step::Nothing, false)
            ]
        );
    }

    #[test]
    fn a_file_that_vanishes_for_a_moment_and_comes_back_is_read_again() {
        let mut watch = Watch::new(start());
        watch.read(state(10));
        let steps = [None, state(10), state(10), state(10)].map(|found| look(&mut watch, found));
        assert_eq!(steps, [Step::Wait, Step::Wait, Step::Read, Step::Nothing]);
    }

    #[test]
    fn a_file_that_is_gone_is_noted_once() {
        let mut watch = Watch::new(start());
        watch.read(state(10));
        let steps = [None, None, None].map(|found| look(&mut watch, found));
        assert_eq!(steps, [Step::Wait, Step::Read, Step::Nothing]);
    }
}
