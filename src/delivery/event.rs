//! Copies of messages as events: reads what the spool keeps in files.

use std::io;
use std::path::Path;

use sha2::{Digest as _, Sha256};
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;

use crate::message::event::{BEGINNING, Event, EventIdentity, LARGEST_EVENT, MailContent};
use crate::message::mail::{Body, Content, Spooled};
use crate::message::recipient::Recipient;

/// The event of one copy. `limit` is the most octets of its structured form that the destination takes; `None` is
/// [`LARGEST_EVENT`]. A broker may still find it too large where neither text nor original was what made it so.
///
/// A content is held whole only where the event has it as its original; it is always read whole, for its hash.
///
/// # Errors
/// The content could not be read from the spool.
pub async fn render(
    message: &Spooled,
    recipient: &Recipient,
    identity: &EventIdentity,
    limit: Option<u64>,
) -> io::Result<Event> {
    let limit = limit.unwrap_or(LARGEST_EVENT);
    match &message.body {
        Body::Notice(gathered) => Ok(Event::of_notice(message, gathered, recipient, identity, limit)),
        Body::Mail { reverse_path, content, submitted } => {
            let read = Read::of(content, limit).await?;
            let content = MailContent {
                reverse_path: reverse_path.as_deref(),
                submitted,
                octets: &read.octets,
                length: content.length(),
                sha256: read.sha256,
            };
            Ok(Event::of_mail(message, &content, recipient, identity, limit))
        }
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

/// Octets read at once.
const PIECE: usize = 128 << 10;
