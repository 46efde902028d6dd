//! Exit codes (sysexits.h), so that systemd and scripts can tell what happened.

use std::process::{ExitCode, Termination};

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done as asked.
    Done,
    /// The answer is no: refused, not found.
    No,
    /// The command line makes no sense.
    Usage,
    /// Input that was named cannot be read or is not what it should be.
    BadInput,
    /// An address cannot be bound, or the gateway or a host cannot be reached.
    Unavailable,
    /// Not now; the same may work later.
    TryLater,
    /// The configuration has problems.
    Config,
}

impl Exit {
    /// The process's exit code.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::No => 1,
            Self::Usage => 64,
            Self::BadInput => 65,
            Self::Unavailable => 69,
            Self::TryLater => 75,
            Self::Config => 78,
        }
    }
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self.code())
    }
}
