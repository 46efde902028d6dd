//! The pickup directory on disk: made, looked into, and what is done with its files.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;

use super::arrivals::{Left, Look, Standing};

/// The directory cannot be used. Displays as cause and fix.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the pickup directory {path}: {source}; it must be a directory that the user who runs mailslotd owns", path = .path.display())]
pub struct FolderError {
    path: PathBuf,
    source: io::Error,
}

/// The pickup directory.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    path: PathBuf,
}

/// What was found at one look.
#[derive(Debug)]
pub(super) struct Found {
    /// At most [`MOST`] files, the longest unchanged first.
    pub(super) files: Vec<(OsString, Look)>,
    /// Files that were passed over, since they were tried before.
    pub(super) passed_over: HashSet<OsString>,
    /// Whether there are more.
    pub(super) rest: Rest,
}

/// Whether a look saw everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    /// It did.
    None,
    /// There are more files.
    Some,
}

impl Folder {
    /// Makes what is absent; what is there keeps its owner and mode.
    pub(super) fn prepare(path: &Path) -> Result<Self, FolderError> {
        make(path, DROP_MODE)?;
        make(&path.join(BADMAIL), BADMAIL_MODE)?;
        let mode = fs::metadata(path).map_err(|source| fault(path, source))?.mode();
        if mode & 0o002 != 0 {
            tracing::warn!(
                path = %path.display(),
                "Every user of this host may put mail into the pickup directory; take the right from others (chmod o-w)."
            );
        }
        forget_stale(path).map_err(|source| fault(path, source))?;
        Ok(Self { path: path.to_owned() })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn path_of(&self, name: &OsStr) -> PathBuf {
        self.path.join(name)
    }

    /// The mail that is there: regular files whose name ends in `.eml` and begins with no dot. Everything else is not
    /// looked at: symbolic links, folders, temporary names. What was `left` takes no place: it is passed over until its
    /// time has come, and then comes after what was not tried yet.
    pub(super) fn look(&self, left: &Left, now: Instant) -> io::Result<Found> {
        let mut found = Found { files: Vec::new(), passed_over: HashSet::new(), rest: Rest::None };
        let mut due = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let name = entry.file_name();
            if !is_mail(&name) {
                continue;
            }
            let metadata = match fs::symlink_metadata(entry.path()) {
                Ok(metadata) if metadata.is_file() => metadata,
                Ok(_) => continue,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let look = look_of(&metadata);
            match left.standing(&name, look, now) {
                Standing::Left => {
                    found.passed_over.insert(name);
                }
                Standing::Due => due.push((name, look)),
                Standing::Fresh if found.files.len() < MOST => found.files.push((name, look)),
                Standing::Fresh => {
                    found.rest = Rest::Some;
                    break;
                }
            }
        }
        let room = MOST.saturating_sub(found.files.len());
        if due.len() > room {
            found.rest = Rest::Some;
        }
        found.files.extend(due.into_iter().take(room));
        found
            .files
            .sort_by(|(name, look), (other, others)| (look.modified, name).cmp(&(others.modified, other)));
        Ok(found)
    }

    /// Opens a file and no link; whatever it is, opening does not wait.
    pub(super) fn open(&self, name: &OsStr) -> io::Result<File> {
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        File::options().read(true).custom_flags(flags.bits()).open(self.path_of(name))
    }

    /// Removes a file that was taken, unless another one has its name meanwhile.
    pub(super) fn remove(&self, name: &OsStr, taken: (u64, u64)) -> io::Result<()> {
        let path = self.path_of(name);
        match fs::symlink_metadata(&path) {
            Ok(metadata) if (metadata.dev(), metadata.ino()) == taken => fs::remove_file(&path),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Removes from `badmail` what was moved there longer ago than `keep`, which the note with the reason tells, and was
    /// not written to since. What else lies there is somebody else's. How many notes went.
    pub(super) fn forget_aside(&self, keep: Duration) -> io::Result<u64> {
        let mut forgotten: u64 = 0;
        for entry in fs::read_dir(self.path.join(BADMAIL))? {
            let note = entry?.path();
            let name = note.file_name().and_then(OsStr::to_str);
            let Some(mail) = name.and_then(|name| name.strip_suffix(NOTE)) else { continue };
            let mail = note.with_file_name(mail);
            if !is_old(&note, keep)? || mail.symlink_metadata().is_ok() && !is_old(&mail, keep)? {
                continue;
            }
            // The note goes last: were the mail left without one, nobody would ever remove it.
            remove_if_there(&mail)?;
            remove_if_there(&note)?;
            forgotten = forgotten.saturating_add(1);
        }
        Ok(forgotten)
    }

    /// Moves a file to `badmail` under a name that is free there, with its reason beside it; where it lies now.
    pub(super) fn set_aside(&self, name: &OsStr, reason: &str) -> io::Result<PathBuf> {
        let stem = Path::new(name).file_stem().unwrap_or(name);
        for number in 0..MOST_OF_ONE_NAME {
            let mut free = stem.to_owned();
            if number > 0 {
                free.push(format!("-{number}"));
            }
            free.push(".eml");
            let target = self.path.join(BADMAIL).join(&free);
            if target.symlink_metadata().is_ok() {
                continue;
            }
            free.push(NOTE);
            let note_path = target.with_file_name(&free);
            let mut note = match File::options().write(true).create_new(true).mode(0o640).open(&note_path) {
                Ok(note) => note,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(error),
            };
            let moved =
                note.write_all(reason.as_bytes()).and_then(|()| fs::rename(self.path_of(name), &target));
            if moved.is_err() {
                // One that tells of no file would be taken for that of the next that has its name.
                remove_if_there(&note_path)?;
            }
            return moved.map(|()| target);
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }
}

/// Whether a regular file was last written to longer ago. A clock that was set back makes nothing old.
fn is_old(path: &Path, keep: Duration) -> io::Result<bool> {
    let metadata = path.symlink_metadata()?;
    Ok(metadata.is_file() && metadata.modified()?.elapsed().unwrap_or_default() > keep)
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn is_mail(name: &OsStr) -> bool {
    let is_eml = Path::new(name).extension().is_some_and(|extension| extension.eq_ignore_ascii_case("eml"));
    is_eml && !name.as_encoded_bytes().starts_with(b".")
}

pub(super) fn look_of(metadata: &fs::Metadata) -> Look {
    Look {
        file: (metadata.dev(), metadata.ino()),
        size: metadata.size(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
    }
}

/// Removes what `sendmail` was killed over: temporary names that nobody has written to for a day.
fn forget_stale(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name();
        let octets = name.as_encoded_bytes();
        if !(octets.starts_with(b".") && octets.ends_with(TEMPORARY.as_bytes())) {
            continue;
        }
        let metadata = entry.metadata()?;
        let age = metadata.modified()?.elapsed().unwrap_or_default();
        if metadata.is_file() && age > STALE {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn make(path: &Path, mode: u32) -> Result<(), FolderError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => return Ok(()),
        Ok(_) => return Err(fault(path, io::ErrorKind::NotADirectory.into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(fault(path, source)),
    }
    let made = DirBuilder::new().recursive(true).mode(0o750).create(path);
    // mkdir(2) takes neither the sticky nor the set-group-ID bit, and the umask takes others away.
    made.and_then(|()| fs::set_permissions(path, Permissions::from_mode(mode)))
        .map_err(|source| fault(path, source))
}

fn fault(path: &Path, source: io::Error) -> FolderError {
    FolderError { path: path.to_owned(), source }
}

/// Where refused files go.
pub(super) const BADMAIL: &str = "badmail";
/// What the name of a refused file is followed by in that of the note with its reason.
const NOTE: &str = ".reason.txt";

/// Its group may drop files and neither list nor read them (`-wx`), nor touch those of others (sticky); what is dropped
/// gets the directory's group (set-group-ID), so that the gateway can read it.
const DROP_MODE: u32 = 0o3730;
const BADMAIL_MODE: u32 = 0o750;

/// How `sendmail` ends the name of a file that is not whole.
pub const TEMPORARY: &str = ".tmp";
const STALE: Duration = Duration::from_secs(24 * 60 * 60);

/// Files that one look takes note of.
pub(super) const MOST: usize = 1000;
const MOST_OF_ONE_NAME: u32 = 1000;
