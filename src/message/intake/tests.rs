use proptest::prelude::*;

use super::*;
use crate::message::trace::tests::trace;

/// What is kept behind the trace header, and what was seen.
fn take(missing: Missing, pieces: &[&[u8]]) -> (String, Result<IntakeFacts, IntakeFault>) {
    let (mut intake, mut out) = (Intake::new(trace(), missing), Vec::new());
    for piece in pieces {
        intake.push(piece, &mut out);
    }
    let facts = intake.finish(&mut out);
    let rest = out.strip_prefix(trace().header().as_bytes()).expect("the trace header comes first").to_vec();
    (String::from_utf8(rest).unwrap(), facts)
}

fn kept(content: &str) -> String {
    let (kept, facts) = take(Missing::Added, &[content.as_bytes()]);
    facts.unwrap();
    kept
}

const DATE: &str = "Date: Thu, 5 Mar 2026 08:30:00 +0900\r\n";
const ID: &str = "Message-ID: <1772667000.S7Q2.1@gw1.plant.example>\r\n";

#[test]
fn a_complete_message_stays_as_it_is() {
    let content = "Subject: a\r\n b\r\ndate: x\r\nMESSAGE-id : <y@z>\r\n\r\nDate: no header\r\n.\r\n\r\n";
    let (kept, facts) = take(Missing::Added, &[content.as_bytes()]);
    assert_eq!(kept, content);
    assert_eq!(facts, Ok(IntakeFacts::default()));
}

#[test]
fn own_clients_get_the_date_and_the_message_id_that_they_forgot() {
    let (kept, facts) = take(Missing::Added, &[b"Subject: scan\r\n\r\nx\r\n"]);
    assert_eq!(kept, format!("Subject: scan\r\n{DATE}{ID}\r\nx\r\n"));
    let facts = facts.unwrap();
    assert!(facts.added_date && facts.added_message_id && !facts.separated);
    let (kept, _) = take(Missing::Left, &[b"Subject: scan\r\n\r\nx\r\n"]);
    assert_eq!(kept, "Subject: scan\r\n\r\nx\r\n", "from elsewhere it stays as it is");
}

#[test]
fn text_without_a_header_gets_the_empty_line_between() {
    for (content, header, body) in [
        ("Toner low\r\nin tray 1\r\n", "", "Toner low\r\nin tray 1\r\n"),
        (" indented\r\n", "", " indented\r\n"),
        ("Subject: x\r\nToner low in tray: 1\r\n", "Subject: x\r\n", "Toner low in tray: 1\r\n"),
        ("トナー: low\r\n", "", "トナー: low\r\n"),
        (":x\r\n", "", ":x\r\n"),
        ("Toner\r\n", "", "Toner\r\n"),
        ("\r\nTo: x\r\n", "", "To: x\r\n"),
        ("", "", ""),
        ("Subject: x\r\n", "Subject: x\r\n", ""),
        ("Subject: x", "Subject: x\r\n", ""),
        ("Subject", "", "Subject"),
    ] {
        assert_eq!(kept(content), format!("{header}{DATE}{ID}\r\n{body}"), "{content:?}");
    }
}

#[test]
fn a_line_of_a_mailbox_file_before_the_header_does_not_end_it() {
    let kept = kept("From me@here Thu Mar  5\r\nSubject: x\r\n\r\nFrom me\r\n");
    assert_eq!(
        kept,
        format!("X-Mailbox-Line: From me@here Thu Mar  5\r\nSubject: x\r\n{DATE}{ID}\r\nFrom me\r\n")
    );
}

#[test]
fn octets_above_127_in_the_header_pass_and_are_seen() {
    let (mut intake, mut out) = (Intake::new(trace(), Missing::Left), Vec::new());
    intake.push(b"Subject: \x83\x67\x83\x69\r\n\r\nx\r\n", &mut out);
    assert_eq!(intake.finish(&mut out).unwrap().coding, Coding::EightBit);
    assert!(out.ends_with(b"Subject: \x83\x67\x83\x69\r\n\r\nx\r\n"));
}

#[test]
fn a_message_that_goes_round_in_circles_is_seen_at_its_51st_hop() {
    let hops = |count: usize| format!("{}\r\nReceived: in the body\r\n", "Received: x\r\n".repeat(count));
    assert_eq!(take(Missing::Left, &[hops(50).as_bytes()]).1.unwrap().hops, 50);
    assert_eq!(take(Missing::Left, &[hops(51).as_bytes()]).1, Err(IntakeFault::Loop));
}

#[test]
fn blanks_behind_a_name_are_not_held_without_end() {
    let (mut intake, mut out) = (Intake::new(trace(), Missing::Left), Vec::new());
    let header = trace().header().len();
    intake.push(b"Subject", &mut out);
    for _ in 0..100 {
        intake.push(&[b' '; 100], &mut out);
    }
    assert_eq!(out.len(), header + b"\r\n".len() + b"Subject".len() + 10_000, "it is text");
    assert!(intake.finish(&mut out).unwrap().separated);
}

#[test]
fn a_name_is_seen_at_each_length_and_with_each_blank_before_its_colon() {
    for length in [1, 2, 900] {
        for blanks in ["", " ", "\t", " \t  "] {
            let content = format!("{}{blanks}: x\r\n\r\n", "X".repeat(length));
            assert_eq!(take(Missing::Left, &[content.as_bytes()]).0, content);
        }
    }
    for content in ["A b: x\r\n", "A  b: x\r\n", "\r b: x\r\n", "\rb: x\r\n"] {
        assert_eq!(take(Missing::Left, &[content.as_bytes()]).0, format!("\r\n{content}"), "{content:?}");
    }
}

#[test]
fn a_header_without_an_end_is_given_up_within_its_limit() {
    let (mut intake, mut out) = (Intake::new(trace(), Missing::Added), Vec::new());
    for _ in 0..1000 {
        intake.push(&[b"X-", &[b'a'; 900][..]].concat(), &mut out);
        intake.push(b": b\r\n", &mut out);
    }
    assert_eq!(intake.fault(), Some(IntakeFault::HeaderTooLong));
    assert!(out.len() < MAX_HEADER + 4096, "{}", out.len());
    assert_eq!(intake.finish(&mut out), Err(IntakeFault::HeaderTooLong));

    let (mut intake, mut out) = (Intake::new(trace(), Missing::Added), Vec::new());
    intake.push(b"Subject: x\r\n\r\n", &mut out);
    for _ in 0..100 {
        intake.push(&[b'a'; 10_000], &mut out);
    }
    assert!(intake.finish(&mut out).is_ok(), "the body has no such limit");
}

fn content() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(proptest::sample::select(&WORDS[..]), 0..16)
        .prop_map(|words| words.concat().into_bytes())
}

const WORDS: [&str; 11] =
    ["Subject:", "From ", "x", " ", "\r\n", ":", "Date:", "\t", "ü", "Received: y\r\n", "\r\n\r\n"];

proptest! {
    #[test]
    fn the_borders_of_pieces_do_not_show(content in content(), cuts in proptest::collection::vec(0..64_usize, 0..4)) {
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(content.len())).collect();
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut begin = 0;
        for cut in cuts {
            pieces.push(&content[begin..cut]);
            begin = cut;
        }
        pieces.push(&content[begin..]);
        prop_assert_eq!(take(Missing::Added, &pieces), take(Missing::Added, &[&content]));
    }

    #[test]
    fn what_is_kept_has_an_empty_line_and_ends_as_the_content_does(content in content()) {
        let (kept, _) = take(Missing::Added, &[&content]);
        prop_assert!(kept.contains("\r\n\r\n"));
        let text = String::from_utf8(content).unwrap();
        let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        prop_assert!(kept.ends_with(body), "{kept:?}");
    }
}
