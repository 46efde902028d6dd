//! The secrets that tokens are had by, as their files have them now.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use zeroize::Zeroizing;

use crate::config::check::SecretOrigin;
use crate::config::settings::Secret;

/// Why a secret cannot be had or kept; each a sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("{} cannot be read: {source}; put the secret there, or let this user read it", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It does not hold one line.
    #[error("{} must hold the secret alone, on one line", path.display())]
    NotOneLine {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be written.
    #[error(
        "the new refresh token cannot be kept in {}: {source}; nothing is sent until it can, since the old one may be spent: let \
         this user write into that folder, or name a file below state_dir",
        path.display()
    )]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process spends its token, and does not come to an end.
    #[error(
        "{} has been in use by another process for more than {} s: `mailslotd oauth test`, or another mailslotd with the same \
         file; it is tried again by itself, and `lslocks` shows a process that hangs",
        path.display(),
        waited.as_secs()
    )]
    Busy {
        /// The file.
        path: PathBuf,
        /// How long it was waited for.
        waited: Duration,
    },
    /// Its file system has no locks.
    #[error(
        "{} cannot be locked, so that nobody else spends its refresh token: {source}; keep it on a file system of this \
         machine, for example below state_dir",
        path.display()
    )]
    Unlockable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A secret; that of a file as the file has it now.
pub(super) fn secret(secret: &Secret) -> Result<Zeroizing<String>, FileError> {
    match &secret.origin {
        SecretOrigin::File(path) => one_line(path),
        SecretOrigin::Variable(_) => Ok(secret.text.clone()),
    }
}

/// The one line of a file.
pub(super) fn one_line(path: &Path) -> Result<Zeroizing<String>, FileError> {
    let text = whole(path)?;
    let line = text.trim_end_matches(['\r', '\n']);
    if line.is_empty() || line.contains(['\r', '\n']) {
        return Err(FileError::NotOneLine { path: path.to_owned() });
    }
    Ok(Zeroizing::new(line.to_owned()))
}

/// All of a file.
pub(super) fn whole(path: &Path) -> Result<Zeroizing<String>, FileError> {
    let unreadable = |source| FileError::Unreadable { path: path.to_owned(), source };
    fs::read_to_string(path).map(Zeroizing::new).map_err(unreadable)
}

/// Puts the successor of a token that was spent into its file. Another one that stands there by now is of a login since
/// then, and newer: it stays.
pub(super) fn succeed(path: &Path, spent: &str, next: &str) -> Result<(), FileError> {
    match one_line(path) {
        Ok(there) if *there != *spent => Ok(()),
        Ok(_) | Err(_) => replace(path, next),
    }
}

/// Puts `line` into the file, readable by its owner only; whoever looks finds the old line or the new one, power loss
/// included.
/// After [`FileError::Unwritable`] the old line is still there.
pub(super) fn replace(path: &Path, line: &str) -> Result<(), FileError> {
    write(path, line).map_err(|source| FileError::Unwritable { path: path.to_owned(), source })
}

fn write(path: &Path, line: &str) -> io::Result<()> {
    // A link stays one: what it leads to is replaced.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    name.push(format!(".new{}", std::process::id()));
    let beside = folder.join(name);
    let written =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside).and_then(
            |mut file| {
                file.write_all(line.as_bytes())?;
                file.write_all(b"\n")?;
                file.sync_all()
            },
        );
    if let Err(error) = written.and_then(|()| fs::rename(&beside, &path)) {
        fs::remove_file(&beside).ok();
        return Err(error);
    }
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_new_token_takes_the_place_of_the_old_one_and_only_its_owner_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        fs::write(&path, "old\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        replace(&path, "new").unwrap();
        assert_eq!(&*one_line(&path).unwrap(), "new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left behind");
    }

    #[test]
    fn a_successor_takes_the_place_of_its_own_token_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        fs::write(&path, "spent\n").unwrap();
        succeed(&path, "spent", "next").unwrap();
        assert_eq!(&*one_line(&path).unwrap(), "next");
        replace(&path, "of a login").unwrap();
        succeed(&path, "next", "after next").unwrap();
        assert_eq!(&*one_line(&path).unwrap(), "of a login");
        fs::remove_file(&path).unwrap();
        succeed(&path, "next", "after next").unwrap();
        assert_eq!(&*one_line(&path).unwrap(), "after next");
    }

    #[test]
    fn a_folder_that_is_not_there_leaves_a_sentence_and_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let error = replace(&folder.path().join("none/token"), "new").unwrap_err().to_string();
        assert!(error.contains("cannot be kept") && error.contains("state_dir"), "{error}");
        fs::write(folder.path().join("two"), "a\nb\n").unwrap();
        assert!(matches!(one_line(&folder.path().join("two")), Err(FileError::NotOneLine { .. })));
    }
}
