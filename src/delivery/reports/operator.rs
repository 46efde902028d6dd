//! What the operator is told: a legacy sender has no address, so a notice that cannot be delivered is the operator's; so is
//! what ends, a secret or a certificate.
//!
//! A report is mail of its own, without anybody who is told what becomes of it: one that cannot be delivered stays as
//! failed, and the log says so.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{EXPIRED, Reporter, ids, report};
use crate::delivery::outcome::{Outcome, RecipientNumber};
use crate::message::compose::ending::Ending;
use crate::message::compose::undelivered::{FailedCopy, Failure, Undelivered};
use crate::message::compose::{Addressees, Identity};
use crate::message::id::DestinationName;
use crate::message::mail::{Gathered, Spooled, Submitted};
use crate::message::recipient::Recipient;
use crate::policy::operator::{CauseClass, Told, Topic};
use crate::spool::{FateReport, Lateness, Overdue, Pace, Spool, SpoolError};
use crate::telemetry::metrics::{ReportKind, ReportOutcome};
use crate::wire::smtp::path::Mailbox;

/// A copy that failed, and where.
pub(super) struct Failed {
    number: RecipientNumber,
    destination: DestinationName,
    copy: FailedCopy,
}

/// Copies that one report tells of.
#[derive(Default)]
struct Entry {
    numbers: Vec<RecipientNumber>,
    copies: Vec<FailedCopy>,
}

/// The failures among outcomes.
pub(super) fn failures(
    recipients: &[(RecipientNumber, Recipient)],
    outcomes: &[(RecipientNumber, Outcome)],
) -> Vec<Failed> {
    let failed = outcomes.iter().filter_map(|(number, outcome)| {
        let Outcome::Failed { status, text } = outcome else { return None };
        let (_, recipient) = recipients.iter().find(|(each, _)| each == number)?;
        let failure = Failure::Refused { status: *status, text: text.clone() };
        Some(Failed::new(*number, recipient, failure))
    });
    failed.collect()
}

/// What was given up of copies that are overdue.
pub(super) fn expired(overdue: &[Overdue]) -> Vec<Failed> {
    let expired = overdue.iter().filter(|copy| copy.lateness == Lateness::Expired);
    expired
        .map(|copy| Failed::new(copy.number, &copy.recipient, Failure::Expired { last: copy.text.clone() }))
        .collect()
}

impl Failed {
    fn new(number: RecipientNumber, recipient: &Recipient, failure: Failure) -> Self {
        let copy = FailedCopy { to: recipient.to.clone(), failure };
        Self { number, destination: recipient.via.clone(), copy }
    }

    fn topic(&self) -> Topic {
        let status = match self.copy.failure {
            Failure::Refused { status, .. } => status,
            Failure::Expired { .. } => EXPIRED,
        };
        Topic { destination: self.destination.clone(), cause: CauseClass::of(status) }
    }
}

impl Reporter {
    /// A report for each topic; the spool decides which of them go now. `host` is who was asked.
    pub(super) async fn tell_operator(
        &self,
        spool: &Spool,
        notice: (&Spooled, &Gathered),
        failures: Vec<Failed>,
        host: Option<&str>,
        at: Timestamp,
    ) -> Vec<FateReport> {
        if failures.is_empty() {
            return Vec::new();
        }
        let Some(recipients) = self.told_operator(ReportKind::Operator, "a notice that failed") else {
            return Vec::new();
        };
        let mut reports = Vec::new();
        for (topic, entry) in by_topic(failures) {
            reports.extend(self.operator_report(spool, notice, (topic, entry), host, &recipients, at).await);
        }
        reports
    }

    async fn operator_report(
        &self,
        spool: &Spool,
        (message, gathered): (&Spooled, &Gathered),
        (topic, entry): (Topic, Entry),
        host: Option<&str>,
        recipients: &[Recipient],
        at: Timestamp,
    ) -> Option<FateReport> {
        let id = message.id;
        let held_back = spool.held_back(&topic).await.unwrap_or_else(|error| {
            tracing::debug!(%error, "How many reports were held back is not known; the next one says it.");
            0
        });
        let repeat = self.operator.repeat;
        let undelivered = Undelivered {
            message,
            gathered,
            destination: &topic.destination,
            host,
            copies: &entry.copies,
            held_back,
            repeat,
            at,
            id: &format!("{id}.{}.{}.operator", at.as_microsecond(), topic.cause),
        };
        let named = Named::of(recipients);
        let content = undelivered.compose(named.addressees(), &self.daemon()).inspect_err(|error| {
            tracing::error!(%id, "The operator cannot be told of a notice that failed: {error}");
        });
        let message = report(content.ok()?, Submitted::default(), recipients.to_vec(), at);
        let pace = Some(Pace { topic, repeat, held_back });
        Some(FateReport { message, kind: ReportKind::Operator, about: ids(id, entry.numbers), pace })
    }

    /// Tells the operator that a secret or a certificate ends, by the ways that failures are told. Done, too, where nobody is
    /// to be told or none can be.
    ///
    /// # Errors
    /// The spool does not take it now.
    pub async fn tell_of_end(&self, spool: &Spool, ending: &Ending<'_>) -> Result<(), SpoolError> {
        let Some(recipients) = self.told_operator(ReportKind::Expiry, ending.what) else { return Ok(()) };
        let content = match ending.compose(Named::of(&recipients).addressees(), &self.daemon()) {
            Ok(content) => content,
            Err(error) => {
                tracing::error!(what = ending.what, "The operator cannot be told of what ends: {error}");
                return Ok(());
            }
        };
        spool.accept(report(content, Submitted::default(), recipients, ending.at)).await?;
        self.metrics.report(ReportKind::Expiry, ReportOutcome::Kept);
        Ok(())
    }

    /// Who is told; says so where a way is missing.
    fn told_operator(&self, kind: ReportKind, of: &str) -> Option<Vec<Recipient>> {
        match self.operator.told(self.postmaster.as_ref(), &self.routes) {
            Told::These(recipients) => Some(recipients),
            Told::Nobody => None,
            Told::NoRoute => {
                self.metrics.report(kind, ReportOutcome::NoRoute);
                tracing::warn!(of, "The operator cannot be told: no route leads to `operator.postmaster`.");
                None
            }
        }
    }

    /// Who we are in a report: as in those to senders.
    fn daemon(&self) -> Identity {
        let ascii = self.postmaster.as_ref().filter(|postmaster| !postmaster.needs_smtputf8());
        let daemon = format!("MAILER-DAEMON@{}", self.hostname);
        let from = ascii.map_or(daemon.as_str(), |postmaster| postmaster.as_str());
        Identity::new(Some(&self.hostname), &self.site, Some(from), self.timezone.clone())
    }
}

/// Whom the header of a report names.
struct Named<'r> {
    mailboxes: Vec<&'r str>,
    folder: Option<&'r str>,
}

impl<'r> Named<'r> {
    fn of(recipients: &'r [Recipient]) -> Self {
        let all = || recipients.iter().map(|recipient| &*recipient.to);
        Self { mailboxes: all().filter(is_mailbox).collect(), folder: all().next() }
    }

    fn addressees(&self) -> Addressees<'_> {
        match (self.mailboxes.is_empty(), self.folder) {
            (true, Some(folder)) => Addressees::Folder(folder),
            _ => Addressees::Mailboxes(&self.mailboxes),
        }
    }
}

/// Others are folders.
fn is_mailbox(to: &&str) -> bool {
    Mailbox::parse_ascii(to).is_ok()
}

fn by_topic(failures: Vec<Failed>) -> BTreeMap<Topic, Entry> {
    let mut topics: BTreeMap<Topic, Entry> = BTreeMap::new();
    for failed in failures {
        let entry = topics.entry(failed.topic()).or_default();
        entry.numbers.push(failed.number);
        entry.copies.push(failed.copy);
    }
    topics
}
