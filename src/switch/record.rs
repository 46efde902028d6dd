//! The orders about mailslot messages, in a file of the state directory.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::policy::mailslot_switch::{Announced, Command};

/// The file's name in the state directory.
pub(super) const FILE: &str = "mailslots.json";

/// What is kept of both directions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Record {
    pub(super) inbound: Kept,
    pub(super) outbound: Kept,
}

/// What is kept of one direction.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Kept {
    /// The order that was given last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) command: Option<Command>,
    /// The announcement that was made last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) announced: Option<Announced>,
}

/// Why orders cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The system refuses.
    #[error("cannot {doing} {path}: {source}; the user that runs mailslotd must own it", path = .path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not what this program writes.
    #[error("{path} cannot be understood: {text}; delete it, and the configuration counts", path = .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where it ceases to make sense.
        text: String,
    },
}

impl RecordError {
    /// Whether the file may be there but not for this user.
    #[must_use]
    pub fn is_permission(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied)
    }
}

/// What was written last; nothing, where nothing was.
pub(super) fn read(path: &Path) -> Result<Record, RecordError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Record::default()),
        Err(source) => return Err(RecordError::Io { doing: "read", path: path.to_owned(), source }),
    };
    serde_json::from_slice(&bytes)
        .map_err(|error| RecordError::Damaged { path: path.to_owned(), text: error.to_string() })
}

/// As [`read`]; a damaged file gets another name.
pub(super) fn read_or_set_aside(path: &Path, now: Timestamp) -> Result<Record, RecordError> {
    let error = match read(path) {
        Err(error @ RecordError::Damaged { .. }) => error,
        other => return other,
    };
    let aside = path.with_extension(format!("json.damaged-{}", now.as_second()));
    fs::rename(path, &aside).map_err(|source| RecordError::Io {
        doing: "set aside",
        path: path.to_owned(),
        source,
    })?;
    tracing::error!(
        %error,
        aside = %aside.display(),
        "The orders about mailslot messages cannot be read and were set aside; the configuration counts."
    );
    Ok(Record::default())
}

/// Writes it so that after a power failure either the old or the new one is there.
pub(super) fn write(path: &Path, record: &Record) -> Result<(), RecordError> {
    let failed = |source| RecordError::Io { doing: "write", path: path.to_owned(), source };
    let draft = path.with_extension("json.new");
    let text = serde_json::to_vec_pretty(record).map_err(|error| failed(error.into()))?;
    let mut options = OpenOptions::new();
    let mut file =
        options.write(true).create(true).truncate(true).mode(0o640).open(&draft).map_err(failed)?;
    file.write_all(&text).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&draft, path).map_err(failed)?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}
