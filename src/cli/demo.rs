//! `mailslotd demo`: the whole job on loopback, unprivileged: datagrams in, mail out.

mod samples;

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::signal::unix::{SignalKind, signal};

use self::samples::{SAMPLES, Sample};
use super::Global;
use super::exit::Exit;
use super::output::{answer, note};
use crate::app::Gateway;
use crate::config::check::{Secrets, Source, Surroundings, check};
use crate::config::problem::Problems;
use crate::config::settings::Settings;
use crate::listen::judge::{Hearing, Judge, Shared};
use crate::listen::pipeline::{Pipeline, Verdict};
use crate::message::notice::{Arrival, Listener};
use crate::policy::mapping::Action;
use crate::policy::own_datagrams::OwnDatagrams;
use crate::telemetry::log;
use crate::telemetry::metrics::Metrics;

/// Starts a gateway on loopback in a scratch folder, sends it what real machines send, and shows what became of it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Go on running afterwards, until Ctrl-C
    #[arg(long)]
    keep: bool,
}

/// Carries out `demo`.
#[must_use]
pub fn run(args: Args, global: &Global) -> Exit {
    if global.verbose > 0 {
        log::init(log::Form::Human, log::Verbosity::of_count(global.verbose), global.color.into()).ok();
    }
    let scratch = match Scratch::new() {
        Ok(scratch) => scratch,
        Err(error) => {
            note(format_args!(
                "mailslotd: cannot make a scratch folder: {error}; set TMPDIR to one that is writable"
            ));
            return Exit::Unavailable;
        }
    };
    let settings = match settings(&scratch) {
        Ok(settings) => settings,
        Err(problems) => {
            note(&problems);
            return Exit::Config;
        }
    };
    super::runtime(async {
        let outcome = show(settings, &scratch, &args).await;
        match outcome {
            Ok(exit) => exit,
            Err(error) => {
                note(format_args!("mailslotd: {error}"));
                Exit::Unavailable
            }
        }
    })
}

fn settings(scratch: &Scratch) -> Result<Settings, Problems> {
    let inbox = scratch.path.join("inbox");
    let text = include_str!("demo/demo.yaml").replace("INBOX", &inbox.to_string_lossy());
    let surroundings = Surroundings {
        state_dir: scratch.path.clone(),
        timezone: TimeZone::system(),
        secrets: Secrets::Offline,
        routers: Vec::new(),
        interfaces: Vec::new(),
    };
    Ok(check(&[Source { file: "demo.yaml", text: &text }], &surroundings)?.settings)
}

/// Why the demo ended early.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Start(#[from] crate::app::StartError),
    #[error("cannot send on loopback: {0}")]
    Send(#[from] io::Error),
    #[error("the mail of {0} did not reach the inbox within {1:?}; run the demo with -v to see why")]
    NotDelivered(&'static str, Duration),
}

async fn show(mut settings: Settings, scratch: &Scratch, args: &Args) -> Result<Exit, Broken> {
    let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    (settings.datagram, settings.name_service, settings.admin) = (loopback(0), loopback(0), loopback(0));
    let hearing = Arc::new(Hearing::of(&settings));
    let gateway = Gateway::start(settings).await?;
    answer("A gateway on loopback, with rules of its own. What old machines send goes in as UDP datagrams:");
    let sender = UdpSocket::bind(loopback(0))?;
    let mut stage = Stage::new(hearing, sender.local_addr()?, gateway.datagram());
    let mut inbox = Inbox::new(scratch.path.join("inbox"));
    for (number, sample) in SAMPLES.iter().enumerate() {
        let Some(bytes) = bytes_of(sample) else { continue };
        answer(format_args!("\n{}. {} ({} bytes)", number + 1, sample.sender, bytes.len()));
        let told = stage.tell(&bytes);
        sender.send_to(&bytes, gateway.datagram())?;
        if told == Told::Delivered {
            let mail = inbox.next(sample.sender).await?;
            answer(format_args!("   mail   {}", mail.display()));
        }
    }
    inbox.print_last();
    if args.keep {
        print_addresses(&gateway, scratch);
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted?,
            _ = terminate.recv() => {}
        }
    } else {
        answer(
            "\nIts folder is removed now; `mailslotd demo --keep` goes on running and lets you look around.",
        );
    }
    gateway.shutdown(Duration::from_secs(5)).await;
    Ok(Exit::Done)
}

/// Says of each datagram what the gateway makes of it, through the same code.
struct Stage {
    pipeline: Pipeline,
    arrival: Arrival,
}

#[derive(Debug, PartialEq, Eq)]
enum Told {
    Delivered,
    Nothing,
}

impl Stage {
    fn new(hearing: Arc<Hearing>, source: SocketAddr, destination: SocketAddr) -> Self {
        let own = Arc::new(Mutex::new(OwnDatagrams::new()));
        let arrival = Arrival {
            at: now(),
            source,
            destination: Some(destination.ip()),
            interface: None,
            listener: Listener::Datagram,
        };
        let metrics = Arc::new(Metrics::new());
        let judge = Judge::new(hearing, Arc::new(Shared::default()), Arc::clone(&metrics));
        Self { pipeline: Pipeline::new(judge, own, metrics), arrival }
    }

    #[expect(clippy::disallowed_methods, reason = "the demonstration happens now")]
    fn tell(&mut self, bytes: &[u8]) -> Told {
        let verdict = self.pipeline.take_with(bytes, self.arrival, Instant::now(), |notice, rule| {
            let text: String = notice.first_line().chars().filter(|c| !c.is_control()).collect();
            answer(format_args!("   heard  {} from {} to {}", notice.mailslot, notice.originator, notice.to));
            if !text.is_empty() {
                answer(format_args!("   text   {text}"));
            }
            let decision = match rule.action() {
                Action::Deliver(deliveries) => {
                    deliveries.iter().map(|delivery| delivery.via.to_string()).collect::<Vec<_>>().join(", ")
                }
                Action::Discard(reason) => format!("nobody: discarded and counted as `{reason}`"),
            };
            answer(format_args!("   rule   `{}` delivers to {decision}", rule.name()));
        });
        match verdict {
            Verdict::Deliver(..) => return Told::Delivered,
            Verdict::Withheld(reason) => {
                answer(format_args!("   not taken, and counted as `{}`", reason.as_str()))
            }
            Verdict::Dropped(reason) => {
                answer(format_args!("   dropped, and counted as `{}`", reason.as_str()))
            }
            Verdict::Discard | Verdict::Incomplete => {}
        }
        Told::Nothing
    }
}

#[expect(clippy::disallowed_methods, reason = "the demonstration happens now")]
fn now() -> Timestamp {
    Timestamp::now()
}

/// The Maildir that the demo delivers into, and which of its mail was shown already.
struct Inbox {
    path: PathBuf,
    seen: Vec<PathBuf>,
}

impl Inbox {
    const PATIENCE: Duration = Duration::from_secs(10);

    const fn new(path: PathBuf) -> Self {
        Self { path, seen: Vec::new() }
    }

    /// Waits for the next mail. A Maildir tells nobody of its mail, so one looks, as mail programs do.
    async fn next(&mut self, sender: &'static str) -> Result<PathBuf, Broken> {
        let arrived = async {
            let mut look = tokio::time::interval(Duration::from_millis(5));
            loop {
                look.tick().await;
                if let Some(mail) = mails(&self.path).into_iter().find(|mail| !self.seen.contains(mail)) {
                    return mail;
                }
            }
        };
        let mail = tokio::time::timeout(Self::PATIENCE, arrived)
            .await
            .map_err(|_| Broken::NotDelivered(sender, Self::PATIENCE))?;
        self.seen.push(mail.clone());
        Ok(mail)
    }

    fn print_last(&self) {
        let Some(text) = self.seen.last().and_then(|mail| fs::read_to_string(mail).ok()) else { return };
        answer("\nThe last mail, as it lies in the inbox:\n");
        for line in text.lines() {
            answer(format_args!("   | {line}"));
        }
    }
}

fn mails(maildir: &Path) -> Vec<PathBuf> {
    let entries = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<PathBuf> =
        entries(maildir).flat_map(|folder| entries(&folder.join("new")).collect::<Vec<_>>()).collect();
    found.extend(entries(&maildir.join("new")));
    found
}

fn print_addresses(gateway: &Gateway, scratch: &Scratch) {
    let admin = gateway.admin();
    let program =
        std::env::current_exe().map_or_else(|_| "mailslotd".into(), |path| path.display().to_string());
    answer("\nIt goes on running; Ctrl-C ends it and removes its folder. Meanwhile look at");
    answer(format_args!("   metrics   http://{admin}/metrics"));
    answer(format_args!("   health    http://{admin}/healthz and http://{admin}/readyz"));
    answer(format_args!("   inbox     {}", scratch.path.join("inbox").display()));
    answer(format_args!("   send      {program} send --address {} ALERTS 'hello'", gateway.datagram()));
}

fn bytes_of(sample: &Sample) -> Option<Vec<u8>> {
    let (pairs, _) = sample.hex.as_bytes().as_chunks::<2>();
    let digit = |c: u8| char::from(c).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

/// A folder that goes away with the demo.
struct Scratch {
    path: PathBuf,
}

impl Scratch {
    fn new() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("mailslotd-demo-{}", std::process::id()));
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self { path })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            note(format_args!("could not remove {}: {error}", self.path.display()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_is_whole_hex() {
        for sample in SAMPLES {
            let bytes = bytes_of(sample).unwrap_or_else(|| panic!("{}", sample.sender));
            assert_eq!(bytes.len() * 2, sample.hex.len(), "{}", sample.sender);
        }
    }
}
