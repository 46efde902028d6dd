use super::*;
use crate::config::settings::Decoding;
use crate::message::id::{DestinationName, DiscardReason, RuleName};
use crate::policy::mapping::{Context, Delivery, Glob, Keys, Match, RuleSet};
use crate::policy::template::{AddressForm, AddressTemplate, Template};
use crate::wire::oem_text::{CodePage, SenderText, Utf8};

/// Messages go to an inbox under their originator's name; announcements and the rest are discarded.
fn hearing() -> Arc<Hearing> {
    let rule = |name: &str, mailslot: Option<&str>, action| {
        let keys = |text| Keys { mailslot: vec![Glob::new(text).unwrap()], ..Keys::default() };
        let when = mailslot.map_or(Match::Any, |text| Match::Keys(Box::new(keys(text))));
        Rule::new(RuleName::new(name).unwrap(), when, action)
    };
    let delivery = Delivery {
        via: DestinationName::new("inbox").unwrap(),
        to: AddressTemplate::new(Template::parse("{originator}").unwrap(), AddressForm::Folder),
        subject: None,
        otherwise: Vec::new(),
    };
    let discard = |reason| Action::Discard(DiscardReason::new(reason).unwrap());
    let rules = RuleSet::new(vec![
        rule("messages", Some(r"\MAILSLOT\MESSNGR"), Action::Deliver(vec![delivery])),
        rule("chatter", Some(r"\MAILSLOT\BROWSE"), discard("inventory-only")),
        rule("rest", None, discard("not-mapped")),
    ]);
    let code_page = SenderText { code_page: CodePage::Cp850, utf8: Utf8::Auto };
    Arc::new(Hearing {
        decoding: Decoding { code_page, exceptions: Vec::new(), scope: Vec::new() },
        rules: Arc::new(rules.unwrap()),
        context: Context { site: String::new(), host: String::new(), timezone: TimeZone::UTC },
        limits: HearingLimits::NONE,
    })
}

fn replayed(file: &str) -> (Vec<Line>, Summary) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pcap").join(file);
    let mut capture = Capture::new(File::open(path).unwrap()).unwrap();
    let mut replay = Replay::new(hearing(), 138, 139);
    let mut lines = Vec::new();
    for packet in &mut capture {
        lines.extend(replay.take(&packet.unwrap()));
    }
    replay.add_frames(capture.frames(), capture.skipped());
    (lines, replay.finish())
}

fn counts(pairs: &[(&str, u64)]) -> BTreeMap<String, u64> {
    pairs.iter().map(|&(name, count)| (name.to_owned(), count)).collect()
}

#[test]
fn what_nmbd_says_at_its_start_is_decoded_whole_and_discarded_by_its_rules() {
    let (lines, summary) = replayed("01-nmbd-startup-election-announce.pcap");
    assert_eq!((summary.frames, summary.datagrams, summary.other_packets), (95, 31, 64));
    assert_eq!((summary.delivered, summary.discarded), (0, 31));
    assert_eq!(summary.rules, counts(&[("chatter", 14), ("rest", 17)]));
    assert!(summary.dropped.is_empty() && lines.len() == 31);
    assert_eq!(
        lines[0].text(&TimeZone::UTC),
        "2026-11-21 16:43:14  10.77.0.10  \"SMBALPHA\"  \\MAILSLOT\\BROWSE  chatter  discarded: inventory-only"
    );
}

#[test]
fn messages_are_shown_with_the_copies_that_their_rule_makes() {
    let (lines, summary) = replayed("11-crafted-messngr-mailslots.pcap");
    assert_eq!((summary.delivered, summary.copies, summary.discarded), (23, 23, 5));
    assert_eq!(summary.dropped, BTreeMap::from([("foreign_scope", 1)]));
    assert_eq!(
        lines[0].text(&TimeZone::fixed(jiff::tz::offset(9))),
        "2026-11-22 01:56:04  10.77.0.30  \"WIN98USER\"  \\MAILSLOT\\MESSNGR  messages  inbox WIN98USER"
    );
    let first = lines[0].json();
    assert_eq!((&first["rule"], &first["deliver"][0]["via"]), (&json!("messages"), &json!("inbox")));
    let dropped = lines.iter().find(|line| line.heard.is_none()).unwrap();
    assert_eq!(dropped.text(&TimeZone::UTC), "2026-11-21 16:56:05  10.77.0.30  dropped: foreign_scope");
    assert_eq!(dropped.json()["drop"], "foreign_scope");
}

#[test]
fn fragments_are_joined_on_the_clock_of_the_capture_and_those_left_over_are_counted() {
    let (lines, summary) = replayed("12-crafted-fragments.pcap");
    assert_eq!((summary.datagrams, summary.delivered), (19, 6));
    assert_eq!(summary.dropped, BTreeMap::from([("fragment_conflict", 2), ("fragment_timeout", 2)]));
    assert_eq!(lines.len(), 8, "{lines:?}");
}

#[test]
fn another_port_hears_nothing_of_it() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pcap/12-crafted-fragments.pcap");
    let mut replay = Replay::new(hearing(), 10138, 139);
    for packet in Capture::new(File::open(path).unwrap()).unwrap() {
        assert_eq!(replay.take(&packet.unwrap()), []);
    }
    let summary = replay.finish();
    assert_eq!((summary.datagrams, summary.other_packets), (0, 19));
}

#[test]
fn names_that_a_sender_makes_up_cannot_move_the_terminals_cursor() {
    let heard = Heard {
        originator: "A\u{1b}[2J\"".to_owned(),
        to: String::new(),
        mailslot: "\\MAILSLOT\\\u{7}X".to_owned(),
        rule: "rest".to_owned(),
        discard: Some("not-mapped".to_owned()),
    };
    let at = Timestamp::UNIX_EPOCH;
    let line =
        Line { frame: 1, at, source: "192.0.2.7".to_owned(), heard: Some(heard), fate: Fate::Discarded };
    let text = line.text(&TimeZone::UTC);
    assert!(!text.contains(char::is_control), "{text:?}");
    assert!(text.contains(r#""A\u{1b}[2J\""  \MAILSLOT\\u{7}X  rest"#), "{text}");
}

#[test]
fn messages_of_recorded_sessions_are_judged_like_those_of_datagrams() {
    let (lines, summary) = replayed("03-messenger-D0-and-session-edge-to-smbd.pcap");
    let messages: Vec<_> = lines.iter().filter(|line| line.fate != Fate::Discarded).collect();
    // The other streams are refused, broken off, or were never messages.
    assert_eq!((messages.len(), summary.delivered), (7, 7));
    for line in messages {
        let heard = line.heard.as_ref().unwrap();
        assert_eq!((heard.originator.as_str(), heard.to.as_str()), ("WIN98PC", "SMBALPHA"));
        assert_eq!(heard.mailslot, r"\MAILSLOT\MESSNGR");
    }
    assert!(summary.segments > 50 && summary.text().contains("packets of senders of sessions"));
}
