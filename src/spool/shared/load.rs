//! Reading a message whole: for its delivery, for the operator.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;

use super::Shared;
use super::carried::Text;
use super::commit::now;
use super::fault::Fault;
use super::index::{Holder, Standing};
use super::link::Session;
use super::record::{Kept, Record};
use super::subject;
use crate::message::id::QueueId;
use crate::message::mail::{Body, Content, Spooled};
use crate::spool::error::SpoolError;
use crate::spool::local::Purpose;
use crate::spool::rows::StoredBody;

impl Shared {
    /// See [`crate::spool::Spool::load`]. For delivery, `None` too when another gateway may have it by now.
    pub(in crate::spool) async fn load(
        &self,
        id: QueueId,
        purpose: Purpose,
    ) -> Result<Option<Spooled>, SpoolError> {
        let session = self.needed("read")?;
        let failed = |fault: Fault| fault.in_spool("read");
        let Some((record, text)) = self.find(&session, id, purpose).await.map_err(failed)? else {
            return Ok(None);
        };
        let Some(text) = text else {
            return Err(self.set_aside(&session, id, "its body is missing").await);
        };
        let body = match text.decode() {
            Ok(StoredBody::Notice(gathered)) => Body::Notice(Box::new(gathered.into_owned())),
            Ok(StoredBody::Mail { reverse_path, length, submitted, .. }) => {
                let content = match record.content {
                    Kept::Inline => Some(Content::Inline(text.content.unwrap_or_default())),
                    Kept::Object => self.fetch(&session, id, &record, length).await?,
                };
                let Some(content) = content else {
                    return Err(self.set_aside(&session, id, "its content is missing or not whole").await);
                };
                Body::Mail { reverse_path, content, submitted }
            }
            Err(unreadable) => return Err(self.set_aside(&session, id, &unreadable.to_string()).await),
        };
        let expires_at = record.expires_at();
        let Record { accepted_at, priority, rule, .. } = record;
        Ok(Some(Spooled { id, body, accepted_at, expires_at, priority, rule }))
    }

    /// A message's fates, and its text where that is there and whole.
    async fn find(
        &self,
        session: &Session,
        id: QueueId,
        purpose: Purpose,
    ) -> Result<Option<(Record, Option<Text>)>, Fault> {
        let (known, text) = {
            let mut state = self.state();
            let known = state.index.of(id).cloned();
            let lost = match &known {
                Some(known) if purpose == Purpose::Delivery => {
                    let may_be_anothers = match known.standing {
                        Standing::InHand => !state.is_safe(id, now()),
                        Standing::Queue { .. } => !state.lives(now()),
                    };
                    may_be_anothers || state.index.holder(known) != Holder::Me
                }
                Some(_) | None => false,
            };
            if lost {
                if state.hands.contains_key(&id) {
                    state.index.remove(id, None);
                    state.forget(id);
                }
                return Ok(None);
            }
            (known, state.hands.get(&id).map(|hand| hand.text.clone()))
        };
        let Some(known) = known else {
            return match purpose {
                Purpose::Delivery => Ok(None),
                Purpose::Export => self.in_stream(session, id).await,
            };
        };
        if known.standing == Standing::InHand {
            return Ok(Some((known.record, text)));
        }
        if purpose == Purpose::Delivery
            && let Some(group) = &known.record.group
        {
            self.end_gathering(session, id, group).await?;
        }
        let text = session.text(id).await?.and_then(|(value, _)| Text::parse(&value).ok());
        Ok(Some((known.record, text)))
    }

    /// A message that lies in the stream and in no hand of this gateway.
    async fn in_stream(
        &self,
        session: &Session,
        id: QueueId,
    ) -> Result<Option<(Record, Option<Text>)>, Fault> {
        let Some(message) = session.find(subject::by_id(id)).await? else { return Ok(None) };
        let carried = super::carried::Carried::parse(&message.payload).map_err(Fault::lost)?;
        Ok(Some((carried.record, Some(carried.text))))
    }

    /// Content from the Object Store, in a file that lives until the message's fate is recorded.
    async fn fetch(
        &self,
        session: &Session,
        id: QueueId,
        record: &Record,
        length: u64,
    ) -> Result<Option<Content>, SpoolError> {
        let failed = |fault: Fault| fault.in_spool("read");
        if let Some((_, content)) = self.state().files.get(&id) {
            return Ok(Some(content.clone()));
        }
        let Some(mut object) = session.content(record.key).await.map_err(failed)? else { return Ok(None) };
        let mut draft = self.0.local.draft();
        let mut piece = vec![0; 64 * 1024];
        loop {
            // A piece that is not there any more is waited for without end.
            let Ok(read) = tokio::time::timeout(PIECE_WITHIN, object.read(&mut piece)).await else {
                return Err(failed(Fault::lost("the Object Store did not give a content in time")));
            };
            let read = match read {
                Ok(read) => read,
                Err(error) if error.kind() == std::io::ErrorKind::InvalidData => return Ok(None),
                Err(error) => return Err(failed(Fault::lost(error))),
            };
            match piece.get(..read) {
                Some(octets) if !octets.is_empty() => draft.write(octets).await?,
                Some(_) | None => break,
            }
        }
        let content = draft.finish().await?;
        if content.length() != length {
            return Ok(None);
        }
        self.state().files.insert(id, (Arc::new(draft), content.clone()));
        Ok(Some(content))
    }

    async fn set_aside(&self, session: &Session, id: QueueId, why: &str) -> SpoolError {
        tracing::error!(%id, why, "A message cannot be read back; it is kept as corrupt, see `mailslotd queue show {id}`.");
        self.0.metrics.spool_corrupt();
        let at = crate::spool::local::now();
        match self.change(session, id, |record| record.set_corrupt(why, at)).await {
            Ok(_) => SpoolError::Corrupt { id },
            Err(fault) => fault.in_spool("record in"),
        }
    }
}

/// For each piece of a content.
const PIECE_WITHIN: Duration = Duration::from_secs(10);
