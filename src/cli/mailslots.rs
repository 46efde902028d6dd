//! `mailslotd mailslots …`: whether mailslot messages pass, as `EnableMailslots` of `Set-SmbServerConfiguration` and
//! `Set-SmbClientConfiguration` says it for Windows.
//!
//! Asks the running gateway over its control socket; where none runs, works on its file under the lock of the spool.

mod access;
mod words;

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::time::Duration;

use clap::{Args as ClapArgs, Subcommand};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use self::access::Access;
use super::exit::Exit;
use super::load::{self, Reading};
use super::output::{answer, answer_json, note};
use super::{Global, runtime, user_name};
use crate::config::parse_duration;
use crate::policy::mailslot_switch::Direction;
use crate::switch::{Action, Order};

/// Shows and changes whether mailslot messages pass at all.
#[derive(Debug, ClapArgs)]
pub struct Args {
    #[command(subcommand)]
    action: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show whether messages pass, what the configuration says, and who ordered otherwise
    Status,
    /// Let messages pass, whatever the configuration says
    Enable(Change),
    /// Let no messages pass, whatever the configuration says; those that are heard are counted
    Disable(Change),
    /// Let the configuration decide again
    Reset {
        #[command(flatten)]
        which: Which,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, ClapArgs)]
struct Change {
    #[command(flatten)]
    which: Which,
    /// For so long, for example 7d; then the configuration decides again. Else until `reset`, or until the
    /// configuration changes
    #[arg(long = "for", value_name = "TIME", value_parser = parse_some_time)]
    duration: Option<Duration>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// Which messages; both where none is named.
#[derive(Debug, Clone, Copy, ClapArgs)]
struct Which {
    /// Messages that are heard
    #[arg(long)]
    inbound: bool,
    /// Messages that are sent
    #[arg(long)]
    outbound: bool,
}

impl Which {
    fn directions(self) -> Vec<Direction> {
        match (self.inbound, self.outbound) {
            (true, false) => vec![Direction::Inbound],
            (false, true) => vec![Direction::Outbound],
            (true, true) | (false, false) => Direction::ALL.to_vec(),
        }
    }
}

fn parse_some_time(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        Duration::ZERO => Err("no time at all; write for example 7d".to_owned()),
        duration => Ok(duration),
    }
}

/// Carries out `mailslots …`.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "orders are given now, and ages are shown against now")]
pub fn run(args: Args, global: &Global) -> Exit {
    let settings = match load::load_or_tell(global, Reading::WithoutSecrets) {
        Ok(loaded) => loaded.checked.settings,
        Err(exit) => return exit,
    };
    let now = Timestamp::now();
    let asked = asked(args.action, now);
    runtime(async {
        let done = async {
            let access = Access::open(&settings).await?;
            let Some((order, asking)) = asked else { return access.status(now).await.map(Some) };
            let before = access.status(now).await?;
            if asking == Asking::First && !confirm(&words::question(&order, &before))? {
                return Ok(None);
            }
            access.order(&order, now).await.map(Some)
        };
        match done.await {
            Ok(Some(status)) if global.json => answer_json(&status),
            Ok(Some(status)) => words::status(&status, &settings.timezone, now).into_iter().for_each(answer),
            Ok(None) => {
                note("nothing was changed");
                return Exit::No;
            }
            Err(failure) => {
                note(format_args!("mailslotd: {failure}"));
                return failure.exit();
            }
        }
        Exit::Done
    })
}

/// Whether the operator is asked before something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asking {
    First,
    Never,
}

/// The order that a verb is; none for `status`.
fn asked(verb: Verb, now: Timestamp) -> Option<(Order, Asking)> {
    let until = |duration: Option<Duration>| duration.and_then(|duration| now.checked_add(duration).ok());
    let (which, action, yes) = match verb {
        Verb::Status => return None,
        Verb::Enable(Change { which, duration, yes }) => {
            (which, Action::Enable { until: until(duration) }, yes)
        }
        Verb::Disable(Change { which, duration, yes }) => {
            (which, Action::Disable { until: until(duration) }, yes)
        }
        Verb::Reset { which, yes } => (which, Action::Reset, yes),
    };
    let asking = if yes { Asking::Never } else { Asking::First };
    Some((Order { directions: which.directions(), action, by: user_name() }, asking))
}

/// Asks on the terminal; nothing but a yes is one.
fn confirm(question: &str) -> Result<bool, access::Failure> {
    if !io::stdin().is_terminal() {
        return Err(access::Failure::NoTerminal);
    }
    let mut terminal = io::stderr().lock();
    write!(terminal, "{question} [y/N] ").and_then(|()| terminal.flush())?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    Ok(matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// A moment for people, in the zone of the configuration.
fn shown(at: Timestamp, timezone: &TimeZone) -> String {
    at.to_zoned(timezone.clone()).strftime("%Y-%m-%d %H:%M %Z").to_string()
}
