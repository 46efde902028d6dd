//! The spool's folder: its lock, the modes of its files, and what a crash left lying about.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use nix::fcntl::{Flock, FlockArg};

use super::content::{Drafts, Owned};
use super::error::{Holder, SpoolError};
use super::{queries, schema};

/// The right to this folder, until dropped.
#[derive(Debug)]
pub struct Lock {
    _file: Flock<File>,
}

impl Lock {
    /// The lock of the spool in `dir`, which is made where it is absent: whoever has it is the only one that changes
    /// what lies in the state directory.
    ///
    /// # Errors
    /// [`SpoolError::Locked`] says who has it; else what the system reports.
    pub fn of(dir: &Path) -> Result<Self, SpoolError> {
        prepare(dir)?;
        Self::take(dir)
    }

    /// Takes the lock of `dir`, or says who has it.
    pub(super) fn take(dir: &Path) -> Result<Self, SpoolError> {
        let path = dir.join(LOCK);
        let failed = |error| SpoolError::file("lock", &path, error);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(FILE_MODE);
        let file = options.open(&path).map_err(failed)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(mut file) => {
                file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(failed)?;
                Ok(Self { _file: file })
            }
            Err((mut file, nix::errno::Errno::EWOULDBLOCK)) => {
                let mut text = String::new();
                let read = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
                let holder = read.map_or(Holder::Unknown, Holder::Process);
                Err(SpoolError::Locked { path: dir.to_owned(), holder })
            }
            Err((_, errno)) => Err(failed(errno.into())),
        }
    }
}

/// Makes `dir` and what must be in it before the database is opened.
pub(super) fn prepare(dir: &Path) -> Result<(), SpoolError> {
    for folder in [dir, &dir.join(CONTENT)] {
        DirBuilder::new()
            .recursive(true)
            .mode(FOLDER_MODE)
            .create(folder)
            .map_err(|error| SpoolError::file("create", folder, error))?;
    }
    Ok(())
}

/// Makes an empty database file that only its owner may read; SQLite gives its companions the same mode.
pub(super) fn touch_database(path: &Path) -> Result<(), SpoolError> {
    match create_new(path) {
        Ok(file) => file.sync_all().map_err(|error| SpoolError::file("sync", path, error)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(SpoolError::file("create", path, error)),
    }
}

/// Makes the entries of a folder durable.
pub(super) fn sync_folder(dir: &Path) -> Result<(), SpoolError> {
    File::open(dir).and_then(|folder| folder.sync_all()).map_err(|error| SpoolError::file("sync", dir, error))
}

/// A new file that only its owner may read.
pub(super) fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path)
}

/// Removes a file that nothing needs any more; one that stays is removed at the next start.
pub(super) fn remove(path: &Path) {
    match fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => tracing::warn!(
            path = %path.display(),
            "a file that the spool needs no more could not be removed and is tried again at the next start: {error}"
        ),
    }
}

/// Puts the rebuilt database in the place of the damaged one, which goes with its log into a new folder beside it: the
/// folder.
///
/// The first step gives the rebuilt one the name that says it is complete. From then on a crash at any moment is ended by
/// [`finish_exchange`] at the next start, before anything reads a database that has lost its log.
pub(super) fn exchange(dir: &Path, stamp: &str) -> Result<PathBuf, SpoolError> {
    let (rebuilt, complete) = (dir.join(REBUILT), dir.join(COMPLETE));
    fs::rename(&rebuilt, &complete).map_err(|error| SpoolError::file("name as complete", &rebuilt, error))?;
    sync_folder(dir)?;
    put_in_place(dir, stamp)
}

/// Ends an exchange that a crash interrupted. What of the damaged one is still in its place goes into a folder of its
/// own.
pub(super) fn finish_exchange(dir: &Path, stamp: &str) -> Result<(), SpoolError> {
    if dir.join(COMPLETE).exists() {
        put_in_place(dir, stamp)?;
    }
    Ok(())
}

fn put_in_place(dir: &Path, stamp: &str) -> Result<PathBuf, SpoolError> {
    let aside = new_folder(dir, stamp)?;
    for file in [LOG, DATABASE] {
        match fs::rename(dir.join(file), aside.join(file)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(SpoolError::file("set aside", &dir.join(file), error)),
        }
    }
    // An index of the log in shared memory; it belongs to no other file and is made anew.
    remove(&dir.join(SHARED_MEMORY));
    sync_folder(&aside)?;
    let complete = dir.join(COMPLETE);
    fs::rename(&complete, dir.join(DATABASE))
        .map_err(|error| SpoolError::file("put in place", &complete, error))?;
    sync_folder(dir)?;
    Ok(aside)
}

/// Removes an unfinished rebuilt database.
pub(super) fn clear_rebuilt(dir: &Path) {
    for companion in ["", "-wal", "-shm"] {
        remove(&dir.join(format!("{REBUILT}{companion}")));
    }
}

fn new_folder(dir: &Path, stamp: &str) -> Result<PathBuf, SpoolError> {
    let mut aside = dir.join(format!("damaged-{stamp}"));
    let make = |path: &Path| DirBuilder::new().mode(FOLDER_MODE).create(path);
    for another in 2.. {
        match make(&aside) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                aside = dir.join(format!("damaged-{stamp}-{another}"));
            }
            made => {
                made.and_then(|()| make(&aside.join(CONTENT)))
                    .map_err(|error| SpoolError::file("create", &aside, error))?;
                break;
            }
        }
    }
    Ok(aside)
}

/// Moves content files whose rows were lost to the damaged database that may still name them.
pub(super) fn move_orphans(dir: &Path, aside: &Path, drafts: &Drafts) -> Result<u64, SpoolError> {
    let keep = |path: &Path| {
        let Some(name) = path.file_name() else { return };
        if let Err(error) = fs::rename(path, aside.join(CONTENT).join(name)) {
            tracing::warn!(path = %path.display(), "A content file could not be set aside: {error}");
        }
    };
    each_orphan(dir, drafts, &AtomicBool::new(false), keep)
}

/// A file of no content but size. On a disk that others filled, it is given up so that the log can still be folded and
/// what was delivered can still be recorded; nothing is accepted until it is back.
#[derive(Debug)]
pub(super) struct Ballast {
    path: PathBuf,
}

impl Ballast {
    /// As long as the log grows before it is folded, and as much again for the transaction that made it long.
    const BYTES: i64 = 2 * schema::LOG_BYTES;

    /// A commit or two of many alarms.
    const BESIDES: u64 = 1024 * 1024;

    pub(super) fn new(dir: &Path) -> Self {
        Self { path: dir.join(BALLAST) }
    }

    /// Takes the room, where it is not taken yet.
    pub(super) fn take(&self) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).mode(FILE_MODE).open(&self.path)?;
        let taken = nix::fcntl::posix_fallocate(&file, 0, Self::BYTES).map_err(io::Error::from);
        if taken.is_err() {
            remove(&self.path);
        }
        taken
    }

    /// Whether there is room to write in besides what this takes. What the file system does not tell counts as none.
    pub(super) fn leaves_room(&self) -> bool {
        let Some(dir) = self.path.parent() else { return false };
        nix::sys::statvfs::statvfs(dir).is_ok_and(|space| {
            space.blocks_available().saturating_mul(space.fragment_size()) >= Self::BESIDES
        })
    }

    /// Gives the room up; `false` when there was none.
    pub(super) fn give_up(&self) -> bool {
        fs::remove_file(&self.path).is_ok()
    }
}

/// Looks, without holding anybody up, for content files that no row owns: of drafts that a crash ended.
#[derive(Debug)]
pub(super) struct OrphanSweep {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl OrphanSweep {
    pub(super) fn start(dir: &Path, drafts: Arc<Drafts>) -> Result<Self, SpoolError> {
        let stop = Arc::new(AtomicBool::new(false));
        let (folder, stopped) = (dir.to_owned(), Arc::clone(&stop));
        let body = move || match each_orphan(&folder, &drafts, &stopped, remove) {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, "removed content files of mail that was never accepted"),
            Err(error) => tracing::warn!("content files that no message needs may be left: {error}"),
        };
        let thread = std::thread::Builder::new()
            .name("spool-orphans".to_owned())
            .spawn(body)
            .map_err(|error| SpoolError::file("start a thread for", dir, error))?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

/// Waits for it: the next owner of the folder must not lose files to it.
impl Drop for OrphanSweep {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("The sweep of content files ended by a defect; please report it.");
        }
    }
}

fn each_orphan(
    dir: &Path,
    drafts: &Drafts,
    stop: &AtomicBool,
    act: impl Fn(&Path),
) -> Result<u64, SpoolError> {
    let (content, database) = (dir.join(CONTENT), dir.join(DATABASE));
    let unreadable = |error| SpoolError::database("read", &database, error);
    let listing = |error| SpoolError::file("list", &content, error);
    let connection = schema::open_reader(&database).map_err(unreadable)?;
    let mut orphans: u64 = 0;
    for entry in fs::read_dir(&content).map_err(listing)? {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let path = entry.map_err(listing)?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        // In this order: a file leaves the drafts only after its row is there to be seen.
        if drafts.owns(name) == Owned::No
            && !queries::file_is_wanted(&connection, name).map_err(unreadable)?
        {
            act(&path);
            orphans = orphans.saturating_add(1);
        }
    }
    Ok(orphans)
}

/// The folder of large content.
pub(super) const CONTENT: &str = "content";
/// The database.
pub(super) const DATABASE: &str = "spool.db";
/// What takes the place of a damaged one, while it is put together.
pub(super) const REBUILT: &str = "rebuilt.db";
/// The same once it is complete, until it is in its place.
pub(super) const COMPLETE: &str = "complete.db";
pub(super) const LOG: &str = "spool.db-wal";
const SHARED_MEMORY: &str = "spool.db-shm";
const LOCK: &str = "lock";
const BALLAST: &str = "ballast";
const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;
