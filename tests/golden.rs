//! Every vector in `tests/fixtures` is described as its `.expect` file says.
//!
//! `UPDATE_EXPECT=1 cargo test --test golden` rewrites the files; read the difference before committing it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

use fixtures::{Vector, folder, vectors};

#[path = "support/fixtures.rs"]
mod fixtures;

/// Each file and how many vectors it holds.
const FILES: [(&str, usize); 14] = [
    ("01-nmbd-startup-election-announce", 32),
    ("02-smbclient-M-to-smbd-tcp139", 110),
    ("03-messenger-D0-and-session-edge-to-smbd", 80),
    ("05-nmblookup-name-service", 32),
    ("06-smbtorture-nbt-dgram", 13),
    ("06-smbtorture-nbt-dgram-netlogon", 13),
    ("07-browser-frames-crafted-vs-nmbd", 23),
    ("08-nmbd-shutdown-release", 2),
    ("09-smbtorture-nbt-wins-vs-nmbd-wins", 40),
    ("10-name-conflict-defence-and-wins-client", 45),
    ("11-crafted-messngr-mailslots", 25),
    ("12-crafted-fragments", 19),
    ("14-scapy-built", 7),
    ("15-smbd-slow-and-missing-message-command", 14),
];

#[test]
fn every_vector_is_described_as_expected() {
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let mut differences = String::new();
    for (stem, _) in FILES {
        let described = described(&vectors(stem));
        let path = folder().join(stem).with_extension("expect");
        if update {
            fs::write(&path, &described).unwrap();
            continue;
        }
        let expected =
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        if let Some(difference) = first_difference(&expected, &described) {
            writeln!(differences, "{}{difference}", path.display()).unwrap();
        }
    }
    assert!(differences.is_empty(), "UPDATE_EXPECT=1 rewrites what is meant to change\n\n{differences}");
}

#[test]
fn no_file_and_no_vector_is_skipped() {
    let stems = |extension: &str| -> BTreeSet<String> {
        let files = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
        let files = files.filter(|path| path.extension().is_some_and(|found| found == extension));
        files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
    };
    let listed: BTreeSet<String> = FILES.iter().map(|(stem, _)| (*stem).to_owned()).collect();
    assert_eq!(stems("hex"), listed);
    assert_eq!(stems("expect"), listed);
    for (stem, count) in FILES {
        assert_eq!(vectors(stem).len(), count, "{stem}.hex");
    }
}

fn described(vectors: &[Vector]) -> String {
    let mut text = String::new();
    for vector in vectors {
        writeln!(text, "# {}\n{}", vector.label, vector.describe()).unwrap();
    }
    text
}

/// The first line that differs, under its vector's label and with the lines before it.
fn first_difference(expected: &str, described: &str) -> Option<String> {
    if expected == described {
        return None;
    }
    let (expected, described): (Vec<_>, Vec<_>) = (expected.lines().collect(), described.lines().collect());
    let same = expected.iter().zip(&described).take_while(|(a, b)| a == b).count();
    let label = described[..same].iter().rposition(|line| line.starts_with("# ")).unwrap_or(0);
    let mut text = format!(":{}\n", same + 1);
    for line in &described[label.max(same.saturating_sub(6)).min(same)..same] {
        writeln!(text, "    {line}").unwrap();
    }
    writeln!(text, "  - {}", expected.get(same).unwrap_or(&"(end of file)")).unwrap();
    writeln!(text, "  + {}", described.get(same).unwrap_or(&"(end of file)")).unwrap();
    Some(text)
}
