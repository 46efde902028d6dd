//! A file with recipients, read again when it changes.
//!
//! Nothing here blocks the runtime, and a look-up never waits for a file that is being read: it uses what was read last.
#![expect(clippy::disallowed_methods, reason = "how often the file is looked at is measured here")]

mod listing;
mod watch;

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::SourceKind;
use super::address::{Address, Addresses};
use super::trouble::Trouble;
use crate::session::smtp_server::Existence;
use listing::ListingError;
use watch::{Fingerprint, Step, Watch};

/// The file and what it said last.
#[derive(Debug)]
pub(super) struct AddressFile {
    path: Arc<Path>,
    state: Mutex<State>,
    /// What is wrong with the content.
    trouble: Trouble,
    /// Whether the file system answers.
    reach: Trouble,
    /// One permit: a file system that hangs holds up one thread, not one more each second.
    looking: Arc<Semaphore>,
}

#[derive(Debug)]
struct State {
    /// What is in force: the last content that was whole. `None`: there never was one.
    content: Option<Arc<Addresses>>,
    watch: Watch,
}

/// Why a file's content is not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileFault {
    #[error("{path} cannot be read: {source}; correct the path, or let this user read it", path = .path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{path} is larger than {MAX_OCTETS} octets; use an LDAP directory or the next hop itself for so many", path = .path.display())]
    TooLarge { path: PathBuf },
    #[error("{path}: {source}", path = .path.display())]
    Listing { path: PathBuf, source: ListingError },
    #[error("{path} is being written", path = .path.display())]
    Changing { path: PathBuf },
    #[error("{path} did not answer in time; is it on a file system that is away?", path = .path.display())]
    Hangs { path: PathBuf },
}

impl AddressFile {
    /// Reads the file, blocking; until it can be read every look-up is answered with "not available".
    pub(super) fn open(path: &Path) -> Self {
        let trouble = Trouble::new(SourceKind::File);
        let (found, read) = load(path);
        let mut watch = Watch::new(Instant::now());
        watch.read(found);
        let content = taken(&trouble, read);
        Self {
            path: path.into(),
            state: Mutex::new(State { content, watch }),
            trouble,
            reach: Trouble::new(SourceKind::File),
            looking: Arc::new(Semaphore::new(1)),
        }
    }

    /// Whether the file has this address.
    ///
    /// While it changes, what the old content lacks may be in the new one, so that is not "unknown" but "not available".
    /// Content that cannot be taken leaves the last whole one in force: an address that it has keeps getting mail.
    pub(super) async fn look_up(&self, address: &Address) -> Existence {
        self.refresh().await;
        let state = self.state();
        match &state.content {
            Some(addresses) if addresses.contains(address) => Existence::Known,
            Some(_) if !state.watch.is_settling() => Existence::Unknown,
            Some(_) | None => Existence::Unavailable,
        }
    }

    /// What is wrong with the file now.
    pub(super) fn fault(&self) -> Option<String> {
        self.reach.cause().or_else(|| self.trouble.cause())
    }

    /// Looks at the file if it is time to, and reads it if it changed and has come to rest.
    async fn refresh(&self) {
        let Ok(permit) = Arc::clone(&self.looking).try_acquire_owned() else { return };
        let pending = {
            let mut state = self.state();
            if !state.watch.begin_look(Instant::now()) {
                return;
            }
            state.watch.pending()
        };
        let path = Arc::clone(&self.path);
        let looked = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            look(&path, pending)
        });
        let Ok(Ok(look)) = tokio::time::timeout(LOOK_TIMEOUT, looked).await else {
            self.reach.begun(&FileFault::Hangs { path: self.path.to_path_buf() }.to_string());
            return;
        };
        self.reach.over();
        match look {
            Look::Same => {}
            Look::Seen(fingerprint) => self.state().watch.seen(fingerprint),
            Look::Read(fingerprint, read) => {
                let content = taken(&self.trouble, read);
                let mut state = self.state();
                state.watch.read(fingerprint);
                if content.is_some() {
                    state.content = content;
                }
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Look {
    Same,
    Seen(Option<Fingerprint>),
    Read(Option<Fingerprint>, Result<Addresses, FileFault>),
}

fn look(path: &Path, watch: watch::Pending) -> Look {
    let found = std::fs::metadata(path).ok().map(|metadata| fingerprint(&metadata));
    match watch.step(found) {
        Step::Nothing => Look::Same,
        Step::Wait => Look::Seen(found),
        Step::Read => {
            let (found, read) = load(path);
            Look::Read(found, read)
        }
    }
}

fn taken(trouble: &Trouble, read: Result<Addresses, FileFault>) -> Option<Arc<Addresses>> {
    match read {
        Ok(addresses) => {
            tracing::info!(addresses = addresses.len(), "A file of recipients was read.");
            trouble.over();
            Some(Arc::new(addresses))
        }
        Err(fault) => {
            trouble.begun(&fault.to_string());
            None
        }
    }
}

/// The content, and what the file looked like while it was read; `None` if it was not there or changed meanwhile, so
/// that the next look tries again.
fn load(path: &Path) -> (Option<Fingerprint>, Result<Addresses, FileFault>) {
    let unreadable = |source| FileFault::Unreadable { path: path.to_owned(), source };
    let read = || -> Result<(Fingerprint, Result<Addresses, FileFault>), io::Error> {
        let mut file = File::open(path)?;
        let before = fingerprint(&file.metadata()?);
        let mut octets = Vec::new();
        (&mut file).take(MAX_OCTETS.saturating_add(1)).read_to_end(&mut octets)?;
        if fingerprint(&file.metadata()?) != before {
            return Ok((before, Err(FileFault::Changing { path: path.to_owned() })));
        }
        if u64::try_from(octets.len()).unwrap_or(u64::MAX) > MAX_OCTETS {
            return Ok((before, Err(FileFault::TooLarge { path: path.to_owned() })));
        }
        let listing = |source| FileFault::Listing { path: path.to_owned(), source };
        Ok((before, listing::parse(&octets).map_err(listing)))
    };
    match read() {
        Ok((_, Err(fault @ FileFault::Changing { .. }))) => (None, Err(fault)),
        Ok((fingerprint, read)) => (Some(fingerprint), read),
        Err(error) => (None, Err(unreadable(error))),
    }
}

fn fingerprint(metadata: &std::fs::Metadata) -> Fingerprint {
    Fingerprint {
        file: (metadata.dev(), metadata.ino()),
        size: metadata.size(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    }
}

/// About half a million addresses.
const MAX_OCTETS: u64 = 16 << 20;
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
