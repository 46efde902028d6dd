//! How many files the process may open: each connection is one, and content that no longer fits in memory another.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Has the kernel allow as many open files as `connections` need, as far as the administrator lets this process; says so
/// where that is not enough.
pub(super) fn allow(connections: usize) {
    let wanted = wanted(connections);
    if let Some(limit) = raise(wanted).filter(|limit| *limit < wanted) {
        tracing::warn!(
            limit,
            wanted,
            connections,
            "This process may open fewer files than relay.limits.connections_in_all needs when all send large messages at \
             once: raise LimitNOFILE in the systemd unit, or lower the limit."
        );
    }
}

/// The same where no SMTP client can come, for the sessions of `net send`, which are far fewer.
pub(super) fn allow_sessions(connections: usize) {
    raise(wanted(connections));
}

/// The limit that is in force then, where it can be known.
fn raise(wanted: u64) -> Option<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    if soft >= wanted {
        return Some(soft);
    }
    let limit = wanted.min(hard);
    let raised = setrlimit(Resource::RLIMIT_NOFILE, limit, hard);
    Some(if raised.is_ok() { limit } else { soft })
}

/// The files open when every client sends a large message at once: its connection, and the spool's file of its content.
fn wanted(connections: usize) -> u64 {
    u64::try_from(connections).unwrap_or(u64::MAX).saturating_mul(2).saturating_add(OTHERS)
}

/// Files other than clients' connections and content: the spool, deliveries, monitors, directories.
const OTHERS: u64 = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_file_for_the_content_of_every_connection_too() {
        assert_eq!(wanted(12_000), 24_512);
        assert_eq!(wanted(usize::MAX), u64::MAX);
    }
}
