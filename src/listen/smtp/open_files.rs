//! How many files the process may open: each connection is one.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Has the kernel allow as many open files as `connections` need, as far as the administrator lets this process; says so
/// where that is not enough.
pub(super) fn allow(connections: usize) {
    let wanted = u64::try_from(connections).unwrap_or(u64::MAX).saturating_add(OTHERS);
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
            connections,
            "This process may open fewer files than relay.limits.connections_in_all needs: raise LimitNOFILE in the systemd \
             unit, or lower the limit."
        );
    }
}

/// Files other than clients' connections: the spool, deliveries, monitors, directories.
const OTHERS: u64 = 512;
