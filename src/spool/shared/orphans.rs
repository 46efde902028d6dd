//! What a gateway leaves behind that dies between two steps: content or a body that no message has.
//!
//! A message on its way from the stream into the bucket can be seen in neither. So nothing is removed that is younger than
//! [`super::Sweeping::orphaned`], and nothing that was not found without a message in two sweeps.

use std::collections::HashSet;

use jiff::Timestamp;

use super::Shared;
use super::fault::Fault;
use super::key::Key;
use super::link::Session;
use super::record::Kept;
use super::subject::{self, Entry};
use crate::message::id::QueueId;
use crate::spool::local::now;

/// Something that no message has, as it seems.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Orphan {
    /// A whole content.
    Content(Key),
    /// What there is of a content that was never whole, or was written anew, by the number of its writing.
    Pieces(String),
    /// A body, as of this revision.
    Body(QueueId, u64),
}

impl Shared {
    /// Removes what was without a message in the last sweep already; `suspects` is what is found now.
    pub(super) async fn remove_orphans(
        &self,
        session: &Session,
        suspects: &mut HashSet<Orphan>,
    ) -> Result<(), Fault> {
        let before = std::mem::take(suspects);
        let age = self.0.plan.sweeping.orphaned;
        let oldest = now().checked_sub(age).unwrap_or(Timestamp::MIN).as_second();
        for orphan in self.orphans(session, oldest).await? {
            if !before.contains(&orphan) {
                suspects.insert(orphan);
            } else if session.remove_orphan(&orphan, oldest).await? {
                tracing::info!(?orphan, "What no message of the shared spool has was removed.");
            }
        }
        Ok(())
    }

    /// What was written before `oldest`, in seconds since 1970, and has no message.
    async fn orphans(&self, session: &Session, oldest: i64) -> Result<Vec<Orphan>, Fault> {
        let mut found = Vec::new();
        // Fates that this version cannot read may be of any of them.
        let Some((contents, bodies)) = self.wanted() else { return Ok(found) };
        let mut whole = HashSet::new();
        for content in session.contents().await? {
            let young = content.written > oldest;
            let wanted = young || contents.contains(&content.key);
            if !wanted && session.find(subject::by_key(content.key)).await?.is_none() {
                found.push(Orphan::Content(content.key));
            }
            whole.insert(content.pieces);
        }
        for pieces in session.pieces().await? {
            if !whole.contains(&pieces) && session.pieces_written(&pieces).await? <= Some(oldest) {
                found.push(Orphan::Pieces(pieces));
            }
        }
        for key in session.keys("message.").await? {
            let Some(Entry::Message(id)) = Entry::parse(&key) else { continue };
            if bodies.contains(&id) {
                continue;
            }
            let Some((revision, written)) = session.body_written(id).await? else { continue };
            let in_stream = written > oldest || session.find(subject::by_id(id)).await?.is_some();
            // The stream first: what leaves it has its fates in the bucket before.
            if !in_stream && session.record(id).await?.is_none() {
                found.push(Orphan::Body(id, revision));
            }
        }
        Ok(found)
    }

    /// The contents and the bodies of messages that are known here; `None` while there are some that this version cannot
    /// read.
    fn wanted(&self) -> Option<(HashSet<Key>, HashSet<QueueId>)> {
        let state = self.state();
        let in_store = state.index.all().filter(|(_, known)| known.record.content == Kept::Object);
        let contents = in_store.map(|(_, known)| known.record.key).collect();
        let bodies = state.index.all().map(|(id, _)| id).collect();
        state.unreadable.is_empty().then_some((contents, bodies))
    }
}

impl Session {
    /// Removes it, unless it is another by now; whether it was there.
    async fn remove_orphan(&self, orphan: &Orphan, oldest: i64) -> Result<bool, Fault> {
        match orphan {
            Orphan::Content(key) => self.remove_content_of(*key, oldest).await,
            Orphan::Pieces(pieces) => self.remove_pieces(pieces).await.map(|()| true),
            Orphan::Body(id, revision) => {
                self.bury(&Entry::Message(*id).to_string(), *revision).await.map(|()| true)
            }
        }
    }
}
