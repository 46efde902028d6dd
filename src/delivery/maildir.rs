//! Files in a Maildir (<https://cr.yp.to/proto/maildir.html>).
//!
//! `to` is the folder: empty for the Maildir itself, `operator` for the Maildir in its subfolder `operator` (the layout
//! that mutt and others open by path, and Dovecot as `LAYOUT=fs`). Characters that a file name should not have become
//! `_`, since a rule may put a sender's words into it. Past [`MAX_FOLDERS`] new names go to the Maildir itself, and so
//! does what cannot be written into its folder, for example because a mail server keeps a file of that name: no word of
//! a sender may stop a destination, and only the Maildir itself tells how it is.
//!
//! A mail is written to `tmp`, fsynced, renamed into `new`, and the folder fsynced: a reader sees all of it or nothing.
//! Its name comes from its number in the spool, so the same mail delivered again after a crash replaces itself, and one
//! that a reader has moved to `cur` meanwhile is not doubled. Line ends are LF, as local delivery writes them. Folders
//! are 0700, files 0600.
//!
//! Size and age are bounded: the oldest goes first, read or not, wherever in `new` or `cur` it lies. Only files that
//! this program wrote count and are removed; they are known by their name. Readers may move and delete mail at any
//! time: the index is put right from the folders where it matters.
#![expect(clippy::disallowed_methods, reason = "the age of mail is measured here, and how old the index is")]

mod file;
mod folder_sync;
mod index;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::outcome::{Attempt, Handoff, Health, Outcome, Report};
use crate::config::settings;
use crate::message::compose::{Addressees, Identity, compose, message_id};
use crate::message::id::DestinationName;
use crate::message::mail::{Body, Spooled};
use crate::message::recipient::{EnhancedStatus, Recipient, RecipientNumber};
use crate::telemetry::metrics::Metrics;
use file::{FileError, Mail};
use folder_sync::FolderSync;
use index::{Index, Key, Place, Removal};

/// How many folders of one Maildir are made at most.
pub const MAX_FOLDERS: usize = 1000;

/// A Maildir of our own. Clones share it.
#[derive(Debug, Clone)]
pub struct Maildir(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    name: DestinationName,
    settings: settings::Maildir,
    identity: Identity,
    metrics: Arc<Metrics>,
    folders: FolderSync,
    /// Empty until the first delivery, so that a start does not wait for a large Maildir.
    books: Mutex<Option<Books>>,
}

/// What is known of the files, and what is still to be told.
#[derive(Debug)]
struct Books {
    index: Index,
    counted_at: Instant,
    /// Removed since it was last logged.
    removed: Removed,
    logged_at: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Removed {
    by_size: u64,
    by_age: u64,
}

impl Maildir {
    /// Touches no file yet.
    #[must_use]
    pub fn new(
        name: DestinationName,
        settings: &settings::Maildir,
        identity: Identity,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self(Arc::new(Shared {
            name,
            settings: settings.clone(),
            identity,
            metrics,
            folders: FolderSync::default(),
            books: Mutex::new(None),
        }))
    }

    /// Writes a mail into each recipient's folder; once where several have the same.
    pub async fn deliver(&self, attempt: Attempt) -> Report {
        self.blocking(move |shared| shared.deliver(&attempt)).await
    }

    /// Removes what has become too old. Cheap when nothing has; due every minute or so.
    pub async fn tend(&self) {
        self.blocking(|shared| {
            // What keeps it from being counted is told by the next delivery.
            if let Ok(mut books) = shared.books()
                && let Some(books) = books.as_mut()
            {
                shared.trim(books, None);
            }
        })
        .await;
    }

    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce(&Shared) -> T + Send + 'static) -> T {
        let shared = Arc::clone(&self.0);
        match tokio::task::spawn_blocking(move || work(&shared)).await {
            Ok(done) => done,
            // The caller's task ends with it, as if the work had been done there.
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}

impl Shared {
    fn deliver(&self, attempt: &Attempt) -> Report {
        let mut outcomes = Vec::with_capacity(attempt.recipients.len());
        let mut done: BTreeMap<String, Outcome> = BTreeMap::new();
        for (number, recipient) in &attempt.recipients {
            let folder = match self.folder(folder_of(&attempt.message, recipient)) {
                Ok(folder) => folder,
                Err(error) => return Report { outcomes, health: self.health(&error) },
            };
            if let Some(outcome) = done.get(&folder) {
                outcomes.push((*number, outcome.clone()));
                continue;
            }
            let outcome = match self.deliver_one(&attempt.message, *number, recipient, &folder) {
                Err(error) if !folder.is_empty() && !is_full(error.kind()) => {
                    let outcome = self.deliver_one(&attempt.message, *number, recipient, "");
                    outcome.map(|outcome| although(outcome, &error))
                }
                other => other,
            };
            match outcome {
                Ok(outcome) => {
                    outcomes.push((*number, outcome.clone()));
                    done.insert(folder, outcome);
                }
                Err(error) => return Report { outcomes, health: self.health(&error) },
            }
        }
        Report { outcomes, health: Health::Up }
    }

    fn deliver_one(
        &self,
        message: &Spooled,
        number: RecipientNumber,
        recipient: &Recipient,
        folder: &str,
    ) -> Result<Outcome, FileError> {
        let subject = recipient.subject.as_deref();
        let content = match compose(message, Addressees::Folder(folder), subject, &self.identity) {
            Ok(content) => content,
            Err(error) => return Ok(Outcome::Failed { status: error.status(), text: error.to_string() }),
        };
        let key = Key::new(message.accepted_at, &self.file_name(message, subject), folder);
        if self.books()?.as_ref().is_some_and(|books| books.index.contains(&key)) {
            let text = format!("is in {} already", self.place(folder).display());
            return Ok(Outcome::Delivered { text, handoff: Handoff::Final });
        }
        let return_path = match &message.body {
            Body::Mail { reverse_path, .. } => Some(reverse_path.as_deref().unwrap_or_default()),
            Body::Notice(_) => None,
        };
        let mail = Mail {
            folder: &self.place(folder),
            name: key.name(),
            number,
            return_path,
            content: &content,
            folders: &self.folders,
        };
        let size = match mail.write() {
            Err(FileError::Source { path, source }) => {
                let text = format!("cannot read {}: {source}", path.display());
                let status = EnhancedStatus::new(4, 3, 0);
                return Ok(Outcome::Delayed { status, text, retry_after: None });
            }
            other => other?,
        };
        if let Some(books) = self.books()?.as_mut() {
            books.index.insert(key.clone(), size, Place::New);
            self.trim(books, Some(&key));
        }
        let text = format!("written to {}", self.place(folder).display());
        Ok(Outcome::Delivered { text, handoff: Handoff::Final })
    }

    /// `accepted.QUEUEID.notice.host`: the time first, as Maildir asks for; stable over repeats.
    fn file_name(&self, message: &Spooled, subject: Option<&str>) -> String {
        let seconds = message.accepted_at.as_second();
        let host: String = self
            .identity
            .hostname
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || c == '.' || c == '-' { c } else { '_' })
            .take(100)
            .collect();
        match &message.body {
            Body::Notice(_) => {
                let id = message_id(message.id, subject, &self.identity);
                let local = id.split_once('@').map_or(id.as_str(), |(local, _)| local);
                format!("{seconds}.{local}.{host}")
            }
            Body::Mail { .. } => format!("{seconds}.{}.mail.{host}", message.id),
        }
    }

    /// The folder's name on disk.
    fn folder(&self, to: &str) -> Result<String, FileError> {
        let name = index::folder_name(to);
        let full = self
            .books()?
            .as_ref()
            .is_some_and(|books| !books.index.has_folder(&name) && books.index.folders() >= MAX_FOLDERS);
        Ok(if full { String::new() } else { name })
    }

    fn place(&self, folder: &str) -> PathBuf {
        if folder.is_empty() { self.settings.path.clone() } else { self.settings.path.join(folder) }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Books>> {
        // A panic while it was held left at worst a wrong count; the next one from the folders mends it.
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The books, counted from the folders where there are none yet.
    fn books(&self) -> Result<MutexGuard<'_, Option<Books>>, FileError> {
        let mut books = self.lock();
        if books.is_none() {
            let index = Index::count(&self.settings.path)?;
            *books = Some(Books {
                index,
                counted_at: Instant::now(),
                removed: Removed::default(),
                logged_at: None,
            });
        }
        Ok(books)
    }

    /// Removes the oldest until both limits hold, but never `written`.
    fn trim(&self, books: &mut Books, written: Option<&Key>) {
        let oldest = self
            .settings
            .keep
            .and_then(|keep| Timestamp::now().checked_sub(jiff::SignedDuration::try_from(keep).ok()?).ok());
        let mut recounted = false;
        while let Some((key, by_size)) = self.surplus(&books.index, oldest) {
            if Some(&key) == written {
                break;
            }
            // Readers delete mail: what looks like too much may be long gone.
            if by_size && !recounted && books.counted_at.elapsed() > RECOUNT {
                recounted = true;
                self.recount(books);
                continue;
            }
            match books.index.remove(&self.settings.path, &key) {
                Ok(Removal::Removed) => {
                    self.metrics.maildir_removed(&self.name, 1);
                    let count = if by_size { &mut books.removed.by_size } else { &mut books.removed.by_age };
                    *count = count.saturating_add(1);
                }
                Ok(Removal::Missing) if recounted => books.index.forget(&key),
                Ok(Removal::Missing) => {
                    recounted = true;
                    self.recount(books);
                }
                Err(error) => {
                    tracing::warn!(destination = %self.name, %error, "Old mail cannot be removed from a Maildir.");
                    break;
                }
            }
        }
        self.tell_removed(books);
    }

    /// The oldest mail, if a limit asks for it, and whether that is the limit of size.
    fn surplus(&self, index: &Index, oldest: Option<Timestamp>) -> Option<(Key, bool)> {
        let key = index.oldest()?;
        let by_age = oldest.is_some_and(|oldest| key.at() < oldest.as_second());
        let by_size = self.settings.max_size.is_some_and(|most| index.bytes() > most);
        (by_age || by_size).then(|| (key.clone(), !by_age))
    }

    fn recount(&self, books: &mut Books) {
        match Index::count(&self.settings.path) {
            Ok(index) => books.index = index,
            Err(error) => {
                tracing::warn!(destination = %self.name, %error, "A Maildir cannot be counted again.")
            }
        }
        books.counted_at = Instant::now();
    }

    fn tell_removed(&self, books: &mut Books) {
        let Removed { by_size, by_age } = books.removed;
        let due = books.logged_at.is_none_or(|at| at.elapsed() > TELL_REMOVED);
        if books.removed == Removed::default() || !due {
            return;
        }
        tracing::warn!(
            destination = %self.name, path = %self.settings.path.display(), by_size, by_age,
            "The oldest mail of a Maildir was removed, because of its max_size or keep."
        );
        books.removed = Removed::default();
        books.logged_at = Some(Instant::now());
    }

    fn health(&self, error: &FileError) -> Health {
        let path = self.settings.path.display();
        let kind = error.kind();
        if is_full(kind) {
            Health::Down {
                reason: format!(
                    "the file system of {path} is full ({error}); free space there, or lower max_size of destination {}",
                    self.name
                ),
            }
        } else if OPERATORS.contains(&kind) {
            Health::OperatorFault {
                reason: format!("{error}; let the user that mailslotd runs as write to {path}"),
            }
        } else {
            Health::Down { reason: error.to_string() }
        }
    }
}

/// A rule names a folder for a notice. Mail that a route brings here has an address instead: all of it lies in the inbox,
/// for an address is the sender's to choose and no sender makes folders here.
fn folder_of<'a>(message: &Spooled, recipient: &'a Recipient) -> &'a str {
    match message.body {
        Body::Mail { .. } if recipient.to.contains('@') => "",
        Body::Mail { .. } | Body::Notice(_) => &recipient.to,
    }
}

/// What came of a mail in the Maildir itself, and why it is not in its folder.
fn although(outcome: Outcome, error: &FileError) -> Outcome {
    match outcome {
        Outcome::Delivered { text, handoff } => {
            Outcome::Delivered { text: format!("{text}, as its folder is unusable: {error}"), handoff }
        }
        Outcome::Delayed { .. } | Outcome::Failed { .. } => outcome,
    }
}

/// Whether there is no space, wherever in the Maildir.
const fn is_full(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// What does not mend itself.
const OPERATORS: [io::ErrorKind; 3] =
    [io::ErrorKind::PermissionDenied, io::ErrorKind::ReadOnlyFilesystem, io::ErrorKind::NotADirectory];

/// How old the count may be when mail is removed because of its size.
const RECOUNT: Duration = Duration::from_secs(600);

/// Between two lines in the log about removed mail.
const TELL_REMOVED: Duration = Duration::from_secs(60 * 60);

#[cfg(test)]
mod tests;
