//! `mailslotd replay`: what these rules would have done with recorded traffic. Nothing is sent, nothing is kept.
//!
//! Every datagram goes through the very pipeline of the listener, and what senders said over TCP 139 through its very
//! machine, on the clock of the capture.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;

use super::Global;
use super::capture::clock::Clock;
use super::capture::sessions::Sessions;
use super::capture::{Capture, CaptureError, Packet, Skipped, Transport};
use super::decode::skipped_lines;
use super::exit::Exit;
use super::load::{self, Reading};
use super::output;
use crate::config::settings::Settings;
use crate::decode::decode_session;
use crate::listen::judge::{self, Hearing, HearingLimits, Judge, Shared};
use crate::listen::pipeline::{Pipeline, Verdict};
use crate::message::notice::{Listener, Notice};
use crate::message::recipient::Recipient;
use crate::message::session_message::SessionMessage;
use crate::policy::mapping::{Action, Rule};
use crate::policy::spelling::counted;
use crate::telemetry::metrics::{DropReason, Metrics, Withheld};

/// Say what the rules would have done with recorded traffic; nothing is sent
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The UDP port that mailslot datagrams were sent to
    #[arg(long, default_value_t = 138)]
    port: u16,
    /// The TCP port that sessions of `net send` were opened to
    #[arg(long, value_name = "PORT", default_value_t = 139)]
    session_port: u16,
    /// pcap or pcapng files, in the order in which they were recorded
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

/// Carries out `replay`.
#[must_use]
pub fn run(args: &Args, global: &Global) -> Exit {
    match load::load_or_tell(global, Reading::WithoutSecrets) {
        Ok(loaded) => replay(args, Arc::new(hearing(&loaded.checked.settings)), global),
        Err(exit) => exit,
    }
}

/// As in the gateway, but whoever was recorded is heard: the capture may be of another network.
fn hearing(settings: &Settings) -> Hearing {
    let hearing = Hearing::of(settings);
    Hearing { limits: HearingLimits { reach: None, ..hearing.limits }, ..hearing }
}

fn replay(args: &Args, hearing: Arc<Hearing>, global: &Global) -> Exit {
    let zone = hearing.context.timezone.clone();
    let mut replay = Replay::new(hearing, args.port, args.session_port);
    let mut exit = Exit::Done;
    for file in &args.files {
        if let Err(error) = replay_file(&mut replay, file, &zone, global) {
            output::note(format_args!("{}: {error}", file.display()));
            exit = Exit::BadInput;
        }
    }
    let summary = replay.finish();
    if global.json {
        output::answer(json!({ "summary": summary.json() }));
    } else {
        output::answer(summary.text().trim_end());
    }
    exit
}

/// Why a file could not be replayed to its end.
#[derive(Debug, thiserror::Error)]
enum ReplayError {
    #[error("{0}")]
    Open(#[from] std::io::Error),
    #[error(transparent)]
    Capture(#[from] CaptureError),
}

fn replay_file(
    replay: &mut Replay,
    file: &Path,
    zone: &TimeZone,
    global: &Global,
) -> Result<(), ReplayError> {
    let mut capture = Capture::new(File::open(file)?)?;
    let mut result = Ok(());
    for item in &mut capture {
        match item {
            Ok(packet) => {
                for line in replay.take(&packet) {
                    let dropped = matches!(line.fate, Fate::Dropped(_) | Fate::Withheld(_));
                    if global.json {
                        output::answer(line.json());
                    } else if !global.quiet && (!dropped || global.verbose > 0) {
                        output::answer(line.text(zone));
                    }
                }
            }
            Err(error) => result = Err(error.into()),
        }
    }
    replay.add_frames(capture.frames(), capture.skipped());
    result
}

/// Recorded datagrams and sessions, who decides about them, and what came of them.
struct Replay {
    pipeline: Pipeline,
    sessions: Sessions,
    /// Of the messages of sessions.
    judge: Judge,
    metrics: Arc<Metrics>,
    port: u16,
    session_port: u16,
    clock: Clock,
    summary: Summary,
}

/// One datagram or message and what the rules make of it.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    frame: u64,
    at: Timestamp,
    source: String,
    heard: Option<Heard>,
    fate: Fate,
}

/// What was decoded, and the rule that decided.
#[derive(Debug, PartialEq, Eq)]
struct Heard {
    originator: String,
    to: String,
    mailslot: String,
    rule: String,
    discard: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Delivered(Vec<Recipient>),
    Discarded,
    Withheld(Withheld),
    Dropped(DropReason),
}

impl Replay {
    fn new(hearing: Arc<Hearing>, port: u16, session_port: u16) -> Self {
        let (metrics, shared) = (Arc::new(Metrics::new()), Arc::new(Shared::default()));
        let judge = || Judge::new(Arc::clone(&hearing), Arc::clone(&shared), Arc::clone(&metrics));
        Self {
            pipeline: Pipeline::new(judge(), Arc::default(), Arc::clone(&metrics)),
            sessions: Sessions::new(),
            judge: judge(),
            metrics,
            port,
            session_port,
            clock: Clock::new(),
            summary: Summary::default(),
        }
    }

    /// What becomes of a packet; nothing of one of another port, and of a part that waits for others.
    fn take(&mut self, packet: &Packet) -> Vec<Line> {
        match (packet.transport, packet.destination.port()) {
            (Transport::Udp, port) if port == self.port => self.take_datagram(packet).into_iter().collect(),
            (Transport::Tcp, port) if port == self.session_port => self.take_segment(packet),
            (Transport::Udp | Transport::Tcp, _) => {
                self.summary.other_packets += 1;
                Vec::new()
            }
        }
    }

    fn take_datagram(&mut self, packet: &Packet) -> Option<Line> {
        self.summary.datagrams += 1;
        self.advance_to(packet.at);
        let arrival = packet.arrival(Listener::Datagram);
        let mut heard = None;
        let verdict = self.pipeline.take_with(&packet.payload, arrival, self.clock.now(), |notice, rule| {
            heard = Some(Heard::new(notice, rule));
        });
        let fate = match verdict {
            Verdict::Deliver(message, _) => Fate::Delivered(message.recipients),
            Verdict::Discard => Fate::Discarded,
            Verdict::Withheld(withheld) => Fate::Withheld(withheld),
            Verdict::Dropped(reason) => Fate::Dropped(reason),
            Verdict::Incomplete => return None,
        };
        Some(self.line(packet, heard, fate))
    }

    fn take_segment(&mut self, packet: &Packet) -> Vec<Line> {
        self.summary.segments += 1;
        self.advance_to(packet.at);
        let messages = self.sessions.take(packet, self.clock.now());
        messages.iter().map(|message| self.take_message(packet, message)).collect()
    }

    fn take_message(&mut self, packet: &Packet, message: &SessionMessage) -> Line {
        let sender = self.judge.hearing().decoding.of(packet.source.ip());
        let notice = decode_session(message, packet.arrival(Listener::Messenger), sender);
        let (mut heard, now) = (None, self.clock.now());
        let verdict = self.judge.decide(notice, now, |notice, rule| {
            heard = Some(Heard::new(notice, rule));
        });
        let fate = match verdict {
            judge::Verdict::Deliver(message, claim) => {
                self.judge.durable(claim, now);
                Fate::Delivered(message.recipients)
            }
            judge::Verdict::Discarded => Fate::Discarded,
            judge::Verdict::Withheld(withheld) => Fate::Withheld(withheld),
        };
        self.line(packet, heard, fate)
    }

    fn line(&mut self, packet: &Packet, heard: Option<Heard>, fate: Fate) -> Line {
        self.summary.count(heard.as_ref(), &fate);
        let source = packet.source.ip().to_string();
        Line { frame: packet.frame, at: packet.at, source, heard, fate }
    }

    /// Moves the clock forward to a packet's time.
    fn advance_to(&mut self, at: Timestamp) {
        let now = self.clock.advance_to(at);
        if self.pipeline.poll_timeout().is_some_and(|timeout| timeout <= now) {
            self.pipeline.handle_timeout(now);
        }
    }

    fn add_frames(&mut self, frames: u64, skipped: Skipped) {
        let sum = &mut self.summary.skipped;
        self.summary.frames += frames;
        sum.other_protocols += skipped.other_protocols;
        sum.cut_or_damaged += skipped.cut_or_damaged;
        sum.lone_fragments += skipped.lone_fragments;
        sum.unknown_link_types += skipped.unknown_link_types;
    }

    /// Gives up what still waits, and counts what was dropped.
    fn finish(mut self) -> Summary {
        while let Some(timeout) = self.pipeline.poll_timeout() {
            self.pipeline.handle_timeout(timeout);
        }
        for reason in DropReason::ALL {
            let count = self.metrics.dropped_so_far(reason);
            if count > 0 {
                self.summary.dropped.insert(reason.as_str(), count);
            }
        }
        self.summary
    }
}

impl Heard {
    fn new(notice: &Notice<'_>, rule: &Rule) -> Self {
        let discard = match rule.action() {
            Action::Discard(reason) => Some(reason.as_str().to_owned()),
            Action::Deliver(_) => None,
        };
        Self {
            originator: notice.originator.clone().into_owned(),
            to: notice.to.clone().into_owned(),
            mailslot: notice.mailslot.clone().into_owned(),
            rule: rule.name().as_str().to_owned(),
            discard,
        }
    }
}

impl Line {
    /// `2026-11-21 08:00:00  192.0.2.7  "UPS7"  \MAILSLOT\MESSNGR  ups-alarms  smarthost oncall@example.com`
    fn text(&self, zone: &TimeZone) -> String {
        let time = self.at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S");
        let mut text = format!("{time}  {}", self.source);
        if let Some(Heard { originator, mailslot, rule, .. }) = &self.heard {
            let (originator, mailslot) = (originator.escape_debug(), printable(mailslot));
            write!(text, "  \"{originator}\"  {mailslot}  {rule}").ok();
        }
        match &self.fate {
            Fate::Delivered(recipients) => {
                let copies: Vec<_> =
                    recipients.iter().map(|copy| format!("{} {}", copy.via, printable(&copy.to))).collect();
                write!(text, "  {}", copies.join(", ")).ok();
            }
            Fate::Discarded => {
                let reason = self.heard.as_ref().and_then(|heard| heard.discard.as_deref());
                write!(text, "  discarded: {}", reason.unwrap_or("by its rule")).ok();
            }
            Fate::Withheld(reason) => {
                write!(text, "  not taken: {}", reason.as_str()).ok();
            }
            Fate::Dropped(reason) => {
                write!(text, "  dropped: {}", reason.as_str()).ok();
            }
        }
        text
    }

    fn json(&self) -> serde_json::Value {
        let mut line = json!({ "frame": self.frame, "time": self.at, "source": self.source });
        if let Some(Heard { originator, to, mailslot, rule, .. }) = &self.heard {
            line["originator"] = json!(originator);
            line["to"] = json!(to);
            line["mailslot"] = json!(mailslot);
            line["rule"] = json!(rule);
        }
        match &self.fate {
            Fate::Delivered(recipients) => line["deliver"] = json!(recipients),
            Fate::Discarded => line["discard"] = json!(self.heard.as_ref().and_then(|h| h.discard.as_ref())),
            Fate::Withheld(reason) => line["withhold"] = json!(reason.as_str()),
            Fate::Dropped(reason) => line["drop"] = json!(reason.as_str()),
        }
        line
    }
}

/// Text of a sender's with its backslashes as they are and anything unprintable escaped.
fn printable(name: &str) -> String {
    name.escape_debug().to_string().replace(r"\\", r"\")
}

/// Everything that was counted.
#[derive(Debug, Default, PartialEq, Eq)]
struct Summary {
    frames: u64,
    datagrams: u64,
    segments: u64,
    other_packets: u64,
    delivered: u64,
    copies: u64,
    discarded: u64,
    rules: BTreeMap<String, u64>,
    withheld: BTreeMap<&'static str, u64>,
    dropped: BTreeMap<&'static str, u64>,
    skipped: Skipped,
}

impl Summary {
    fn count(&mut self, heard: Option<&Heard>, fate: &Fate) {
        if let Some(heard) = heard {
            *self.rules.entry(heard.rule.clone()).or_default() += 1;
        }
        match fate {
            Fate::Delivered(recipients) => {
                self.delivered += 1;
                self.copies += u64::try_from(recipients.len()).unwrap_or(u64::MAX);
            }
            Fate::Discarded => self.discarded += 1,
            Fate::Withheld(reason) => *self.withheld.entry(reason.as_str()).or_default() += 1,
            // Counted by the pipeline, fragments that ran out of time among them.
            Fate::Dropped(_) => {}
        }
    }

    fn text(&self) -> String {
        let dropped: u64 = self.dropped.values().sum();
        let Self { frames, datagrams, other_packets, delivered, copies, discarded, .. } = self;
        let mut text = String::new();
        let segments = match self.segments {
            0 => String::new(),
            segments => {
                format!("{} of senders of sessions, ", counted(segments, "packet", "packets"))
            }
        };
        writeln!(
            text,
            "{}, {}, {segments}{} of other services",
            counted(*frames, "frame", "frames"),
            counted(*datagrams, "mailslot datagram", "mailslot datagrams"),
            counted(*other_packets, "packet", "packets")
        )
        .ok();
        let (messages, copies) =
            (counted(*delivered, "message", "messages"), counted(*copies, "copy", "copies"));
        writeln!(text, "{messages} would be delivered in {copies}, {discarded} discarded").ok();
        for (rule, count) in &self.rules {
            writeln!(text, "  {count:>8}  {rule}").ok();
        }
        let withheld: u64 = self.withheld.values().sum();
        if withheld > 0 {
            writeln!(text, "{} not taken", counted(withheld, "message", "messages")).ok();
        }
        for (reason, count) in &self.withheld {
            writeln!(text, "  {count:>8}  {reason}").ok();
        }
        if dropped > 0 {
            writeln!(text, "{} dropped", counted(dropped, "datagram", "datagrams")).ok();
        }
        for (reason, count) in &self.dropped {
            writeln!(text, "  {count:>8}  {reason}").ok();
        }
        for line in skipped_lines(self.skipped) {
            writeln!(text, "{line}").ok();
        }
        text
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "frames": self.frames, "datagrams": self.datagrams, "session_packets": self.segments, "other_packets": self.other_packets,
            "delivered": self.delivered, "copies": self.copies, "discarded": self.discarded,
            "rules": self.rules, "withheld": self.withheld, "dropped": self.dropped, "skipped": self.skipped,
        })
    }
}
