//! Who lives, and who leads: signs of life that go by themselves when nobody renews them, and one lease that one gateway
//! has at a time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::{MissedTickBehavior, sleep_until, timeout_at};

use super::carried::json;
use super::commit::now;
use super::election::{Election, Holder, Step};
use super::fault::Fault;
use super::link::Session;
use super::record::GatewayId;
use super::subject::Lane;
use super::{Lead, Part, Shared};

/// What a gateway says of itself.
#[derive(Debug, Serialize, Deserialize)]
struct Member<'a> {
    name: &'a str,
    at: Timestamp,
}

impl Shared {
    /// Writes that this gateway lives, again and again; returns when that has failed for too long.
    pub(super) async fn live(&self, session: &Session) -> Fault {
        let mut ticks = tokio::time::interval(BEAT);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failed: u32 = 0;
        loop {
            ticks.tick().await;
            match self.beat(session).await {
                Ok(()) => {
                    failed = 0;
                    self.answered();
                }
                Err(fault) => {
                    self.silent(&fault);
                    failed = failed.saturating_add(1);
                    if failed >= MOST_FAILED {
                        return fault;
                    }
                }
            }
        }
    }

    /// Takes part in who leads, until the spool closes. While no server answers, a lead lapses in time.
    pub(super) async fn lead_on(self) {
        let mut ticks = tokio::time::interval(Election::EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut election = Election::default();
        loop {
            let lapses = election.lapses_at().filter(|at| *at > now());
            tokio::select! {
                _ = ticks.tick() => self.step(&mut election, lapses).await,
                () = sleep_until(lapses.unwrap_or_else(now).into()), if lapses.is_some() => {}
            }
            self.state().lease = election.to_give_back();
            self.lead_is(election.lead(now()));
        }
    }

    /// One step of the election; it ends when a lead lapses, at the latest.
    async fn step(&self, election: &mut Election, lapses: Option<Instant>) {
        let Some(session) = self.session() else { return };
        let began = now();
        let end = began.checked_add(ANSWERED_WITHIN).unwrap_or(began);
        let end = lapses.map_or(end, |lapses| lapses.min(end));
        let asked = timeout_at(end.into(), self.carry_out(&session, election, began));
        if let Ok(Err(fault)) = asked.await {
            tracing::debug!(%fault, "Who leads the group could not be asked.");
        }
    }

    async fn carry_out(
        &self,
        session: &Session,
        election: &mut Election,
        began: Instant,
    ) -> Result<(), Fault> {
        let ours = json(&self.0.me);
        let written = match election.step(began) {
            Step::Create => session.create(&session.group, LEADER, ours).await,
            Step::Update(revision) => session.update(&session.group, LEADER, ours, revision).await,
            Step::Look => {
                let found = session.entry(&session.group, LEADER).await?;
                let found = found.map(|(value, revision)| (value == ours, value, revision));
                let holder = |ours| if ours { Holder::Us } else { Holder::Another };
                election.read(now(), found.as_ref().map(|(ours, _, revision)| (holder(*ours), *revision)));
                self.state().leader = found.and_then(|(_, value, _)| serde_json::from_slice(&value).ok());
                return Ok(());
            }
        };
        match written {
            Ok(revision) => {
                election.written(began, revision);
                self.state().leader = Some(self.0.me.clone());
                Ok(())
            }
            Err(Fault::Conflict) => {
                election.refused();
                Ok(())
            }
            Err(Fault::Full(said)) => {
                tracing::debug!(said, "There is no room to say who leads.");
                election.unwritten(began);
                Ok(())
            }
            Err(fault) => Err(fault),
        }
    }

    /// Tells the others that this gateway goes: nobody has to wait for its leases to end.
    pub(super) async fn leave(&self) {
        let Some(session) = self.session() else { return };
        let (hands, leased) = {
            let state = self.state();
            (state.hands.values().cloned().collect::<Vec<_>>(), state.index.leased())
        };
        for hand in hands {
            session.tell(&hand.reply, "-NAK").await;
        }
        {
            let mut state = self.state();
            leased.iter().for_each(|id| state.put_back_all(*id));
        }
        for id in leased {
            self.let_go(&session, id).await;
        }
        self.0.lead.send_replace(Lead::Another);
        let lease = self.state().lease.take();
        // A lease that another has by now is not given back.
        let goodbyes = [Some((self.member(), None)), lease.map(|lease| (LEADER.to_owned(), Some(lease)))];
        for (key, revision) in goodbyes.into_iter().flatten() {
            if let Err(error) = session.group.purge_expect_revision(&key, revision).await {
                tracing::debug!(%error, "A lease was not given back; it ends by itself.");
            }
        }
        // What was sent is on its way once the connection is flushed.
        drop(session.connection.client().flush().await);
    }

    async fn beat(&self, session: &Session) -> Result<(), Fault> {
        let began = now();
        match self.say_that_it_lives(session).await {
            Ok(()) => {
                let living = self.living(session).await?;
                // From before the question: whoever asks later sees this gateway for longer than it thinks.
                let woken = self.state().set_living(living, began);
                self.0.subscribers.wake(&woken);
            }
            Err(Fault::Full(said)) => {
                tracing::debug!(said, "There is no room for a sign of life.");
                self.state().live_on(began);
            }
            Err(fault) => return Err(fault),
        }
        self.look_for_room(session, began).await?;
        self.look_into_stream(session).await
    }

    async fn say_that_it_lives(&self, session: &Session) -> Result<(), Fault> {
        if self.0.plan.part == Part::Visitor {
            return Ok(());
        }
        let me = Member { name: &self.0.plan.name, at: crate::spool::local::now() };
        session.group.put(self.member(), json(&me)).await.map(drop).map_err(Fault::of_write)
    }

    /// Who lives, with the revision of the last sign of it. One that said goodbye does not, though its mark is there.
    pub(super) async fn living(&self, session: &Session) -> Result<BTreeMap<GatewayId, u64>, Fault> {
        let names = session.living().await?;
        let found = names.into_iter().map(|name| async move {
            let entry = session.entry(&session.group, &format!("{MEMBER}{name}")).await?;
            Ok(entry.map(|(_, revision)| (GatewayId(name), revision)))
        });
        let found: Result<Vec<_>, Fault> = join_all(found).await.into_iter().collect();
        Ok(found?.into_iter().flatten().collect())
    }

    fn lead_is(&self, lead: Lead) {
        let mut before = lead;
        let changed = self.0.lead.send_if_modified(|now| {
            before = std::mem::replace(now, lead);
            before != lead
        });
        if !changed {
            return;
        }
        match (before, lead) {
            (Lead::Lapsed, Lead::Ours) => tracing::info!("This gateway leads its group again."),
            (_, Lead::Ours) => {
                tracing::info!("This gateway leads its group now: it owns the names and sweeps the spool.")
            }
            (_, Lead::Lapsed) => tracing::warn!(
                "This gateway led its group and cannot say so to the servers any more: another may lead it by now."
            ),
            (_, Lead::Another) => tracing::warn!("This gateway no longer leads its group; another does."),
        }
    }

    /// What lies in the stream for each lane, and how many servers have all of it.
    async fn look_into_stream(&self, session: &Session) -> Result<(), Fault> {
        let mut pending = std::collections::HashMap::new();
        for consumer in session.progress().await? {
            pending.extend(Lane::of_consumer(&consumer.name).map(|lane| (lane, consumer.waiting)));
        }
        let info = session.look().await?;
        // A server that stands alone says nothing of a cluster.
        let current = info.cluster.as_ref().map_or(1, |cluster| {
            let others = cluster.replicas.iter().filter(|peer| peer.current && !peer.offline).count();
            others.saturating_add(usize::from(cluster.leader.is_some()))
        });
        let unread: Vec<u64> = self.state().unread.keys().copied().take(MOST_LOOKED_FOR).collect();
        let mut gone = Vec::new();
        for sequence in unread {
            let there = session.next(super::subject::ALL, sequence).await?;
            gone.extend(there.is_none_or(|message| message.sequence != sequence).then_some(sequence));
        }
        let mut state = self.state();
        state.pending = pending;
        state.stream_bytes = info.state.bytes;
        let oldest = info.state.first_timestamp.unix_timestamp_nanos();
        state.stream_oldest = Timestamp::from_nanosecond(oldest).ok().filter(|_| info.state.messages > 0);
        state.current_replicas = Some(current);
        for sequence in gone {
            state.unread.remove(&sequence);
        }
        Ok(())
    }

    fn member(&self) -> String {
        format!("{MEMBER}{}", self.0.me.0)
    }
}

const LEADER: &str = "leader";
const MEMBER: &str = "member.";
/// Between two signs of life; a few of them fit into a lease.
const BEAT: Duration = Duration::from_secs(2);
/// Signs of life that may fail before another connection is tried.
const MOST_FAILED: u32 = 3;
/// For one step of the election: a server that is slower is as good as away.
const ANSWERED_WITHIN: Duration = Duration::from_millis(1500);
/// Unreadable messages that are looked for at a time.
const MOST_LOOKED_FOR: usize = 16;
