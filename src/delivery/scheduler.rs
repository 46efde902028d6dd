//! What is due goes to its transport: one lane for each destination, so that none waits for another.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::lane::{Lane, Parts};
use super::netbios::LegacySide;
use super::reports::Reporter;
use super::sweep::Sweep;
use super::transport::{Limits, SetupError, Transport};
use super::view::Views;
use crate::config::settings::Settings;
use crate::message::id::DestinationName;
use crate::policy::availability::Pace;
use crate::policy::retry::Retry;
use crate::spool::Spool;
use crate::telemetry::metrics::Metrics;

/// The deliveries. Clones share them.
#[derive(Debug, Clone)]
pub struct Scheduler(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    lanes: BTreeMap<DestinationName, Handle>,
    transports: Vec<Transport>,
    views: Views,
    tasks: TaskTracker,
    sweep: AbortHandle,
    stop: CancellationToken,
    broke: CancellationToken,
}

/// What the outside has of a lane.
#[derive(Debug)]
struct Handle {
    poke: Arc<Notify>,
    task: AbortHandle,
}

/// What is delivered where, and how patiently.
#[derive(Debug)]
pub struct Plan {
    /// Each destination once.
    pub destinations: Vec<(DestinationName, Transport, Limits)>,
    /// Of one message.
    pub retry: Retry,
    /// Of one destination.
    pub pace: Pace,
    /// Between two looks for what has expired.
    pub sweep: Duration,
    /// What tells senders of mail what became of it.
    pub reporter: Reporter,
}

/// A destination cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("destination {name}: {source}")]
pub struct SchedulerError {
    name: DestinationName,
    source: SetupError,
}

impl Plan {
    /// What the configuration says. Connects to nothing.
    ///
    /// # Errors
    /// The first destination that cannot be set up, for example one whose `ca_file` cannot be read.
    pub fn of(
        settings: &Settings,
        metrics: &Arc<Metrics>,
        legacy: &LegacySide,
    ) -> Result<Self, SchedulerError> {
        let built = settings.destinations.iter().map(|destination| {
            let transport = Transport::new(destination, settings, metrics, legacy)
                .map_err(|source| SchedulerError { name: destination.name.clone(), source })?;
            Ok((destination.name.clone(), transport, Limits::of(&destination.kind)))
        });
        Ok(Self {
            destinations: built.collect::<Result<_, _>>()?,
            retry: settings.retry,
            pace: Pace::default(),
            sweep: SWEEP,
            reporter: Reporter::of(settings, metrics),
        })
    }
}

impl Scheduler {
    /// Starts the deliveries of a configuration, with what lies in the spool.
    ///
    /// # Errors
    /// As [`Plan::of`]; nothing was started then.
    #[expect(clippy::unused_async, reason = "must be called where tasks can be spawned")]
    pub async fn start(
        settings: &Settings,
        spool: Spool,
        metrics: Arc<Metrics>,
        legacy: &LegacySide,
    ) -> Result<Self, SchedulerError> {
        Ok(Self::launch(Plan::of(settings, &metrics, legacy)?, &spool, &metrics))
    }

    /// Starts the deliveries of a plan. Must be called within the runtime.
    #[must_use]
    pub fn launch(plan: Plan, spool: &Spool, metrics: &Arc<Metrics>) -> Self {
        let (tasks, views) = (TaskTracker::new(), Views::default());
        let (stop, broke) = (CancellationToken::new(), CancellationToken::new());
        let transports: Vec<_> =
            plan.destinations.iter().map(|(_, transport, _)| transport.clone()).collect();
        let reporter = Arc::new(plan.reporter);
        let sweep = Sweep {
            spool: spool.clone(),
            metrics: Arc::clone(metrics),
            transports: transports.clone(),
            reporter: Arc::clone(&reporter),
            every: plan.sweep,
        };
        let sweep = tasks.spawn(sweep.run(stop.clone())).abort_handle();
        let mut lanes = BTreeMap::new();
        for (name, transport, limits) in plan.destinations {
            let poke = Arc::new(Notify::new());
            let lane = Lane::new(Parts {
                name: name.clone(),
                transport,
                limits,
                pace: plan.pace,
                retry: plan.retry,
                spool: spool.clone(),
                metrics: Arc::clone(metrics),
                views: views.clone(),
                reporter: Arc::clone(&reporter),
                poke: Arc::clone(&poke),
                stop: stop.clone(),
            });
            let ended = broke.clone().drop_guard();
            let task = tasks.spawn(async move {
                let _ended = ended;
                lane.run().await;
            });
            let task = task.abort_handle();
            lanes.insert(name, Handle { poke, task });
        }
        tasks.close();
        Self(Arc::new(Shared { lanes, transports, views, tasks, sweep, stop, broke }))
    }

    /// The live state of the destinations.
    #[must_use]
    pub fn views(&self) -> &Views {
        &self.0.views
    }

    /// Whether there is such a destination.
    #[must_use]
    pub fn has(&self, destination: &DestinationName) -> bool {
        self.0.lanes.contains_key(destination)
    }

    /// The operator paused, resumed or retried something for this destination: it looks at once, and probes a
    /// destination in trouble without waiting. Harmless at any time.
    pub fn poke(&self, destination: &DestinationName) {
        if let Some(lane) = self.0.lanes.get(destination) {
            lane.poke.notify_one();
        }
    }

    /// As [`Self::poke`], for all.
    pub fn poke_all(&self) {
        for lane in self.0.lanes.values() {
            lane.poke.notify_one();
        }
    }

    /// Returns when the deliveries to some destination have ended though nobody asked them to: by a defect. Never while
    /// all is well.
    pub async fn broke(&self) {
        self.0.broke.cancelled().await;
    }

    /// Makes no new attempts, from its first poll on, and waits for those under way until `end`. Whether all ended; if
    /// not, the rest is broken off and the log says which: what was not recorded is delivered again, under the same
    /// Message-ID. A request for a token gets some seconds more, since a refresh token may come with its answer that no
    /// other answer brings again.
    pub async fn shutdown(&self, end: Instant) -> bool {
        self.0.stop.cancel();
        let ended = timeout_at(end, self.0.tasks.wait()).await.is_ok() || self.break_off();
        if timeout_at(end + FOR_TOKENS, self.0.settled()).await.is_err() {
            tracing::error!(
                "A request for a token was not answered in time; should its destination refuse the refresh token from now \
                 on, run `mailslotd oauth login`."
            );
        }
        ended
    }

    /// Whether nothing was broken off but the sweep, which the next start makes again.
    fn break_off(&self) -> bool {
        let lanes = &self.0.lanes;
        let left: Vec<&str> = lanes
            .iter()
            .filter(|(_, lane)| !lane.task.is_finished())
            .map(|(name, _)| name.as_str())
            .collect();
        self.0.sweep.abort();
        if left.is_empty() {
            return true;
        }
        tracing::warn!(destinations = ?left, "Deliveries did not end in time and are broken off; they are repeated.");
        for lane in lanes.values() {
            lane.task.abort();
        }
        false
    }
}

impl Shared {
    async fn settled(&self) {
        for transport in &self.transports {
            transport.settled().await;
        }
    }
}

/// What a provider that is well takes at most; systemd waits longer for all.
const FOR_TOKENS: Duration = Duration::from_secs(10);
/// Between two looks for what has expired.
const SWEEP: Duration = Duration::from_secs(60);

#[cfg(test)]
mod next_hop;
#[cfg(test)]
mod tests;
