//! The pickup directory: applications drop `.eml` files, as under Windows' SMTP service, and `mailslotd sendmail` does so
//! for those that know nothing else. What is dropped goes the way of a client of this host: the same relay policy, the
//! same recipient filter, a trace header, missing Date and Message-ID, the routes, the spool.
//!
//! * **Complete** is a file that was renamed into the directory, or that did not change for two seconds (`arrivals`). The
//!   kernel tells of new files; besides, the directory is looked into every second.
//! * **The envelope** is read from the file (`message::own_envelope`): X-Sender and X-Receiver, else From, To, Cc, Bcc.
//! * **All or nothing**: when one recipient may not be sent to, or does not exist, nobody is, and the file goes to
//!   `badmail` with `NAME.reason.txt` beside it. Whoever mends it puts it back. Nobody but the operator empties `badmail`.
//! * **Removed only once durable.** A full spool, a directory that does not answer or a used-up rate leave the file where it
//!   is. Killed between the spool's fsync and the removal, the gateway takes the file again; a Message-ID that is added
//!   is made of the file's identity (device, inode, time, name), so both copies have the same one. The time of a message
//!   is that of the file's last change.
//! * **Who may**: the directory's mode decides. Made by the gateway it is 3730: members of its group may drop files, but
//!   neither list nor touch those of others. Give it a group of its own, and the programs that may send.

mod arrivals;
mod folder;
mod judgement;
mod taking;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::HashSet;
use std::ffi::OsString;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use self::arrivals::Arrivals;
use self::folder::{Folder, Found, Rest};
pub use self::folder::{FolderError, TEMPORARY};
pub use self::judgement::{Refused, judge};
use self::taking::{Fault, Taker, Taking};
use self::watch::Watch;
use crate::config::settings::Settings;
use crate::directory::Directory;
use crate::message::mail::Class;
use crate::policy::rate::TokenBucket;
use crate::spool::Spool;
use crate::telemetry::log::Recurring;
use crate::telemetry::metrics::{Metrics, PickupOutcome};

/// The pickup directory at work.
#[derive(Debug)]
pub struct Pickup {
    folder: Folder,
    watch: Watch,
    arrivals: Arrivals,
    taker: Taker,
    rate: Option<TokenBucket>,
    spool: Spool,
    metrics: Arc<Metrics>,
    faults: Recurring,
}

/// Whether a round goes on after a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    File,
    /// Nothing more would be taken now.
    Round,
}

impl Pickup {
    /// Makes the directory where it is absent. `None` where the settings have none. `recipients` says which exist.
    ///
    /// # Errors
    /// [`FolderError`].
    pub fn prepare(
        settings: &Settings,
        recipients: Arc<Directory>,
        spool: Spool,
        metrics: Arc<Metrics>,
    ) -> Result<Option<Self>, FolderError> {
        let Some(pickup) = &settings.smtp.pickup else { return Ok(None) };
        let folder = Folder::prepare(&pickup.path)?;
        let rate = pickup.policy.trusted_network_of(judgement::THIS_HOST).and_then(|trusted| trusted.rate);
        Ok(Some(Self {
            watch: Watch::new(folder.path()),
            arrivals: Arrivals::default(),
            taker: Taker::new(settings, pickup, recipients, folder.clone(), spool.clone()),
            rate: rate.map(|rate| TokenBucket::new(rate, now())),
            folder,
            spool,
            metrics,
            faults: Recurring::new(TELL_EVERY),
        }))
    }

    /// Takes what comes, until `stop`; the file that is being taken then is finished.
    pub async fn run(mut self, stop: CancellationToken) {
        tracing::info!(path = %self.folder.path().display(), "Picking up mail.");
        loop {
            let pause = self.round(&stop).await;
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = self.watch.changed() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Takes all that is complete. How long to wait when nothing new comes.
    async fn round(&mut self, stop: &CancellationToken) -> Duration {
        if let Err(error) = self.spool.accepting(Class::Mail) {
            self.tell(&error);
            return RETRY;
        }
        let folder = self.folder.clone();
        let looked = tokio::task::spawn_blocking(move || folder.look()).await;
        let Found { files, rest } = match looked {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => {
                self.tell(&error);
                return RETRY;
            }
            Err(error) => {
                self.tell(&error);
                return RETRY;
            }
        };
        let there: HashSet<OsString> = files.iter().map(|(name, _)| name.clone()).collect();
        let complete = self.arrivals.look(now(), files, self.watch.renamed());
        if rest == Rest::None {
            self.watch.retain(&there);
        }
        let mut taken: usize = 0;
        for name in complete {
            if stop.is_cancelled() {
                return LOOK;
            }
            if self.file(&name).await == Next::Round {
                return RETRY;
            }
            taken = taken.saturating_add(1);
        }
        if rest == Rest::Some && taken > 0 { Duration::ZERO } else { LOOK }
    }

    async fn file(&mut self, name: &OsString) -> Next {
        if let Some(bucket) = &mut self.rate
            && bucket.take(now()).is_err()
        {
            self.metrics.pickup_file(PickupOutcome::Deferred);
            self.tell(&"more messages than `pickup.rate` allows");
            return Next::Round;
        }
        let outcome = match self.taker.take(name).await {
            Taking::Gone => {
                self.watch.forget(name);
                return Next::File;
            }
            Taking::Taken(message) => {
                message.tell(name);
                self.watch.forget(name);
                self.remove(name, message.file);
                PickupOutcome::Accepted
            }
            Taking::Not(Fault::Refused(reason)) => {
                self.set_aside(name, &reason);
                PickupOutcome::Refused
            }
            Taking::Not(Fault::Unusable(reason)) => {
                self.set_aside(name, &reason);
                PickupOutcome::Unusable
            }
            Taking::Not(Fault::Later(reason)) => {
                self.metrics.pickup_file(PickupOutcome::Deferred);
                self.tell(&reason);
                return Next::File;
            }
            Taking::Not(Fault::NothingNow(reason)) => {
                self.metrics.pickup_file(PickupOutcome::Deferred);
                self.tell(&reason);
                return Next::Round;
            }
        };
        self.metrics.pickup_file(outcome);
        Next::File
    }

    fn remove(&mut self, name: &OsString, file: (u64, u64)) {
        if let Err(error) = self.folder.remove(name, file) {
            self.arrivals.is_over(name);
            tracing::error!(
                file = %name.to_string_lossy().escape_debug(),
                %error,
                "A file was picked up and cannot be removed; remove it, or it is sent again at the next start."
            );
        }
    }

    fn set_aside(&mut self, name: &OsString, reason: &str) {
        self.watch.forget(name);
        match self.folder.set_aside(name, reason) {
            Ok(target) => tracing::warn!(
                file = %name.to_string_lossy().escape_debug(),
                aside = %target.display().to_string().escape_debug(),
                reason = %reason.trim_end().escape_debug(),
                "A file was not picked up; it is in badmail with its reason."
            ),
            Err(error) => {
                self.arrivals.is_over(name);
                tracing::error!(
                    file = %name.to_string_lossy().escape_debug(),
                    reason = %reason.trim_end().escape_debug(),
                    %error,
                    "A file was not picked up and cannot be moved to badmail; it stays where it is and is left alone."
                );
            }
        }
    }

    fn tell(&mut self, reason: &dyn std::fmt::Display) {
        if self.faults.happened(1, now()).is_some() {
            tracing::warn!(%reason, "Mail waits in the pickup directory; nothing is lost, and it is tried again.");
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the edge where time is read")]
fn now() -> Instant {
    Instant::now()
}

/// How often the directory is looked into.
const LOOK: Duration = Duration::from_secs(1);
/// How soon after something forbade it.
const RETRY: Duration = Duration::from_secs(5);
const TELL_EVERY: Duration = Duration::from_secs(10 * 60);
