//! What became of copies, on its way into the spool.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use tokio::task::{JoinError, JoinSet};

use super::window::CopyId;
use crate::spool::{FateReport, Settled, Spool, SpoolError};

/// One commit at a time is under way; what ends meanwhile shares the next, so a slow disk makes fewer and larger ones.
#[derive(Debug)]
pub(super) struct Ledger {
    /// Every copy that is under way or whose fate is not durable yet: the spool must not hand it out again.
    open: HashSet<CopyId>,
    waiting: Batch,
    /// What the commit under way is about.
    committing: Batch,
    commit: JoinSet<Result<(), SpoolError>>,
    /// After a commit that failed, none before this.
    not_before: Option<Instant>,
}

/// Fates, and what is told of them: one commit takes both.
#[derive(Debug, Clone, Default)]
struct Batch {
    settled: Vec<Settled>,
    reports: Vec<FateReport>,
}

impl Ledger {
    /// How many fates may wait before no further attempt is made.
    const MOST_WAITING: usize = 1000;

    pub(super) fn new() -> Self {
        Self {
            open: HashSet::new(),
            waiting: Batch::default(),
            committing: Batch::default(),
            commit: JoinSet::new(),
            not_before: None,
        }
    }

    pub(super) const fn open(&self) -> &HashSet<CopyId> {
        &self.open
    }

    /// Whether the spool keeps up.
    pub(super) fn has_room(&self) -> bool {
        self.waiting.settled.len() < Self::MOST_WAITING
    }

    pub(super) fn is_settled(&self) -> bool {
        self.waiting.settled.is_empty() && self.commit.is_empty()
    }

    /// A copy is under way from now on.
    pub(super) fn begin(&mut self, copies: impl IntoIterator<Item = CopyId>) {
        self.open.extend(copies);
    }

    /// A copy was not tried after all.
    pub(super) fn release(&mut self, copy: &CopyId) {
        self.open.remove(copy);
    }

    pub(super) fn settle(&mut self, settled: Settled) {
        self.waiting.settled.push(settled);
    }

    /// A sender or the operator is told of what was settled since the last commit began.
    pub(super) fn report(&mut self, reports: Vec<FateReport>) {
        self.waiting.reports.extend(reports);
    }

    /// Starts a commit, if there is something to commit and none is under way.
    pub(super) fn commit(&mut self, spool: &Spool, now: Instant) {
        let held = self.not_before.is_some_and(|at| now < at);
        if held || self.waiting.settled.is_empty() || !self.commit.is_empty() {
            return;
        }
        self.committing = std::mem::take(&mut self.waiting);
        let (spool, Batch { settled, reports }) = (spool.clone(), self.committing.clone());
        self.commit.spawn(async move { spool.record(settled, reports).await });
    }

    /// Waits for the commit under way; for ever when there is none.
    pub(super) async fn committed(&mut self) -> Result<Result<(), SpoolError>, JoinError> {
        match self.commit.join_next().await {
            Some(ended) => ended,
            None => std::future::pending().await,
        }
    }

    /// The commit under way made its batch durable.
    pub(super) fn close(&mut self) {
        for settled in std::mem::take(&mut self.committing).settled {
            self.open.remove(&(settled.id, settled.number));
        }
        self.not_before = None;
    }

    /// The commit under way failed: its batch waits for the next. Delivered copies stay open, so they are not sent a
    /// second time while this process lives.
    pub(super) fn reopen(&mut self, now: Instant) {
        let Batch { settled, reports } = std::mem::take(&mut self.committing);
        self.waiting.settled.splice(0..0, settled);
        self.waiting.reports.splice(0..0, reports);
        self.not_before = now.checked_add(AFTER_FAILURE);
    }

    /// When a commit may be tried again, if one is held back.
    pub(super) const fn poll_timeout(&self) -> Option<Instant> {
        if self.waiting.settled.is_empty() { None } else { self.not_before }
    }
}

/// Before a commit is tried again.
const AFTER_FAILURE: Duration = Duration::from_secs(1);
