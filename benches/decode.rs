//! What it costs to decode one datagram, on one core.
//!
//! *Before its text is converted* means: the payload as it came from the socket goes through `Datagram::parse` (header,
//! both names, scopes), `MailslotWrite::parse` (SMB header, transaction, mailslot name) and, for a message,
//! `messenger::Text::parse`; every field is found, bounded and borrowed. *With its text* means that, and `decode`:
//! names, originator, addressee and text converted from the code page, controls dealt with, a `Notice` ready for the
//! rules. *Kept* adds `Notice::into_owned`, which happens only when a rule delivers.
//!
//! Each figure is the median over many rounds. A round times 200 decodes and is over in well under a millisecond, so
//! that few rounds are interrupted by whatever else the machine does. Run with `cargo bench --bench decode`; figures
//! are plain lines on standard output.

use std::hint::black_box;
use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Instant;

use jiff::Timestamp;
use mailslotd::decode::decode;
use mailslotd::message::notice::{Arrival, Listener};
use mailslotd::wire::datagram::{Datagram, Direct};
use mailslotd::wire::mailslot::{MailslotName, MailslotWrite};
use mailslotd::wire::messenger::Text;
use mailslotd::wire::oem_text::{CodePage, SenderText, Utf8};

const ROUNDS: usize = 5001;
const DECODES: u32 = 200;

const ANNOUNCEMENTS: &str = include_str!("../tests/fixtures/01-nmbd-startup-election-announce.hex");
const MAILSLOT_WRITES: &str = include_str!("../tests/fixtures/11-crafted-messngr-mailslots.hex");

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let cp850 = SenderText { code_page: CodePage::Cp850, utf8: Utf8::Auto };
    let cp932 = SenderText { code_page: CodePage::Cp932, utf8: Utf8::Never };
    for (name, file, label, sender) in [
        ("host announcement of Samba", ANNOUNCEMENTS, "# frame 6 ", cp850),
        ("message in the shape of Windows NT", MAILSLOT_WRITES, "# NT-like to domain", cp850),
        ("message in CP850 with umlauts", MAILSLOT_WRITES, "# CP437/850 umlauts", cp850),
        ("message in CP932", MAILSLOT_WRITES, "# CP932 japanese", cp932),
    ] {
        let payload = vector(file, label);
        let parsed = nanoseconds(&payload, |payload| {
            parse(payload);
        });
        let decoded = nanoseconds(&payload, |payload| {
            black_box(decode(&direct(payload), arrival(), sender).is_ok());
        });
        let kept = nanoseconds(&payload, |payload| {
            black_box(decode(&direct(payload), arrival(), sender).ok().map(|notice| notice.into_owned()));
        });
        let bytes = payload.len();
        writeln!(
            out,
            "{name}, {bytes} bytes: {parsed:.0} ns before its text is converted, {decoded:.0} ns with its text, {kept:.0} ns kept"
        )?;
    }
    Ok(())
}

/// The median time of one call, in nanoseconds.
fn nanoseconds(payload: &[u8], work: impl Fn(&[u8])) -> f64 {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            #[expect(clippy::disallowed_methods, reason = "a benchmark is about the clock")]
            let start = Instant::now();
            for _ in 0..DECODES {
                work(black_box(payload));
            }
            start.elapsed().as_secs_f64() * 1e9 / f64::from(DECODES)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}

/// Everything up to the conversion of text.
fn parse(payload: &[u8]) {
    let direct = direct(payload);
    let Ok(write) = MailslotWrite::parse(black_box(&direct).user_data) else { panic!("no mailslot write") };
    if black_box(&write).name == MailslotName::MESSNGR {
        black_box(&Text::parse(write.data));
    }
}

fn direct(payload: &[u8]) -> Direct<'_> {
    match Datagram::parse(payload) {
        Ok(Datagram::Direct(direct)) => direct,
        other => panic!("no direct datagram: {other:?}"),
    }
}

fn arrival() -> Arrival {
    Arrival {
        at: Timestamp::UNIX_EPOCH,
        source: SocketAddr::from(([192, 0, 2, 30], 138)),
        destination: None,
        interface: None,
        listener: Listener::Datagram,
    }
}

/// The payload under this label.
fn vector(file: &str, label: &str) -> Vec<u8> {
    let line = file.lines().skip_while(|line| !line.starts_with(label)).nth(1);
    let digits = line.and_then(|line| line.split_once(' ')).map(|(_, digits)| digits);
    let Some(digits) = digits else { panic!("no vector is called {label}") };
    let (pairs, _) = digits.as_bytes().as_chunks::<2>();
    let digit = |c: u8| char::from(c).to_digit(16).and_then(|digit| u8::try_from(digit).ok()).unwrap_or(0);
    pairs.iter().map(|[high, low]| digit(*high) << 4 | digit(*low)).collect()
}
