//! What senders of mail are told, and the operator of notices: outcomes and lateness become reports, ready to be kept with
//! the fates they tell of.
//!
//! A report goes by the routes to the reverse-path, as mail of its own with the null reverse-path: what becomes of it is
//! told nobody, so none can answer another. One that cannot be delivered stays as failed for the operator.

mod operator;

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use tokio::io::AsyncReadExt as _;

use super::outcome::{Handoff, Outcome, RecipientNumber};
use crate::config::settings::{Route, Settings};
use crate::message::compose::NO_HOSTNAME;
use crate::message::dsn::{
    Action, Alphabet, MAX_RETURNED, MAX_RETURNED_HEADER, Notification, RecipientStatus, Ret, Returned,
};
use crate::message::id::QueueId;
use crate::message::mail::{Body, Content, Message, Priority, Reports, Spooled, Submitted};
use crate::message::recipient::{EnhancedStatus, Recipient};
use crate::policy::operator::OperatorPolicy;
use crate::policy::route::route_of;
use crate::spool::{FateReport, Lateness, Overdue, Spool};
use crate::telemetry::metrics::{Metrics, ReportKind, ReportOutcome};
use crate::wire::smtp::path::Mailbox;
use crate::wire::smtp::xtext;

/// Makes reports; one for all destinations.
#[derive(Debug, Clone)]
pub struct Reporter {
    hostname: String,
    site: String,
    timezone: TimeZone,
    postmaster: Option<Mailbox>,
    operator: OperatorPolicy,
    routes: Vec<Route>,
    metrics: Arc<Metrics>,
}

/// A mail whose sender is told what becomes of it.
struct Told<'a> {
    message: &'a Spooled,
    sender: Mailbox,
    content: &'a Content,
    submitted: &'a Submitted,
}

/// A status, and the copy that has it.
struct About {
    number: RecipientNumber,
    status: RecipientStatus,
}

impl Reporter {
    /// Reports of a configuration.
    #[must_use]
    pub fn of(settings: &Settings, metrics: &Arc<Metrics>) -> Self {
        Self {
            hostname: settings.hostname.clone().unwrap_or_else(|| NO_HOSTNAME.to_owned()),
            site: settings.site.clone(),
            timezone: settings.timezone.clone(),
            postmaster: settings.smtp.postmaster.clone(),
            operator: settings.operator.clone(),
            routes: settings.smtp.relay.routes.clone(),
            metrics: Arc::clone(metrics),
        }
    }

    /// The reports about an attempt: failures, and of mail successes where they are wanted and no next hop tells of them.
    /// `host` is who was asked.
    pub(super) async fn on_outcomes(
        &self,
        spool: &Spool,
        message: &Spooled,
        recipients: &[(RecipientNumber, Recipient)],
        outcomes: &[(RecipientNumber, Outcome)],
        host: Option<&str>,
        at: Timestamp,
    ) -> Vec<FateReport> {
        match &message.body {
            Body::Notice(gathered) => {
                let failures = operator::failures(recipients, outcomes);
                self.tell_operator(spool, (message, gathered), failures, host, at).await
            }
            Body::Mail { .. } => {
                let report = self.sender_on_outcomes(message, recipients, outcomes, host, at).await;
                report.into_iter().collect()
            }
        }
    }

    /// The reports about copies of one message that are late or given up.
    pub(super) async fn on_overdue(
        &self,
        spool: &Spool,
        message: &Spooled,
        overdue: &[Overdue],
        at: Timestamp,
    ) -> Vec<FateReport> {
        match &message.body {
            Body::Notice(gathered) => {
                let failures = operator::expired(overdue);
                self.tell_operator(spool, (message, gathered), failures, None, at).await
            }
            Body::Mail { .. } => self.sender_on_overdue(message, overdue, at).await.into_iter().collect(),
        }
    }

    async fn sender_on_outcomes(
        &self,
        message: &Spooled,
        recipients: &[(RecipientNumber, Recipient)],
        outcomes: &[(RecipientNumber, Outcome)],
        host: Option<&str>,
        at: Timestamp,
    ) -> Option<FateReport> {
        let told = Told::of(message)?;
        let about = outcomes.iter().filter_map(|(number, outcome)| {
            let (_, recipient) = recipients.iter().find(|(each, _)| each == number)?;
            let (action, status, text) = worth_telling(outcome, recipient)?;
            let status = RecipientStatus {
                address: address(recipient),
                orcpt: recipient.dsn.orcpt.clone(),
                action,
                status,
                remote_mta: host.map(str::to_owned),
                diagnostic: text.to_owned(),
                last_attempt: self.zoned(at),
            };
            Some(About { number: *number, status })
        });
        self.compose(&told, about.collect(), at).await
    }

    async fn sender_on_overdue(
        &self,
        message: &Spooled,
        overdue: &[Overdue],
        at: Timestamp,
    ) -> Option<FateReport> {
        let told = Told::of(message)?;
        let about = overdue.iter().map(|copy| {
            let (action, status) = match copy.lateness {
                Lateness::Expired => (Action::Failed, EXPIRED),
                Lateness::Late => {
                    (Action::Delayed { until: self.zoned(copy.expires_at) }, copy.status.unwrap_or(NOT_YET))
                }
            };
            let status = RecipientStatus {
                address: address(&copy.recipient),
                orcpt: copy.recipient.dsn.orcpt.clone(),
                action,
                status,
                remote_mta: None,
                diagnostic: copy.text.clone().unwrap_or_default(),
                last_attempt: self.zoned(copy.settled_at.unwrap_or(at)),
            };
            About { number: copy.number, status }
        });
        self.compose(&told, about.collect(), at).await
    }

    async fn compose(&self, told: &Told<'_>, about: Vec<About>, at: Timestamp) -> Option<FateReport> {
        if about.is_empty() {
            return None;
        }
        let id = told.message.id;
        let kind = kind_of(&about);
        let Some(route) = route_of(&self.routes, &told.sender) else {
            self.metrics.report(kind, ReportOutcome::NoRoute);
            tracing::warn!(%id, "A sender cannot be told what became of its mail: no route leads to it.");
            return None;
        };
        let failed = kind == ReportKind::Failed;
        let (numbers, statuses): (Vec<_>, Vec<_>) =
            about.into_iter().map(|about| (about.number, about.status)).unzip();
        let alphabet = told.alphabet();
        let notification = Notification {
            hostname: &self.hostname,
            postmaster: self.postmaster.as_ref().filter(|postmaster| !postmaster.needs_smtputf8()),
            sender: &told.sender,
            id: &format!("{id}.{}.dsn", at.as_microsecond()),
            at: &self.zoned(at),
            accepted_at: &self.zoned(told.message.accepted_at),
            envid: told.submitted.envid.as_deref(),
            alphabet,
            recipients: &statuses,
            returned: told
                .returned(if failed { told.submitted.ret.unwrap_or(Ret::Full) } else { Ret::Headers })
                .await,
        };
        let content = Content::Inline(notification.compose());
        tracing::debug!(%id, recipients = numbers.len(), "The sender of a mail is told what became of it.");
        let mut recipients = vec![route.copy(&told.sender, None)];
        if failed {
            recipients.extend(self.postmasters_copy(&told.sender));
        }
        let submitted = Submitted { smtputf8: alphabet == Alphabet::Utf8, ..Submitted::default() };
        let message = report(content, submitted, recipients, at);
        Some(FateReport { message, kind, about: ids(id, numbers), pace: None })
    }

    /// Failures go to the postmaster too, where there is one.
    fn postmasters_copy(&self, sender: &Mailbox) -> Option<Recipient> {
        let postmaster = self.postmaster.as_ref().filter(|postmaster| *postmaster != sender)?;
        let route = route_of(&self.routes, postmaster)?;
        Some(route.copy(postmaster, None))
    }

    fn zoned(&self, at: Timestamp) -> Zoned {
        at.to_zoned(self.timezone.clone())
    }
}

impl<'a> Told<'a> {
    /// `None` where nobody is owed anything.
    fn of(message: &'a Spooled) -> Option<Self> {
        let Body::Mail { reverse_path: Some(sender), content, submitted } = &message.body else {
            return None;
        };
        let sender = Mailbox::parse(sender).ok().filter(|_| submitted.reports == Reports::Owed)?;
        Some(Self { message, sender, content, submitted })
    }

    fn alphabet(&self) -> Alphabet {
        let utf8 = self.submitted.smtputf8 || self.sender.needs_smtputf8();
        if utf8 { Alphabet::Utf8 } else { Alphabet::Ascii }
    }

    /// What goes back. A content that cannot be read does not keep the report.
    async fn returned(&self, wanted: Ret) -> Returned {
        let whole = wanted == Ret::Full && self.content.length() <= MAX_RETURNED;
        let limit = if whole { MAX_RETURNED } else { u64::try_from(MAX_RETURNED_HEADER).unwrap_or(u64::MAX) };
        let bytes = beginning(self.content, limit).await.unwrap_or_else(|error| {
            tracing::warn!(id = %self.message.id, "A report goes without the message, which cannot be read: {error}");
            Bytes::new()
        });
        if whole { Returned::Message(bytes) } else { Returned::Header(header(&bytes)) }
    }
}

/// The mailbox that a copy is for. Of one that an earlier version kept for a folder, only what RCPT said of it tells.
fn address(recipient: &Recipient) -> String {
    let original = || xtext::parse(recipient.dsn.orcpt.as_deref()?.split_once(';')?.1);
    let named = recipient.mailbox().map(str::to_owned);
    named.or_else(original).unwrap_or_else(|| recipient.to.clone())
}

fn kind_of(about: &[About]) -> ReportKind {
    let is = |kind: fn(&Action) -> bool| about.iter().any(|about| kind(&about.status.action));
    if is(|action| matches!(action, Action::Failed)) {
        ReportKind::Failed
    } else if is(|action| matches!(action, Action::Delayed { .. })) {
        ReportKind::Delayed
    } else {
        ReportKind::Delivered
    }
}

/// What there is to tell of an outcome, if that is wanted.
fn worth_telling<'o>(
    outcome: &'o Outcome,
    recipient: &Recipient,
) -> Option<(Action, EnhancedStatus, &'o str)> {
    let notify = recipient.dsn.notify();
    match outcome {
        Outcome::Failed { status, text } => notify.wants_failure().then_some((Action::Failed, *status, text)),
        Outcome::Delivered { text, handoff } if notify.wants_success() => match handoff {
            Handoff::Final => Some((Action::Delivered, DELIVERED, "")),
            Handoff::Silent => Some((Action::Relayed, DELIVERED, text)),
            Handoff::Reporting => None,
        },
        Outcome::Delivered { .. } | Outcome::Delayed { .. } => None,
    }
}

fn report(content: Content, submitted: Submitted, recipients: Vec<Recipient>, at: Timestamp) -> Message {
    Message {
        body: Body::Mail { reverse_path: None, content, submitted: Box::new(submitted) },
        accepted_at: at,
        expire: None,
        priority: Priority::Normal,
        rule: None,
        group: None,
        recipients,
    }
}

fn ids(id: QueueId, numbers: Vec<RecipientNumber>) -> Vec<(QueueId, RecipientNumber)> {
    numbers.into_iter().map(|number| (id, number)).collect()
}

async fn beginning(content: &Content, limit: u64) -> io::Result<Bytes> {
    match content {
        Content::Inline(bytes) => {
            Ok(bytes.slice(..bytes.len().min(usize::try_from(limit).unwrap_or(usize::MAX))))
        }
        Content::File { path, .. } => {
            let mut bytes = Vec::new();
            tokio::fs::File::open(path).await?.take(limit).read_to_end(&mut bytes).await?;
            Ok(bytes.into())
        }
    }
}

/// The header in the beginning of a message, whole lines only.
fn header(bytes: &Bytes) -> Bytes {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at.saturating_add(2));
    let line = || bytes.windows(2).rposition(|two| two == b"\r\n").map(|at| at.saturating_add(2));
    bytes.slice(..end.or_else(line).unwrap_or_default())
}

/// RFC 3463 §3.5: delivery time expired.
const EXPIRED: EnhancedStatus = EnhancedStatus::new(4, 4, 7);

/// No attempt has met anything yet.
const NOT_YET: EnhancedStatus = EnhancedStatus::new(4, 4, 0);

const DELIVERED: EnhancedStatus = EnhancedStatus::new(2, 0, 0);
