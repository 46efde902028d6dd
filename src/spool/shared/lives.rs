//! Who lives, and who leads: two leases that go by themselves when nobody renews them, by the servers' clocks alone.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::MissedTickBehavior;

use super::bucket::json;
use super::commit::now;
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
        let mut lease = None;
        loop {
            ticks.tick().await;
            match self.beat(session, &mut lease).await {
                Ok(()) => failed = 0,
                Err(fault) => {
                    failed = failed.saturating_add(1);
                    if failed >= MOST_FAILED {
                        return fault;
                    }
                    // Who led leads on until another is known to: names that nobody owns reach nobody.
                    continue;
                }
            }
            self.lead_is(if lease.is_some() { Lead::Ours } else { Lead::Another });
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
        let leads = *self.0.lead.borrow() == Lead::Ours;
        self.0.lead.send_replace(Lead::Another);
        let mut goodbyes = vec![self.member()];
        goodbyes.extend(leads.then(|| LEADER.to_owned()));
        for key in goodbyes {
            if let Err(error) = session.group.purge(&key).await {
                tracing::debug!(%error, "A lease was not given back; it ends by itself.");
            }
        }
        // What was sent is on its way once the connection is flushed.
        drop(session.connection.client().flush().await);
    }

    async fn beat(&self, session: &Session, lease: &mut Option<u64>) -> Result<(), Fault> {
        let began = now();
        if self.0.plan.part == Part::Gateway {
            let me = Member { name: &self.0.plan.name, at: crate::spool::local::now() };
            session.group.put(self.member(), json(&me)).await.map_err(Fault::lost)?;
        }
        let living: BTreeSet<GatewayId> = session.living().await?.into_iter().map(GatewayId).collect();
        // From before the question: whoever asks later sees this gateway for longer than it thinks.
        let woken = self.state().set_living(living, began);
        self.0.subscribers.wake(&woken);
        if self.0.plan.part == Part::Gateway {
            self.renew_lead(session, lease).await?;
        }
        self.look_into_lanes(session).await
    }

    /// Leads on, or begins to where nobody does.
    async fn renew_lead(&self, session: &Session, lease: &mut Option<u64>) -> Result<(), Fault> {
        let value = json(&self.0.me);
        let written = match *lease {
            Some(revision) => session.update(&session.group, LEADER, value, revision).await,
            None => session.create(&session.group, LEADER, value).await,
        };
        match written {
            Ok(revision) => *lease = Some(revision),
            Err(Fault::Conflict) => {
                // What was written though its answer was lost is ours too.
                let found = session.entry(&session.group, LEADER).await?;
                let ours = found.filter(|(value, _)| *value == json(&self.0.me));
                *lease = ours.map(|(_, revision)| revision);
            }
            Err(fault) => return Err(fault),
        }
        Ok(())
    }

    fn lead_is(&self, lead: Lead) {
        let changed = self.0.lead.send_if_modified(|before| std::mem::replace(before, lead) != lead);
        if changed {
            match lead {
                Lead::Ours => tracing::info!(
                    "This gateway leads its group now: it owns the names and sweeps the spool."
                ),
                Lead::Another => {
                    tracing::warn!("This gateway no longer leads its group; another takes over.")
                }
            }
        }
    }

    /// What lies in the stream for each lane.
    async fn look_into_lanes(&self, session: &Session) -> Result<(), Fault> {
        let mut pending = std::collections::HashMap::new();
        for (name, waiting) in session.waiting().await? {
            pending.extend(Lane::of_consumer(&name).map(|lane| (lane, waiting)));
        }
        let bytes = session.bytes().await?;
        {
            let mut state = self.state();
            state.pending = pending;
            state.stream_bytes = bytes;
        }
        self.publish_figures();
        Ok(())
    }

    fn member(&self) -> String {
        format!("member.{}", self.0.me.0)
    }
}

const LEADER: &str = "leader";
/// Between two signs of life; a few of them fit into a lease.
const BEAT: Duration = Duration::from_secs(2);
/// Signs of life that may fail before another connection is tried.
const MOST_FAILED: u32 = 3;
