//! Messages of a group: counted into the one that waits, whichever gateway heard them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Shared;
use super::carried::{Text, json};
use super::fault::Fault;
use super::link::{Session, TRIES};
use super::record::Record;
use super::state::Hand;
use super::subject::Entry;
use crate::message::id::QueueId;
use crate::message::mail::{Gathered, Group};
use crate::spool::group::{Standing, Taking, Verdict, decide};
use crate::spool::rows::{self, StoredBody, later};

/// What the queue bucket holds of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    message: QueueId,
    closes_at: Timestamp,
    over_at: Timestamp,
    #[serde(default)]
    handed_out: bool,
}

/// Whether the queue bucket has the body of a message that may open a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Body {
    Unwritten,
    Written,
}

impl Kept {
    const fn standing(self) -> Standing {
        Standing {
            message: self.message,
            closes_at: self.closes_at,
            over_at: self.over_at,
            taking: if self.handed_out { Taking::Nothing } else { Taking::Repeats },
        }
    }
}

impl Shared {
    /// Keeps a message of a group as one of its own that waits, or counts it into the one that does.
    pub(super) async fn gather(
        &self,
        session: &Session,
        id: QueueId,
        mut record: Record,
        group: &Group,
        hand: &Hand,
    ) -> Result<(), Fault> {
        let name = entry(&group.key);
        record.group = Some(rows::hex(&group.key));
        let mut body = Body::Unwritten;
        for _ in 0..TRIES {
            let found = session.entry(&session.queue, &name).await?;
            let kept = found.as_ref().and_then(|(value, _)| serde_json::from_slice::<Kept>(value).ok());
            let closes_at = match decide(group, kept.map(Kept::standing), record.accepted_at) {
                Verdict::Open { closes_at } => closes_at,
                // Its own: a gateway that died, or lost its connection, had not written its fates yet.
                Verdict::Gather { message, closes_at } if message == id => closes_at,
                Verdict::Gather { message, closes_at } => {
                    if self.count_into(session, message, &name, &hand.text).await? {
                        self.leaves_stream(session, &record, hand.position).await?;
                        if body == Body::Written {
                            session.bury(&Entry::Message(id).to_string(), u64::MAX).await?;
                        }
                        self.0.metrics.spool_gathered(1);
                        return session.acknowledge(&hand.reply).await;
                    }
                    closes_at
                }
            };
            // Before others know of it: they count what they hear into it.
            session.put_text(id, &hand.text).await?;
            body = Body::Written;
            let opened = Kept {
                message: id,
                closes_at,
                over_at: later(closes_at, group.repeat_after),
                handed_out: false,
            };
            let written = match found {
                Some((_, revision)) => session.update(&session.queue, &name, json(&opened), revision).await,
                None => session.create(&session.queue, &name, json(&opened)).await,
            };
            match written {
                Ok(_) => {
                    record.put_off(closes_at);
                    return self.carry_on_or_refresh(session, id, record, hand).await;
                }
                Err(Fault::Conflict) => {}
                Err(fault) => return Err(fault),
            }
        }
        Err(Fault::Conflict)
    }

    /// Ends the gathering of a message that is about to be delivered.
    pub(super) async fn end_gathering(&self, session: &Session, id: QueueId, key: &str) -> Result<(), Fault> {
        let name = Entry::Group(key.to_owned()).to_string();
        for _ in 0..TRIES {
            let Some((value, revision)) = session.entry(&session.queue, &name).await? else { return Ok(()) };
            let Ok(kept) = serde_json::from_slice::<Kept>(&value) else { return Ok(()) };
            if kept.message != id || kept.handed_out {
                return Ok(());
            }
            let kept = Kept { handed_out: true, ..kept };
            match session.update(&session.queue, &name, json(&kept), revision).await {
                Err(Fault::Conflict) => {}
                other => return other.map(drop),
            }
        }
        Err(Fault::Conflict)
    }

    /// Removes groups that nothing repeats any more; how many.
    pub(super) async fn forget_groups(&self, session: &Session, now: Timestamp) -> Result<u64, Fault> {
        let mut gone: u64 = 0;
        for key in session.keys("group.").await? {
            let Some((value, revision)) = session.entry(&session.queue, &key).await? else { continue };
            let over = serde_json::from_slice::<Kept>(&value).map_or(true, |kept| kept.over_at <= now);
            if over {
                // Without a mark, which nobody watches for and which would stay: each group has a key of its own. One that
                // was opened anew meanwhile has a later revision, and stays.
                session.bury(&key, revision).await?;
                gone = gone.saturating_add(1);
            }
        }
        Ok(gone)
    }

    /// Counts a repeat into a message that waits; `false` when that is gone, unreadable, or on its way by now.
    async fn count_into(
        &self,
        session: &Session,
        message: QueueId,
        group: &str,
        repeat: &Text,
    ) -> Result<bool, Fault> {
        let Ok(StoredBody::Notice(repeat)) = repeat.decode() else { return Ok(false) };
        for _ in 0..TRIES {
            let Some((value, revision)) = session.text(message).await? else { return Ok(false) };
            let Ok(text) = Text::parse(&value) else { return Ok(false) };
            let Ok(StoredBody::Notice(standing)) = text.decode() else { return Ok(false) };
            let body = rows::encode(&StoredBody::Notice(Box::new(std::borrow::Cow::Owned(with(
                standing.into_owned(),
                &repeat,
            )))));
            let name = Entry::Message(message).to_string();
            let text = Text { body, content: text.content };
            match session.update(&session.queue, &name, text.emit(), revision).await {
                Ok(_) => {
                    // One that was read for delivery before is not counted in what is delivered.
                    let kept = session.entry(&session.queue, group).await?;
                    let kept = kept.and_then(|(value, _)| serde_json::from_slice::<Kept>(&value).ok());
                    return Ok(kept.is_some_and(|kept| kept.message == message && !kept.handed_out));
                }
                Err(Fault::Conflict) => {}
                Err(fault) => return Err(fault),
            }
        }
        Ok(false)
    }
}

fn entry(key: &[u8; 16]) -> String {
    Entry::Group(rows::hex(key)).to_string()
}

fn with(mut standing: Gathered, repeat: &Gathered) -> Gathered {
    standing.count = standing.count.saturating_add(repeat.count);
    standing.held_back = standing.held_back.saturating_add(repeat.held_back);
    standing.last = Some(repeat.last.clone().unwrap_or_else(|| repeat.first.clone()));
    standing
}
