//! Which mail of ours lies in a Maildir, oldest first, and how much it is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::DirEntry;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::file::FileError;
use crate::message::id::QueueId;

/// The mail in all folders, ordered by age.
#[derive(Debug, Default)]
pub(super) struct Index {
    mail: BTreeMap<Key, Entry>,
    folders: BTreeSet<Arc<str>>,
    bytes: u64,
}

/// One mail: oldest first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    /// Seconds of the epoch at which it was accepted.
    at: i64,
    /// Its file name without flags.
    name: Box<str>,
    folder: Arc<str>,
}

#[derive(Debug)]
struct Entry {
    size: u64,
    place: Place,
}

/// In which part of its folder a mail was last seen.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Not yet seen by a reader.
    New,
    /// Seen; the file name with the flags that the reader gave it.
    Cur(Box<str>),
}

/// What came of a removal.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Removal {
    /// It is gone from the disk and from the index.
    Removed,
    /// It is not where it was last seen; the index is unchanged.
    Missing,
}

impl Key {
    pub(super) fn new(accepted_at: Timestamp, name: &str, folder: &str) -> Self {
        Self { at: accepted_at.as_second(), name: name.into(), folder: folder.into() }
    }

    pub(super) const fn at(&self) -> i64 {
        self.at
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

impl Index {
    /// Reads all folders. Files that are not ours are passed over, ours in `tmp` from before a crash removed. Only the
    /// Maildir itself must be readable: what cannot be read of a folder below it is not counted.
    pub(super) fn count(root: &Path) -> Result<Self, FileError> {
        let mut index = Self::default();
        index.count_folder(root, &Arc::from(""))?;
        for entry in list(root)? {
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|name| !PARTS.contains(name)) else { continue };
            let folder = root.join(name);
            if folder.join("new").is_dir()
                && let Err(error) = index.count_folder(&folder, &Arc::from(name))
            {
                tracing::debug!(%error, "A folder of a Maildir cannot be counted.");
            }
        }
        Ok(index)
    }

    pub(super) fn insert(&mut self, key: Key, size: u64, place: Place) {
        self.folders.insert(Arc::clone(&key.folder));
        self.bytes = self.bytes.saturating_add(size);
        if let Some(before) = self.mail.insert(key, Entry { size, place }) {
            self.bytes = self.bytes.saturating_sub(before.size);
        }
    }

    /// Removes the file of a mail, and the mail with it.
    pub(super) fn remove(&mut self, root: &Path, key: &Key) -> Result<Removal, FileError> {
        let Some(entry) = self.mail.get(key) else { return Ok(Removal::Missing) };
        let folder = root.join(&*key.folder);
        let path = match &entry.place {
            Place::New => folder.join("new").join(&*key.name),
            Place::Cur(name) => folder.join("cur").join(&**name),
        };
        match std::fs::remove_file(&path) {
            Ok(()) => {
                self.forget(key);
                Ok(Removal::Removed)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Removal::Missing),
            Err(error) => Err(FileError::target("remove", &path)(error)),
        }
    }

    /// Counts a mail no more.
    pub(super) fn forget(&mut self, key: &Key) {
        if let Some(entry) = self.mail.remove(key) {
            self.bytes = self.bytes.saturating_sub(entry.size);
        }
    }

    pub(super) fn contains(&self, key: &Key) -> bool {
        self.mail.contains_key(key)
    }

    pub(super) fn oldest(&self) -> Option<&Key> {
        self.mail.keys().next()
    }

    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn has_folder(&self, name: &str) -> bool {
        self.folders.contains(name)
    }

    pub(super) fn folders(&self) -> usize {
        self.folders.len()
    }

    fn count_folder(&mut self, path: &Path, folder: &Arc<str>) -> Result<(), FileError> {
        self.folders.insert(Arc::clone(folder));
        for part in ["new", "cur"] {
            for entry in list(&path.join(part))? {
                let name = entry.file_name();
                let Some((at, base, name)) = name.to_str().and_then(own_name) else { continue };
                // A reader may have removed it since it was listed.
                let Ok(metadata) = entry.metadata() else { continue };
                let place = if part == "new" { Place::New } else { Place::Cur(name.into()) };
                let key = Key { at, name: base.into(), folder: Arc::clone(folder) };
                self.insert(key, metadata.len(), place);
            }
        }
        for entry in list(&path.join("tmp"))? {
            clear_leftover(&entry);
        }
        Ok(())
    }
}

/// The name of a folder for what a rule calls it: letters, digits, `-`, `_` and `.`, at most 60 characters, never one
/// that a Maildir has already or that is hidden.
pub(super) fn folder_name(to: &str) -> String {
    let plain = |c: char| if c.is_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' };
    let name: String = to.trim().chars().map(plain).take(60).collect();
    if name.starts_with('.') || PARTS.contains(&name.as_str()) { format!("_{name}") } else { name }
}

/// Seconds, name without flags and whole name of a file that this program wrote: `seconds.QUEUEID.….notice.host`.
fn own_name(name: &str) -> Option<(i64, &str, &str)> {
    let base = name.split_once(':').map_or(name, |(base, _)| base);
    let mut words = base.split('.');
    let at = words.next()?.parse().ok()?;
    let _id: QueueId = words.next()?.parse().ok()?;
    words.take(2).any(|word| matches!(word, "notice" | "mail")).then_some((at, base, name))
}

/// Removes a file of ours that a crash left in `tmp`; 36 hours old, as Maildir has it, so no writer can be at it.
fn clear_leftover(entry: &DirEntry) {
    let name = entry.file_name();
    let ours = name.to_str().and_then(own_name).is_some();
    let age = entry.metadata().and_then(|metadata| metadata.modified()).ok().and_then(|at| at.elapsed().ok());
    if ours && age.is_some_and(|age| age > LEFTOVER) {
        // Tried again at the next count.
        std::fs::remove_file(entry.path()).unwrap_or_default();
    }
}

/// The entries of a folder; none where it is absent.
fn list(path: &Path) -> Result<Vec<DirEntry>, FileError> {
    let entries = match std::fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.and_then(Iterator::collect),
    };
    entries.map_err(FileError::target("read", &PathBuf::from(path)))
}

const PARTS: [&str; 3] = ["cur", "new", "tmp"];

const LEFTOVER: Duration = Duration::from_secs(36 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_our_own_form_are_ours() {
        for ours in [
            "1772667000.0000009384NKR.notice.gw1.plant.example",
            "1772667000.0000009384NKR.0123456789abcdef01234567.notice.gw1:2,S",
            "1772667000.0000009384NKR.mail.localhost.invalid:2,",
        ] {
            assert!(own_name(ours).is_some(), "{ours}");
        }
        for foreign in [
            "1772667000.M20046P2137.mailserver",
            "notice",
            "",
            "1772667000.0000009384NKR",
            "x.0000009384NKR.notice.h",
        ] {
            assert!(own_name(foreign).is_none(), "{foreign}");
        }
    }

    #[test]
    fn no_name_leads_out_of_the_maildir_or_into_its_own_parts() {
        for (to, folder) in [
            ("", ""),
            (" operator ", "operator"),
            ("../../etc", "_.._.._etc"),
            ("..", "_.."),
            ("new", "_new"),
            ("a/b\\c\0d\n", "a_b_c_d"),
            ("設備", "設備"),
        ] {
            assert_eq!(folder_name(to), folder, "{to:?}");
        }
        assert_eq!(folder_name(&"x".repeat(500)).len(), 60);
    }
}
