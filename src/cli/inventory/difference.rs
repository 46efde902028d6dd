//! `inventory diff`: what has changed between two exports, or two databases.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args as ClapArgs;

use super::form;
use super::hosts::minute;
use crate::cli::Global;
use crate::cli::exit::Exit;
use crate::cli::output::{answer, answer_json, note};
use crate::inventory::{self, Comparison, Dependence, InventoryError, Snapshot};

/// Shows what has changed between two moments: hosts that are new, gone, or otherwise than before.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// The older one: what `mailslotd inventory --json` wrote, or a copy of `inventory.db`
    old: PathBuf,
    /// The newer one
    new: PathBuf,
}

/// Why a file is nothing to compare.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{path}: {source}", path = .path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error(
        "{path} is no inventory: {source}; give what `mailslotd inventory --json` wrote, or an `inventory.db`",
        path = .path.display()
    )]
    NoInventory { path: PathBuf, source: serde_json::Error },
    #[error(transparent)]
    Database(#[from] InventoryError),
}

/// Carries out `inventory diff`.
pub(super) fn run(args: &Args, global: &Global) -> Exit {
    let (old, new) = match (read(&args.old), read(&args.new)) {
        (Ok(old), Ok(new)) => (old, new),
        (old, new) => {
            for failure in [old.err(), new.err()].into_iter().flatten() {
                note(format_args!("mailslotd: {failure}"));
            }
            return Exit::BadInput;
        }
    };
    if new.taken_at < old.taken_at {
        note(format_args!(
            "mailslotd: {} is older than {}; they are compared as given",
            args.new.display(),
            args.old.display()
        ));
    }
    let comparison = Comparison::between(&old, &new);
    if global.json {
        answer_json(&comparison);
    } else {
        lines(&comparison, &old, &new).into_iter().for_each(answer);
    }
    Exit::Done
}

fn read(path: &Path) -> Result<Snapshot, Failure> {
    let bytes = fs::read(path).map_err(|source| Failure::File { path: path.to_owned(), source })?;
    if bytes.starts_with(b"SQLite format 3\0") {
        return Ok(Snapshot::of_contents(inventory::read(path)?.unwrap_or_default()));
    }
    serde_json::from_slice(&bytes).map_err(|source| Failure::NoInventory { path: path.to_owned(), source })
}

fn lines(comparison: &Comparison<'_>, old: &Snapshot, new: &Snapshot) -> Vec<String> {
    let mut lines = vec![format!("From {} to {} UTC", minute(old.taken_at), minute(new.taken_at))];
    if comparison.is_empty() {
        lines.push("Nothing has changed.".to_owned());
    }
    for (heading, hosts, at) in
        [("New", &comparison.new, new.taken_at), ("Gone", &comparison.gone, old.taken_at)]
    {
        if hosts.is_empty() {
            continue;
        }
        lines.extend([String::new(), format!("{heading}: {}", hosts.len())]);
        let rows = hosts.iter().map(|host| {
            [
                format!("  {}", host.name),
                form::few(host.addresses.iter().map(|seen| seen.address), 1),
                host.system.map(|guess| guess.to_string()).unwrap_or_default(),
                minute(host.last_seen),
                Dependence::of(host, at).words().to_owned(),
            ]
        });
        lines.extend(form::table(
            ["  NAME", "ADDRESS", "SYSTEM", "LAST SEEN", "IF SWITCHED OFF"],
            rows.collect(),
        ));
    }
    if !comparison.changed.is_empty() {
        lines.extend([String::new(), format!("Changed: {}", comparison.changed.len())]);
        for changed in &comparison.changed {
            let changes = changed.changes.iter().map(|change| format!("  {}: {change}", changed.host.name));
            lines.extend(changes);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::hosts::tests::{host, snapshot};
    use super::*;

    #[test]
    fn a_month_is_told_in_three_lists() {
        let mut changed = host("PC01", r"\MAILSLOT\MESSNGR", "2026-02-27T03:04:05Z");
        let old = snapshot(vec![changed.clone(), host("GONE", "TCP 139", "2026-02-20T03:04:05Z")]);
        changed.workgroup = Some("OFFICE".to_owned());
        changed.last_seen = "2026-03-20T03:04:05Z".parse().unwrap();
        changed.channels[0].last_seen = changed.last_seen;
        let mut new = snapshot(vec![changed, host("NEW", r"\MAILSLOT\BROWSE", "2026-03-21T03:04:05Z")]);
        new.taken_at = "2026-04-01T00:00:00Z".parse().unwrap();
        let lines = lines(&Comparison::between(&old, &new), &old, &new);
        assert_eq!(
            lines,
            [
                "From 2026-03-01 00:00 to 2026-04-01 00:00 UTC",
                "",
                "New: 1",
                "  NAME  ADDRESS    SYSTEM          LAST SEEN         IF SWITCHED OFF",
                "  NEW   192.0.2.7  Windows NT 4.0  2026-03-21 03:04  only announces itself",
                "",
                "Gone: 1",
                "  NAME  ADDRESS    SYSTEM          LAST SEEN         IF SWITCHED OFF",
                "  GONE  192.0.2.7  Windows NT 4.0  2026-02-20 03:04  its messages would be lost",
                "",
                "Changed: 1",
                "  PC01: is in OFFICE, no longer in PLANT",
            ]
        );
    }
}
