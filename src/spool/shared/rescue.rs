//! What was in hand when the connection ended, or the stream: whether it still is this gateway's.

use futures_util::{StreamExt as _, stream};

use super::Shared;
use super::fault::Fault;
use super::index::{Known, Standing};
use super::link::{Session, TRIES};
use super::record::Record;
use super::state::Hand;
use crate::message::id::QueueId;

/// Where a message is that was in hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whereabouts {
    /// In the stream, as ever.
    Stream,
    /// Nowhere any more, as it was dealt with.
    DealtWith,
    /// Nowhere but here: the stream was deleted, or set back to a copy that is older.
    OnlyHere,
}

impl Shared {
    /// Looks after everything in hand, before anything is done over a new connection. A hand of a stream that is no more
    /// is none; its message goes on in the queue bucket.
    pub(super) async fn take_stock(&self, session: &Session) -> Result<(), Fault> {
        let (before, hands, elsewhere) = {
            let mut state = self.state();
            let before = state.life.replace(session.life);
            if before != Some(session.life) {
                state.unread.clear();
            }
            (before, state.known_hands(), state.in_no_hand())
        };
        let in_hand = hands.len();
        if before.is_some_and(|before| before != session.life) {
            tracing::error!(
                in_hand,
                about = elsewhere,
                "The stream of the shared spool was deleted and made anew. What this gateway had in hand goes on, and so \
                 does what waits in the queue bucket; what else was in the stream is lost."
            );
        }
        let all = hands.into_iter().map(|(id, record, hand)| async move {
            match self.whereabouts(session, &record, &hand).await? {
                Whereabouts::Stream => Ok(0),
                Whereabouts::DealtWith => {
                    self.drop_hand(id);
                    Ok(0)
                }
                Whereabouts::OnlyHere => self.rescue(session, id, record, &hand).await.map(|()| 1_u64),
            }
        });
        let mut all = stream::iter(all).buffer_unordered(AT_ONCE);
        let mut rescued: u64 = 0;
        while let Some(one) = all.next().await {
            rescued = rescued.saturating_add(one?);
        }
        if rescued > 0 {
            tracing::warn!(
                rescued,
                "The stream of the shared spool does not have messages any more that this gateway had in hand; they wait \
                 in the queue bucket now."
            );
        }
        Ok(())
    }

    async fn whereabouts(
        &self,
        session: &Session,
        record: &Record,
        hand: &Hand,
    ) -> Result<Whereabouts, Fault> {
        if session.has(hand.position).await? {
            return Ok(Whereabouts::Stream);
        }
        let sightings = session.sightings(record.key).await?;
        Ok(match sightings {
            Some(sightings) if sightings.has(hand.position) => Whereabouts::DealtWith,
            Some(_) | None => Whereabouts::OnlyHere,
        })
    }

    /// Carries a message on that is nowhere but here. Another gateway may do so at the same moment: one of them does.
    async fn rescue(
        &self,
        session: &Session,
        id: QueueId,
        mut record: Record,
        hand: &Hand,
    ) -> Result<(), Fault> {
        record.lease = self.state().is_handed(id).then(|| self.0.me.clone());
        let mut number = id;
        for _ in 0..TRIES {
            match session.record(number).await? {
                Some((there, _)) if there.key == record.key => {
                    self.drop_hand(id);
                    return Ok(());
                }
                // Another message of the same moment has this number by chance.
                Some(_) => {
                    number = QueueId::from_row(number.as_row().saturating_add(1)).unwrap_or(number);
                    continue;
                }
                None => {}
            }
            session.put_text(number, &hand.text).await?;
            match session.create_record(number, &record).await {
                Ok(revision) => {
                    self.leaves_stream(session, &record, hand.position).await?;
                    self.drop_hand(id);
                    self.set(number, Known { record, standing: Standing::Queue { revision } });
                    return Ok(());
                }
                Err(Fault::Conflict) => {}
                Err(fault) => return Err(fault),
            }
        }
        Err(Fault::Conflict)
    }
}

/// Messages that are looked after at the same time.
const AT_ONCE: usize = 32;
