//! Taking messages in: into the stream, or while that does not answer into the local spool.

use futures_util::future::join_all;

use super::Shared;
use super::carried::{Carried, Text};
use super::commit::now;
use super::fault::Fault;
use super::key::{Heard, Key};
use super::link::{HEADERS, Session};
use super::record::Record;
use super::stream::Published;
use super::subject::Lane;
use crate::message::id::QueueId;
use crate::message::mail::{Class, Message};
use crate::spool::content::{Claim, Draft};
use crate::spool::error::SpoolError;

/// What became of a message that was offered to the stream.
enum Offered {
    Kept(QueueId),
    Refused(SpoolError),
    /// Whether the stream has it is not known, or it has not: the local spool takes it.
    Unsure(Box<Message>),
}

impl Shared {
    /// See [`crate::spool::Spool::accept_all`]. What the stream may have though its answer was lost, the local spool keeps
    /// under the same key, and finds out before it is offered again.
    pub(in crate::spool) async fn accept_all(
        &self,
        messages: Vec<Message>,
    ) -> Vec<Result<QueueId, SpoolError>> {
        let Some(session) = self.open_session() else { return self.accept_locally(messages).await };
        let mut answers = Vec::with_capacity(messages.len());
        let (mut unsure, mut places) = (Vec::new(), Vec::new());
        let offers = messages.into_iter().map(|message| self.offer(&session, message));
        for (place, offered) in join_all(offers).await.into_iter().enumerate() {
            answers.push(match offered {
                Offered::Kept(id) => Ok(id),
                Offered::Refused(error) => Err(error),
                Offered::Unsure(message) => {
                    unsure.push(*message);
                    places.push(place);
                    Err(SpoolError::Closed)
                }
            });
        }
        if !unsure.is_empty() {
            for (place, answer) in places.into_iter().zip(self.accept_locally(unsure).await) {
                if let Some(slot) = answers.get_mut(place) {
                    *slot = answer;
                }
            }
        }
        for error in answers.iter().filter_map(|answer| answer.as_ref().err()) {
            self.0.metrics.spool_refused(error.as_str(), 1);
        }
        answers
    }

    async fn accept_locally(&self, messages: Vec<Message>) -> Vec<Result<QueueId, SpoolError>> {
        let classes: Vec<Class> = messages.iter().map(|message| message.body.class()).collect();
        let answers = self.0.local.accept_all(messages).await;
        for (class, _) in classes.into_iter().zip(&answers).filter(|(_, answer)| answer.is_ok()) {
            self.0.metrics.spool_accepted(class, 1);
        }
        answers
    }

    /// Offers one message to the stream.
    async fn offer(&self, session: &Session, message: Message) -> Offered {
        let class = message.body.class();
        match self.publish(session, message.clone()).await {
            Ok((id, published)) => {
                if published == Published::New {
                    self.0.metrics.spool_accepted(class, 1);
                }
                Offered::Kept(id)
            }
            Err(NotPublished::Never(error)) => Offered::Refused(error),
            Err(NotPublished::Now(fault)) => {
                self.state().rest(now());
                tracing::debug!(%fault, "The local spool takes a message that the shared one did not.");
                Offered::Unsure(Box::new(message))
            }
        }
    }

    async fn publish(
        &self,
        session: &Session,
        message: Message,
    ) -> Result<(QueueId, Published), NotPublished> {
        let heard = Heard::of(&message.body);
        let mut drafts: Vec<Draft> = Vec::new();
        let prepared = self.0.local.prepare(message, &mut drafts).await.map_err(NotPublished::Never)?;
        let key = Key::of(heard, &prepared);
        let record = Record::of(&prepared, key, prepared.accepted_at);
        if let Some(path) = prepared.file.as_ref().map(Claim::path) {
            let mut file = tokio::fs::File::open(&path)
                .await
                .map_err(|error| NotPublished::Never(SpoolError::file("read", &path, error)))?;
            session.put_content(key, &mut file).await.map_err(NotPublished::Now)?;
        }
        let id = key.queue_id(prepared.accepted_at);
        let text = Text { body: prepared.body, content: prepared.content };
        let carried = Carried { id, record, group: prepared.group, text };
        let published = self.publish_carried(session, &carried).await?;
        Ok((id, published))
    }

    /// Publishes a message that is whole, to the lane that it belongs to.
    pub(super) async fn publish_carried(
        &self,
        session: &Session,
        carried: &Carried,
    ) -> Result<Published, NotPublished> {
        let size = carried.emit().len();
        // What becomes of its copies is kept apart, and needs more than they do now.
        let most = session.max_payload().saturating_sub(HEADERS);
        let size = if size > most.checked_div(4).unwrap_or_default() {
            size.max(carried.record.longest(&self.0.me))
        } else {
            size
        };
        if size > most {
            let what = format!(
                "a message to {} recipients needs {size} bytes and the servers take {most} (`max_payload`); raise it \
                 there, or send to fewer recipients at once",
                carried.record.copies.len()
            );
            return Err(NotPublished::Never(SpoolError::Group { op: "write to", what }));
        }
        let destinations = carried.record.destinations();
        let lane = match (destinations.len(), destinations.into_iter().next()) {
            (1, Some(destination)) => Lane::One(destination.clone()),
            _ => Lane::Several,
        };
        let published = session.publish(&lane, carried).await.map_err(NotPublished::Now)?;
        let bytes = carried.record.bytes.saturating_add(u64::try_from(HEADERS).unwrap_or_default());
        self.state().spend(bytes.saturating_mul(u64::try_from(self.0.plan.replicas).unwrap_or(1)));
        Ok(published)
    }
}

/// Why a message is not in the stream.
#[derive(Debug)]
pub(super) enum NotPublished {
    /// It cannot be kept there, nor elsewhere.
    Never(SpoolError),
    /// The stream did not say that it has it.
    Now(Fault),
}
