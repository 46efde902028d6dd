//! Messages as rows and rows as messages.

use std::borrow::Cow;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use rusqlite::Row;
use rusqlite::types::Type;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::content::Claim;
use super::copy::Pace;
use super::error::SpoolError;
use super::limits::NoticeFailures;
use crate::message::id::{DestinationName, QueueId, RuleName};
use crate::message::mail::{Body, Class, Content, Gathered, Group, Message, Priority, Reports, Submitted};
use crate::message::recipient::{Recipient, RecipientDsn, RecipientNumber};
use crate::telemetry::metrics::{ReportKind, SpoolState};

/// A message ready to be written: everything that costs time is done on the caller's task, not on the writer's.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) accepted_at: Timestamp,
    pub(super) expire: Duration,
    pub(super) priority: Priority,
    pub(super) class: Class,
    pub(super) rule: Option<RuleName>,
    pub(super) group: Option<Group>,
    pub(super) body: String,
    pub(super) content: Option<Bytes>,
    /// A file in `content/`.
    pub(super) file: Option<Claim>,
    pub(super) checksum: [u8; 32],
    /// What counts against `max_size`.
    pub(super) bytes: u64,
    pub(super) owed: Owed,
    /// When its sender is told that it is late.
    late_at: Option<Timestamp>,
    pub(super) recipients: Vec<PreparedRecipient>,
}

/// A report ready to be written.
#[derive(Debug)]
pub(super) struct PreparedReport {
    pub(super) kind: ReportKind,
    pub(super) report: Prepared,
    /// The copies it is about.
    pub(super) about: Vec<(QueueId, RecipientNumber)>,
    pub(super) pace: Option<Pace>,
}

/// How long messages have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Times {
    /// Until they are given up, where they bring no time of their own.
    pub(super) expire: Duration,
    /// Until their senders are told that they are late; `None`: never.
    pub(super) delay_report: Option<Duration>,
}

/// What is promised to those who are told of failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Promises {
    pub(super) times: Times,
    pub(super) notice_failures: NoticeFailures,
}

/// A first or a standby copy; its number is its place in the list.
#[derive(Debug)]
pub(super) struct PreparedRecipient {
    pub(super) recipient: Recipient,
    /// How long the first copy has, and the number of the copy before this one.
    pub(super) standby: Option<(Duration, u32)>,
}

impl Prepared {
    /// Takes a message apart; `claim` takes over a draft's file.
    pub(super) fn new(
        message: Message,
        Promises { times, notice_failures }: Promises,
        claim: impl FnOnce(&Path) -> Result<Claim, SpoolError>,
    ) -> Result<Self, SpoolError> {
        if message.recipients.is_empty() {
            return Err(SpoolError::NoRecipient);
        }
        let class = message.body.class();
        let mut owed = Owed::of_notice(notice_failures);
        let (stored, content, file, mut bytes) = match message.body {
            Body::Notice(gathered) => (StoredBody::Notice(Box::new(Cow::Owned(*gathered))), None, None, 0),
            Body::Mail { reverse_path, content, submitted } => {
                let length = content.length();
                let (content, file, sha256) = match content {
                    Content::Inline(bytes) => (Some(bytes), None, None),
                    Content::File { path, .. } => {
                        let claim = claim(&path)?;
                        let sha256 = hex(&claim.seal.sha256);
                        (None, Some(claim), Some(sha256))
                    }
                };
                owed = Owed::by(reverse_path.as_deref(), submitted.reports);
                (StoredBody::Mail { reverse_path, length, sha256, submitted }, content, file, length)
            }
        };
        let body = encode(&stored);
        let recipients = number(message.recipients);
        for each in &recipients {
            let Recipient { to, mailbox, subject, dsn, .. } = &each.recipient;
            let optional = [mailbox, subject, &dsn.orcpt].into_iter().flatten();
            let text = optional.fold(to.len(), |sum, text| sum.saturating_add(text.len()));
            bytes = bytes.saturating_add(length_u64(text));
        }
        Ok(Self {
            accepted_at: message.accepted_at,
            expire: message.expire.unwrap_or(times.expire),
            priority: message.priority,
            class,
            rule: message.rule,
            // Only notices can be counted into one another.
            group: message.group.filter(|_| class == Class::Notice),
            checksum: checksum(&body, content.as_deref()),
            bytes: bytes.saturating_add(length_u64(body.len())),
            body,
            content,
            file,
            owed,
            late_at: times.delay_report.map(|after| later(message.accepted_at, after)),
            recipients,
        })
    }

    /// When the sender is told that a copy is late, where it asked for that.
    pub(super) fn delay_report_at(&self, dsn: &RecipientDsn) -> Option<Timestamp> {
        self.late_at.filter(|_| self.owed == Owed::Sender && dsn.notify().wants_delay())
    }

    /// Where its copies stand among others: lower goes first.
    pub(super) fn rank(&self) -> i64 {
        priority_number(self.priority).saturating_mul(2).saturating_add(class_number(self.class))
    }
}

/// What the column `body` holds, as JSON that a person can read.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum StoredBody<'a> {
    Notice(Box<Cow<'a, Gathered>>),
    Mail {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reverse_path: Option<String>,
        length: u64,
        /// Of the file, where the content is in one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sha256: Option<String>,
        /// Absent in format 1.
        #[serde(default, skip_serializing_if = "is_default")]
        submitted: Box<Submitted>,
    },
}

fn is_default(submitted: &Submitted) -> bool {
    *submitted == Submitted::default()
}

/// Who is told what became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owed {
    /// Its sender.
    Sender,
    /// The operator, of failures: it is a notice.
    Operator,
    Nobody,
}

impl Owed {
    fn by(reverse_path: Option<&str>, reports: Reports) -> Self {
        match (reverse_path, reports) {
            (Some(_), Reports::Owed) => Self::Sender,
            (None, _) | (_, Reports::None) => Self::Nobody,
        }
    }

    const fn of_notice(failures: NoticeFailures) -> Self {
        match failures {
            NoticeFailures::Told => Self::Operator,
            NoticeFailures::Kept => Self::Nobody,
        }
    }

    /// Whether a failure of this recipient is reported: then it may not fail without its report.
    pub(super) fn failure(self, dsn: &RecipientDsn) -> bool {
        match self {
            Self::Sender => dsn.notify().wants_failure(),
            Self::Operator => true,
            Self::Nobody => false,
        }
    }
}

pub(super) fn encode(body: &StoredBody<'_>) -> String {
    // Every key is a string and no part can fail to serialize; an empty body would be found out by its checksum.
    let text = serde_json::to_string(body);
    debug_assert!(text.is_ok(), "{text:?}");
    text.unwrap_or_default()
}

/// The body that `text` holds; `None` when it is not what was written.
pub(super) fn decode(text: &str, content: Option<&[u8]>, sum: &[u8]) -> Option<StoredBody<'static>> {
    if checksum(text, content) != sum {
        return None;
    }
    serde_json::from_str(text).ok()
}

pub(super) fn checksum(body: &str, content: Option<&[u8]>) -> [u8; 32] {
    let mut sum = Sha256::new();
    sum.update(body.as_bytes());
    sum.update(content.unwrap_or_default());
    sum.finalize().into()
}

pub(super) fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::with_capacity(octets.len().saturating_mul(2)), |mut text, byte| {
        text.extend([byte >> 4, byte & 15].map(|digit| char::from_digit(digit.into(), 16).unwrap_or('?')));
        text
    })
}

/// First copies in their order, then the standby copies of each.
fn number(recipients: Vec<Recipient>) -> Vec<PreparedRecipient> {
    let mut all = Vec::with_capacity(recipients.len());
    let mut chains = Vec::new();
    for (place, mut recipient) in (0..).zip(recipients) {
        chains.push((place, std::mem::take(&mut recipient.otherwise)));
        all.push(PreparedRecipient { recipient, standby: None });
    }
    for (first, chain) in chains {
        let mut before = first;
        for standby in chain {
            let number = u32::try_from(all.len()).unwrap_or(u32::MAX);
            let mut recipient = standby.recipient;
            recipient.otherwise.clear();
            all.push(PreparedRecipient { recipient, standby: Some((standby.after, before)) });
            before = number;
        }
    }
    all
}

/// `at` plus a time, at most the end of all time.
pub(super) fn later(at: Timestamp, by: Duration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

pub(super) fn micros(at: Timestamp) -> i64 {
    at.as_microsecond()
}

pub(super) fn length_u64(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

pub(super) const fn priority_number(priority: Priority) -> i64 {
    match priority {
        Priority::Urgent => 0,
        Priority::Normal => 1,
        Priority::Bulk => 2,
    }
}

pub(super) const fn class_number(class: Class) -> i64 {
    match class {
        Class::Notice => 0,
        Class::Mail => 1,
    }
}

pub(super) fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    let number: i64 = row.get(column)?;
    Timestamp::from_microsecond(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}

pub(super) fn maybe_time(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    row.get::<_, Option<i64>>(column)?.map(|_| time(row, column)).transpose()
}

pub(super) fn id(row: &Row<'_>, column: usize) -> rusqlite::Result<QueueId> {
    let number: i64 = row.get(column)?;
    QueueId::from_row(number).ok_or(rusqlite::Error::IntegralValueOutOfRange(column, number))
}

pub(super) fn name(row: &Row<'_>, column: usize) -> rusqlite::Result<DestinationName> {
    parsed(row, column, |text| DestinationName::new(text).ok())
}

/// The two columns `notify` and `orcpt`. Values that are none any more do not keep a message from its recipient.
pub(super) fn dsn(row: &Row<'_>, notify: usize, orcpt: usize) -> rusqlite::Result<RecipientDsn> {
    let text: Option<String> = row.get(notify)?;
    Ok(RecipientDsn { notify: text.and_then(|text| text.parse().ok()), orcpt: row.get(orcpt)? })
}

pub(super) fn rule(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<RuleName>> {
    // The rule is for people only: one that is no name any more does not keep a message from its recipients.
    Ok(row.get::<_, Option<String>>(column)?.and_then(|text| RuleName::new(&text).ok()))
}

pub(super) fn state(row: &Row<'_>, column: usize) -> rusqlite::Result<SpoolState> {
    parsed(row, column, |text| SpoolState::ALL.into_iter().find(|state| state.as_str() == text))
}

pub(super) fn priority(row: &Row<'_>, column: usize) -> rusqlite::Result<Priority> {
    let number: i64 = row.get(column)?;
    [Priority::Urgent, Priority::Normal, Priority::Bulk]
        .into_iter()
        .find(|&priority| priority_number(priority) == number)
        .ok_or(rusqlite::Error::IntegralValueOutOfRange(column, number))
}

pub(super) fn class(row: &Row<'_>, column: usize) -> rusqlite::Result<Class> {
    let number: i64 = row.get(column)?;
    [Class::Notice, Class::Mail]
        .into_iter()
        .find(|&class| class_number(class) == number)
        .ok_or(rusqlite::Error::IntegralValueOutOfRange(column, number))
}

fn parsed<T>(row: &Row<'_>, column: usize, parse: impl FnOnce(&str) -> Option<T>) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    let wrong = || rusqlite::Error::InvalidColumnType(column, text.clone(), Type::Text);
    parse(&text).ok_or_else(wrong)
}
