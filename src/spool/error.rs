//! Why the spool did not do what it was asked.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::ErrorCode;

use crate::message::id::QueueId;

/// Why the spool did not do what it was asked. Many callers share one commit, hence it can be cloned.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SpoolError {
    /// A limit or the disk allows nothing more. Nothing was taken; it recovers by itself as soon as there is space.
    #[error("{reason}")]
    Full {
        /// Which limit, with its figures and what mends it.
        reason: FullReason,
    },
    /// The message cannot be read back. It is kept and set aside; nobody is delivered a part of it.
    #[error(
        "message {id} cannot be read back and is kept as corrupt; `mailslotd queue show {id}` shows what is left of it"
    )]
    Corrupt {
        /// The message.
        id: QueueId,
    },
    /// The disk or the database refused. What was asked did not happen; the spool opens its files anew before it
    /// accepts anything again.
    #[error("cannot {op} {path}: {source}", path = .path.display())]
    Io {
        /// What was tried, as a verb: `commit to`, `open`.
        op: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system or SQLite said.
        source: Arc<Cause>,
    },
    /// Another process has this spool open.
    #[error(
        "the spool in {path} is in use by {holder}; stop it first, or give this one a state_dir of its own",
        path = .path.display()
    )]
    Locked {
        /// The spool's folder.
        path: PathBuf,
        /// Who holds it, as far as its lock file tells.
        holder: Holder,
    },
    /// A later version of this program wrote the spool.
    #[error(
        "{path} has spool format {found}, this program knows up to {known}; run the version that wrote it, or a later one",
        path = .path.display()
    )]
    NewerFormat {
        /// The database.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The latest that this program knows.
        known: i64,
    },
    /// A valid SQLite database that some other program wrote.
    #[error(
        "{path} is a database of another program; move it away, or give this one a state_dir of its own",
        path = .path.display()
    )]
    ForeignDatabase {
        /// The database.
        path: PathBuf,
    },
    /// A message without a recipient was offered: a defect of the caller.
    #[error("a message without a recipient cannot be kept")]
    NoRecipient,
    /// The content's file is not one that a living [`super::Draft`] of this spool made: a defect of the caller.
    #[error("{path} is no draft of this spool", path = .path.display())]
    ForeignContent {
        /// The file.
        path: PathBuf,
    },
    /// The group's spool in JetStream did not do it. What was asked may have been done although no answer came; whoever
    /// asked asks again.
    #[error("cannot {op} the spool that the gateways share: {what}")]
    Group {
        /// What was tried, as a verb: `read`, `record in`.
        op: &'static str,
        /// What the servers said, or that they said nothing.
        what: String,
    },
    /// The spool was closed, or one of its threads ended by a defect.
    #[error("the spool is closed because the gateway is shutting down or a part of it ended by a defect")]
    Closed,
}

impl SpoolError {
    pub(super) fn database(op: &'static str, path: &Path, source: rusqlite::Error) -> Self {
        if source.sqlite_error_code() == Some(ErrorCode::DiskFull) {
            return Self::Full { reason: FullReason::Disk { path: path.to_owned() } };
        }
        Self::Io { op, path: path.to_owned(), source: Arc::new(Cause::Database(source)) }
    }

    pub(super) fn file(op: &'static str, path: &Path, source: std::io::Error) -> Self {
        if matches!(source.raw_os_error(), Some(ENOSPC | EDQUOT)) {
            return Self::Full { reason: FullReason::Disk { path: path.to_owned() } };
        }
        Self::Io { op, path: path.to_owned(), source: Arc::new(Cause::File(source)) }
    }

    /// Whether the database itself is damaged.
    pub(super) fn is_damage(&self) -> bool {
        match self {
            Self::Io { source, .. } => match source.as_ref() {
                Cause::Database(error) => super::schema::is_damage(error),
                Cause::File(_) => false,
            },
            Self::Full { .. }
            | Self::Corrupt { .. }
            | Self::Locked { .. }
            | Self::NewerFormat { .. }
            | Self::ForeignDatabase { .. }
            | Self::NoRecipient
            | Self::ForeignContent { .. }
            | Self::Group { .. }
            | Self::Closed => false,
        }
    }

    /// The reason as a label of `mailslotd_spool_refused_total`.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Full { reason } => reason.as_str(),
            Self::Corrupt { .. } => "corrupt",
            Self::Io { .. } => "io",
            Self::Locked { .. } => "locked",
            Self::NewerFormat { .. } => "newer_format",
            Self::ForeignDatabase { .. } => "foreign_database",
            Self::NoRecipient => "no_recipient",
            Self::ForeignContent { .. } => "foreign_content",
            Self::Group { .. } => "group",
            Self::Closed => "closed",
        }
    }
}

/// What the system or SQLite said.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// A file operation.
    #[error(transparent)]
    File(std::io::Error),
    /// The database.
    #[error(transparent)]
    Database(rusqlite::Error),
}

/// What an error of a transaction means for those in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// The disk or a quota is full.
    NoSpace,
    /// Somebody else holds the write lock, for longer than anyone should.
    Busy,
    /// Nothing may be trusted that this connection says.
    Broken,
    /// One of the requests cannot be done.
    AtFault,
}

impl Failure {
    pub(super) fn of(error: &rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::NoSpace,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            Some(
                ErrorCode::TooBig
                | ErrorCode::ConstraintViolation
                | ErrorCode::TypeMismatch
                | ErrorCode::ParameterOutOfRange,
            )
            | None => Self::AtFault,
            Some(_) => Self::Broken,
        }
    }
}

/// Which limit allows nothing more. Bytes throughout.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FullReason {
    /// `spool.max_size`, for mail less the reserve.
    #[error(
        "the spool holds {held} bytes of messages and may hold {limit} of this kind (spool.max_size, for mail less \
         spool.reserved_for_notices); deliver or delete some (`mailslotd queue list`), or raise spool.max_size"
    )]
    MaxSize {
        /// What it holds.
        held: u64,
        /// What it may hold of the message's class.
        limit: u64,
    },
    /// `spool.min_free`, for mail and the reserve.
    #[error(
        "{free} bytes are free on the file system of {path} and {limit} must stay so for this kind of message \
         (spool.min_free, for mail and spool.reserved_for_notices); make room there, or lower spool.min_free",
        path = .path.display()
    )]
    MinFree {
        /// What is free.
        free: u64,
        /// What must stay free when a message of this class is accepted.
        limit: u64,
        /// The spool's folder.
        path: PathBuf,
    },
    /// The file system or its quota has no space left.
    #[error("no space is left on the file system of {path}; make room there", path = .path.display())]
    Disk {
        /// The file that could not grow.
        path: PathBuf,
    },
}

impl FullReason {
    /// The reason as a label of `mailslotd_spool_refused_total`.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::MaxSize { .. } => "max_size",
            Self::MinFree { .. } => "min_free",
            Self::Disk { .. } => "disk",
        }
    }
}

/// Who holds a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// The process of this number.
    Process(u32),
    /// A process that has not yet written its number.
    Unknown,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Process(pid) => write!(f, "process {pid}"),
            Self::Unknown => f.write_str("another process"),
        }
    }
}

const ENOSPC: i32 = nix::errno::Errno::ENOSPC as i32;
const EDQUOT: i32 = nix::errno::Errno::EDQUOT as i32;
