//! Plays `tests/transcripts/server-*.smtp` against the SMTP server machine on virtual time.
//!
//! A transcript is a text of lines. `#` begins a comment. What the test does to the machine:
//!
//! * `PROFILE key=value …` comes first; see `Setting::of` for the keys. Without any: a strict listener towards the
//!   Internet that accepts corp.example, with a tar pit, STARTTLS and PLAIN, LOGIN, SCRAM-SHA-256.
//! * `EARLY text` (with escapes): octets before the greeting is written.
//! * `C: text`: the client sends this line; lines that follow each other are there together. `C> text`: without CRLF,
//!   with escapes. `C* n text`: so many times. The machine is fed what it is willing to read; the rest stays in the kernel.
//! * `TLS OK`, `LOST`, `TIME +5s`, `SHUTDOWN`, `ANSWER …`
//!
//! What the machine must do, in this order and nothing else: `S: line`, `STARTTLS`, `BEGIN facts`, `CONTENT text`,
//! `ABANDON why`, `TURN OVER`, `ASK question`, `CLOSED ending`. `ASK question -> answer` answers it too. `READ n` and
//! `READ none` say what it is willing to read. Whether octets are behind DATA, the kernel of the test answers.
//!
//! Each transcript is played with the octets as written, and again octet by octet; `WHOLE` leaves out the second, where
//! the situation is that octets are there together.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use server_fuzz::Dice;
use server_player::{Pieces, play, profile};

#[path = "support/server_fuzz.rs"]
mod server_fuzz;
#[path = "support/server_player.rs"]
mod server_player;

#[test]
fn every_transcript_holds() {
    let mut played = 0;
    let mut failures = String::new();
    for (name, script) in server_player::scripts() {
        let whole_only = script.lines().any(|line| line == "WHOLE");
        for pieces in [Pieces::AsWritten, Pieces::Octets] {
            if whole_only && pieces == Pieces::Octets {
                continue;
            }
            if let Err(difference) = play(&script, pieces) {
                let how = if pieces == Pieces::Octets { " octet by octet" } else { "" };
                writeln!(failures, "{name}{how}: {difference}").unwrap();
            }
        }
        played += 1;
    }
    assert!(failures.is_empty(), "\n{failures}");
    assert!(played >= 40, "only {played} transcripts were found");
}

#[test]
fn a_transcript_that_expects_something_else_fails() {
    let script = "PROFILE\nS: 220 gw.example ESMTP\nC: NOOP\nS: 250 2.0.0 Fine\n";
    let difference = play(script, Pieces::AsWritten).unwrap_err();
    assert_eq!(difference, "line 4: expected \"S: 250 2.0.0 Fine\", the machine does \"S: 250 2.0.0 Ok\"");
}

#[test]
fn far_more_recipients_than_fit_are_put_off_before_the_session_ends() {
    const BORNE: usize = 10_000;
    let greeting = "PROFILE recipients=1\nS: 220 gw.example ESMTP\nC: HELO client.example\nS: 250 gw.example\n\
                    C: MAIL FROM:<a@client.example>\nASK admit -> granted\nS: 250 2.1.0 Sender ok\n\
                    C: RCPT TO:<ops@corp.example>\nASK turn -> come\nASK recipient ops@corp.example -> known\n\
                    S: 250 2.1.5 Recipient ok\nTURN OVER\n";
    let rest = "C: RCPT TO:<it@corp.example>\nS: 452 4.5.3 Too many recipients\n".repeat(BORNE);
    let end = "S: 421 4.7.0 Too many errors or idle commands\nCLOSED TooManyErrors\n";
    let script = [greeting, &rest, end].concat();
    assert_eq!(play(&script, Pieces::AsWritten), Ok(()));
}

#[test]
fn recipients_of_a_stranger_past_its_room_are_put_off_and_the_next_transaction_has_it_again() {
    // Each takes 160 octets and its own 577, and a transaction has 4096 for itself.
    let rcpt = |number: usize| {
        let mailbox = format!("{number:064}@corp.example");
        (format!("C: RCPT TO:<{mailbox}> ORCPT=rfc822;{}\n", "x".repeat(493)), mailbox)
    };
    let taken = |number| {
        let (command, mailbox) = rcpt(number);
        format!("{command}ASK recipient {mailbox} -> known\nS: 250 2.1.5 Recipient ok\n")
    };
    let put_off = format!("{}S: 452 4.5.3 Too many recipients\n", rcpt(100).0);
    let begin = "C: MAIL FROM:<a@client.example>\nASK admit -> granted\nS: 250 2.1.0 Sender ok\n";
    let reset = "C: RSET\nS: 250 2.0.0 Ok\n";
    for (room, fitting) in [(0, 5), (1474, 7), (1 << 20, 91)] {
        let all: String = (0..fitting).map(taken).collect();
        let hello = format!(
            "PROFILE room={room} tarpit=exempt\nS: 220 gw.example ESMTP\nC: HELO client.example\nS: 250 gw.example\n"
        );
        let script = [hello.as_str(), begin, &all, &put_off, reset, begin, &all, &put_off].concat();
        assert_eq!(play(&script, Pieces::AsWritten), Ok(()), "room={room}");
    }
}

#[test]
fn splices_of_two_never_panic_and_keep_the_rules() {
    let scripts = server_player::scripts();
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let mut stored = 0;
    for _ in 0..3_000 {
        let [one, other] = [(); 2].map(|()| client_octets(&scripts[dice.below(scripts.len())].1));
        let head = &one[..dice.below(one.len() + 1)];
        let tail = &other[dice.below(other.len() + 1)..];
        let words = profile_of(&scripts[dice.below(scripts.len())].1);
        stored += server_fuzz::run(profile(&words), &[head, tail].concat(), &mut dice);
    }
    assert!(stored > 100, "only {stored} messages got through: the splices are worth nothing");
}

/// All that the client of a transcript sends, cut to what one session may be fed.
fn client_octets(script: &str) -> Vec<u8> {
    let mut octets: Vec<u8> = script.lines().filter_map(server_player::client_octets).flatten().collect();
    octets.truncate(5_000);
    octets
}

fn profile_of(script: &str) -> BTreeMap<String, String> {
    let words = script.lines().find_map(|line| line.strip_prefix("PROFILE")).unwrap();
    server_player::words_of(words)
}
