//! Copies of messages as events: reads what the spool keeps in files.

use std::io;
use std::ops::Deref;
use std::path::Path;

use sha2::{Digest as _, Sha256};
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::message::event::{BEGINNING, Event, EventIdentity, LARGEST_EVENT, MailContent};
use crate::message::mail::{Body, Content, Spooled};
use crate::message::recipient::Recipient;

/// An event, and its share of the memory that long ones have together, which is given back with it.
#[derive(Debug)]
pub struct Rendered {
    event: Event,
    share: Share,
}

/// A part of the memory that long events have together, given back when dropped: whoever lays an event out anew keeps it
/// until that is delivered. A short event needs none.
#[derive(Debug)]
pub struct Share(#[expect(dead_code, reason = "held, not looked at")] Option<SemaphorePermit<'static>>);

impl Rendered {
    /// Its share alone, where the event is not needed any more but what was made of it is.
    #[must_use]
    pub fn into_share(self) -> Share {
        self.share
    }
}

impl Deref for Rendered {
    type Target = Event;

    fn deref(&self) -> &Event {
        &self.event
    }
}

/// The event of one copy. `limit` is the most octets of its structured form that the destination takes; `None` is
/// [`LARGEST_EVENT`]. A broker may still find it too large where neither text nor original was what made it so.
///
/// A content is held whole only where the event has it as its original; it is always read whole, for its hash. Long ones
/// wait until those before them are delivered: what is on its way never fills the memory.
///
/// # Errors
/// The content could not be read from the spool.
pub async fn render(
    message: &Spooled,
    recipient: &Recipient,
    identity: &EventIdentity,
    limit: Option<u64>,
) -> io::Result<Rendered> {
    let limit = limit.unwrap_or(LARGEST_EVENT);
    match &message.body {
        Body::Notice(gathered) => {
            let event = Event::of_notice(message, gathered, recipient, identity, limit);
            Ok(Rendered { event, share: Share(None) })
        }
        Body::Mail { reverse_path, content, submitted } => {
            let share = MEMORY.share(content.length().min(limit)).await;
            let read = Read::of(content, limit).await?;
            let content = MailContent {
                reverse_path: reverse_path.as_deref(),
                submitted,
                octets: &read.octets,
                length: content.length(),
                sha256: read.sha256,
            };
            let event = Event::of_mail(message, &content, recipient, identity, limit);
            Ok(Rendered { event, share: Share(share) })
        }
    }
}

/// A share for a content of so many octets that is held whole, and in base64, on another way than as an event.
pub(super) async fn share(octets: u64) -> Share {
    Share(MEMORY.share(octets).await)
}

/// Memory that long events have together.
struct Memory {
    kibibytes: Semaphore,
    most: u32,
}

impl Memory {
    const fn of(kibibytes: u32) -> Self {
        Self { kibibytes: Semaphore::const_new(kibibytes as usize), most: kibibytes }
    }

    /// Waits for what a content of so many octets needs on its way: itself, its base64, and that in an event. One that
    /// needs more than there is gets all; a short one needs none.
    async fn share(&self, octets: u64) -> Option<SemaphorePermit<'_>> {
        if octets <= SHORT {
            return None;
        }
        let kibibytes = u32::try_from((octets >> 10).saturating_mul(4)).unwrap_or(u32::MAX);
        self.kibibytes.acquire_many(kibibytes.clamp(1, self.most)).await.ok()
    }
}

/// What was read of a content.
struct Read {
    octets: bytes::Bytes,
    sha256: [u8; 32],
}

impl Read {
    async fn of(content: &Content, limit: u64) -> io::Result<Self> {
        match content {
            Content::Inline(octets) => {
                Ok(Self { octets: octets.clone(), sha256: Sha256::digest(octets).into() })
            }
            Content::File { path, length } => {
                let may_fit = *length / 3 * 4 <= limit;
                Self::of_file(path, if may_fit { *length } else { BEGINNING }).await
            }
        }
    }

    /// Keeps at most `keep` octets of the beginning.
    async fn of_file(path: &Path, keep: u64) -> io::Result<Self> {
        let keep = usize::try_from(keep).unwrap_or(usize::MAX);
        let mut file = File::open(path).await?;
        let mut hash = Sha256::new();
        let mut octets = Vec::new();
        let mut piece = vec![0; PIECE];
        loop {
            let length = file.read(&mut piece).await?;
            let Some(read) = piece.get(..length).filter(|read| !read.is_empty()) else { break };
            hash.update(read);
            let more = read.get(..keep.saturating_sub(octets.len())).unwrap_or(read);
            octets.extend_from_slice(more);
        }
        Ok(Self { octets: octets.into(), sha256: hash.finalize().into() })
    }
}

/// Kibibytes that no event has, and as many as there are.
#[cfg(test)]
pub(super) fn unclaimed() -> (usize, usize) {
    (MEMORY.kibibytes.available_permits(), MEMORY.most as usize)
}

/// Of all destinations together, and mail on its way through Graph: 256 MiB.
static MEMORY: Memory = Memory::of(256 << 10);

/// Octets of a content that the spool keeps in memory anyway; as many of those as destinations take at once are no matter.
const SHORT: u64 = 64 << 10;

/// Octets read at once.
const PIECE: usize = 128 << 10;

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde_json::{Value, json};

    use super::*;
    use crate::message::id::{DestinationName, QueueId};
    use crate::message::mail::{Priority, Submitted};

    async fn rendered(content: Content, limit: u64) -> Value {
        let message = Spooled {
            id: QueueId::from_row(1).unwrap(),
            body: Body::Mail { reverse_path: None, content, submitted: Box::new(Submitted::default()) },
            accepted_at: jiff::Timestamp::UNIX_EPOCH,
            expires_at: jiff::Timestamp::UNIX_EPOCH,
            priority: Priority::Normal,
            rule: None,
        };
        let recipient = Recipient::new(DestinationName::new("bus").unwrap(), "mail.corp");
        let identity = EventIdentity::new(None, "");
        let event = render(&message, &recipient, &identity, Some(limit)).await.unwrap();
        assert!(event.structured().len() as u64 <= limit);
        serde_json::from_slice(&event.data()).unwrap()
    }

    #[tokio::test]
    async fn a_content_in_a_file_is_told_as_one_in_memory_or_by_its_beginning_and_hash() {
        let mail = format!("Subject: scan\r\n\r\nSee below.\r\n{}", "x".repeat(300_000));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("content");
        std::fs::write(&path, &mail).unwrap();
        let file = || Content::File { path: path.clone(), length: mail.len() as u64 };

        let whole = rendered(file(), 1 << 20).await;
        assert_eq!(whole, rendered(Content::Inline(mail.clone().into()), 1 << 20).await);
        assert_eq!(STANDARD.decode(whole["original"].as_str().unwrap()).unwrap(), mail.as_bytes());

        let beginning = rendered(file(), 100 << 10).await;
        assert_eq!(beginning.get("original"), None);
        assert_eq!(beginning["header"]["subject"], "scan");
        assert!(beginning["text"].as_str().unwrap().starts_with("See below.\n"));
        assert_eq!(beginning["original_length"], json!(mail.len()));
        assert_eq!(beginning["original_sha256"], whole["original_sha256"]);
    }

    #[tokio::test]
    async fn long_events_wait_for_room_and_short_ones_do_not() {
        static MEMORY: Memory = Memory::of(1 << 10);
        let first = MEMORY.share(200 << 10).await;
        assert!(first.is_some() && MEMORY.share(SHORT).await.is_none());
        let second = tokio::spawn(MEMORY.share(u64::MAX));
        tokio::task::yield_now().await;
        assert!(!second.is_finished());
        drop(first);
        assert!(second.await.unwrap().is_some(), "what needs more than there is goes alone");
    }

    #[tokio::test]
    async fn a_content_that_is_gone_is_an_error_and_no_event() {
        let message = Content::File { path: "/nonexistent/content".into(), length: 1 };
        assert_eq!(Read::of(&message, 1 << 20).await.err().unwrap().kind(), io::ErrorKind::NotFound);
    }
}
