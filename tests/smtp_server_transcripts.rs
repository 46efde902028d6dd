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
//! `ABANDON`, `TURN OVER`, `ASK question`, `CLOSED ending`. `ASK question -> answer` answers it too. `READ n` and
//! `READ none` say what it is willing to read.
//!
//! Each transcript is played with the octets as written, and again octet by octet; `WHOLE` leaves out the second, where
//! the situation is that octets are there together.

use std::fmt::Write as _;

use server_player::{Pieces, play};

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
