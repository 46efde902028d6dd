//! What one transaction does: each change to the rows, with the figures that must stay in step.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::copy::{Fate, Settled};
use super::error::SpoolError;
use super::gate::Gate;
use super::group::{self, Verdict};
use super::rows::{self, Prepared, PreparedReport, StoredBody, later, length_u64, micros};
use super::sweeping::EXPIRED;
use super::tally::Tally;
use crate::message::id::{DestinationName, QueueId};
use crate::message::mail::{Class, Gathered};
use crate::message::recipient::{EnhancedStatus, Recipient, RecipientNumber};
use crate::policy::operator::ReportVerdict;
use crate::telemetry::metrics::{ReportKind, ReportOutcome, SpoolState};

/// The running transaction.
pub(super) struct Transaction<'w> {
    pub(super) connection: &'w Connection,
    pub(super) tally: &'w mut Tally,
    gate: &'w Gate,
    pub(super) effects: Effects,
    /// Messages that took repeats in this transaction; written once, at its end.
    pub(super) gathered: HashMap<QueueId, (usize, Gathered)>,
}

/// Whether a fate was still to be recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    Recorded,
    /// It was, but of an earlier failure of this copy it has been told, or it is told of none.
    RecordedQuietly,
    PassedOver,
}

/// A copy as it lies there.
struct Standing {
    state: SpoolState,
    destination: DestinationName,
    /// What a failure means for who is told.
    on_failure: Effect,
}

/// What must happen once the transaction has committed, and not before.
#[derive(Debug, Default)]
pub(super) struct Effects {
    /// Destinations for which something became due, or is due at another time.
    pub(super) woken: BTreeSet<DestinationName>,
    /// Content files that have a row now.
    pub(super) adopted: Vec<String>,
    /// Content files whose row is gone.
    pub(super) unneeded: Vec<String>,
    pub(super) accepted_notices: u64,
    pub(super) accepted_mail: u64,
    pub(super) gathered: u64,
    pub(super) corrupt: u64,
}

impl<'w> Transaction<'w> {
    pub(super) fn new(connection: &'w Connection, tally: &'w mut Tally, gate: &'w Gate) -> Self {
        Self { connection, tally, gate, effects: Effects::default(), gathered: HashMap::new() }
    }

    /// Writes what was put off to the end.
    pub(super) fn finish(mut self) -> rusqlite::Result<Effects> {
        for (id, (length, gathered)) in std::mem::take(&mut self.gathered) {
            let body = rows::encode(&StoredBody::Notice(Box::new(Cow::Borrowed(&gathered))));
            let grown = signed(length_u64(body.len())).saturating_sub(signed(length_u64(length)));
            self.connection
                .prepare_cached(
                    "UPDATE message SET body = ?2, checksum = ?3, bytes = bytes + ?4 WHERE id = ?1",
                )?
                .execute(params![id.as_row(), body, rows::checksum(&body, None), grown])?;
            self.tally.bytes = self.tally.bytes.saturating_add(grown);
        }
        self.tally.store(self.connection)?;
        Ok(self.effects)
    }

    /// Takes a message in, or counts it into an earlier one of its group.
    pub(super) fn accept(&mut self, message: &Prepared) -> rusqlite::Result<Result<QueueId, SpoolError>> {
        let Some(group) = &message.group else { return self.keep(message, message.accepted_at) };
        let verdict = group::decide(group, self.standing(group)?, message.accepted_at);
        let due = match verdict {
            Verdict::Open { closes_at } => closes_at,
            Verdict::Gather { message: earlier, closes_at } => {
                if self.gather(earlier, message)? {
                    self.effects.gathered = self.effects.gathered.saturating_add(1);
                    return Ok(Ok(earlier));
                }
                closes_at
            }
        };
        let kept = self.keep(message, due)?;
        if let Ok(id) = kept {
            self.connection
                .prepare_cached("INSERT OR REPLACE INTO gathering VALUES (?1, ?2, ?3, ?4, 0)")?
                .execute(params![
                    group.key.as_slice(),
                    id.as_row(),
                    micros(due),
                    micros(later(due, group.repeat_after))
                ])?;
        }
        Ok(kept)
    }

    /// Records what became of copies, and keeps the reports about those of which that was still to be recorded and told,
    /// unless their pace holds them back; what became of each.
    pub(super) fn record(
        &mut self,
        settled: &[Settled],
        reports: &[PreparedReport],
    ) -> rusqlite::Result<Vec<(ReportKind, ReportOutcome)>> {
        let mut recorded = HashSet::new();
        for settled in settled {
            if self.settle(settled)? == Effect::Recorded {
                recorded.insert((settled.id, settled.number));
            }
        }
        let mut told = Vec::new();
        for PreparedReport { kind, report, about, pace } in reports {
            let copies = about.iter().filter(|copy| recorded.contains(*copy)).count();
            if copies == 0 {
                continue;
            }
            let verdict = match pace {
                Some(pace) => self.pace(pace, length_u64(copies), report.accepted_at)?,
                None => ReportVerdict::Tell,
            };
            let outcome = match verdict {
                ReportVerdict::Tell => {
                    self.insert(report, report.accepted_at)?;
                    ReportOutcome::Kept
                }
                ReportVerdict::HoldBack => ReportOutcome::HeldBack,
            };
            self.note_told(about)?;
            told.push((*kind, outcome));
        }
        Ok(told)
    }

    /// Of these copies it has been told, or counted for the next report: an operator who tries a failed one again has it told no second time.
    fn note_told(&mut self, about: &[(QueueId, RecipientNumber)]) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare_cached(
            "UPDATE recipient SET report_failure = 0, report_delay_at = NULL
             WHERE message = ?1 AND number = ?2 AND state = 'failed'",
        )?;
        for (id, number) in about {
            statement.execute(params![id.as_row(), number.0])?;
        }
        Ok(())
    }

    /// Records what became of a copy. One that is gone, or failed meanwhile, is passed over unless it was delivered.
    fn settle(&mut self, settled: &Settled) -> rusqlite::Result<Effect> {
        let (id, number) = (settled.id, settled.number);
        if settled.fate == Fate::Delivered {
            return self.delivered(id, number);
        }
        let Some(Standing { state, destination, on_failure }) = self.copy(id, number)? else {
            return Ok(Effect::PassedOver);
        };
        let waiting = matches!(state, SpoolState::Queued | SpoolState::Held);
        match &settled.fate {
            Fate::Deferred { due, status, text } if waiting => {
                self.connection
                    .prepare_cached(
                        "UPDATE recipient SET due = ?3, status = ?4, text = ?5, settled_at = ?6, attempts = attempts + 1
                         WHERE message = ?1 AND number = ?2",
                    )?
                    .execute(params![
                        id.as_row(),
                        number.0,
                        micros(*due),
                        status.to_string(),
                        text,
                        micros(settled.at)
                    ])?;
                self.effects.woken.insert(destination);
            }
            Fate::Failed { status, text } if waiting => {
                self.fail((id, number), state, &destination, (*status, text), settled.at, 1)?;
                self.call_standby(id, number, settled.at)?;
                return Ok(on_failure);
            }
            Fate::Expired { text } if waiting => {
                self.fail((id, number), state, &destination, (EXPIRED, text), settled.at, 0)?;
                return Ok(on_failure);
            }
            Fate::LateTold if waiting => {
                let told = self
                    .connection
                    .prepare_cached(
                        "UPDATE recipient SET report_delay_at = NULL
                         WHERE message = ?1 AND number = ?2 AND report_delay_at IS NOT NULL",
                    )?
                    .execute(params![id.as_row(), number.0])?;
                return Ok(if told == 0 { Effect::PassedOver } else { Effect::Recorded });
            }
            Fate::Delivered
            | Fate::Deferred { .. }
            | Fate::Failed { .. }
            | Fate::Expired { .. }
            | Fate::LateTold => return Ok(Effect::PassedOver),
        }
        Ok(Effect::Recorded)
    }

    /// The next hop has it. Most messages have this copy only, and go with it.
    fn delivered(&mut self, id: QueueId, number: RecipientNumber) -> rusqlite::Result<Effect> {
        let mut statement = self.connection.prepare_cached(
            "DELETE FROM recipient WHERE message = ?1 AND number = ?2 RETURNING state, destination",
        )?;
        let mut rows = statement.query(params![id.as_row(), number.0])?;
        let Some(row) = rows.next()? else { return Ok(Effect::PassedOver) };
        self.tally.add(rows::state(row, 0)?, &rows::name(row, 1)?, -1);
        drop(rows);
        drop(statement);
        if self.remove_if_empty(id)? == Left::Something {
            self.remove_behind(id, number)?;
            self.remove_if_empty(id)?;
        }
        Ok(Effect::Recorded)
    }

    /// Keeps a message that cannot be read back away from its destinations.
    pub(super) fn set_corrupt(&mut self, id: QueueId, why: &str, at: Timestamp) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare_cached(
            "SELECT number, state, destination FROM recipient
             WHERE message = ?1 AND state IN ('queued', 'held')",
        )?;
        let copies = statement
            .query_map([id.as_row()], |row| Ok((row.get(0)?, rows::state(row, 1)?, rows::name(row, 2)?)))?
            .collect::<rusqlite::Result<Vec<(u32, _, _)>>>()?;
        for (number, state, destination) in &copies {
            self.connection
                .prepare_cached(
                    "UPDATE recipient SET state = 'corrupt', text = ?3, settled_at = ?4
                     WHERE message = ?1 AND number = ?2",
                )?
                .execute(params![id.as_row(), number, why, micros(at)])?;
            self.tally.shift(*state, SpoolState::Corrupt, destination);
        }
        if !copies.is_empty() {
            self.effects.corrupt = self.effects.corrupt.saturating_add(1);
        }
        Ok(())
    }

    /// Removes a message with all its copies.
    pub(super) fn remove(&mut self, id: QueueId) -> rusqlite::Result<u64> {
        let mut statement = self
            .connection
            .prepare_cached("DELETE FROM recipient WHERE message = ?1 RETURNING state, destination")?;
        let mut rows = statement.query([id.as_row()])?;
        let mut removed: u64 = 0;
        while let Some(row) = rows.next()? {
            self.tally.add(rows::state(row, 0)?, &rows::name(row, 1)?, -1);
            removed = removed.saturating_add(1);
        }
        self.remove_if_empty(id)?;
        Ok(removed)
    }

    fn keep(&mut self, message: &Prepared, due: Timestamp) -> rusqlite::Result<Result<QueueId, SpoolError>> {
        if let Err(full) = self.gate.admit(message.class, message.bytes, self.tally.held()) {
            return Ok(Err(full));
        }
        self.insert(message, due).map(Ok)
    }

    fn insert(&mut self, message: &Prepared, due: Timestamp) -> rusqlite::Result<QueueId> {
        let Some(id) = self.tally.next_id(message.accepted_at) else {
            return Err(rusqlite::Error::IntegralValueOutOfRange(0, i64::MAX));
        };
        self.connection
            .prepare_cached("INSERT INTO message VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)")?
            .execute(params![
                id.as_row(),
                micros(message.accepted_at),
                rows::priority_number(message.priority),
                rows::class_number(message.class),
                message.rule.as_ref().map(|rule| rule.as_str()),
                message.group.as_ref().map(|group| group.key.as_slice()),
                signed(message.bytes),
                message.file.as_ref().map(|claim| claim.name.as_str()),
                message.checksum.as_slice(),
                message.body,
                message.content.as_deref(),
            ])?;
        self.keep_copies(id, message, due)?;
        self.tally.messages = self.tally.messages.saturating_add(1);
        self.tally.bytes = self.tally.bytes.saturating_add(signed(message.bytes));
        self.effects.adopted.extend(message.file.as_ref().map(|claim| claim.name.clone()));
        let accepted = match message.class {
            Class::Notice => &mut self.effects.accepted_notices,
            Class::Mail => &mut self.effects.accepted_mail,
        };
        *accepted = accepted.saturating_add(1);
        Ok(id)
    }

    /// The time of a message begins when its first copy is due, which for a group is when it closes: a repeat interval
    /// longer than `expire` must not expire what was never tried.
    fn keep_copies(&mut self, id: QueueId, message: &Prepared, due: Timestamp) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare_cached(
            "INSERT INTO recipient (message, number, destination, address, subject, state, rank, due, expires_at,
                                    attempts, standby_of, notify, orcpt, report_failure, report_delay_at,
                                    mailbox)
             VALUES (?1, ?2, ?3, ?4, ?5, 'queued', ?6, ?7, ?8, 0, ?9, ?10, ?11, ?12, ?13, ?14)",
        )?;
        let expires_at = micros(later(due, message.expire));
        for (number, copy) in (0_u32..).zip(&message.recipients) {
            let due = copy.standby.map_or(due, |(after, _)| later(due, after));
            let Recipient { via: destination, dsn, .. } = &copy.recipient;
            statement.execute(params![
                id.as_row(),
                number,
                destination.as_str(),
                copy.recipient.to,
                copy.recipient.subject,
                message.rank(),
                micros(due),
                expires_at,
                copy.standby.map(|(_, before)| before),
                dsn.notify.map(|notify| notify.to_string()),
                dsn.orcpt,
                message.owed.failure(dsn),
                message.delay_report_at(dsn).map(micros),
                copy.recipient.mailbox,
            ])?;
            self.tally.add(SpoolState::Queued, destination, 1);
            if !self.effects.woken.contains(destination) {
                self.effects.woken.insert(destination.clone());
            }
        }
        Ok(())
    }

    fn copy(&self, id: QueueId, number: RecipientNumber) -> rusqlite::Result<Option<Standing>> {
        self.connection
            .prepare_cached(
                "SELECT state, destination, report_failure FROM recipient WHERE message = ?1 AND number = ?2",
            )?
            .query_row(params![id.as_row(), number.0], |row| {
                let on_failure = if row.get(2)? { Effect::Recorded } else { Effect::RecordedQuietly };
                Ok(Standing { state: rows::state(row, 0)?, destination: rows::name(row, 1)?, on_failure })
            })
            .optional()
    }

    pub(super) fn fail(
        &mut self,
        (id, number): (QueueId, RecipientNumber),
        from: SpoolState,
        destination: &DestinationName,
        (status, text): (EnhancedStatus, &str),
        at: Timestamp,
        attempts: u32,
    ) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "UPDATE recipient SET state = 'failed', status = ?3, text = ?4, settled_at = ?5,
                                      attempts = attempts + ?6
                 WHERE message = ?1 AND number = ?2",
            )?
            .execute(params![id.as_row(), number.0, status.to_string(), text, micros(at), attempts])?;
        self.tally.shift(from, SpoolState::Failed, destination);
        Ok(())
    }

    /// The copy before it failed for good: the standby copy goes now.
    fn call_standby(&mut self, id: QueueId, failed: RecipientNumber, now: Timestamp) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare_cached(
            "UPDATE recipient SET due = min(due, ?3)
             WHERE message = ?1 AND standby_of = ?2 AND state IN ('queued', 'held') RETURNING destination",
        )?;
        let mut rows = statement.query(params![id.as_row(), failed.0, micros(now)])?;
        while let Some(row) = rows.next()? {
            self.effects.woken.insert(rows::name(row, 0)?);
        }
        Ok(())
    }

    /// The copy was delivered: no copy behind it in its chain is needed. Those that failed before stay to be seen.
    fn remove_behind(&mut self, id: QueueId, delivered: RecipientNumber) -> rusqlite::Result<()> {
        let connection = self.connection;
        let mut next = connection.prepare_cached(
            "SELECT number, state, destination FROM recipient WHERE message = ?1 AND standby_of = ?2",
        )?;
        let mut before = delivered;
        loop {
            let row = next.query_row(params![id.as_row(), before.0], |row| {
                Ok((RecipientNumber(row.get(0)?), rows::state(row, 1)?, rows::name(row, 2)?))
            });
            let Some((number, state, destination)) = row.optional()? else { return Ok(()) };
            // Numbers rise along a chain; one that does not was not written here and would never end.
            if number <= before {
                return Ok(());
            }
            if matches!(state, SpoolState::Queued | SpoolState::Held) {
                self.remove_copy(id, number, state, &destination)?;
            }
            before = number;
        }
    }

    pub(super) fn remove_copy(
        &mut self,
        id: QueueId,
        number: RecipientNumber,
        state: SpoolState,
        destination: &DestinationName,
    ) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached("DELETE FROM recipient WHERE message = ?1 AND number = ?2")?
            .execute(params![id.as_row(), number.0])?;
        self.tally.add(state, destination, -1);
        Ok(())
    }

    /// The message goes with its last copy, and its content file after the commit.
    pub(super) fn remove_if_empty(&mut self, id: QueueId) -> rusqlite::Result<Left> {
        let mut statement = self.connection.prepare_cached(
            "DELETE FROM message
             WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM recipient WHERE message = ?1) RETURNING bytes, file",
        )?;
        let mut rows = statement.query([id.as_row()])?;
        let Some(row) = rows.next()? else { return Ok(Left::Something) };
        self.tally.messages = self.tally.messages.saturating_sub(1);
        self.tally.bytes = self.tally.bytes.saturating_sub(row.get(0)?);
        self.effects.unneeded.extend(row.get::<_, Option<String>>(1)?);
        Ok(Left::Nothing)
    }
}

/// Whether copies of a message are left, and with them the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    Something,
    /// The message has gone.
    Nothing,
}

pub(super) fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// What the operator reads of a message whose row is not what was written.
pub(super) const UNREADABLE: &str = "the row differs from its checksum";
