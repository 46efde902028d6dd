//! Whether the spool accepts at this moment: the limits with figures that are at most a second old.
#![expect(clippy::disallowed_methods, reason = "how old the figure of free space is")]

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::error::SpoolError;
use super::limits::{Limits, Room};
use crate::message::mail::Class;
use crate::telemetry::metrics::Metrics;

/// Asked by the writer for each message, and by whoever shows the spool's readiness.
#[derive(Debug)]
pub(super) struct Gate {
    dir: PathBuf,
    limits: Limits,
    metrics: Arc<Metrics>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    room: Room,
    /// When `room.free` was asked of the file system.
    measured: Option<Instant>,
    /// Free pages inside the database.
    inside: u64,
    /// Bytes in the files of drafts: they count against further drafts, and never keep a finished message out.
    under_way: u64,
    /// Why nothing is accepted, whatever the limits say.
    fault: Option<SpoolError>,
    /// What was said of each class last, so that a change is logged once, and not at every turn of a disk on the brink.
    told: [Told; 2],
}

impl Gate {
    pub(super) fn new(dir: &Path, limits: Limits, metrics: Arc<Metrics>) -> Self {
        let state = State {
            room: Room { held: 0, free: 0 },
            measured: None,
            inside: 0,
            under_way: 0,
            fault: None,
            told: [Told { verdict: Refusing::None, at: None }; 2],
        };
        Self { dir: dir.to_owned(), limits, metrics, state: Mutex::new(state) }
    }

    /// Whether a message of this class and size may come in; its size is then taken off the free space known.
    pub(super) fn admit(&self, class: Class, size: u64, held: u64) -> Result<(), SpoolError> {
        let mut state = self.state();
        state.room.held = held;
        self.check(&mut state, class, size)?;
        state.room.free = state.room.free.saturating_sub(size);
        Ok(())
    }

    /// Whether a message of this class with no size to speak of may come in.
    pub(super) fn accepting(&self, class: Class) -> Result<(), SpoolError> {
        self.check(&mut self.state(), class, 1)
    }

    /// Whether a draft of mail may grow by so many bytes. A fault that passes does not end it: what is still coming may
    /// well be accepted when it is complete.
    fn grow(&self, bytes: u64) -> Result<(), SpoolError> {
        let mut state = self.state();
        if let Some(fault @ SpoolError::Full { .. }) = &state.fault {
            return Err(fault.clone());
        }
        self.measure(&mut state)?;
        let room = Room { held: state.room.held.saturating_add(state.under_way), ..state.room };
        self.fits(Class::Mail, bytes, room)?;
        state.under_way = state.under_way.saturating_add(bytes);
        state.room.free = state.room.free.saturating_sub(bytes);
        Ok(())
    }

    /// Takes over what a transaction changed.
    pub(super) fn set_room(&self, held: u64, inside: u64) {
        let mut state = self.state();
        state.room.held = held;
        state.inside = inside;
    }

    /// Takes over what the committed messages hold.
    pub(super) fn set_held(&self, held: u64) {
        self.state().room.held = held;
    }

    /// Whether the disk was full at the last commit.
    pub(super) fn disk_was_full(&self) -> bool {
        matches!(&self.state().fault, Some(SpoolError::Full { .. }))
    }

    /// Nothing is accepted because of this, or (`None`) no longer.
    pub(super) fn set_fault(&self, fault: Option<SpoolError>) {
        let mut state = self.state();
        state.fault = fault;
        state.measured = None;
    }

    /// Brings the metrics up to date, without a word in the log.
    pub(super) fn show(&self) {
        for class in [Class::Notice, Class::Mail] {
            self.metrics.set_spool_accepting(class, self.accepting(class).is_ok());
        }
    }

    /// Brings metrics and log up to date; whether to look again soon though nobody asks.
    pub(super) fn publish(&self) -> Refusing {
        let mut state = self.state();
        let mut some = Refusing::None;
        for (index, class) in [Class::Notice, Class::Mail].into_iter().enumerate() {
            let verdict = self.check(&mut state, class, 1);
            self.metrics.set_spool_accepting(class, verdict.is_ok());
            let refusing = if verdict.is_err() { Refusing::Some } else { Refusing::None };
            let Some(told) = state.told.get_mut(index) else { continue };
            let change = told.change(refusing, Instant::now());
            match (change, &verdict) {
                (Change::Now, Err(error)) => {
                    tracing::error!(?class, "The spool accepts no more messages: {error}");
                }
                (Change::Now, Ok(())) => tracing::warn!(?class, "The spool accepts messages again."),
                (Change::None | Change::Later, _) => {}
            }
            if refusing == Refusing::Some || change == Change::Later {
                some = Refusing::Some;
            }
        }
        some
    }

    fn check(&self, state: &mut State, class: Class, size: u64) -> Result<(), SpoolError> {
        if let Some(fault) = &state.fault {
            return Err(fault.clone());
        }
        self.measure(state)?;
        self.fits(class, size, state.room)
    }

    fn fits(&self, class: Class, size: u64, room: Room) -> Result<(), SpoolError> {
        self.limits.admit(class, size, room, &self.dir).map_err(|reason| SpoolError::Full { reason })
    }

    fn measure(&self, state: &mut State) -> Result<(), SpoolError> {
        let now = Instant::now();
        if state.measured.is_none_or(|at| now.saturating_duration_since(at) >= FRESH) {
            let space = nix::sys::statvfs::statvfs(&self.dir)
                .map_err(|errno| SpoolError::file("ask the free space of", &self.dir, errno.into()))?;
            let outside = space.blocks_available().saturating_mul(space.fragment_size());
            state.room.free = outside.saturating_add(state.inside);
            state.measured = Some(now);
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bytes of one draft on its way; dropped, they are under way no longer.
#[derive(Debug)]
pub(super) struct UnderWay {
    gate: Arc<Gate>,
    bytes: u64,
}

impl UnderWay {
    pub(super) const fn new(gate: Arc<Gate>) -> Self {
        Self { gate, bytes: 0 }
    }

    /// Counts so many bytes more, if the limits allow them.
    pub(super) fn grow(&mut self, bytes: u64) -> Result<(), SpoolError> {
        self.gate.grow(bytes).inspect_err(|error| self.gate.metrics.spool_refused(error.as_str(), 1))?;
        self.bytes = self.bytes.saturating_add(bytes);
        Ok(())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut state = self.gate.state();
        state.under_way = state.under_way.saturating_sub(self.bytes);
    }
}

/// What the log says of one class.
#[derive(Debug, Clone, Copy)]
struct Told {
    verdict: Refusing,
    at: Option<Instant>,
}

impl Told {
    /// Whether the log must be told that the class is `now` in this state; what changes too often is told at intervals.
    fn change(&mut self, verdict: Refusing, now: Instant) -> Change {
        if self.verdict == verdict {
            return Change::None;
        }
        if self.at.is_some_and(|at| now.saturating_duration_since(at) < TELL_EVERY) {
            return Change::Later;
        }
        *self = Self { verdict, at: Some(now) };
        Change::Now
    }
}

/// Whether a change is to be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    None,
    Now,
    Later,
}

/// Whether some class is refused at this moment, or the log does not know yet that it is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusing {
    /// All are accepted.
    None,
    /// One or both are refused, or were in the log's last words.
    Some,
}

/// How old the figure of free space may be.
const FRESH: Duration = Duration::from_secs(1);

/// Between two lines in the log about one class.
const TELL_EVERY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_on_the_brink_is_told_at_once_then_at_intervals_and_its_last_state_is_told() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut told = Told { verdict: Refusing::None, at: None };
        assert_eq!(told.change(Refusing::None, start), Change::None);
        assert_eq!(told.change(Refusing::Some, start), Change::Now);
        let lines = (1..60)
            .map(|second| {
                told.change(if second % 2 == 0 { Refusing::Some } else { Refusing::None }, after(second))
            })
            .filter(|change| *change == Change::Now);
        assert_eq!(lines.count(), 0, "turn by turn");
        assert_eq!(told.change(Refusing::None, after(59)), Change::Later);
        assert_eq!(told.change(Refusing::None, after(60)), Change::Now);
        assert_eq!(told.change(Refusing::None, after(600)), Change::None);
    }
}
