//! What is asked of the Object Store: content above 64 KiB, under the key of its message.

use std::time::Duration;

use async_nats::jetstream::object_store;
use async_nats::jetstream::stream::Stream;
use futures_util::TryStreamExt as _;
use tokio::io::AsyncRead;

use super::fault::Fault;
use super::key::Key;
use super::link::Session;
use super::stream::is_missing;
use super::subject;

impl Session {
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
            Ok(Err(error)) => Err(Fault::of_write(error)),
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
        self.remove_pieces(&info.nuid).await?;
        let stream = self.content_stream().await?;
        let name = object_name(&key.to_string());
        stream.purge().filter(format!("$O.{}.M.{name}", subject::CONTENT)).await.map_err(Fault::lost)?;
        Ok(true)
    }

    /// All contents that are whole.
    pub(super) async fn contents(&self) -> Result<Vec<Written>, Fault> {
        let mut list = self.content.list().await.map_err(Fault::lost)?;
        let mut found = Vec::new();
        while let Some(object) = list.try_next().await.map_err(Fault::lost)? {
            if let (Ok(key), Some(at)) = (object.name.parse(), object.modified) {
                found.push(Written { key, written: at.unix_timestamp(), pieces: object.nuid });
            }
        }
        Ok(found)
    }

    /// All that there are pieces of, by the number of their writing.
    pub(super) async fn pieces(&self) -> Result<Vec<String>, Fault> {
        let stream = self.content_stream().await?;
        let mut subjects = stream.info_with_subjects(pieces_of(">")).await.map_err(Fault::lost)?;
        let (prefix, mut found) = (pieces_of(""), Vec::new());
        while let Some((subject, _)) = subjects.try_next().await.map_err(Fault::lost)? {
            found.extend(subject.strip_prefix(&prefix).map(str::to_owned));
        }
        Ok(found)
    }

    /// When the last of these pieces was written, in seconds since 1970.
    pub(super) async fn pieces_written(&self, pieces: &str) -> Result<Option<i64>, Fault> {
        match self.content_stream().await?.get_last_raw_message_by_subject(&pieces_of(pieces)).await {
            Ok(message) => Ok(Some(message.time.unix_timestamp())),
            Err(error) if is_missing(&error.kind()) => Ok(None),
            Err(error) => Err(Fault::lost(error)),
        }
    }

    /// Removes pieces.
    pub(super) async fn remove_pieces(&self, pieces: &str) -> Result<(), Fault> {
        let stream = self.content_stream().await?;
        stream.purge().filter(pieces_of(pieces)).await.map(drop).map_err(Fault::lost)
    }

    async fn content_stream(&self) -> Result<Stream<()>, Fault> {
        let name = format!("OBJ_{}", subject::CONTENT);
        self.context.get_stream_no_info(name).await.map_err(Fault::lost)
    }
}

/// A content that is whole.
#[derive(Debug)]
pub(super) struct Written {
    /// Of its message.
    pub(super) key: Key,
    /// When, in seconds since 1970.
    pub(super) written: i64,
    /// The number of its writing, which its pieces have.
    pub(super) pieces: String,
}

/// As the client names the pieces of one writing.
fn pieces_of(number: &str) -> String {
    format!("$O.{}.C.{number}", subject::CONTENT)
}

/// As the client writes an object's name into a subject.
fn object_name(name: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE.encode(name)
}

/// For one content, however large.
const CONTENT_WITHIN: Duration = Duration::from_secs(120);
