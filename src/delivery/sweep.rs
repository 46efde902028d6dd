//! What is due once a minute without a message: expiry in the spool, old mail and idle connections in the transports.
#![expect(clippy::disallowed_methods, reason = "this is the edge where the spool is told the time")]

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::reports::Reporter;
use super::transport::Transport;
use crate::spool::{
    Expired, Fate, FateReport, Lateness, Overdue, Settled, Spool, SpoolError, Swept, given_up,
};
use crate::telemetry::metrics::{DeliveryResult, Metrics};

/// What a sweep works with.
#[derive(Debug)]
pub(super) struct Sweep {
    pub(super) spool: Spool,
    pub(super) metrics: Arc<Metrics>,
    pub(super) transports: Vec<Transport>,
    pub(super) reporter: Arc<Reporter>,
    pub(super) every: Duration,
}

/// What shares one commit: when a great many run out of time at once, each must not wait for the disk.
#[derive(Debug, Default)]
struct Batch<'o> {
    copies: Vec<&'o Overdue>,
    reports: Vec<FateReport>,
}

impl Batch<'_> {
    /// Each may bring a report of 50 KiB.
    const FULL: usize = 100;
}

impl Sweep {
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failing = false;
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            match self.sweep().await {
                Ok(()) => failing = false,
                Err(SpoolError::Closed) => return,
                Err(error) if failing => tracing::debug!(%error, "The spool still cannot be swept."),
                Err(error) => {
                    failing = true;
                    tracing::error!(%error, "The spool cannot be swept; nothing expires until it can.");
                }
            }
            for transport in &self.transports {
                transport.tend().await;
            }
        }
    }

    async fn sweep(&self) -> Result<(), SpoolError> {
        while self.tell_overdue(Timestamp::now()).await? {}
        loop {
            let now = Timestamp::now();
            let swept = self.spool.sweep(now).await?;
            for expired in &swept.expired {
                self.tell(now, expired).await;
            }
            if swept.expired.is_empty() && swept.forgotten < u64::from(Swept::BATCH) {
                return Ok(());
            }
        }
    }

    /// Tells what is late and what is given up; whether there was any.
    async fn tell_overdue(&self, now: Timestamp) -> Result<bool, SpoolError> {
        let overdue = self.spool.overdue(now).await?;
        let mut batch = Batch::default();
        for copies in overdue.chunk_by(|one, next| one.id == next.id && one.lateness == next.lateness) {
            let Some(id) = copies.first().map(|copy| copy.id) else { continue };
            let message = match self.spool.load(id).await {
                Ok(Some(message)) => message,
                Ok(None) | Err(SpoolError::Corrupt { .. }) => continue,
                Err(error) => return Err(error),
            };
            batch.reports.extend(self.reporter.on_overdue(&self.spool, &message, copies, now).await);
            batch.copies.extend(copies);
            if batch.copies.len() >= Batch::FULL {
                self.keep(std::mem::take(&mut batch), now).await?;
            }
        }
        self.keep(batch, now).await?;
        Ok(!overdue.is_empty())
    }

    async fn keep(&self, batch: Batch<'_>, now: Timestamp) -> Result<(), SpoolError> {
        let Batch { copies, reports } = batch;
        if copies.is_empty() {
            return Ok(());
        }
        self.spool.record(copies.iter().map(|copy| settled(copy, now)).collect(), reports).await?;
        for copy in copies.iter().filter(|copy| copy.lateness == Lateness::Expired) {
            let Overdue { id, number, attempts, .. } = **copy;
            self.tell(now, &Expired { id, number, destination: copy.recipient.via.clone(), attempts }).await;
        }
        Ok(())
    }

    async fn tell(&self, now: Timestamp, expired: &Expired) {
        let Expired { id, number, destination, attempts } = expired;
        self.metrics.delivery(destination, DeliveryResult::Expired);
        // For the log alone; without it the line says less.
        let message = self.spool.load(*id).await.ok().flatten();
        let rule = message.as_ref().and_then(|message| message.rule.as_ref()).map(tracing::field::display);
        let age = message.as_ref().map(|message| {
            let age = now.duration_since(message.accepted_at);
            tracing::field::display(format!("{age:#}"))
        });
        tracing::error!(
            %id, number = number.0, %destination, rule, age, attempts,
            "Given up: it could not be delivered in its time. It is kept as failed; `mailslotd queue retry` tries it \
             again."
        );
    }
}

fn settled(copy: &Overdue, at: Timestamp) -> Settled {
    let fate = match copy.lateness {
        Lateness::Late => Fate::LateTold,
        Lateness::Expired => Fate::Expired { text: given_up(copy.text.as_deref()) },
    };
    Settled { id: copy.id, number: copy.number, fate, at }
}
