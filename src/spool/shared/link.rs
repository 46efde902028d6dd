//! JetStream as this spool uses it: one stream, three key-value buckets, one Object Store bucket, over one connection.
//!
//! Every question has a deadline; an answer that does not come is a [`Fault::Lost`], and whoever asked tries again over
//! the next connection. Nothing here decides what a message's fate is.

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::kv::{self, Operation};
use async_nats::jetstream::message::{PublishMessage, StreamMessage};
use async_nats::jetstream::object_store::{self, ObjectStore};
use async_nats::jetstream::stream::{
    self, DeleteMessageErrorKind, DiscardPolicy, RawMessageErrorKind, RetentionPolicy, StorageType, Stream,
};
use async_nats::jetstream::{self, Context};
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use tokio::io::AsyncRead;

use super::GroupPlan;
use super::carried::{Carried, Text};
use super::ids::Sightings;
use super::key::Key;
use super::record::Record;
use super::subject::{self, Entry, Lane};
use crate::message::id::QueueId;
use crate::net::nats::Connection;
use crate::spool::error::SpoolError;

/// One connection, with all that is asked over it.
#[derive(Clone)]
pub(super) struct Session {
    pub(super) connection: Connection,
    pub(super) context: Context,
    pub(super) stream: Stream<()>,
    pub(super) queue: kv::Store,
    ids: kv::Store,
    pub(super) group: kv::Store,
    content: ObjectStore,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("servers", &self.connection.named()).finish_non_exhaustive()
    }
}

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    /// Another gateway wrote first, or removed it.
    #[error("another gateway changed it")]
    Conflict,
    /// The stream or a bucket has no room.
    #[error("{0}")]
    Full(String),
    /// No answer, or none that says whether it was done.
    #[error("{0}")]
    Lost(String),
}

impl Fault {
    pub(super) fn lost(error: impl fmt::Display) -> Self {
        Self::Lost(error.to_string())
    }

    /// For those who asked the spool.
    pub(super) fn in_spool(self, op: &'static str) -> SpoolError {
        SpoolError::Group { op, what: self.to_string() }
    }
}

impl Session {
    /// Makes stream and buckets where they are absent.
    pub(super) async fn open(connection: Connection, plan: &GroupPlan) -> Result<Self, Fault> {
        let context = connection.jetstream(WITHIN, IN_FLIGHT);
        let stream = spool_stream(&context, plan).await?;
        let queue = key_value(&context, subject::QUEUE, Duration::ZERO, plan.replicas).await?;
        let ids = key_value(&context, subject::IDS, IDS_KEPT, plan.replicas).await?;
        let group = key_value(&context, subject::GROUP, LEASE, plan.replicas).await?;
        let content = content(&context, plan.replicas).await?;
        Ok(Self { connection, context, stream, queue, ids, group, content })
    }

    /// The most that one message of the stream may have, in bytes.
    pub(super) fn max_payload(&self) -> usize {
        self.connection.client().server_info().max_payload
    }

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
            Err(error) => Err(publish_fault(&error)),
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

    /// Takes a message out of the stream if it is still there.
    pub(super) async fn remove(&self, id: QueueId, sequence: u64) -> Result<(), Fault> {
        match self.find(subject::by_id(id)).await? {
            Some(message) if message.sequence == sequence => {}
            Some(_) | None => return Ok(()),
        }
        match self.stream.delete_message(sequence).await {
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
            Ok(Err(error)) => Err(Fault::lost(error)),
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
        let config = pull::Config {
            durable_name: Some(lane.consumer()),
            filter_subject: lane.filter(),
            ack_policy: AckPolicy::Explicit,
            ack_wait: ACK_WAIT,
            max_ack_pending: MAX_ACK_PENDING,
            ..pull::Config::default()
        };
        self.stream.get_or_create_consumer(&lane.consumer(), config).await.map_err(Fault::lost)
    }

    /// Body and content of a message in the queue bucket.
    pub(super) async fn text(&self, id: QueueId) -> Result<Option<(Bytes, u64)>, Fault> {
        self.entry(&self.queue, &Entry::Message(id).to_string()).await
    }

    /// Writes body and content; what is there already is the same.
    pub(super) async fn put_text(&self, id: QueueId, text: &Text) -> Result<(), Fault> {
        match self.create(&self.queue, &Entry::Message(id).to_string(), text.emit()).await {
            Ok(_) | Err(Fault::Conflict) => Ok(()),
            Err(fault) => Err(fault),
        }
    }

    /// The fates of a message's copies, and their revision.
    pub(super) async fn record(&self, id: QueueId) -> Result<Option<(Record, u64)>, Fault> {
        let Some((value, revision)) = self.entry(&self.queue, &Entry::Copies(id).to_string()).await? else {
            return Ok(None);
        };
        serde_json::from_slice(&value).map(|record| Some((record, revision))).map_err(Fault::lost)
    }

    /// Writes fates where there are none.
    pub(super) async fn create_record(&self, id: QueueId, record: &Record) -> Result<u64, Fault> {
        self.create(&self.queue, &Entry::Copies(id).to_string(), json(record)).await
    }

    /// Writes fates over those of a revision.
    pub(super) async fn update_record(
        &self,
        id: QueueId,
        record: &Record,
        revision: u64,
    ) -> Result<u64, Fault> {
        self.update(&self.queue, &Entry::Copies(id).to_string(), json(record), revision).await
    }

    /// Removes fates of a revision, and body and content.
    pub(super) async fn remove_record(&self, id: QueueId, revision: u64) -> Result<(), Fault> {
        let key = Entry::Copies(id).to_string();
        match self.queue.purge_expect_revision(&key, Some(revision)).await {
            Ok(()) => {}
            Err(error) => return Err(self.why_not(&self.queue, &key, revision, &error).await),
        }
        self.bury(&Entry::Message(id).to_string(), u64::MAX).await
    }

    /// Removes a key of the queue bucket as it was up to a revision, with the mark that its removal left; nobody hears of it.
    pub(super) async fn bury(&self, key: &str, revision: u64) -> Result<(), Fault> {
        let subject = format!("$KV.{}.{key}", subject::QUEUE);
        let stream = self.queue.stream.clone();
        let purged = match revision.checked_add(1) {
            Some(next) => stream.purge().filter(subject).sequence(next).await,
            None => stream.purge().filter(subject).await,
        };
        purged.map(drop).map_err(Fault::lost)
    }

    /// The keys of the queue bucket that begin so.
    pub(super) async fn keys(&self, prefix: &str) -> Result<Vec<String>, Fault> {
        let all = format!("$KV.{}.", subject::QUEUE);
        let filter = format!("{all}{prefix}>");
        let mut subjects = self.queue.stream.info_with_subjects(filter).await.map_err(Fault::lost)?;
        let mut keys = Vec::new();
        while let Some((subject, _)) = subjects.try_next().await.map_err(Fault::lost)? {
            keys.extend(subject.strip_prefix(&all).map(str::to_owned));
        }
        Ok(keys)
    }

    /// Each consumer of the stream, and how many messages it has that are not dealt with.
    pub(super) async fn waiting(&self) -> Result<Vec<(String, u64)>, Fault> {
        let mut consumers = self.stream.consumers();
        let mut found = Vec::new();
        while let Some(info) = consumers.try_next().await.map_err(Fault::lost)? {
            let unacknowledged = u64::try_from(info.num_ack_pending).unwrap_or(u64::MAX);
            found.push((info.name, info.num_pending.saturating_add(unacknowledged)));
        }
        Ok(found)
    }

    /// Bytes in the stream.
    pub(super) async fn bytes(&self) -> Result<u64, Fault> {
        Ok(self.stream.get_info().await.map_err(Fault::lost)?.state.bytes)
    }

    /// What is known of a key: when it was heard and which message of the stream had it.
    pub(super) async fn sightings(&self, key: Key) -> Result<Option<Sightings>, Fault> {
        let Some((value, _)) = self.entry(&self.ids, &key.to_string()).await? else { return Ok(None) };
        Ok(serde_json::from_slice(&value).ok())
    }

    /// Notes that a message with this key was taken out of the stream, before it is.
    pub(super) async fn note(&self, key: Key, seen: Sightings) -> Result<(), Fault> {
        let name = key.to_string();
        match self.create(&self.ids, &name, json(&seen)).await {
            Err(Fault::Conflict) => {}
            other => return other.map(drop),
        }
        for _ in 0..TRIES {
            let Some((value, revision)) = self.entry(&self.ids, &name).await? else {
                return self.create(&self.ids, &name, json(&seen)).await.map(drop);
            };
            let before: Option<Sightings> = serde_json::from_slice(&value).ok();
            let all = before.map_or_else(|| seen.clone(), |before| before.and(&seen));
            match self.update(&self.ids, &name, json(&all), revision).await {
                Err(Fault::Conflict) => {}
                other => return other.map(drop),
            }
        }
        Err(Fault::Conflict)
    }

    /// Writes content into the Object Store under a key.
    pub(super) async fn put_content(
        &self,
        key: Key,
        content: &mut (impl AsyncRead + Unpin),
    ) -> Result<(), Fault> {
        let name = key.to_string();
        let put = self.content.put(name.as_str(), content);
        match tokio::time::timeout(CONTENT_WITHIN, put).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(Fault::lost(error)),
            Err(_) => Err(Fault::lost("the Object Store did not take a content in time")),
        }
    }

    /// Content from the Object Store.
    pub(super) async fn content(&self, key: Key) -> Result<Option<object_store::Object>, Fault> {
        match self.content.get(key.to_string()).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.kind() == object_store::GetErrorKind::NotFound => Ok(None),
            Err(error) => Err(Fault::lost(error)),
        }
    }

    /// Removes content, with the mark that a removal leaves.
    pub(super) async fn remove_content(&self, key: Key) -> Result<(), Fault> {
        self.remove_content_of(key, i64::MAX).await.map(drop)
    }

    /// The same, unless it was written after `oldest`, in seconds since 1970; whether it was removed.
    pub(super) async fn remove_content_of(&self, key: Key, oldest: i64) -> Result<bool, Fault> {
        let info = match self.content.info(key.to_string()).await {
            Ok(info) => info,
            Err(error) if error.kind() == object_store::InfoErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(Fault::lost(error)),
        };
        if info.modified.is_some_and(|at| at.unix_timestamp() > oldest) {
            return Ok(false);
        }
        let stream =
            self.context.get_stream(format!("OBJ_{}", subject::CONTENT)).await.map_err(Fault::lost)?;
        stream
            .purge()
            .filter(format!("$O.{}.C.{}", subject::CONTENT, info.nuid))
            .await
            .map_err(Fault::lost)?;
        let name = object_name(&key.to_string());
        stream.purge().filter(format!("$O.{}.M.{name}", subject::CONTENT)).await.map_err(Fault::lost)?;
        Ok(true)
    }

    /// All contents, and when each was written, in seconds since 1970.
    pub(super) async fn contents(&self) -> Result<Vec<(Key, i64)>, Fault> {
        let mut list = self.content.list().await.map_err(Fault::lost)?;
        let mut found = Vec::new();
        while let Some(object) = list.try_next().await.map_err(Fault::lost)? {
            if let (Ok(key), Some(at)) = (object.name.parse(), object.modified) {
                found.push((key, at.unix_timestamp()));
            }
        }
        Ok(found)
    }

    /// Who has written that it lives.
    pub(super) async fn living(&self) -> Result<HashSet<String>, Fault> {
        let prefix = format!("$KV.{}.member.", subject::GROUP);
        let mut subjects =
            self.group.stream.info_with_subjects(format!("{prefix}>")).await.map_err(Fault::lost)?;
        let mut living = HashSet::new();
        while let Some((subject, _)) = subjects.try_next().await.map_err(Fault::lost)? {
            living.extend(subject.strip_prefix(&prefix).map(str::to_owned));
        }
        Ok(living)
    }

    /// The value of a key and its revision.
    pub(super) async fn entry(&self, store: &kv::Store, key: &str) -> Result<Option<(Bytes, u64)>, Fault> {
        match store.entry(key).await {
            Ok(Some(entry)) if entry.operation == Operation::Put => Ok(Some((entry.value, entry.revision))),
            Ok(_) => Ok(None),
            Err(error) => Err(Fault::lost(error)),
        }
    }

    /// Writes a key that is absent.
    pub(super) async fn create(&self, store: &kv::Store, key: &str, value: Bytes) -> Result<u64, Fault> {
        match store.create(key, value).await {
            Ok(revision) => Ok(revision),
            Err(error) if error.kind() == kv::CreateErrorKind::AlreadyExists => Err(Fault::Conflict),
            Err(error) => Err(Fault::lost(error)),
        }
    }

    /// Writes a key over a revision of it.
    pub(super) async fn update(
        &self,
        store: &kv::Store,
        key: &str,
        value: Bytes,
        revision: u64,
    ) -> Result<u64, Fault> {
        match store.update(key, value, revision).await {
            Ok(revision) => Ok(revision),
            Err(error) if error.kind() == kv::UpdateErrorKind::WrongLastRevision => Err(Fault::Conflict),
            Err(error) => Err(Fault::lost(error)),
        }
    }

    /// Whether a removal was refused because of its revision; the client does not say.
    async fn why_not(&self, store: &kv::Store, key: &str, revision: u64, error: &impl fmt::Display) -> Fault {
        match self.entry(store, key).await {
            Ok(Some((_, now))) if now == revision => Fault::lost(error),
            Ok(_) => Fault::Conflict,
            Err(fault) => fault,
        }
    }
}

/// What became of a message that was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Published {
    /// It is in the stream.
    New,
    /// Another with its key was, a moment before.
    Repeat,
}

async fn spool_stream(context: &Context, plan: &GroupPlan) -> Result<Stream<()>, Fault> {
    let wanted = stream::Config {
        name: subject::STREAM.to_owned(),
        description: Some("mailslotd: accepted messages that are not delivered yet".to_owned()),
        subjects: vec![subject::ALL.to_owned()],
        retention: RetentionPolicy::WorkQueue,
        discard: DiscardPolicy::New,
        storage: StorageType::File,
        num_replicas: plan.replicas,
        duplicate_window: plan.dedup_window.max(SHORTEST_WINDOW),
        max_bytes: plan.max_bytes.map_or(-1, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX)),
        ..stream::Config::default()
    };
    let mut there = context.get_or_create_stream(wanted.clone()).await.map_err(Fault::lost)?;
    let config = there.info().await.map_err(Fault::lost)?.config.clone();
    if config.retention != RetentionPolicy::WorkQueue {
        let what =
            format!("the stream {} is another program's: it has no work-queue retention", subject::STREAM);
        return Err(Fault::Lost(what));
    }
    let figures = |config: &stream::Config| (config.num_replicas, config.duplicate_window, config.max_bytes);
    if figures(&config) != figures(&wanted) {
        context.update_stream(wanted).await.map_err(Fault::lost)?;
    }
    context.get_stream_no_info(subject::STREAM).await.map_err(Fault::lost)
}

/// A bucket as the client makes it, but that all reads go to its leader: what was just written is found, over whichever
/// server one asks. (The client's own way asks older servers for what they do not say.)
async fn key_value(
    context: &Context,
    name: &str,
    max_age: Duration,
    num_replicas: usize,
) -> Result<kv::Store, Fault> {
    let window = if max_age.is_zero() { BUCKET_WINDOW } else { BUCKET_WINDOW.min(max_age) };
    let config = stream::Config {
        subjects: vec![format!("$KV.{name}.>")],
        max_messages_per_subject: 1,
        max_age,
        duplicate_window: window,
        deny_delete: true,
        ..bucket(format!("KV_{name}"), num_replicas)
    };
    context.get_or_create_stream(config).await.map_err(Fault::lost)?;
    context.get_key_value(name).await.map_err(Fault::lost)
}

async fn content(context: &Context, num_replicas: usize) -> Result<ObjectStore, Fault> {
    let name = subject::CONTENT;
    let config = stream::Config {
        subjects: vec![format!("$O.{name}.C.>"), format!("$O.{name}.M.>")],
        ..bucket(format!("OBJ_{name}"), num_replicas)
    };
    context.get_or_create_stream(config).await.map_err(Fault::lost)?;
    context.get_object_store(name).await.map_err(Fault::lost)
}

fn bucket(name: String, num_replicas: usize) -> stream::Config {
    stream::Config {
        name,
        description: Some("mailslotd: the spool that several gateways share".to_owned()),
        max_bytes: -1,
        storage: StorageType::File,
        discard: DiscardPolicy::New,
        allow_rollup: true,
        num_replicas,
        ..stream::Config::default()
    }
}

fn publish_fault(error: &PublishError) -> Fault {
    let said = error.to_string();
    match error.kind() {
        PublishErrorKind::Other if said.contains("maximum") || said.contains("insufficient") => {
            Fault::Full(said)
        }
        PublishErrorKind::MaxPayloadExceeded => Fault::Full(said),
        PublishErrorKind::StreamNotFound
        | PublishErrorKind::WrongLastMessageId
        | PublishErrorKind::WrongLastSequence
        | PublishErrorKind::TimedOut
        | PublishErrorKind::BrokenPipe
        | PublishErrorKind::MaxAckPending
        | PublishErrorKind::Other => Fault::Lost(said),
    }
}

fn is_missing(kind: &RawMessageErrorKind) -> bool {
    match kind {
        RawMessageErrorKind::NoMessageFound => true,
        RawMessageErrorKind::JetStream(error) => error.error_code() == jetstream::ErrorCode::NO_MESSAGE_FOUND,
        RawMessageErrorKind::InvalidSubject | RawMessageErrorKind::Other => false,
    }
}

/// As the client writes an object's name into a subject.
fn object_name(name: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE.encode(name)
}

pub(super) fn json(value: &impl serde::Serialize) -> Bytes {
    // Every key is a string and no part can fail to serialize.
    serde_json::to_vec(value).unwrap_or_default().into()
}

/// For one answer.
pub(super) const WITHIN: Duration = Duration::from_secs(3);
/// For one content, however large.
const CONTENT_WITHIN: Duration = Duration::from_secs(120);
/// Acknowledgements that may be awaited at once.
const IN_FLIGHT: usize = 512;
/// After this a message that its gateway says nothing more about is another's.
pub(super) const ACK_WAIT: Duration = Duration::from_secs(30);
/// Messages of one lane with all gateways together; deferred ones are not among them.
const MAX_ACK_PENDING: i64 = 4096;
/// How long a gateway that says nothing is taken to live, and to lead.
pub(super) const LEASE: Duration = Duration::from_secs(8);
/// How long it is known that a message was heard: no gateway may be cut off for longer and then empty its own spool.
const IDS_KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How long a bucket knows what was written to it; the servers' own choice.
const BUCKET_WINDOW: Duration = Duration::from_secs(120);
/// The server takes no shorter one.
pub(super) const SHORTEST_WINDOW: Duration = Duration::from_millis(100);
/// Of a change that others keep from happening.
pub(super) const TRIES: usize = 8;
