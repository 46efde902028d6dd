//! How fast mail is taken and passed on, against a private Postfix with the same durability, turn about in one run; and
//! what sessions cost that wait in the tar pit: `cargo bench --bench smtp [PART…]`, as root, with Debian's `postfix`.
//!
//! - `kept`: 50 sessions kept open, 1 kB messages. Goals: accepted at 5 times Postfix's rate, end to end at 4 times.
//! - `anew`: 10 sessions with a connection for each message. Goal: 3 times.
//! - `one`: one session. Goal: as fast.
//! - `held`: 10 000 sessions from 10 000 client networks wait in the tar pit. Goals: 4 kB each of our own memory, and an
//!   honest session beside them as quick as alone, within 20 %.
//!
//! In the first three the memory of both is compared too. Goal with `kept`: a quarter of Postfix's; with few sessions Postfix
//! has few processes. A goal that is missed ends it with exit code 1.
#![expect(clippy::disallowed_methods, reason = "it measures time")]
#![expect(clippy::disallowed_macros, reason = "its answer is what it prints")]

mod gateway;
mod held;
mod load;
mod postfix;

use std::process::ExitCode;

use gateway::Gateway;
use load::{Case, Measured, Sink};
use postfix::Postfix;

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|word| word == name);
    let cases: Vec<&Case> = CASES.iter().filter(|case| is_wanted(case.name)).collect();
    let mut met = true;
    if !cases.is_empty() {
        met &= against_postfix(&cases);
    }
    if is_wanted("held") {
        met &= held::held();
    }
    if met { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

const CASES: [Case; 3] = [
    Case {
        name: "kept",
        sessions: 50,
        messages: 6000,
        keep: true,
        accepted: 5.0,
        through: Some(4.0),
        memory: Some(0.25),
    },
    Case {
        name: "anew",
        sessions: 10,
        messages: 3000,
        keep: false,
        accepted: 3.0,
        through: None,
        memory: None,
    },
    Case { name: "one", sessions: 1, messages: 600, keep: true, accepted: 1.0, through: None, memory: None },
];

/// Rounds of each case, after one that warms both up.
const ROUNDS: usize = 3;

fn against_postfix(cases: &[&Case]) -> bool {
    let (our_sink, their_sink) = (Sink::start(), Sink::start());
    let ours = Gateway::start(&gateway::relay(our_sink.port()));
    let theirs = Postfix::start(their_sink.port());
    let mut met = true;
    for case in cases {
        let (mut us, mut them) = (Vec::new(), Vec::new());
        for round in 0..=ROUNDS {
            let ours = load::measure(case, ours.smtp(), &our_sink, || ours.memory());
            let theirs = load::measure(case, theirs.port(), &their_sink, || theirs.memory());
            if round > 0 {
                us.push(ours);
                them.push(theirs);
            }
        }
        met &= compare(case, &us, &them);
    }
    met
}

fn compare(case: &Case, us: &[Measured], them: &[Measured]) -> bool {
    let ratio = |figure: fn(&Measured) -> f64| {
        median(us.iter().zip(them).map(|(us, them)| figure(us) / figure(them)).collect())
    };
    let both = |figure: fn(&Measured) -> f64| {
        let [ours, theirs] = [us, them].map(|side| median(side.iter().map(figure).collect()));
        format!("{ours:.0} against {theirs:.0}")
    };
    let wanted = |goal: Option<f64>| goal.map_or(String::new(), |goal| format!(" (goal {goal})"));
    let (accepted, through) = (ratio(|m| m.accepted), ratio(|m| m.through));
    let memory = ratio(|m| m.memory_kib);
    println!(
        "{}: accepted {} a second, ratio {accepted:.1}{}; end to end {}, ratio {through:.1}{}; memory {} MiB, ratio \
         {memory:.2}{}; medians of {ROUNDS}",
        case.name,
        both(|m| m.accepted),
        wanted(Some(case.accepted)),
        both(|m| m.through),
        wanted(case.through),
        both(|m| m.memory_kib / 1024.0),
        wanted(case.memory),
    );
    accepted >= case.accepted
        && case.through.is_none_or(|goal| through >= goal)
        && case.memory.is_none_or(|goal| memory <= goal)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
