//! The content of a transaction on its way into the spool.

use jiff::Timestamp;

use super::client::Client;
use super::shared::Shared;
use crate::message::id::QueueId;
use crate::message::intake::{Intake, IntakeFacts, IntakeFault, Missing};
use crate::message::mail::{self, Body, Message, Priority, Submitted};
use crate::message::recipient::Recipient;
use crate::message::trace::{Origin, Trace};
use crate::policy::admission::Acquaintance;
use crate::policy::route::route_of;
use crate::session::smtp_server::{ContentFacts, Stored, Submission};
use crate::spool::{Draft, SpoolError};
use crate::wire::smtp::path::ReversePath;
use crate::wire::smtp::quirk::{Quirk, Quirks};

/// The content of one transaction while it comes. Dropped before [`Incoming::store`], it leaves nothing.
#[derive(Debug)]
pub(super) struct Incoming {
    intake: Intake,
    draft: Draft,
    octets: u64,
    account: Option<String>,
    fault: Option<SpoolError>,
}

/// A message that is in the spool, for the log.
#[derive(Debug)]
pub(super) struct Summary {
    /// Octets of content as the client sent them.
    pub octets: u64,
    /// The reverse-path.
    pub reverse_path: ReversePath,
    /// How many recipients it has.
    pub recipients: usize,
    /// What its header lacked.
    pub quirks: Quirks,
}

impl Incoming {
    /// Before the first octet; `transaction` is what the log knows it by.
    #[must_use]
    pub(super) fn begin(
        shared: &Shared,
        client: &Client,
        facts: ContentFacts,
        transaction: String,
    ) -> Box<Self> {
        let account = facts.principal.as_ref().map(|principal| principal.name().to_owned());
        let missing = if client.is_trusted() || account.is_some() { Missing::Added } else { Missing::Left };
        let trace = Trace {
            origin: Origin::Smtp {
                name: facts.client_name,
                address: client.address(),
                protocol: facts.protocol,
                tls: facts.tls.map(|tls| (tls.version, tls.cipher)),
                principal: account.clone(),
            },
            hostname: shared.hostname.to_string(),
            id: transaction,
            single_recipient: facts.single_recipient,
            at: now().to_zoned(shared.timezone.clone()),
        };
        Box::new(Self {
            intake: Intake::new(trace, missing),
            draft: shared.spool.draft(),
            octets: 0,
            account,
            fault: None,
        })
    }

    /// Takes the next octets. They go into the draft at once, which knows how much all may have in memory. A fault of the
    /// spool is kept for the end: the client is still sending, and hears of it then.
    pub(super) async fn take(&mut self, octets: &[u8]) {
        self.octets = self.octets.saturating_add(u64::try_from(octets.len()).unwrap_or(u64::MAX));
        if self.fault.is_none() {
            let mut ready = Vec::new();
            self.intake.push(octets, &mut ready);
            self.fault = self.draft.write(&ready).await.err();
        }
    }

    /// Makes the message durable.
    pub(super) async fn store(
        self: Box<Self>,
        shared: &Shared,
        client: &Client,
        submission: Submission,
    ) -> (Stored, Summary) {
        let mut told = Summary {
            octets: self.octets,
            reverse_path: submission.reverse_path.clone(),
            recipients: submission.recipients.len(),
            quirks: Quirks::NONE,
        };
        let stored = self.accept(shared, client, submission, &mut told.quirks).await;
        (stored, told)
    }

    async fn accept(
        self: Box<Self>,
        shared: &Shared,
        client: &Client,
        submission: Submission,
        quirks: &mut Quirks,
    ) -> Stored {
        let Self { intake, mut draft, account, fault, .. } = *self;
        let mut rest = Vec::new();
        match intake.finish(&mut rest) {
            Ok(facts) => *quirks = quirks_of(facts),
            Err(IntakeFault::Loop) => return Stored::Loop,
            Err(IntakeFault::HeaderTooLong) => return Stored::HeaderTooLong,
        }
        let Some(recipients) = recipients(shared, &submission) else { return Stored::Failed };
        let acquaintance = if account.is_some() { Acquaintance::Trusted } else { client.acquaintance() };
        let submitted = Submitted {
            ret: submission.ret,
            envid: submission.envid,
            smtputf8: submission.smtputf8,
            reports: shared.bounces.reports(acquaintance),
            client: Some(mail::Client {
                listener: client.listener().clone(),
                address: client.address(),
                principal: account,
            }),
        };
        let write = async {
            if let Some(fault) = fault {
                return Err(fault);
            }
            draft.write(&rest).await?;
            let content = draft.finish().await?;
            let reverse_path = reverse_path(submission.reverse_path);
            let body = Body::Mail { reverse_path, content, submitted: Box::new(submitted) };
            shared.spool.accept(message(body, recipients)).await
        };
        stored(shared, write.await)
    }
}

fn stored(shared: &Shared, accepted: Result<QueueId, SpoolError>) -> Stored {
    match accepted {
        Ok(id) => Stored::Accepted(id),
        Err(SpoolError::Full { .. }) => Stored::Full,
        Err(error) => {
            shared.tell_spool_fault(&error);
            Stored::Failed
        }
    }
}

fn message(body: Body, recipients: Vec<Recipient>) -> Message {
    Message {
        body,
        accepted_at: now(),
        expire: None,
        priority: Priority::Normal,
        rule: None,
        group: None,
        recipients,
    }
}

/// Where each recipient's copy goes; `None` where one has nowhere to go, which RCPT refused already.
fn recipients(shared: &Shared, submission: &Submission) -> Option<Vec<Recipient>> {
    let sender = match &submission.reverse_path {
        ReversePath::Null => None,
        ReversePath::Mailbox(mailbox) => Some(mailbox.as_str()),
    };
    let copies = submission.recipients.iter().map(|(forward_path, dsn)| {
        let mailbox = shared.relay.mailbox_of(forward_path, shared.postmaster.as_ref())?;
        let route = route_of(&shared.relay.routes, mailbox)?;
        Some(Recipient { dsn: dsn.clone(), ..route.copy(mailbox, sender) })
    });
    copies.collect()
}

fn quirks_of(facts: IntakeFacts) -> Quirks {
    let noted = [
        (facts.added_date, Quirk::MissingDate),
        (facts.added_message_id, Quirk::MissingMessageId),
        (facts.separated, Quirk::MissingHeader),
    ];
    noted.into_iter().filter_map(|(is_so, quirk)| is_so.then_some(quirk)).collect()
}

fn reverse_path(path: ReversePath) -> Option<String> {
    match path {
        ReversePath::Null => None,
        ReversePath::Mailbox(mailbox) => Some(mailbox.as_str().to_owned()),
    }
}

#[expect(clippy::disallowed_methods, reason = "the edge where the time of arrival is read")]
fn now() -> Timestamp {
    Timestamp::now()
}
