//! Every vector in `tests/fixtures` is described as its `.expect` file says.
//!
//! `UPDATE_EXPECT=1 cargo test --test golden` rewrites the files; read the difference before committing it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::LazyLock;
use std::time::Instant;

use fixtures::{Carrier, Vector, folder, vectors};
use jiff::Timestamp;
use mailslotd::decode::decode;
use mailslotd::message::notice::{Arrival, Listener};
use mailslotd::session::reassembly::{Reassembly, Verdict};
use mailslotd::wire::datagram::{Datagram, Direct};
use mailslotd::wire::mailslot::{MailslotName, MailslotWrite};
use mailslotd::wire::name_service::Packet;
use mailslotd::wire::session_service::{self, Received};
use mailslotd::wire::{browser, lanman};

#[path = "support/fixtures.rs"]
mod fixtures;

/// Each file and how many vectors it holds.
const FILES: [(&str, usize); 15] = [
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
    ("16-crafted-broken", 63),
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

#[test]
fn what_is_broken_is_refused_for_the_field_that_is_broken_and_what_is_odd_is_read() {
    let mut refused = Vec::new();
    for vector in vectors("16-crafted-broken") {
        let described = vector.describe();
        let refusal = described.lines().find_map(|line| line.strip_prefix("  ! "));
        match (vector.label.split_once(' '), refusal) {
            (Some(("bad", what)), Some(refusal)) => {
                let (field, _) = refusal.split_once(" at byte ").expect("an error names its field");
                refused.push((what.to_owned(), field.to_owned()));
            }
            (Some(("odd", _)), None) => {}
            _ => panic!("{}\n{described}", vector.label),
        }
    }
    let refused: Vec<_> = refused.iter().map(|(what, field)| (what.as_str(), field.as_str())).collect();
    assert_eq!(refused, BROKEN);
}

#[test]
fn a_datagram_whose_transaction_or_message_is_broken_never_becomes_a_notice() {
    for vector in vectors("16-crafted-broken") {
        let fate = (vector.carrier == Carrier::Udp138).then(|| fate(&mut Reassembly::new(), &vector));
        let wanted = match vector.label.split_once(": ") {
            Some(("bad datagram", _)) => "dropped: datagram: ",
            Some(("bad transaction", what)) if SOMETHING_ELSE.contains(&what) => {
                "dropped: no mailslot write: "
            }
            Some(("bad transaction", _)) => "dropped: transaction: ",
            Some(("bad message", _)) => "dropped: message: ",
            Some(("odd message" | "odd datagram", _)) => "Messenger ",
            _ => continue,
        };
        let fate = fate.unwrap_or_else(|| panic!("{} is no datagram", vector.label));
        assert!(fate.starts_with(wanted), "{}: {fate}", vector.label);
    }
}

#[test]
fn fragments_are_put_together_by_every_reading_of_the_rfc_and_dropped_where_they_contradict() {
    let mut reassembly = Reassembly::new();
    let mut fates = Vec::new();
    for vector in vectors("12-crafted-fragments") {
        let Ok(Datagram::Fragment(fragment)) = Datagram::parse(&vector.bytes) else {
            panic!("{}", vector.label)
        };
        let scenario = vector.label.split([':', '[', '(']).next().unwrap().trim().to_owned();
        let fate = match reassembly.handle_input(*NOW, SOURCE.ip(), &fragment) {
            Verdict::Pending => "kept".to_owned(),
            Verdict::Dropped(reason) => format!("{reason:?}"),
            Verdict::Complete(whole) => {
                let Ok(Datagram::Direct(direct)) = Datagram::parse(&whole) else { panic!("{scenario}") };
                let text = format!("from \"BIG\" for \"NBLAB\": \"{}\"", "F".repeat(600));
                assert_eq!(decoded(&direct, &vector), format!(r"Messenger to \MAILSLOT\MESSNGR {text}"));
                "whole".to_owned()
            }
        };
        fates.push((scenario, fate));
    }
    let fates: Vec<_> = fates.iter().map(|(scenario, fate)| (scenario.as_str(), fate.as_str())).collect();
    assert_eq!(fates, FRAGMENTS);
    let later = *NOW + Reassembly::TIMEOUT;
    assert_eq!(reassembly.handle_timeout(later), 2, "the one that never completed, and the orphan");
}

#[test]
fn what_real_software_sent_is_written_again_byte_for_byte() {
    let crafted = ["11-crafted-messngr-mailslots", "12-crafted-fragments", "16-crafted-broken"];
    let mut written = 0;
    for vector in FILES.iter().filter(|(stem, _)| !crafted.contains(stem)).flat_map(|(stem, _)| vectors(stem))
    {
        let bytes = &vector.bytes;
        let mut out = Vec::new();
        match vector.carrier {
            Carrier::Udp137 => match Packet::parse(bytes) {
                Ok(packet) => packet.emit(&mut out),
                Err(error) => {
                    assert_eq!(error.field(), "QUESTION_NAME", "{}: names of over 255 bytes", vector.label);
                    continue;
                }
            },
            Carrier::Udp138 => {
                let datagram = Datagram::parse(bytes).unwrap();
                datagram.emit(&mut out);
                if let Datagram::Direct(direct) = datagram {
                    announcement_is_written_again(direct.user_data, &vector.label);
                }
            }
            Carrier::Tcp139 => match session_service::Packet::parse(bytes) {
                Ok(Received::Complete { packet, .. }) => packet.emit(&mut out).unwrap(),
                Ok(Received::Incomplete { .. }) => panic!("{}", vector.label),
                Err(error) => {
                    assert_eq!(error.field(), "CALLED_NAME", "{}", vector.label);
                    continue;
                }
            },
        }
        assert_eq!(&out, bytes, "{}", vector.label);
        written += 1;
    }
    assert_eq!(written, 455 - 25 - 19 - 3, "all real vectors but three with illegal names");
}

fn announcement_is_written_again(user_data: &[u8], label: &str) {
    let write = MailslotWrite::parse(user_data).unwrap();
    let mut out = Vec::new();
    if write.name == MailslotName::BROWSE {
        let frame = browser::Frame::parse(write.data).unwrap();
        frame.emit(&mut out);
        if let browser::Frame::RequestAnnouncement { .. } = frame {
            // Samba's stray NUL before the name belongs behind it.
            assert!(out == write.data || [b"\x02\x01\0", &out[2..]].concat() == [write.data, b"\0"].concat());
            return;
        }
    } else if write.name == MailslotName::LANMAN {
        lanman::Frame::parse(write.data).unwrap().emit(&mut out);
    } else {
        return;
    }
    assert_eq!(out, write.data, "{label}");
}

/// The descriptions of all vectors, and behind `=` what the gateway makes of each datagram of UDP 138.
fn described(vectors: &[Vector]) -> String {
    let mut reassembly = Reassembly::new();
    let mut text = String::new();
    for vector in vectors {
        write!(text, "# {}\n{}", vector.label, vector.describe()).unwrap();
        if vector.carrier == Carrier::Udp138 {
            writeln!(text, "= {}", fate(&mut reassembly, vector)).unwrap();
        }
        text.push('\n');
    }
    text
}

/// What becomes of a datagram that comes from 192.0.2.30, all of them at one moment.
fn fate(reassembly: &mut Reassembly, vector: &Vector) -> String {
    match Datagram::parse(&vector.bytes) {
        Ok(Datagram::Direct(direct)) => decoded(&direct, vector),
        Ok(Datagram::Fragment(fragment)) => match reassembly.handle_input(*NOW, SOURCE.ip(), &fragment) {
            Verdict::Pending => "fragment kept".to_owned(),
            Verdict::Dropped(reason) => format!("fragments dropped: {reason:?}"),
            Verdict::Complete(whole) => match Datagram::parse(&whole) {
                Ok(Datagram::Direct(direct)) => decoded(&direct, vector),
                other => panic!("no whole datagram out of {}: {other:?}", vector.label),
            },
        },
        Ok(Datagram::Error { .. } | Datagram::Query { .. }) => "dropped: no message in it".to_owned(),
        Err(error) => format!("dropped: datagram: {error}"),
    }
}

fn decoded(direct: &Direct<'_>, vector: &Vector) -> String {
    let arrival = Arrival {
        at: Timestamp::UNIX_EPOCH,
        source: SOURCE,
        destination: None,
        interface: None,
        listener: Listener::Datagram,
    };
    match decode(direct, arrival, vector.sender) {
        Ok(notice) => format!(
            "{:?} to {} from {:?} for {:?}: {:?}{}",
            notice.kind,
            notice.mailslot,
            notice.originator,
            notice.to,
            notice.text,
            if notice.encoding.lossy { " (lossy)" } else { "" }
        ),
        Err(undecodable) => format!("dropped: {undecodable}"),
    }
}

/// What is broken in each vector that must be refused, and the field that is named for it.
const BROKEN: &[(&str, &str)] = &[
    ("datagram: one byte", "FLAGS"),
    ("datagram: MSG_TYPE 17", "MSG_TYPE"),
    ("datagram: ends in the header", "PACKET_OFFSET"),
    ("datagram: ends in SOURCE_NAME", "SOURCE_NAME"),
    ("datagram: name label of 33 bytes", "SOURCE_NAME"),
    ("datagram: lower case letters in a name", "SOURCE_NAME"),
    ("datagram: pointer instead of DESTINATION_NAME", "DESTINATION_NAME"),
    ("datagram: scope that never ends", "DESTINATION_NAME"),
    ("transaction: nothing", "Protocol"),
    ("transaction: SMB2", "SMB2 ProtocolId"),
    ("transaction: another command", "Command"),
    ("transaction: ends in the header", "MaxDataCount"),
    ("transaction: WordCount 16", "WordCount"),
    ("transaction: SetupCount 2", "SetupCount"),
    ("transaction: name without NUL", "Name"),
    ("transaction: DataOffset in the header", "DataOffset"),
    ("transaction: DataOffset into the name", "DataOffset"),
    ("transaction: DataOffset past the end", "DataOffset"),
    ("transaction: DataCount past the end", "DataCount"),
    ("transaction: TotalDataCount differs", "TotalDataCount"),
    ("transaction: no data", "DataCount"),
    ("transaction: mailslot opcode 2", "mailslot opcode"),
    ("transaction: name is no mailslot", "mailslot name"),
    ("transaction: mailslot without a name", "mailslot name"),
    ("transaction: control characters in the name", "mailslot name"),
    ("message: MESSNGR without a NUL", "From"),
    ("message: MESSNGR with one NUL", "To"),
    ("browser frame: HostAnnouncement ends in ServerName", "ServerName"),
    ("browser frame: BackupServerCount 255", "BackupServerList"),
    ("NETLOGON frame: SID of 4 GiB", "DomainSid"),
    ("name service packet: ends in the header", "ANCOUNT"),
    ("name service packet: 65535 questions", "QDCOUNT + ANCOUNT + NSCOUNT + ARCOUNT"),
    ("name service packet: pointer to itself", "QUESTION_NAME"),
    ("name service packet: pointer forwards", "QUESTION_NAME"),
    ("name service packet: scope points back to its own name", "QUESTION_NAME"),
    ("name service packet: address list of 5 bytes", "RDATA"),
    ("name service packet: RDLENGTH past the end", "RDATA"),
    ("session packet: type 42", "TYPE"),
    ("session packet: reserved flag", "FLAGS"),
    ("message block: text without its format byte", "BufferFormat"),
    ("message block: name without NUL", "OriginatorName"),
    ("message block: no MessageGroupId", "WordCount"),
];

/// What is not broken, but no mailslot write either.
const SOMETHING_ELSE: &[&str] =
    &["SMB2", "another command", "WordCount 16", "SetupCount 2", "mailslot opcode 2"];

/// Each fragment's scenario and fate.
const FRAGMENTS: &[(&str, &str)] = &[
    ("frag2", "kept"),
    ("frag2", "whole"),
    ("frag2 with names replicated in 2nd", "kept"),
    ("frag2 with names replicated in 2nd", "whole"),
    ("offset counts user data only", "kept"),
    ("offset counts user data only", "whole"),
    ("RFC pseudo-code literal offset", "kept"),
    ("RFC pseudo-code literal offset", "whole"),
    ("reversed order", "kept"),
    ("reversed order", "whole"),
    ("overlap", "kept"),
    ("overlap", "Overlap"),
    ("gap", "kept"),
    ("gap", "Gap"),
    ("only first fragment, never completed", "kept"),
    ("only second fragment", "kept"),
    ("three fragments", "kept"),
    ("three fragments", "kept"),
    ("three fragments", "whole"),
];

const SOURCE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 30)), 138);

#[expect(clippy::disallowed_methods, reason = "some moment, only ever compared with itself")]
static NOW: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The first line that differs, under its vector's label and with the lines before it.
fn first_difference(expected: &str, described: &str) -> Option<String> {
    if expected == described {
        return None;
    }
    let (expected, described): (Vec<_>, Vec<_>) = (expected.lines().collect(), described.lines().collect());
    let same = expected.iter().zip(&described).take_while(|(a, b)| a == b).count();
    let label = described[..same].iter().rfind(|line| line.starts_with("# ")).unwrap_or(&"");
    let mut text = format!(":{}\n    {label}\n    …\n", same + 1);
    for line in &described[same.saturating_sub(4)..same] {
        writeln!(text, "    {line}").unwrap();
    }
    writeln!(text, "  - {}", expected.get(same).unwrap_or(&"(end of file)")).unwrap();
    writeln!(text, "  + {}", described.get(same).unwrap_or(&"(end of file)")).unwrap();
    Some(text)
}
