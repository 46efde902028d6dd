//! What one decision costs with ten rules and with ten thousand: `cargo bench --bench rules`.
//!
//! The rules have originator patterns and source networks of their own, one in a hundred (and at most a hundred) a
//! `text` pattern instead; every message matches the last rule only. The median of several rounds counts.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use mailslotd::message::id::{DiscardReason, RuleName};
use mailslotd::message::notice::{Arrival, Encoding, Kind, Listener, Name, Notice};
use mailslotd::policy::mapping::{Action, Glob, Keys, Match, Rule, RuleSet, TextPattern};
use mailslotd::wire::netbios_name::NameType;
use mailslotd::wire::oem_text::CodePage;

const ROUNDS: usize = 15;
const DECISIONS: u32 = 200_000;

fn main() {
    let few = rules(10);
    let many = rules(10_000);
    let notices = notices();
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (set, times) in [&few, &many].into_iter().zip(&mut times) {
            times.push(round(set, &notices));
        }
    }
    let [few, many] = times.map(|mut times| {
        times.sort_unstable();
        times[ROUNDS / 2].as_secs_f64() * 1e9 / f64::from(DECISIONS)
    });
    let ratio = many / few;
    let mut out = std::io::stdout().lock();
    std::io::Write::write_fmt(
        &mut out,
        format_args!("10 rules {few:.0} ns, 10000 rules {many:.0} ns a decision, ratio {ratio:.2}\n"),
    )
    .expect("stdout takes a line");
}

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn round(set: &RuleSet, notices: &[Notice<'_>]) -> Duration {
    let start = Instant::now();
    for notice in notices.iter().cycle().take(DECISIONS as usize) {
        assert_eq!(black_box(set.decide(black_box(notice))).name().as_str(), "everything-else");
    }
    start.elapsed()
}

fn rules(count: u32) -> RuleSet {
    let action = || Action::Discard(DiscardReason::new("bench").expect("a name"));
    let texts = (count / 100).clamp(1, 100);
    let mut rules: Vec<Rule> = (1..count)
        .map(|number| {
            let mut keys = Keys::default();
            if number % (count / texts) == 1 {
                keys.text = Some(
                    TextPattern::new(&format!("fault code E{number:05}|異常{number}")).expect("a pattern"),
                );
            } else {
                keys.originator = vec![Glob::new(&format!("CNC{number:05}-*")).expect("a pattern")];
                let network = Ipv4Addr::from_bits(0x0A00_0000 + number * 256);
                keys.source = vec![format!("{network}/24").parse().expect("a network")];
            }
            Rule::new(
                RuleName::new(&format!("r{number}")).expect("a name"),
                Match::Keys(Box::new(keys)),
                action(),
            )
        })
        .collect();
    rules.push(Rule::new(RuleName::new("everything-else").expect("a name"), Match::Any, action()));
    RuleSet::new(rules).expect("the last rule is `any`")
}

fn notices() -> Vec<Notice<'static>> {
    (0..64_u8)
        .map(|number| Notice {
            arrival: Arrival {
                at: "2026-11-21T10:25:01Z".parse().expect("a time"),
                source: SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, number)), 138),
                destination: None,
                interface: None,
                listener: Listener::Datagram,
            },
            dgm_id: u16::from(number),
            source_name: Name { text: format!("UPS{number:05}-X").into(), name_type: NameType::WORKSTATION },
            destination_name: Name { text: "ALERTS".into(), name_type: NameType::MESSENGER },
            mailslot: r"\MAILSLOT\MESSNGR".into(),
            originator: format!("UPS{number:05}-X").into(),
            to: "ALERTS".into(),
            text: "The uninterruptible power supply is on battery; 12 minutes are left.".into(),
            encoding: Encoding { code_page: CodePage::Cp850, lossy: false },
            kind: Kind::Messenger,
            data: Vec::new().into(),
        })
        .collect()
}
