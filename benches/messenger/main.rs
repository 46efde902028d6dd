//! `net send` over TCP 139 against a private smbd with a message command, turn about in one run:
//! `cargo bench --bench messenger [SENDERS…]`, as root, with Debian's `samba`.
//!
//! 1, 10 and 50 senders at once, each with a connection for each message, in blocks, which both take. Our reply comes when
//! the message is fsynced, and each is delivered into a Maildir beside; smbd's, when its command has run: one `mv` into a
//! folder, the least that can be asked of it. Goals: ten times smbd's rate with 10 and with 50 senders (one alone waits for the
//! disk each time), and with 10 a fifth of the latency that it has in the 99th percentile, from connecting to the last
//! answer. A goal that is missed ends it with exit code 1.
#![expect(clippy::disallowed_methods, reason = "it measures time")]
#![expect(clippy::disallowed_macros, reason = "its answer is what it prints")]

mod gateway;
#[path = "../../tests/support/samba_folder.rs"]
mod samba_folder;
#[path = "../../tests/support/session_sender.rs"]
mod session_sender;
#[path = "../../tests/support/smbd.rs"]
mod smbd;

use std::net::SocketAddrV4;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use gateway::Gateway;
use mailslotd::session::netbios_client::{Course, Outcome, Outgoing};
use mailslotd::wire::netbios_name::{NameType, NetbiosName};
use smbd::Smbd;

fn main() -> ExitCode {
    let wanted: Vec<usize> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let theirs = match Smbd::start() {
        Ok(smbd) => smbd,
        Err(missing) => {
            println!("messenger: {missing}");
            return ExitCode::FAILURE;
        }
    };
    let ours = Gateway::start();
    let mut met = true;
    for senders in SENDERS.into_iter().filter(|senders| wanted.is_empty() || wanted.contains(senders)) {
        met &= compare(senders, ours.address(), theirs.address());
    }
    assert!(!theirs.messages().is_empty(), "smbd's command runs");
    if met { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What one side did in a round.
struct Measured {
    per_second: f64,
    p99: Duration,
}

fn compare(senders: usize, ours: SocketAddrV4, theirs: SocketAddrV4) -> bool {
    let (mut us, mut them) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let [ours, theirs] = [ours, theirs].map(|target| measure(senders, target));
        // The first warms both up.
        if round > 0 {
            us.push(ours);
            them.push(theirs);
        }
    }
    let median_of =
        |side: &[Measured], figure: fn(&Measured) -> f64| median(side.iter().map(figure).collect());
    let ratio = |figure: fn(&Measured) -> f64| {
        median(us.iter().zip(&them).map(|(us, them)| figure(us) / figure(them)).collect())
    };
    let (rate, p99) = (|m: &Measured| m.per_second, |m: &Measured| m.p99.as_secs_f64() * 1e3);
    let (rates, latencies) = (ratio(rate), ratio(p99));
    println!(
        "{senders} senders: {:.0} messages a second durable before the reply against {:.0}, ratio {rates:.1}{}; \
         99th percentile {:.1} ms against {:.1} ms, ratio {latencies:.2}{}; medians of {ROUNDS}",
        median_of(&us, rate),
        median_of(&them, rate),
        if senders > 1 { " (goal 10)" } else { "" },
        median_of(&us, p99),
        median_of(&them, p99),
        if senders == 10 { " (goal 0.20)" } else { "" },
    );
    (senders == 1 || rates >= 10.0) && (senders != 10 || latencies < 0.2)
}

/// So many senders, each with one message after the other, for [`TURN`].
#[expect(clippy::cast_precision_loss, reason = "rates for people")]
fn measure(senders: usize, target: SocketAddrV4) -> Measured {
    let latencies = Mutex::new(Vec::new());
    let start = Instant::now();
    std::thread::scope(|scope| {
        for sender in 0..senders {
            let latencies = &latencies;
            scope.spawn(move || {
                let mut own = Vec::new();
                while start.elapsed() < TURN {
                    let message = outgoing(sender, own.len());
                    let begin = Instant::now();
                    let course = Course::new(target).in_blocks();
                    let (outcome, _) = session_sender::send(&message, course);
                    assert_eq!(outcome, Outcome::Confirmed, "{outcome}");
                    own.push(begin.elapsed());
                }
                latencies.lock().unwrap().extend(own);
            });
        }
    });
    let elapsed = start.elapsed();
    let mut latencies = latencies.into_inner().unwrap();
    latencies.sort_unstable();
    let p99 = latencies[(latencies.len() - 1) * 99 / 100];
    Measured { per_second: latencies.len() as f64 / elapsed.as_secs_f64(), p99 }
}

fn outgoing(sender: usize, number: usize) -> Outgoing {
    let name = |text: &[u8]| NetbiosName::new(text, NameType::MESSENGER).unwrap();
    let from = format!("CNC-{sender}").into_bytes();
    Outgoing {
        called: name(b"ALERTS"),
        calling: name(&from),
        from,
        to: b"ALERTS".to_vec(),
        text: format!("Server room temperature 41 C, rack 7, reading {number}").into_bytes(),
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

const SENDERS: [usize; 3] = [1, 10, 50];
/// Rounds of each, after one that warms both up.
const ROUNDS: usize = 3;
/// How long each side has in a round.
const TURN: Duration = Duration::from_secs(3);
