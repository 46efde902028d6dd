//! How fast what waits in the spool reaches each kind of queue, and webhooks, turn about in one run with a bare publisher that uses the
//! same client with the same acknowledgements and as many on their way: `cargo bench --bench queues [KIND…]`, with the
//! brokers and the nginx of Debian. `MESSAGES` says how many wait (60 000), `TMPDIR` on which disk spool and broker lie.
//!
//! A kind meets its goal by its rate, or by 70 % of the bare publisher's. One that misses ends it with exit code 1.
//!
//! Another kind of queue is a file here with a function `measure`, and a line in [`KINDS`].
#![expect(clippy::disallowed_methods, reason = "it measures time")]
#![expect(clippy::disallowed_macros, reason = "its answer is what it prints")]

#[cfg(feature = "amqp")]
mod amqp;
mod load;
#[cfg(feature = "mqtt")]
mod mqtt;
#[cfg(feature = "nats")]
mod nats;
#[cfg(feature = "redis")]
mod redis;
#[path = "../../tests/support/mod.rs"]
mod support;
mod webhook;

use std::process::ExitCode;

use load::{Load, Round};
use support::Missing;

/// A kind of queue.
struct Kind {
    name: &'static str,
    /// Events a second from the spool.
    goal: f64,
    measure: fn(&Load) -> Result<Vec<Round>, Missing>,
}

const KINDS: &[Kind] = &[
    #[cfg(feature = "nats")]
    Kind { name: "nats", goal: 20_000.0, measure: nats::measure },
    #[cfg(feature = "redis")]
    Kind { name: "redis", goal: 5_000.0, measure: redis::measure },
    #[cfg(feature = "amqp")]
    Kind { name: "amqp", goal: 5_000.0, measure: amqp::measure },
    #[cfg(feature = "mqtt")]
    Kind { name: "mqtt", goal: 5_000.0, measure: mqtt::measure },
    Kind { name: "webhook", goal: 5_000.0, measure: webhook::measure },
];

/// Of the bare publisher's rate.
const SHARE: f64 = 0.7;

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|word| word == name);
    let load = Load::of_environment();
    let mut missed = false;
    for Kind { name, goal, measure } in KINDS.iter().filter(|kind| is_wanted(kind.name)) {
        let mut rounds = match measure(&load) {
            Ok(rounds) => rounds,
            Err(missing) => {
                println!("{name}: skipped: {}", missing.0);
                continue;
            }
        };
        rounds.sort_by(|a, b| a.ratio().total_cmp(&b.ratio()));
        let median = rounds[rounds.len() / 2];
        let met = median.spool >= *goal || median.ratio() >= SHARE;
        println!(
            "{name}: {:.0} events/s from the spool; bare publisher {:.0}/s; ratio {:.2}; goal {goal:.0}/s or {SHARE:.2}: {}",
            median.spool,
            median.bare,
            median.ratio(),
            if met { "met" } else { "missed" }
        );
        missed |= !met;
    }
    if missed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
