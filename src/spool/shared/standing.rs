//! How the group stands as this gateway knows it: for the operator and the metrics.

use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::Shared;
use super::fault::Fault;
use crate::spool::error::SpoolError;
use crate::spool::local::now;
use crate::spool::standing::{Contact, GatewaySign, GroupStanding, Lead, LocalWait, Replicas};
use crate::telemetry::metrics::GroupLead;

impl Shared {
    /// See [`crate::spool::Spool::group`].
    pub(in crate::spool) async fn standing(&self) -> Result<GroupStanding, SpoolError> {
        let local = self.0.local.figures().await?;
        let state = self.state();
        let sign = |(gateway, sign): (&super::record::GatewayId, &super::state::Sign)| GatewaySign {
            name: gateway.0.clone(),
            seen_at: sign.seen_at,
        };
        let (contact, since) = state.contact.clone();
        Ok(GroupStanding {
            gateway: self.0.me.0.clone(),
            servers: self.0.plan.cluster.named().to_owned(),
            contact,
            since,
            lead: *self.0.lead.borrow(),
            leader: state.leader.as_ref().map(|leader| leader.0.clone()),
            gateways: state.signs.iter().map(sign).collect(),
            replicas: Replicas { wanted: self.0.plan.replicas, current: state.current_replicas },
            local: LocalWait { messages: local.messages, bytes: local.bytes, oldest: local.oldest_waiting },
        })
    }

    /// The servers answer.
    pub(super) fn answered(&self) {
        let mut state = self.state();
        if state.contact.0 != Contact::Open {
            state.contact = (Contact::Open, now());
        }
    }

    /// The servers did not answer a question.
    pub(super) fn silent(&self, fault: &Fault) {
        let Fault::Lost(why) = fault else { return };
        {
            let mut state = self.state();
            let since = match state.contact {
                (Contact::Open, _) => now(),
                (Contact::Silent(_), since) => since,
            };
            state.contact = (Contact::Silent(why.clone()), since);
        }
    }

    /// Shows all figures in the metrics, whether the servers answer or not.
    pub(super) async fn show_figures(self) {
        let mut ticks = tokio::time::interval(SHOWN_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.publish_figures().await;
            self.publish_standing();
        }
    }

    fn publish_standing(&self) {
        let metrics = &self.0.metrics;
        metrics.set_spool_group_lead(match *self.0.lead.borrow() {
            Lead::Ours => GroupLead::Ours,
            Lead::Lapsed => GroupLead::Lapsed,
            Lead::Another => GroupLead::Another,
        });
        let state = self.state();
        metrics.set_spool_group_gateways(state.signs.len());
        metrics.set_spool_group_silent_since(match &state.contact {
            (Contact::Open, _) => None,
            (Contact::Silent(_), since) => Some(*since),
        });
        if let Some(current) = state.current_replicas {
            metrics.set_spool_group_replicas(self.0.plan.replicas, current);
        }
    }
}

/// Between two looks at the figures.
const SHOWN_EVERY: Duration = Duration::from_secs(2);
