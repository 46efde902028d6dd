//! Plays `tests/transcripts/*.nbss`, and the clients of recorded sessions, against the machine that receives `net send` over
//! TCP 139, on virtual time.
//!
//! A transcript is a text of lines. `#` begins a comment. The session answers to ALERTS, OPERATORS, SMBALPHA and, as its host's
//! own name, GW1. What the test does to it:
//!
//! * `C: …`: the client sends a packet; lines that follow each other are there together.
//!   `request ALERTS<03> from UPS1<00>`, `single FROM TO TEXT`, `start FROM TO`, `text GROUP TEXT`, `letters N`, `end GROUP`,
//!   `smb COMMAND`, `keepalive`; `-` is an empty name. `C> octets`: with escapes.
//! * `LOST`, `TIME +5s`, `SHUTDOWN`, `DECIDE durable`
//!
//! What it must do, in this order and nothing else: `S: answer`, `DELIVER message -> decision` (durable, duplicate, refused or
//! `nothing yet`), `ABANDONED why`, `CLOSED ending`.
//!
//! Each transcript is played with the octets as written, and again octet by octet.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;
use mailslotd::decode::decode_session;
use mailslotd::message::notice::{Arrival, Listener, Notice};
use mailslotd::message::session_message::SessionMessage;
use mailslotd::session::netbios_session::Input;
use mailslotd::wire::oem_text::{CodePage, SenderText, Utf8};

use session_player::{Pieces, Player, play};

#[path = "support/fixtures.rs"]
#[expect(dead_code, reason = "other tests use more of it")]
mod fixtures;
#[path = "support/session_player.rs"]
mod session_player;

#[test]
fn every_transcript_holds() {
    let mut failures = String::new();
    let scripts = session_player::scripts();
    for (name, script) in &scripts {
        for pieces in [Pieces::AsWritten, Pieces::Octets] {
            if let Err(difference) = play(script, pieces) {
                writeln!(failures, "{name} {pieces:?}: {difference}").unwrap();
            }
        }
    }
    assert!(failures.is_empty(), "\n{failures}");
    assert!(scripts.len() >= 12, "only {} transcripts were found", scripts.len());
}

#[test]
fn a_transcript_that_expects_something_else_fails() {
    let script = "C: request ALERTS<03> from UPS1<00>\nS: negative 82\n";
    let difference = play(script, Pieces::AsWritten).unwrap_err();
    assert_eq!(difference, "line 2: expected \"S: negative 82\", the machine does \"S: positive\"");
}

/// The client of each stream of a recording, its segments joined.
fn clients(fixture: &str) -> BTreeMap<u32, Vec<u8>> {
    let mut clients: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
    for vector in fixtures::vectors(fixture) {
        let Some(rest) = vector.label.strip_prefix("stream ") else { continue };
        let (stream, rest) = rest.split_once(' ').unwrap();
        if rest.starts_with("client") {
            clients.entry(stream.parse().unwrap()).or_default().extend(&vector.bytes);
        }
    }
    clients
}

/// What a recorded client gets delivered, and what else the session does.
fn replay(client: &[u8], pieces: Pieces) -> (Vec<SessionMessage>, Vec<String>) {
    let mut player = Player::new(pieces);
    player.send(client);
    while player.deciding {
        player.decide("durable");
    }
    if !player.closed {
        player.handle(Input::Disconnected);
    }
    (player.messages, player.done.into())
}

fn notice(message: &SessionMessage) -> Notice<'_> {
    let arrival = Arrival {
        at: Timestamp::UNIX_EPOCH,
        source: "192.0.2.7:1027".parse().unwrap(),
        destination: None,
        interface: None,
        listener: Listener::Messenger,
    };
    decode_session(message, arrival, SenderText { code_page: CodePage::Cp850, utf8: Utf8::Auto })
}

/// Plays a recorded client, as it came and octet by octet, and compares the one notice that it gives, if any.
#[track_caller]
fn expect(fixture: &str, stream: u32, expected: Option<(&str, &str, &str)>) {
    let client = &clients(fixture)[&stream];
    for pieces in [Pieces::AsWritten, Pieces::Octets] {
        let (messages, did) = replay(client, pieces);
        let notices: Vec<Notice<'_>> = messages.iter().map(notice).collect();
        let given: Vec<_> = notices.iter().map(|n| (&*n.originator, &*n.to, &*n.text)).collect();
        assert_eq!(given, Vec::from_iter(expected), "{fixture} stream {stream}: {did:?}");
    }
}

#[test]
fn what_smbclient_sent_in_a_recording_becomes_the_notices_that_it_meant() {
    const RECORDING: &str = "02-smbclient-M-to-smbd-tcp139";
    let digits: String = (0..1500).step_by(5).map(|number| format!("{number:04}.")).collect();
    let cut = "Z".repeat(1598);
    for (stream, text) in [
        (0, "hello from net send\n"),
        (1, "Groesse: Größe 5 übermäßig äöü\nzweite Zeile\n"),
        (2, "Preis 5€ ok\n"),
        (3, &format!("{digits}\n")),
        (4, &cut),
        (7, ""),
    ] {
        expect(RECORDING, stream, Some(("karl", "SMBALPHA", text)));
    }
    expect(RECORDING, 5, Some(("karl", "ALERTS", "to ALERTS\n")));
    expect(RECORDING, 6, Some(("a;b$(id)`x`", "SMBALPHA", "x\n")));
    assert_eq!(clients(RECORDING).len(), 8);
}

#[test]
fn what_a_crafted_client_sent_in_a_recording_becomes_notices_or_is_refused() {
    const RECORDING: &str = "03-messenger-D0-and-session-edge-to-smbd";
    let whole = "A".repeat(128);
    for (stream, text) in [
        (0, "Einzelblock: Grüße"),
        (1, &whole),
        (2, "lying length"),
        // After NEGOTIATE.
        (3, "Einzelblock: Grüße"),
        (4, "lying length"),
        // One block with the identifier of another group.
        (6, "wrong abc"),
        (8, "line1\nline2\n"),
    ] {
        expect(RECORDING, stream, Some(("WIN98PC", "SMBALPHA", text)));
    }
    let clients = clients(RECORDING);
    for (stream, ends) in [
        (5, "S: D6 refused 1/87"),
        (7, "ABANDONED Incomplete"),
        (9, "S: D4 refused 2/22"),
        (10, "S: negative 82"),
        (11, "S: negative 82"),
        (12, "S: negative 80"),
        (13, "S: negative 82"),
        (14, "S: positive"),
        (15, "S: negative 82"),
        (16, "S: negative 82"),
    ] {
        expect(RECORDING, stream, None);
        let (_, did) = replay(&clients[&stream], Pieces::AsWritten);
        assert_eq!(did[did.len() - 2], ends, "stream {stream}");
    }
    assert_eq!(replay(&clients[&17], Pieces::AsWritten).1, ["CLOSED Disconnected"]);
    assert_eq!(clients.len(), 18);
}

#[test]
fn senders_of_a_slow_and_of_a_refusing_receiver_are_understood() {
    const RECORDING: &str = "15-smbd-slow-and-missing-message-command";
    expect(RECORDING, 0, Some(("karl", "SMBALPHA", "slow\n")));
    // The recorded receiver refused its start, so it sent nothing more.
    expect(RECORDING, 1, None);
}

#[test]
fn splices_of_two_clients_never_panic_and_keep_the_rules() {
    let scripts = session_player::scripts();
    let octets = |script: &String| -> Vec<u8> {
        let mut octets: Vec<u8> =
            script.lines().filter_map(session_player::client_octets).flatten().collect();
        octets.truncate(5_000);
        octets
    };
    let clients: Vec<Vec<u8>> = scripts.iter().map(|(_, script)| octets(script)).collect();
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let mut delivered = 0;
    for _ in 0..20_000 {
        let [one, other] = [(); 2].map(|()| &clients[dice.below(clients.len())]);
        let mut octets = one[..dice.below(one.len() + 1)].to_vec();
        octets.extend(&other[dice.below(other.len() + 1)..]);
        if let (0, length @ 1..) = (dice.below(2), octets.len()) {
            octets[dice.below(length)] ^= 1 << dice.below(8);
        }
        // Whatever comes: nothing is said after the end, and every message that is begun has an end.
        let (messages, did) = replay(&octets, Pieces::AsWritten);
        let began = did.iter().filter(|did| did.starts_with("S: D5 started")).count();
        let abandoned = did.iter().filter(|did| did.starts_with("ABANDONED")).count();
        assert!(messages.len() + abandoned >= began, "{did:?}");
        assert!(did.last().unwrap().starts_with("CLOSED"), "{did:?}");
        delivered += messages.len();
    }
    assert!(delivered > 1_000, "only {delivered} messages got through: the splices are worth nothing");
}

/// Numbers without a pattern, the same in every run (xorshift64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(limit).unwrap()).unwrap()
    }
}
