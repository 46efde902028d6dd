//! What is asked of the stream: to keep a message, to find one, to hand some out, to hear what became of them.

use async_nats::jetstream;
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::message::{PublishMessage, StreamMessage};
use async_nats::jetstream::stream::{self, DeleteMessageErrorKind, RawMessageErrorKind};
use futures_util::TryStreamExt as _;

use super::carried::Carried;
use super::fault::Fault;
use super::link::{ACK_WAIT, Session, WITHIN};
use super::position::{Life, Position};
use super::subject::{self, Lane};

/// What became of a message that was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Published {
    /// It is in the stream.
    New,
    /// Another with its key was, a moment before.
    Repeat,
}

/// How far a consumer is.
#[derive(Debug)]
pub(super) struct Progress {
    pub(super) name: String,
    /// Messages that are not dealt with.
    pub(super) waiting: u64,
    /// Up to this number it hands out nothing any more, and waits to hear of nothing.
    pub(super) floor: u64,
}

impl Session {
    /// Keeps a message: with this, it is accepted. A repeat within the duplicate window is the one that is there.
    pub(super) async fn publish(&self, lane: &Lane, carried: &Carried) -> Result<Published, Fault> {
        let Carried { id, record, .. } = carried;
        let message = PublishMessage::build()
            .payload(carried.emit())
            .message_id(record.key.to_string())
            .expected_stream(subject::STREAM);
        let sent = self.context.send_publish(lane.subject(record.rank(), *id, record.key), message).await;
        let answer = match sent {
            Ok(answer) => answer.await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(ack) if ack.duplicate => Ok(Published::Repeat),
            Ok(_) => Ok(Published::New),
            Err(error) => Err(Fault::of_publish(&error)),
        }
    }

    /// The message of the stream that one of the subjects in `filter` has, the latest of several.
    pub(super) async fn find(&self, filter: String) -> Result<Option<StreamMessage>, Fault> {
        match self.stream.get_last_raw_message_by_subject(&filter).await {
            Ok(message) => Ok(Some(message)),
            Err(error) if is_missing(&error.kind()) => Ok(None),
            Err(error) => Err(Fault::lost(error)),
        }
    }

    /// The first message of the stream from `sequence` on with a subject in `filter`.
    pub(super) async fn next(&self, filter: &str, sequence: u64) -> Result<Option<StreamMessage>, Fault> {
        let builder = self.stream.raw_message_builder().sequence(sequence).next_by_subject(filter.to_owned());
        match builder.send().await {
            Ok(message) => Ok(Some(message)),
            Err(error) if is_missing(&error.kind()) => Ok(None),
            Err(error) => Err(Fault::lost(error)),
        }
    }

    /// Whether the stream still has a message.
    pub(super) async fn has(&self, position: Position) -> Result<bool, Fault> {
        match self.stream.get_raw_message(position.sequence()).await {
            Ok(message) => Ok(Position::of_found(&message) == position),
            Err(error) if is_missing(&error.kind()) => Ok(false),
            Err(error) => Err(Fault::lost(error)),
        }
    }

    /// Takes a message out of the stream if it is still there.
    pub(super) async fn remove(&self, position: Position) -> Result<(), Fault> {
        if !self.has(position).await? {
            return Ok(());
        }
        match self.stream.delete_message(position.sequence()).await {
            Ok(_) => Ok(()),
            Err(error) => match error.kind() {
                DeleteMessageErrorKind::JetStream(_) => Ok(()),
                DeleteMessageErrorKind::Request | DeleteMessageErrorKind::TimedOut => Err(Fault::lost(error)),
            },
        }
    }

    /// Tells the stream that a message is done with, or carried on elsewhere; returns when it has heard.
    pub(super) async fn acknowledge(&self, reply: &str) -> Result<(), Fault> {
        let asked = self.connection.client().request(reply.to_owned(), "+ACK".into());
        match tokio::time::timeout(WITHIN, asked).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => {
                // Nobody listens there any more where the stream was made anew.
                self.look().await?;
                Err(Fault::lost(error))
            }
            Err(_) => Err(Fault::lost("the stream did not confirm an acknowledgement")),
        }
    }

    /// Asks for more time, or gives a message back; nobody waits for an answer.
    pub(super) async fn tell(&self, reply: &str, what: &'static str) {
        // A server that does not hear it hands the message out again after its time, which is the same in the end.
        drop(self.connection.client().publish(reply.to_owned(), what.into()).await);
    }

    /// The consumer that one lane's messages are pulled with.
    pub(super) async fn consumer(&self, lane: &Lane) -> Result<PullConsumer, Fault> {
        let name = lane.consumer(self.life);
        let config = pull::Config {
            durable_name: Some(name.clone()),
            filter_subject: lane.filter(),
            ack_policy: AckPolicy::Explicit,
            ack_wait: ACK_WAIT,
            max_ack_pending: MAX_ACK_PENDING,
            ..pull::Config::default()
        };
        self.look().await?;
        let consumer = self.stream.get_or_create_consumer(&name, config).await.map_err(Fault::lost)?;
        if let Err(fault) = self.look().await {
            // It must not take what is meant for the consumer of another stream.
            self.remove_consumer(&name).await;
            return Err(fault);
        }
        Ok(consumer)
    }

    /// Each consumer of the stream.
    pub(super) async fn progress(&self) -> Result<Vec<Progress>, Fault> {
        let mut consumers = self.stream.consumers();
        let mut found = Vec::new();
        while let Some(info) = consumers.try_next().await.map_err(Fault::lost)? {
            let unacknowledged = u64::try_from(info.num_ack_pending).unwrap_or(u64::MAX);
            found.push(Progress {
                name: info.name,
                waiting: info.num_pending.saturating_add(unacknowledged),
                floor: info.ack_floor.stream_sequence,
            });
        }
        Ok(found)
    }

    /// Removes the consumers of streams that are no more, which were restored with this one.
    pub(super) async fn remove_strange_consumers(&self) -> Result<(), Fault> {
        let mut names = self.stream.consumer_names();
        while let Some(name) = names.try_next().await.map_err(Fault::lost)? {
            if Lane::of_consumer(&name).is_some_and(|lane| lane.consumer(self.life) != name) {
                self.remove_consumer(&name).await;
            }
        }
        Ok(())
    }

    /// How the stream stands.
    ///
    /// # Errors
    /// [`Fault::Replaced`] too, when it is not the one any more that this session found; the session ends with that.
    pub(super) async fn look(&self) -> Result<stream::Info, Fault> {
        let before = self.counted.so_far();
        let info = self.stream.get_info().await.map_err(Fault::lost)?;
        let same = Life::since(info.created.unix_timestamp_nanos()) == self.life;
        if self.counted.goes_on(before, info.state.last_sequence) && same {
            return Ok(info);
        }
        self.replaced.notify_one();
        Err(Fault::Replaced)
    }

    async fn remove_consumer(&self, name: &str) {
        // One that stays keeps messages from another for a while, and is found again after the next connection.
        if let Err(error) = self.stream.delete_consumer(name).await {
            tracing::debug!(name, %error, "A consumer of the shared spool is not removed.");
        }
    }
}

pub(super) fn is_missing(kind: &RawMessageErrorKind) -> bool {
    match kind {
        RawMessageErrorKind::NoMessageFound => true,
        RawMessageErrorKind::JetStream(error) => error.error_code() == jetstream::ErrorCode::NO_MESSAGE_FOUND,
        RawMessageErrorKind::InvalidSubject | RawMessageErrorKind::Other => false,
    }
}

/// Messages of one lane with all gateways together; deferred ones are not among them.
const MAX_ACK_PENDING: i64 = 4096;
