//! Checks what clients claim to be, against the users file as it is now.
#![expect(clippy::disallowed_methods, reason = "the edge where the time of an attempt is read")]

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task;
use tracing::{debug, error, info, warn};

use crate::config::problem::Problems;
use crate::config::users::UsersFile;
use crate::message::id::ListenerName;
use crate::policy::account::{Accounts, Check, CheckAnswer, DuplicateName, Principal, Refusal, ServerSecret};
use crate::policy::auth_guard::{Attempt, AuthGuard, AuthGuardPolicy, Failure};
use crate::policy::client_network::ClientNetwork;
use crate::telemetry::log::Recurring;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::metrics::smtp::AuthOutcome;

/// The accounts, and what stands between them and those who guess.
///
/// A changed users file counts from the next attempt on, one second later at most. One that cannot be used changes
/// nothing: the accounts from before stay.
#[derive(Debug)]
pub struct Authenticator {
    shared: Arc<Shared>,
    /// One for each computation of a password's hash that may run at once.
    turns: Arc<Semaphore>,
}

/// Why there are no accounts.
#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    /// The file is not there, or this user may not read it.
    #[error("{} cannot be read: {source}; `mailslotd user add` makes it, and the service must be able to read it", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file has problems.
    #[error(transparent)]
    Problems(#[from] Problems),
    /// Two accounts have the same name.
    #[error(transparent)]
    Duplicate(#[from] DuplicateName),
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    /// In place of the one that the file may lack; the same until the end.
    random: ServerSecret,
    accounts: RwLock<Arc<Accounts>>,
    look: Mutex<Look>,
    guard: Mutex<AuthGuard>,
    metrics: Arc<Metrics>,
}

/// The last look at the file.
#[derive(Debug)]
struct Look {
    at: Instant,
    /// The content that counts, or that cannot be used.
    seen: Option<Stamp>,
    /// When the log was told last that a changed file cannot be read.
    unreadable: Recurring,
}

/// What tells one content of a file from another without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Who tries.
#[derive(Debug, Clone)]
struct Attempter {
    listener: ListenerName,
    network: ClientNetwork,
}

/// A place in the line; given up when dropped.
struct Seat {
    shared: Arc<Shared>,
    network: ClientNetwork,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.shared.guard().leave(self.network);
    }
}

impl Authenticator {
    /// Reads the users file. Blocks for as long as the disk does.
    ///
    /// # Errors
    /// [`UsersError`], a sentence for the operator or every problem of the file.
    pub fn load(path: &Path, policy: AuthGuardPolicy, metrics: Arc<Metrics>) -> Result<Self, UsersError> {
        let mut random = [0; 32];
        getrandom::fill(&mut random)
            .map_err(|error| UsersError::Unreadable { path: path.to_owned(), source: error.into() })?;
        let random = ServerSecret::new(random);
        let look = Look { at: Instant::now(), seen: Stamp::of(path), unreadable: Recurring::new(TELL_EVERY) };
        let accounts = read(path, &random)?;
        let shared = Shared {
            path: path.to_owned(),
            random,
            accounts: RwLock::new(Arc::new(accounts)),
            look: Mutex::new(look),
            guard: Mutex::new(AuthGuard::new(policy)),
            metrics,
        };
        Ok(Self { shared: Arc::new(shared), turns: Arc::new(Semaphore::new(COMPUTATIONS)) })
    }

    /// The accounts as they are now.
    #[must_use]
    pub fn accounts(&self) -> Arc<Accounts> {
        self.shared.accounts()
    }

    /// Whether what a client proved still stands, one second after a change of the users file at the latest.
    pub async fn still_grants(&self, principal: &Principal) -> bool {
        if self.shared.is_look_due() {
            let shared = Arc::clone(&self.shared);
            // One that fails leaves the accounts as they were.
            drop(task::spawn_blocking(move || shared.refresh()).await);
        }
        self.accounts().still_grant(principal)
    }

    /// Checks a claim of a client. A password waits for its turn, which may take some seconds; the line is bounded.
    pub async fn answer(&self, listener: &ListenerName, network: ClientNetwork, check: Check) -> CheckAnswer {
        let attempter = Attempter { listener: listener.clone(), network };
        let slow = match check {
            Check::Password { .. } => true,
            Check::CramMd5 { .. } | Check::ScramStart { .. } | Check::ScramProof { .. } => false,
        };
        let mechanism = check.mechanism();
        let attempt = self.shared.guard().join(network, Instant::now());
        if attempt != Attempt::Allowed {
            return self.shared.unavailable(&attempter, &check, attempt);
        }
        let seat = Seat { shared: Arc::clone(&self.shared), network };
        let turn = if slow { Arc::clone(&self.turns).acquire_owned().await.ok() } else { None };
        // Goes on when nobody waits for it any more, so that hanging up early does not hide a failure.
        let done = task::spawn_blocking(move || {
            let answer = seat.shared.answer(&attempter, &check);
            drop((turn, seat));
            answer
        });
        done.await.unwrap_or_else(|error| {
            error!(listener = listener.as_str(), %error, "A check of a client's password failed.");
            self.shared.metrics.smtp_auth(listener, mechanism.as_str(), AuthOutcome::Failed);
            CheckAnswer::Unavailable
        })
    }
}

impl Shared {
    fn answer(&self, attempter: &Attempter, check: &Check) -> CheckAnswer {
        // Others of this network may have failed while this one waited.
        let attempt = self.guard().may_try(attempter.network, Instant::now());
        if attempt != Attempt::Allowed {
            return self.unavailable(attempter, check, attempt);
        }
        self.refresh();
        let accounts = self.accounts();
        let answer = accounts.answer(check);
        match &answer {
            CheckAnswer::Proved(principal) | CheckAnswer::ProvedWithSignature(principal, _) => {
                self.guard().proved(attempter.network, principal.proved_by(), Instant::now());
                self.count(attempter, check, AuthOutcome::Proved);
                debug!(
                    listener = attempter.listener.as_str(),
                    network = %attempter.network,
                    mechanism = check.mechanism().as_str(),
                    account = principal.name(),
                    "A client authenticated."
                );
            }
            CheckAnswer::Scram(_) => {}
            CheckAnswer::Refused(refusal) => {
                let account = accounts.name_of(check.user());
                self.refused(attempter, check, account, *refusal);
            }
            CheckAnswer::Unavailable => {
                self.count(attempter, check, AuthOutcome::Failed);
                error!("There is not enough memory to check a client's password.");
            }
        }
        answer
    }

    fn refused(&self, attempter: &Attempter, check: &Check, account: Option<&str>, refusal: Refusal) {
        self.count(attempter, check, AuthOutcome::Refused);
        let Attempter { listener, network } = attempter;
        info!(
            listener = listener.as_str(),
            %network,
            mechanism = check.mechanism().as_str(),
            account,
            reason = refusal.as_str(),
            "A client failed to authenticate."
        );
        if self.guard().failed(*network, account, Instant::now()) == Failure::Refused {
            warn!(
                listener = listener.as_str(),
                %network,
                "A client network failed to authenticate too often; its AUTH is refused for a while."
            );
        }
    }

    fn unavailable(&self, attempter: &Attempter, check: &Check, attempt: Attempt) -> CheckAnswer {
        let outcome = match attempt {
            Attempt::LineFull => AuthOutcome::LineFull,
            Attempt::TooManyFailures | Attempt::Allowed => AuthOutcome::TooManyFailures,
        };
        self.count(attempter, check, outcome);
        debug!(
            listener = attempter.listener.as_str(),
            network = %attempter.network,
            reason = outcome.as_str(),
            "A client may not authenticate now."
        );
        CheckAnswer::Unavailable
    }

    fn count(&self, attempter: &Attempter, check: &Check, outcome: AuthOutcome) {
        self.metrics.smtp_auth(&attempter.listener, check.mechanism().as_str(), outcome);
    }

    /// Never waits: while somebody looks, no further look is due.
    fn is_look_due(&self) -> bool {
        self.look.try_lock().is_ok_and(|look| look.at.elapsed() >= LOOK)
    }

    /// Reads the file again where it has changed; looks once a second. One that cannot be read now (there may be no more
    /// files to be had) is tried again, or a password that was changed meanwhile would count until the next change.
    fn refresh(&self) {
        let mut look = self.look.lock().unwrap_or_else(PoisonError::into_inner);
        if look.at.elapsed() < LOOK {
            return;
        }
        look.at = Instant::now();
        let seen = Stamp::of(&self.path);
        if seen == look.seen {
            return;
        }
        let read = read(&self.path, &self.random);
        let is_told = if let Err(UsersError::Unreadable { .. }) = &read {
            let now = look.at;
            look.unreadable.happened(1, now).is_some()
        } else {
            look.seen = seen;
            true
        };
        match read {
            Ok(accounts) => {
                info!(accounts = accounts.len(), "The users file was read again.");
                *self.accounts.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(accounts);
            }
            Err(error) if is_told => {
                error!(
                    file = %self.path.display(),
                    %error,
                    "The changed users file cannot be used; the accounts from before stay."
                );
            }
            Err(_) => {}
        }
    }

    fn accounts(&self) -> Arc<Accounts> {
        Arc::clone(&self.accounts.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn guard(&self) -> MutexGuard<'_, AuthGuard> {
        self.guard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stamp {
    /// `None`: there is no file, or it is out of reach.
    fn of(path: &Path) -> Option<Self> {
        let file = fs::metadata(path).ok()?;
        Some(Self {
            file: (file.dev(), file.ino()),
            size: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        })
    }
}

fn read(path: &Path, random: &ServerSecret) -> Result<Accounts, UsersError> {
    let unreadable = |source| UsersError::Unreadable { path: path.to_owned(), source };
    let text = zeroize::Zeroizing::new(fs::read_to_string(path).map_err(unreadable)?);
    let mode = fs::metadata(path).map_err(unreadable)?.mode();
    if mode & 0o004 != 0 {
        warn!(file = %path.display(), "Every user of this machine can read the users file; `chmod o-r` it.");
    }
    let file = UsersFile::read(&path.display().to_string(), &text)?;
    Ok(file.into_accounts(random.clone())?)
}

/// Of passwords' hashes at once: the machine has other work.
const COMPUTATIONS: usize = 2;
/// How often the log is told that the file cannot be read.
const TELL_EVERY: Duration = Duration::from_secs(60);
/// How often the file is looked at, at most.
const LOOK: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
