//! What is asked of the key-value buckets; a change is a compare-and-set.

use std::collections::HashSet;

use async_nats::jetstream::kv::{self, Operation};
use bytes::Bytes;
use futures_util::TryStreamExt as _;

use super::carried::{Text, json};
use super::fault::Fault;
use super::ids::Sightings;
use super::key::Key;
use super::link::{HEADERS, Session, TRIES};
use super::record::Record;
use super::subject::{self, Entry};
use crate::message::id::QueueId;

impl Session {
    /// Body and content of a message in the queue bucket.
    pub(super) async fn text(&self, id: QueueId) -> Result<Option<(Bytes, u64)>, Fault> {
        self.entry(&self.queue, &Entry::Message(id).to_string()).await
    }

    /// The revision of a body, and when it was written, in seconds since 1970.
    pub(super) async fn body_written(&self, id: QueueId) -> Result<Option<(u64, i64)>, Fault> {
        let entry = self.queue.entry(Entry::Message(id).to_string()).await.map_err(Fault::lost)?;
        Ok(entry.map(|entry| (entry.revision, entry.created.unix_timestamp())))
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

    /// Fates as they are written: no longer than the servers take.
    fn fates(&self, record: &Record) -> Bytes {
        record.within(self.max_payload().saturating_sub(HEADERS))
    }

    /// Writes fates where there are none.
    pub(super) async fn create_record(&self, id: QueueId, record: &Record) -> Result<u64, Fault> {
        self.create(&self.queue, &Entry::Copies(id).to_string(), self.fates(record)).await
    }

    /// Writes fates over those of a revision.
    pub(super) async fn update_record(
        &self,
        id: QueueId,
        record: &Record,
        revision: u64,
    ) -> Result<u64, Fault> {
        self.update(&self.queue, &Entry::Copies(id).to_string(), self.fates(record), revision).await
    }

    /// Removes fates of a revision, and the body. Fates that are gone are no reason to keep that.
    pub(super) async fn remove_record(&self, id: QueueId, revision: u64) -> Result<(), Fault> {
        let key = Entry::Copies(id).to_string();
        if let Err(error) = self.queue.purge_expect_revision(&key, Some(revision)).await {
            let fault = Fault::of_write(error);
            match self.entry(&self.queue, &key).await? {
                Some((_, now)) if now != revision => return Err(Fault::Conflict),
                // This writes no mark and so needs no room; the others find out when they want it.
                Some(_) if matches!(fault, Fault::Full(_)) => self.bury(&key, revision).await?,
                Some(_) => return Err(fault),
                None => {}
            }
        }
        self.bury(&Entry::Message(id).to_string(), u64::MAX).await
    }

    /// Whether the fates of a message are gone though nobody removed them: neither they nor the mark of their removal
    /// are there, and the body is. Some servers forget a value that they had no room to replace.
    pub(super) async fn is_lost(&self, id: QueueId) -> Result<bool, Fault> {
        let fates = self.queue.entry(Entry::Copies(id).to_string()).await.map_err(Fault::lost)?;
        Ok(fates.is_none() && self.text(id).await?.is_some())
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
            Err(error) => Err(Fault::of_write(error)),
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
            Err(error) => Err(Fault::of_write(error)),
        }
    }
}
