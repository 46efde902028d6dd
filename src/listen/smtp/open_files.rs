//! How many files the process may open: each connection is one, and content that no longer fits in memory another.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Has the kernel allow as many open files as `connections` need, as far as the administrator lets this process; says so
/// where that is not enough.
pub(super) fn allow(connections: usize) {
    let wanted = wanted(connections);
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    if soft >= wanted {
        return;
    }
    let limit = wanted.min(hard);
    let raised = setrlimit(Resource::RLIMIT_NOFILE, limit, hard);
    let limit = if raised.is_ok() { limit } else { soft };
    if limit < wanted {
        tracing::warn!(
            limit,
            wanted,
            connections,
            "This process may open fewer files than relay.limits.connections_in_all needs when all send large messages at \
             once: raise LimitNOFILE in the systemd unit, or lower the limit."
        );
    }
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
