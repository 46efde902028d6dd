//! The vectors of `tests/fixtures` for unit tests.

/// Mailslot writes in the shapes of several senders, crafted.
pub(crate) const MAILSLOT_WRITES: &str =
    include_str!("../../tests/fixtures/11-crafted-messngr-mailslots.hex");
/// Announcements of a real nmbd.
pub(crate) const ANNOUNCEMENTS: &str =
    include_str!("../../tests/fixtures/01-nmbd-startup-election-announce.hex");
/// Fragments, crafted.
pub(crate) const FRAGMENTS: &str = include_str!("../../tests/fixtures/12-crafted-fragments.hex");
/// Datagrams that scapy built.
pub(crate) const SCAPY: &str = include_str!("../../tests/fixtures/14-scapy-built.hex");
/// Sessions of a real smbclient with a real smbd.
pub(crate) const SESSIONS: &str = include_str!("../../tests/fixtures/02-smbclient-M-to-smbd-tcp139.hex");
/// Sessions of a crafted client with a real smbd.
pub(crate) const EDGE_SESSIONS: &str =
    include_str!("../../tests/fixtures/03-messenger-D0-and-session-edge-to-smbd.hex");

/// The payloads in `file` whose label begins with `label`, in order; at least one.
pub(crate) fn vectors(file: &str, label: &str) -> Vec<Vec<u8>> {
    let mut lines = file.lines().peekable();
    let mut found = Vec::new();
    while let Some(line) = lines.next() {
        if line.strip_prefix("# ").is_some_and(|comment| comment.starts_with(label)) {
            while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
                found.extend(line.split_once(' ').map(|(_, digits)| hex(digits)));
            }
        }
    }
    assert!(!found.is_empty(), "no vector is called {label:?}");
    found
}

/// The first of [`vectors`].
pub(crate) fn vector(file: &str, label: &str) -> Vec<u8> {
    vectors(file, label).swap_remove(0)
}

fn hex(digits: &str) -> Vec<u8> {
    let (pairs, _) = digits.as_bytes().as_chunks::<2>();
    let byte = |pair: &[u8; 2]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    pairs.iter().map(byte).collect()
}
