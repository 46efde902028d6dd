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
    /// Why nothing is accepted, whatever the limits say.
    fault: Option<SpoolError>,
    /// What each class was told last, so that a change is logged once.
    refusing: [bool; 2],
}

impl Gate {
    pub(super) fn new(dir: &Path, limits: Limits, metrics: Arc<Metrics>) -> Self {
        let state = State {
            room: Room { held: 0, free: 0 },
            measured: None,
            inside: 0,
            fault: None,
            refusing: [false; 2],
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

    /// Brings metrics and log up to date; whether some class is refused.
    pub(super) fn publish(&self) -> Refusing {
        let mut state = self.state();
        let mut some = Refusing::None;
        for (index, class) in [Class::Notice, Class::Mail].into_iter().enumerate() {
            let verdict = self.check(&mut state, class, 1);
            self.metrics.set_spool_accepting(class, verdict.is_ok());
            if verdict.is_err() {
                some = Refusing::Some;
            }
            let Some(before) = state.refusing.get_mut(index) else { continue };
            match (*before, &verdict) {
                (false, Err(error)) => tracing::error!(?class, "the spool accepts no more messages: {error}"),
                (true, Ok(())) => tracing::warn!(?class, "the spool accepts messages again"),
                (true, Err(_)) | (false, Ok(())) => {}
            }
            *before = verdict.is_err();
        }
        some
    }

    fn check(&self, state: &mut State, class: Class, size: u64) -> Result<(), SpoolError> {
        if let Some(fault) = &state.fault {
            return Err(fault.clone());
        }
        self.measure(state)?;
        self.limits.admit(class, size, state.room, &self.dir).map_err(|reason| SpoolError::Full { reason })
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

/// Whether some class is refused at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusing {
    /// All are accepted.
    None,
    /// One or both are refused.
    Some,
}

/// How old the figure of free space may be.
const FRESH: Duration = Duration::from_secs(1);
