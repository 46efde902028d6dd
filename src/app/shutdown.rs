//! The end, in order.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::Gateway;
use crate::admin::readiness::Stage;
use crate::listen::intake::Left;
use crate::listen::messenger::Messenger;
use crate::message::mail::Class;
use crate::spool::SpoolError;

impl Gateway {
    /// Ends in order, within `grace` and moments for an answer with a refresh token and for those to monitors; says which
    /// tasks were left when that was too short.
    pub async fn shutdown(self, grace: Duration) {
        let end = Instant::now() + grace;
        self.readiness.set(Stage::Stopping);
        self.front_end.stop();
        if let Some(messenger) = &self.messenger {
            messenger.stop();
        }
        self.stop_receiver.cancel();
        if matches!(self.spool.accepting(Class::Notice), Err(SpoolError::Closed)) {
            // It ended by a defect: waiting makes nothing durable any more.
            self.give_up_intake.cancel();
        }
        let drained = drain(self.receiver, self.intake, &self.give_up_intake, end);
        // Both at once: a spool that refuses what was heard until the last moment leaves deliveries all of the time, and
        // what they get rid of makes room in it.
        let (mut left, sessions, messages, delivered) = tokio::join!(
            drained,
            self.front_end.ended(end),
            messages_ended(self.messenger, end),
            self.scheduler.shutdown(end)
        );
        if !sessions {
            left.push("smtp sessions");
        }
        if !messages {
            left.push("net send sessions");
        }
        if !delivered {
            left.push("deliveries");
        }
        if let Some(names) = self.name_service
            && !matches!(timeout_at(end, names).await, Ok(Ok(())))
        {
            left.push("name service");
        }
        if let Some(pickup) = self.pickup
            && !matches!(timeout_at(end, pickup).await, Ok(Ok(())))
        {
            // What it was taking is still in its directory.
            left.push("pickup");
        }
        self.stop_servers.cancel();
        self.servers.close();
        if timeout(FOR_MONITORS, self.servers.wait()).await.is_err() {
            left.push("admin");
        }
        if let Some(inventory) = self.inventory {
            inventory.close().await;
        }
        self.spool.close().await;
        if left.is_empty() {
            tracing::info!("Stopped.");
        } else {
            tracing::warn!(
                ?left,
                "Stopped before all tasks had finished; what was accepted is in the spool."
            );
        }
    }
}

async fn messages_ended(messenger: Option<Messenger>, end: Instant) -> bool {
    match messenger {
        Some(messenger) => messenger.ended(end).await,
        None => true,
    }
}

/// Waits until what was heard is in the spool, at most until `end`. The tasks that did not finish.
async fn drain(
    receiver: JoinHandle<()>,
    mut intake: JoinHandle<Left>,
    give_up: &CancellationToken,
    end: Instant,
) -> Vec<&'static str> {
    let mut left = Vec::new();
    if !matches!(timeout_at(end, receiver).await, Ok(Ok(()))) {
        left.push("receiver");
    }
    let drained = match timeout_at(end, &mut intake).await {
        Ok(drained) => drained,
        Err(_) => {
            give_up.cancel();
            // It says itself what it could not make durable.
            intake.await
        }
    };
    if drained.is_err() {
        left.push("intake");
    }
    left
}

/// How long answers to monitors and commands may take once everything else has ended.
const FOR_MONITORS: Duration = Duration::from_secs(2);
