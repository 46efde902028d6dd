//! Messages of the stream that no consumer hands out any more.
//!
//! A server that is killed can forget what it removed: messages that were dealt with are in the stream again, and their
//! consumer is past them. It can lose the last of what it kept as well, and give numbers out again that a consumer is past.
//! Nothing at or below a consumer's floor is handed out or awaited. What is found there twice, a sweep apart, is removed
//! where it is known to be dealt with, and otherwise goes on in the queue bucket: rather a second time than never.

use std::collections::HashSet;

use super::Shared;
use super::carried::Carried;
use super::claim::Claimed;
use super::commit::now;
use super::fault::Fault;
use super::index::Standing;
use super::link::Session;
use super::position::Position;
use super::stream::Progress;
use super::subject::Lane;
use crate::message::id::QueueId;

/// What was found at or below the floors of consumers, in this look and in the one before.
#[derive(Debug, Default)]
pub(super) struct Looks {
    before: HashSet<Position>,
    now: HashSet<Position>,
}

/// What a look says of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Its consumer hands it out, or waits to hear of it.
    Ahead,
    /// Its consumer is past it: it may be about to leave the stream.
    Suspect,
    /// It was so in the last look too.
    Leftover,
}

impl Looks {
    /// Another look begins.
    fn begin(&mut self) {
        self.before = std::mem::take(&mut self.now);
    }

    fn judge(&mut self, position: Position, floor: u64) -> Verdict {
        if position.sequence() > floor {
            return Verdict::Ahead;
        }
        self.now.insert(position);
        if self.before.contains(&position) { Verdict::Leftover } else { Verdict::Suspect }
    }
}

impl Shared {
    /// Looks for messages that their consumers are past, and deals with those that were there in the last look.
    pub(super) async fn deal_with_leftovers(
        &self,
        session: &Session,
        consumers: &[Progress],
        looks: &mut Looks,
    ) -> Result<(), Fault> {
        looks.begin();
        for consumer in consumers {
            // One of another stream is past the messages of that.
            let lane = Lane::of_consumer(&consumer.name);
            let Some(lane) = lane.filter(|lane| lane.consumer(session.life) == consumer.name) else {
                continue;
            };
            self.deal_with_leftovers_of(session, &lane, consumer.floor, looks).await?;
        }
        Ok(())
    }

    async fn deal_with_leftovers_of(
        &self,
        session: &Session,
        lane: &Lane,
        floor: u64,
        looks: &mut Looks,
    ) -> Result<(), Fault> {
        let (filter, mut sequence) = (lane.filter(), 1);
        for _ in 0..MOST_READ {
            let Some(message) = session.next(&filter, sequence).await? else { return Ok(()) };
            let position = Position::of_found(&message);
            sequence = position.sequence().saturating_add(1);
            match looks.judge(position, floor) {
                Verdict::Ahead => return Ok(()),
                Verdict::Suspect => continue,
                Verdict::Leftover => {}
            }
            // One that cannot be read is the operator's.
            let Ok(carried) = Carried::parse(&message.payload) else { continue };
            let id = carried.id;
            match self.deal_with_leftover(session, carried, position).await {
                Err(Fault::Full(said)) => {
                    tracing::debug!(%id, said, "There is no room to carry a message on that nobody hands out.");
                }
                other => other?,
            }
        }
        Ok(())
    }

    async fn deal_with_leftover(
        &self,
        session: &Session,
        carried: Carried,
        position: Position,
    ) -> Result<(), Fault> {
        let (id, key) = (carried.id, carried.record.key);
        if self.claim(session, &carried.record, position, now()).await != Claimed::First {
            tracing::info!(%id, "A message that was dealt with was in the stream again, and is removed.");
            return session.remove(position).await;
        }
        let mut number = id;
        loop {
            let known = self.state().index.of(number).map(|known| (known.record.key, known.standing));
            match known {
                // It is delivered at this moment, and dealt with then.
                Some((there, Standing::InHand)) if there == key => return Ok(()),
                Some((there, Standing::Queue { .. })) if there == key => {
                    self.leaves_stream(session, &carried.record, position).await?;
                    return session.remove(position).await;
                }
                // Another message of the same moment has this number by chance.
                Some(_) => match QueueId::from_row(number.as_row().saturating_add(1)) {
                    Some(next) => number = next,
                    None => return Ok(()),
                },
                None => break,
            }
        }
        tracing::warn!(id = %number, "The stream does not hand a message out any more; it waits in the queue bucket now.");
        self.seize(session, number, carried, position).await
    }
}

/// Messages of a lane that one look reads; the next goes on.
const MOST_READ: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn found(sequence: u64) -> Position {
        Position::new(sequence, 1_000)
    }

    #[test]
    fn what_its_consumer_has_not_passed_is_left_alone_however_often_it_is_seen() {
        let mut looks = Looks::default();
        for _ in 0..3 {
            looks.begin();
            assert_eq!(looks.judge(found(8), 7), Verdict::Ahead);
        }
    }

    #[test]
    fn a_message_below_the_floor_is_left_over_in_the_second_look_and_stays_so() {
        let mut looks = Looks::default();
        for verdict in [Verdict::Suspect, Verdict::Leftover, Verdict::Leftover] {
            looks.begin();
            assert_eq!(looks.judge(found(7), 7), verdict);
        }
    }

    #[test]
    fn one_that_was_not_there_in_between_begins_anew() {
        let mut looks = Looks::default();
        looks.begin();
        assert_eq!(looks.judge(found(7), 7), Verdict::Suspect);
        looks.begin();
        assert_eq!(looks.judge(found(7), 6), Verdict::Ahead, "the server set its consumer back");
        looks.begin();
        assert_eq!(looks.judge(found(7), 7), Verdict::Suspect);
    }

    #[test]
    fn another_message_that_got_the_same_number_is_not_taken_for_it() {
        let mut looks = Looks::default();
        looks.begin();
        assert_eq!(looks.judge(found(7), 9), Verdict::Suspect);
        looks.begin();
        assert_eq!(looks.judge(Position::new(7, 2_000), 9), Verdict::Suspect);
    }
}
