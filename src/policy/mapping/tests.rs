//! Situations of rule sets.

use std::time::Duration;

use super::*;
use crate::message::id::{DestinationName, DiscardReason};
use crate::message::mail::Priority;
use crate::message::notice::{Arrival, Encoding, Kind, Listener, Name};
use crate::policy::template::{AddressForm, AddressTemplate, Field, Template};
use crate::wire::netbios_name::NameType;
use crate::wire::oem_text::CodePage;

pub(crate) fn notice() -> Notice<'static> {
    let name = |text: &'static str, name_type| Name { text: text.into(), name_type };
    Notice {
        arrival: Arrival {
            at: "2026-11-21T10:25:01Z".parse().unwrap(),
            source: "192.0.2.7:138".parse().unwrap(),
            destination: None,
            interface: None,
            listener: Listener::Datagram,
        },
        dgm_id: 7,
        source_name: name("UPS-1", NameType::WORKSTATION),
        destination_name: name("ALERTS", NameType::MESSENGER),
        mailslot: r"\MAILSLOT\MESSNGR".into(),
        originator: "UPS-1".into(),
        to: "ALERTS".into(),
        text: "UPS on battery".into(),
        encoding: Encoding { code_page: CodePage::Cp932, lossy: false },
        kind: Kind::Messenger,
        data: Vec::new().into(),
    }
}

pub(crate) fn context() -> Context {
    Context {
        site: "plant-1".into(),
        host: "gw1.plant.example".into(),
        timezone: TimeZone::fixed(jiff::tz::offset(9)),
    }
}

fn discard(name: &str, when: Match) -> Rule {
    Rule::new(RuleName::new(name).unwrap(), when, Action::Discard(DiscardReason::new("test").unwrap()))
}

fn keys(fill: impl FnOnce(&mut Keys)) -> Match {
    let mut keys = Keys::default();
    fill(&mut keys);
    Match::Keys(Box::new(keys))
}

fn glob(text: &str) -> Vec<Glob> {
    vec![Glob::new(text).unwrap()]
}

fn networks(texts: &[&str]) -> Vec<ipnet::IpNet> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn set(mut rules: Vec<Rule>) -> RuleSet {
    rules.push(discard("everything-else", Match::Any));
    RuleSet::new(rules).unwrap()
}

#[test]
fn a_set_without_an_end_is_refused() {
    assert_eq!(RuleSet::new(Vec::new()).unwrap_err(), RuleSetError::Empty);
    let rules = vec![discard("any", Match::Any), discard("ups", keys(|keys| keys.to = glob("ALERTS")))];
    assert_eq!(
        RuleSet::new(rules).unwrap_err().to_string(),
        "the last rule ups does not match everything; end with one that has `match: any`"
    );
}

#[test]
fn the_first_rule_whose_every_key_holds_decides() {
    let rules = set(vec![
        discard(
            "other-net",
            keys(|k| (k.originator, k.source) = (glob("UPS-*"), networks(&["198.51.100.0/24"]))),
        ),
        discard("other-listener", keys(|k| k.listener = Some(Listener::Messenger))),
        discard("other-text", keys(|k| k.text = Some(TextPattern::new("off line").unwrap()))),
        discard(
            "ups",
            keys(|k| {
                k.mailslot = glob(r"\mailslot\messngr");
                k.originator = glob("ups-?");
                k.source = networks(&["203.0.113.0/24", "192.0.2.0/24"]);
                k.text = Some(TextPattern::new("on battery|バッテリ").unwrap());
            }),
        ),
        discard("ups-too", keys(|k| k.originator = glob("UPS-*"))),
    ]);
    assert_eq!(rules.decide(&notice()).name().as_str(), "ups");
    let mut quiet = notice();
    quiet.text = "UPS is well".into();
    assert_eq!(rules.decide(&quiet).name().as_str(), "ups-too");
    quiet.originator = "CNC-07".into();
    assert_eq!(rules.decide(&quiet).name().as_str(), "everything-else");
}

#[test]
fn half_width_kana_are_found_through_the_index_by_names_and_by_text() {
    let rules = set(vec![
        discard("name", keys(|k| k.originator = glob("デンゲン*"))),
        discard("whole", keys(|k| k.to = glob("ｹｲﾎｳ"))),
        discard("suffix", keys(|k| k.source_name = glob("*-サーバ"))),
        discard("text", keys(|k| k.text = Some(TextPattern::new("バッテリ").unwrap()))),
    ]);
    let decide = |change: &dyn Fn(&mut Notice<'static>)| {
        let mut notice = notice();
        change(&mut notice);
        rules.decide(&notice).name().to_string()
    };
    assert_eq!(decide(&|n| n.originator = "ﾃﾞﾝｹﾞﾝ1".into()), "name");
    assert_eq!(decide(&|n| n.to = "ケイホウ".into()), "whole");
    assert_eq!(decide(&|n| n.source_name.text = "A-ｻｰﾊﾞ".into()), "suffix");
    assert_eq!(decide(&|n| n.text = "ﾊﾞｯﾃﾘ".into()), "text");
    assert_eq!(decide(&|_| {}), "everything-else");
}

#[test]
fn an_ipv4_sender_on_an_ipv6_socket_is_in_its_ipv4_network() {
    let rules = set(vec![discard("net", keys(|k| k.source = networks(&["192.0.2.0/24"])))]);
    let mut notice = notice();
    notice.arrival.source = "[::ffff:192.0.2.7]:138".parse().unwrap();
    assert_eq!(rules.decide(&notice).name().as_str(), "net");
}

/// A small generator of numbers, the same in every run (xorshift).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn pick<'t>(&mut self, of: &[&'t str]) -> &'t str {
        of[usize::try_from(self.roll(of.len() as u64)).unwrap()]
    }
}

#[test]
fn the_index_decides_as_reading_the_rules_from_the_top_does() {
    let patterns = [
        "UPS-*",
        "ups-1",
        "*-UPS",
        "*S-1",
        "U??-1",
        "*PS*",
        "*",
        "CNC-0?",
        "ALERTS",
        "A*S",
        "ﾊﾞ*",
        "バッ*",
        "*ﾘ",
        "ü*",
        "Ü",
        "LONG-LONG-LONG-LONG-LONG-LONG-LONG-LONG*",
        "?",
    ];
    let names = [
        "UPS-1",
        "ups-12",
        "HALL-UPS",
        "CNC-07",
        "ALERTS",
        "ﾊﾞｯﾃﾘ",
        "バッテリ",
        "ÜBER",
        "ü",
        "",
        "X",
        "LONG-LONG-LONG-LONG-LONG-LONG-LONG-LONG-1",
    ];
    let nets =
        ["192.0.2.0/24", "192.0.2.7/32", "0.0.0.0/0", "198.51.100.0/25", "2001:db8::/32", "2001:db8::7/128"];
    let addresses = ["192.0.2.7", "192.0.2.8", "198.51.100.9", "2001:db8::7", "2001:db8:1::1"];
    let texts = ["battery", "^UPS", "バッテリ", "(?i)OFF", "x{3}", "is|UPS", "on ?bat(tery|man)", "[U]PS on"];
    let mut dice = Dice(0x1234_5678_9abc_def1);
    for _ in 0..60 {
        let rules = (0..dice.roll(60)).map(|number| {
            let when = keys(|k| {
                for key in [&mut k.originator, &mut k.to, &mut k.source_name, &mut k.destination_name] {
                    if dice.roll(4) == 0 {
                        *key = (0..=dice.roll(2)).flat_map(|_| glob(dice.pick(&patterns))).collect();
                    }
                }
                if dice.roll(4) == 0 {
                    k.source = networks(&[dice.pick(&nets), dice.pick(&nets)]);
                }
                if dice.roll(4) == 0 {
                    k.text = Some(TextPattern::new(dice.pick(&texts)).unwrap());
                }
            });
            discard(&format!("r{number}"), when)
        });
        let rules = set(rules.collect());
        for _ in 0..60 {
            let mut notice = notice();
            notice.originator = dice.pick(&names).into();
            notice.to = dice.pick(&names).into();
            notice.source_name.text = dice.pick(&names).into();
            notice.destination_name.text = dice.pick(&names).into();
            notice.text = dice.pick(&["UPS on battery", "ﾊﾞｯﾃﾘ", "is off", "", "xxxx"]).into();
            notice.arrival.source = std::net::SocketAddr::new(dice.pick(&addresses).parse().unwrap(), 138);
            let explained = rules.explain(&notice);
            let deciding: Vec<_> = explained
                .iter()
                .filter(|(_, why)| why.verdict == Verdict::Decides)
                .map(|(rule, _)| rule.name())
                .collect();
            assert_eq!(deciding, [rules.decide(&notice).name()], "{notice:?}\n{explained:#?}");
        }
    }
}

#[test]
fn an_explanation_says_of_every_key_why_it_holds_or_not() {
    let rules = set(vec![
        discard("cnc", keys(|k| (k.originator, k.source) = (glob("CNC-*"), networks(&["192.0.2.0/24"])))),
        discard(
            "ups",
            keys(|k| {
                k.mailslot = glob(r"\MAILSLOT\MESSNGR");
                k.text = Some(TextPattern::new("バッテリ").unwrap());
            }),
        ),
    ]);
    let mut notice = notice();
    notice.text = "ﾊﾞｯﾃﾘ".into();
    let explained = rules.explain(&notice);
    let words = |number: usize| {
        explained[number]
            .1
            .clauses
            .iter()
            .map(|clause| (clause.holds, clause.words.as_str()))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        words(0),
        [
            (false, r#"originator "UPS-1" does not match CNC-*"#),
            (true, "source 192.0.2.7 is in 192.0.2.0/24")
        ]
    );
    assert_eq!(
        words(1),
        [(true, r#"mailslot is "\MAILSLOT\MESSNGR""#), (true, "text contains /バッテリ/ after NFKC")]
    );
    let verdicts: Vec<_> = explained.iter().map(|(_, why)| why.verdict).collect();
    assert_eq!(verdicts, [Verdict::NoMatch, Verdict::Decides, Verdict::TooLate]);
}

#[test]
fn what_a_sender_wrote_cannot_leave_its_quotes_in_an_explanation() {
    let rules = set(vec![discard("cnc", keys(|k| k.originator = glob("CNC-*")))]);
    let mut notice = notice();
    notice.originator = format!("a\"\n\u{1B}[2J\u{202E}{}", "x".repeat(100)).into();
    let words = rules.explain(&notice)[0].1.clauses[0].words.clone();
    assert!(words.starts_with(r#"originator "a\"\n\u{1b}[2J\u{202e}xxx"#), "{words}");
    assert!(words.len() < 160, "{words}");
}

fn delivering() -> Rule {
    let template = |text| Template::parse(text).unwrap();
    let destination = |text| DestinationName::new(text).unwrap();
    let delivery = Delivery {
        via: destination("smarthost"),
        to: AddressTemplate::new(template("oncall@{site}.example"), AddressForm::Mailbox),
        subject: Some(template("UPS {originator}: {first_line}")),
        otherwise: vec![Otherwise {
            after: Duration::from_secs(600),
            via: destination("inbox"),
            to: AddressTemplate::constant("operator", AddressForm::Folder),
            subject: None,
        }],
    };
    Rule::new(RuleName::new("ups").unwrap(), Match::Any, Action::Deliver(vec![delivery]))
        .with_priority(Priority::Urgent)
        .with_expire(Some(Duration::from_secs(7200)))
        .with_grouping(Some(Grouping {
            by: vec![Field::Originator, Field::Text],
            wait: Duration::from_secs(20),
            repeat_after: Duration::from_secs(600),
        }))
}

#[test]
fn a_delivering_rule_renders_its_recipients_and_a_discarding_one_makes_no_message() {
    let message = delivering().message(notice(), &context()).unwrap();
    let [recipient] = &*message.recipients else { panic!("{message:?}") };
    assert_eq!((recipient.via.as_str(), &*recipient.to), ("smarthost", "oncall@plant-1.example"));
    assert_eq!(recipient.subject.as_deref(), Some("UPS UPS-1: UPS on battery"));
    assert_eq!(recipient.otherwise[0].recipient.to, "operator");
    assert_eq!((message.priority, message.accepted_at), (Priority::Urgent, notice().arrival.at));
    assert_eq!(message.expire, Some(Duration::from_secs(7200)));
    assert!(discard("drop", Match::Any).message(notice(), &context()).is_none());
}

#[test]
fn messages_group_by_the_rule_and_the_named_fields_only() {
    let key = |change: &dyn Fn(&mut Notice<'static>)| {
        let mut notice = notice();
        change(&mut notice);
        delivering().message(notice, &context()).unwrap().group.unwrap().key
    };
    let first = key(&|_| {});
    assert_eq!(first, key(&|n| n.dgm_id = 8));
    assert_ne!(first, key(&|n| n.text = "UPS is well".into()));
    // Lengths are part of the key: what moves from one field to the next makes another one.
    assert_ne!(
        key(&|n| (n.originator, n.text) = ("AB".into(), "C".into())),
        key(&|n| (n.originator, n.text) = ("A".into(), "BC".into()))
    );
}
