//! The pickup directory: applications drop `.eml` files, as under Windows' SMTP service, and `mailslotd sendmail` does so
//! for those that know nothing else. What is dropped goes the way of a client of this host: the same relay policy, the
//! same recipient filter, a trace header, missing Date and Message-ID, the routes, the spool.
//!
//! * **Complete** is a file that was renamed into the directory, or that did not change for two seconds (`arrivals`). The
//!   kernel tells of new files; besides, the directory is looked into every second.
//! * **The envelope** is read from the file (`message::own_envelope`): X-Sender and X-Receiver, else From, To, Cc, Bcc.
//! * **All or nothing**: when one recipient may not be sent to, or does not exist, nobody is, and the file goes to
//!   `badmail` with `NAME.reason.txt` beside it. Whoever mends it puts it back. What the gateway moved to `badmail` goes after
//!   `badmail_keep`.
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

use std::ffi::{OsStr, OsString};
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
    directory: Arc<Directory>,
    rate: Option<TokenBucket>,
    spool: Spool,
    metrics: Arc<Metrics>,
    faults: Recurring,
    /// How long `badmail` keeps, and when it is looked through next.
    badmail: Option<(Duration, Instant)>,
}

/// What a round is to do after a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// The file is not there any more.
    Away,
    /// It is still there, and passed over for a time.
    Left,
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
            taker: Taker::new(settings, pickup, Arc::clone(&recipients), folder.clone(), spool.clone()),
            directory: recipients,
            rate: rate.map(|rate| TokenBucket::new(rate, now())),
            folder,
            spool,
            metrics,
            faults: Recurring::new(TELL_EVERY),
            badmail: pickup.badmail_keep.map(|keep| (keep, now())),
        }))
    }

    /// Takes what comes, under the newest settings, until `stop`; the file that is being taken then is finished.
    pub async fn run(
        mut self,
        mut settings: tokio::sync::watch::Receiver<Arc<Settings>>,
        stop: CancellationToken,
    ) {
        tracing::info!(path = %self.folder.path().display(), "Picking up mail.");
        loop {
            self.tidy().await;
            let pause = self.round(&stop).await;
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                Ok(()) = settings.changed() => {
                    let settings = Arc::clone(&settings.borrow_and_update());
                    self.adopt(&settings);
                }
                () = self.watch.changed() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Judges by these settings from the next file on.
    fn adopt(&mut self, settings: &Settings) {
        if let Some(pickup) = &settings.smtp.pickup {
            let (directory, folder) = (Arc::clone(&self.directory), self.folder.clone());
            self.taker = Taker::new(settings, pickup, directory, folder, self.spool.clone());
        }
    }

    /// Removes what has lain in `badmail` for its time, once an hour.
    async fn tidy(&mut self) {
        let Some((keep, at)) = &mut self.badmail else { return };
        if now() < *at {
            return;
        }
        *at = now().checked_add(TIDY).unwrap_or(*at);
        let (folder, keep) = (self.folder.clone(), *keep);
        match tokio::task::spawn_blocking(move || folder.forget_aside(keep)).await {
            Ok(Ok(0)) => {}
            Ok(Ok(files)) => {
                tracing::info!(
                    files,
                    "Files that were refused longer ago than `pickup.badmail_keep` are removed."
                );
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "badmail cannot be tidied up; it is tried again in an hour.")
            }
            Err(error) => {
                tracing::warn!(%error, "badmail cannot be tidied up; it is tried again in an hour.")
            }
        }
    }

    /// Takes all that is complete. How long to wait when nothing new comes.
    async fn round(&mut self, stop: &CancellationToken) -> Duration {
        if let Err(error) = self.spool.accepting(Class::Mail) {
            self.tell(&error);
            return RETRY;
        }
        if self.arrivals.over() >= MOST_OVER {
            self.tell(
                &"so many files were picked up and cannot be removed that no more are taken; remove them",
            );
            return RETRY;
        }
        let (folder, left) = (self.folder.clone(), self.arrivals.left());
        let looked = tokio::task::spawn_blocking(move || folder.look(&left, now())).await;
        let Found { files, passed_over, rest } = match looked {
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
        let mut there = passed_over;
        there.extend(files.iter().map(|(name, _)| name.clone()));
        let complete = self.arrivals.look(now(), files, self.watch.renamed());
        if rest == Rest::None {
            self.watch.retain(&there);
            self.arrivals.retain(&there);
        }
        let mut away = false;
        for name in complete {
            if stop.is_cancelled() {
                return LOOK;
            }
            match self.file(&name).await {
                Next::Away => away = true,
                Next::Left => {}
                Next::Round => return RETRY,
            }
        }
        if rest == Rest::Some && away { Duration::ZERO } else { LOOK }
    }

    /// Takes one file, if the rate allows it. What does not reach the spool counts against no rate.
    async fn file(&mut self, name: &OsString) -> Next {
        if let Some(bucket) = &mut self.rate
            && bucket.take(now()).is_err()
        {
            self.metrics.pickup_file(PickupOutcome::Deferred);
            self.tell(&"more messages than `pickup.rate` allows");
            return Next::Round;
        }
        let fault = match self.taker.take(name).await {
            Taking::Taken(message) => {
                message.tell(name);
                self.metrics.pickup_file(PickupOutcome::Accepted);
                return self.remove(name, message.file);
            }
            Taking::Gone => None,
            Taking::Not(fault) => Some(fault),
        };
        if let Some(bucket) = &mut self.rate {
            bucket.put_back();
        }
        match fault {
            None => self.is_away(name),
            Some(fault) => self.not_taken(name, &fault),
        }
    }

    fn not_taken(&mut self, name: &OsStr, fault: &Fault) -> Next {
        let (outcome, next) = match fault {
            Fault::Refused(reason) => (PickupOutcome::Refused, self.set_aside(name, reason)),
            Fault::Unusable(reason) => (PickupOutcome::Unusable, self.set_aside(name, reason)),
            Fault::Later(reason) => {
                self.tell(reason);
                self.put_off(name, RETRY);
                (PickupOutcome::Deferred, Next::Left)
            }
            Fault::NothingNow(reason) => {
                self.tell(reason);
                (PickupOutcome::Deferred, Next::Round)
            }
        };
        self.metrics.pickup_file(outcome);
        next
    }

    fn is_away(&mut self, name: &OsStr) -> Next {
        self.watch.forget(name);
        self.arrivals.forget(name);
        Next::Away
    }

    fn put_off(&mut self, name: &OsStr, duration: Duration) {
        if let Some(until) = now().checked_add(duration) {
            self.arrivals.put_off(name, until);
        }
    }

    fn remove(&mut self, name: &OsStr, file: (u64, u64)) -> Next {
        let Err(error) = self.folder.remove(name, file) else { return self.is_away(name) };
        self.watch.forget(name);
        self.arrivals.is_over(name);
        tracing::error!(
            file = %name.to_string_lossy().escape_debug(),
            %error,
            "A file was picked up and cannot be removed; remove it, or it is sent again at the next start."
        );
        Next::Left
    }

    fn set_aside(&mut self, name: &OsStr, reason: &str) -> Next {
        match self.folder.set_aside(name, reason) {
            Ok(target) => {
                tracing::warn!(
                    file = %name.to_string_lossy().escape_debug(),
                    aside = %target.display().to_string().escape_debug(),
                    reason = %reason.trim_end().escape_debug(),
                    "A file was not picked up; it is in badmail with its reason."
                );
                self.is_away(name)
            }
            Err(error) => {
                self.watch.forget(name);
                self.put_off(name, RETRY_ASIDE);
                tracing::error!(
                    file = %name.to_string_lossy().escape_debug(),
                    reason = %reason.trim_end().escape_debug(),
                    %error,
                    "A file was not picked up and cannot be moved to badmail; it is tried again in an hour."
                );
                Next::Left
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
/// How soon a file is tried again that cannot be moved to `badmail`.
const RETRY_ASIDE: Duration = Duration::from_secs(60 * 60);
/// How often `badmail` is looked through.
const TIDY: Duration = Duration::from_secs(60 * 60);
/// Files that were picked up and cannot be removed. With more, the directory is not writable, and what is taken from it
/// would be sent again at each start.
const MOST_OVER: usize = 1000;
const TELL_EVERY: Duration = Duration::from_secs(10 * 60);
