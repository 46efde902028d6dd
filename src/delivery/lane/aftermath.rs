//! What attempts leave behind: the fates of their copies, and what they found out about the destination.
#![expect(clippy::disallowed_methods, reason = "this is the edge where deciding code is told the time")]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use tokio::task::{Id, JoinError};

use super::attempt::{Attempted, Ended};
use super::window::copies;
use super::{Going, Lane, Parts, Sent, tell};
use crate::delivery::outcome::{Health, Outcome, Report};
use crate::delivery::view::LastReply;
use crate::message::recipient::EnhancedStatus;
use crate::policy::availability::{Errand, Finding};
use crate::policy::suspects::{Blame, Passage};
use crate::spool::{Due, Fate, Settled};
use crate::telemetry::metrics::DeliveryResult;

impl Lane {
    /// Ends these attempts and those that have ended besides.
    pub(super) fn end_all(&mut self, first: Result<(Id, Vec<Ended>), JoinError>) {
        self.end(first);
        while let Some(ended) = self.running.try_join_next_with_id() {
            self.end(ended);
        }
    }

    pub(super) fn end(&mut self, ended: Result<(Id, Vec<Ended>), JoinError>) {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let Some(Sent { errand, attempts }) = self.sent.remove(&id) else { return };
        self.in_flight = self.in_flight.saturating_sub(attempts.len());
        let mut ends = ended.map(|(_, ends)| ends).unwrap_or_default().into_iter();
        let now = Instant::now();
        for going in attempts {
            let ended = ends.next().unwrap_or(Ended::BrokeOff);
            let finding = self.end_one(going, errand, ended, now);
            if let Some(event) = self.availability.handle_finding(now, errand, finding) {
                tell::event(&self.parts.name, &event);
            }
        }
    }

    fn end_one(&mut self, going: Going, errand: Errand, ended: Ended, now: Instant) -> Finding {
        let Going { passage, copies } = going;
        match ended {
            Ended::Reported(attempted) => {
                let Attempted { report, told } = *attempted;
                let own_fault = self.judge(passage, errand, &copies, &report, now);
                let finding = self.reported(&copies, report, own_fault);
                self.ledger.report(told);
                return finding;
            }
            Ended::Gone => self.release(&copies),
            Ended::Unreadable(error) => {
                self.release(&copies);
                self.window.expire();
                self.spool_failed(now, &error);
            }
            Ended::BrokeOff => self.broke_off(&copies),
        }
        self.suspects.ended(passage);
        Finding::Nothing
    }

    /// What the copies without an outcome pay, where that is the message's own fault.
    fn judge(
        &mut self,
        passage: Passage,
        errand: Errand,
        copies: &[Due],
        report: &Report,
        now: Instant,
    ) -> Option<Outcome> {
        let is_delivered = |(_, outcome): &(_, Outcome)| matches!(outcome, Outcome::Delivered { .. });
        let (status, reason) = match &report.health {
            Health::Up if report.outcomes.iter().any(is_delivered) => {
                self.suspects.delivered(passage);
                return None;
            }
            Health::Throttled { .. } => {
                self.suspects.put_off(passage, now);
                return None;
            }
            // RFC 3463 §3.5: bad connection.
            Health::Down { reason } if report.outcomes.len() < copies.len() => ((4, 4, 2), reason),
            // RFC 3463 §3.8: delivery not authorized.
            Health::OperatorFault { reason } if report.outcomes.len() < copies.len() => ((4, 7, 1), reason),
            Health::Up | Health::Down { .. } | Health::OperatorFault { .. } => {
                self.suspects.ended(passage);
                return None;
            }
        };
        match self.suspects.broke(passage, errand, now) {
            Blame::Destination => None,
            Blame::Message => {
                let (class, subject, detail) = status;
                Some(Outcome::Delayed {
                    status: EnhancedStatus::new(class, subject, detail),
                    text: format!("{reason}; others are taken, so it may be what is in this message"),
                    retry_after: None,
                })
            }
        }
    }

    fn reported(&mut self, rows: &[Due], report: Report, own_fault: Option<Outcome>) -> Finding {
        let mut outcomes: HashMap<_, _> = report.outcomes.into_iter().collect();
        for row in rows {
            match outcomes.remove(&row.number).or_else(|| own_fault.clone()) {
                Some(outcome) => self.settle(row, outcome),
                // An answer that leaves someone out must not be asked for in a circle.
                None if report.health == Health::Up => self.settle(row, delayed(LEFT_OUT)),
                None => {
                    self.release(std::slice::from_ref(row));
                    self.window.expire();
                }
            }
        }
        match report.health {
            Health::Up => Finding::Answered,
            _ if own_fault.is_some() => Finding::Nothing,
            Health::Down { reason } => Finding::Unreachable { reason },
            Health::OperatorFault { reason } => Finding::OperatorFault { reason },
            Health::Throttled { retry_after, reason } => Finding::Wait { asked: retry_after, reason },
        }
    }

    fn settle(&mut self, row: &Due, outcome: Outcome) {
        let Parts { name, metrics, retry, .. } = &self.parts;
        let at = Timestamp::now();
        let (Outcome::Delivered { text, .. } | Outcome::Delayed { text, .. } | Outcome::Failed { text, .. }) =
            &outcome;
        let said = Arc::from(text.as_str());
        let (fate, result) = match outcome {
            Outcome::Delivered { text, .. } => {
                tell::delivered(name, row, &text);
                self.last_delivery = Some(at);
                (Fate::Delivered, DeliveryResult::Delivered)
            }
            Outcome::Delayed { status, text, retry_after } => {
                let wait = retry.delay(row.attempts.saturating_add(1), retry_after);
                let due = at.checked_add(SignedDuration::try_from(wait).unwrap_or_default()).unwrap_or(at);
                tell::delayed(name, row, status, &text, due);
                (Fate::Deferred { due, status, text }, DeliveryResult::Delayed)
            }
            Outcome::Failed { status, text } => {
                tell::failed(name, row, status, &text);
                (Fate::Failed { status, text }, DeliveryResult::Failed)
            }
        };
        metrics.delivery(name, result);
        self.last_reply = Some(LastReply { at, result, text: said });
        self.ledger.settle(Settled { id: row.id, number: row.number, fate, at });
    }

    fn release(&mut self, rows: &[Due]) {
        for row in rows {
            self.ledger.release(&(row.id, row.number));
        }
        self.parts.spool.put_back(copies(rows).collect());
    }

    /// The task of an attempt panicked.
    fn broke_off(&mut self, rows: &[Due]) {
        self.parts.metrics.panicked();
        tell::broke_off(&self.parts.name, rows);
        for row in rows {
            self.settle(row, delayed(BROKE_OFF));
        }
    }
}

fn delayed(text: &str) -> Outcome {
    // RFC 3463 §3.4: other or undefined mail system status.
    Outcome::Delayed { status: EnhancedStatus::new(4, 3, 0), text: text.to_owned(), retry_after: None }
}

const BROKE_OFF: &str = "the delivery ended by a defect in this program";
const LEFT_OUT: &str = "the transport reported no outcome";
