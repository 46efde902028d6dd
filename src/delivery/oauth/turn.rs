//! Whose turn it is to spend the refresh token of a file: the service's, or that of a command beside it.
//!
//! A provider that rotates refresh tokens takes each once. Whoever sends a spent one has all that came of it withdrawn
//! (RFC 9700 §4.14.2), so from before the token is read until its successor is in the file, nobody else may send it. The
//! file itself is locked, by `flock`: it needs no other file beside it, and whoever may read the token may lock it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use tokio::time::{sleep, timeout};

use super::files::FileError;

/// The turn, given back when dropped.
#[derive(Debug)]
pub(super) struct Turn(#[expect(dead_code, reason = "held, not looked at")] Flock<File>);

impl Turn {
    /// Waits for it, at most for `patience`. What is read of the file from then on is nobody else's to spend.
    ///
    /// # Errors
    /// [`FileError::Busy`] when another has it longer; else the file cannot be read or locked.
    pub(super) async fn of(path: &Path, patience: Duration) -> Result<Self, FileError> {
        let waited = timeout(patience, async {
            loop {
                if let Some(turn) = Self::look(path).await? {
                    return Ok(turn);
                }
                sleep(PAUSE).await;
            }
        });
        waited.await.unwrap_or_else(|_| Err(FileError::Busy { path: path.to_owned(), waited: patience }))
    }

    async fn look(path: &Path) -> Result<Option<Self>, FileError> {
        let owned = path.to_owned();
        let looked = tokio::task::spawn_blocking(move || Self::at_once(&owned)).await;
        looked.unwrap_or_else(|_| Err(unlockable(path, io::Error::other("a task broke off"))))
    }

    /// `None`: another has it, or has just put a new file in the place of the one that was opened.
    fn at_once(path: &Path) -> Result<Option<Self>, FileError> {
        // Some network file systems lock only what may be written.
        let file = OpenOptions::new().read(true).write(true).open(path).or_else(|_| File::open(path));
        let file = file.map_err(|source| FileError::Unreadable { path: path.to_owned(), source })?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(is_still_at(path, &lock).then_some(Self(lock))),
            Err((_, Errno::EWOULDBLOCK)) => Ok(None),
            Err((_, errno)) => Err(unlockable(path, errno.into())),
        }
    }
}

/// A token is replaced by a new file: a lock on the one before keeps nobody from the new one.
fn is_still_at(path: &Path, file: &File) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(locked), Ok(there)) => (locked.dev(), locked.ino()) == (there.dev(), there.ino()),
        (Ok(_) | Err(_), _) => false,
    }
}

fn unlockable(path: &Path, source: io::Error) -> FileError {
    FileError::Unlockable { path: path.to_owned(), source }
}

/// Between two looks whether the lock is free.
const PAUSE: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::super::files::replace;
    use super::*;

    /// What is free is had at once, but for the load of the machine.
    const LONG: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn a_lock_that_is_held_too_long_is_told_and_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        fs::write(&path, "first\n").unwrap();
        let held = Turn::of(&path, LONG).await.unwrap();
        let error = Turn::of(&path, Duration::from_millis(120)).await.unwrap_err();
        assert!(matches!(error, FileError::Busy { .. }), "{error}");
        let said = error.to_string();
        assert!(said.contains("token has been in use by another process for more than"), "{said}");
        assert!(said.contains("lslocks"), "{said}");
        drop(held);
        Turn::of(&path, LONG).await.unwrap();
    }

    #[tokio::test]
    async fn who_waited_while_the_file_was_replaced_gets_the_turn_of_the_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        fs::write(&path, "first\n").unwrap();
        let first = Turn::of(&path, LONG).await.unwrap();
        let waiting = tokio::spawn({
            let path = path.clone();
            async move { Turn::of(&path, LONG).await }
        });
        tokio::task::yield_now().await;
        replace(&path, "second").unwrap();
        drop(first);
        let second = waiting.await.unwrap().unwrap();
        let error = Turn::of(&path, Duration::from_millis(60)).await.unwrap_err();
        assert!(matches!(error, FileError::Busy { .. }), "the new file is locked, not the old one: {error}");
        drop(second);
    }

    #[tokio::test]
    async fn a_file_that_is_not_there_is_said_at_once() {
        let error = Turn::of(Path::new("/nonexistent/token"), Duration::from_secs(3600)).await.unwrap_err();
        assert!(matches!(error, FileError::Unreadable { .. }), "{error}");
    }
}
