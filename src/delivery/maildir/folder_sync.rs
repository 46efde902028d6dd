//! Folders made durable, one fsync for all who wait for it.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use super::file::FileError;

/// Fsyncs folders for many threads: while one is at it, the others gather and share the next.
#[derive(Debug, Default)]
pub(super) struct FolderSync {
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// What those who came since the last fsync began wait for.
    folders: BTreeSet<PathBuf>,
    round: Arc<OnceLock<Verdict>>,
    /// Some thread is at a round.
    busy: bool,
}

/// How a round ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Durable,
    /// Some folder could not be fsynced; which one matters to its own threads only.
    Failed,
}

impl FolderSync {
    /// Returns when what happened in `folder` before the call is durable.
    pub(super) fn sync(&self, folder: &Path) -> Result<(), FileError> {
        let mut state = self.lock();
        state.folders.insert(folder.to_owned());
        let round = Arc::clone(&state.round);
        loop {
            match round.get() {
                Some(Verdict::Durable) => return Ok(()),
                Some(Verdict::Failed) => break,
                None if state.busy => {
                    state = self.ended.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                // Not begun, as no thread is at any: this one takes it.
                None => {
                    let folders = std::mem::take(&mut state.folders);
                    state.round = Arc::default();
                    state.busy = true;
                    drop(state);
                    let durable = folders.iter().all(|folder| sync(folder).is_ok());
                    round.get_or_init(|| if durable { Verdict::Durable } else { Verdict::Failed });
                    state = self.lock();
                    state.busy = false;
                    self.ended.notify_all();
                }
            }
        }
        drop(state);
        sync(folder)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes what happened in one folder durable.
pub(super) fn sync(folder: &Path) -> Result<(), FileError> {
    let opened = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(opened).and_then(|folder| folder.sync_all()).map_err(FileError::target("fsync", folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_threads_all_return_and_only_those_of_a_missing_folder_with_an_error() {
        let scratch = tempfile::tempdir().unwrap();
        let missing = scratch.path().join("missing");
        let folders = FolderSync::default();
        std::thread::scope(|scope| {
            for number in 0..8 {
                let (folders, missing, present) = (&folders, &missing, scratch.path());
                scope.spawn(move || {
                    for _ in 0..5 {
                        if number == 0 {
                            assert!(folders.sync(missing).is_err());
                        } else {
                            folders.sync(present).unwrap();
                        }
                    }
                });
            }
        });
        assert!(!folders.lock().busy);
    }
}
