//! `mailslotd inventory`: who still depends on the legacy protocols and on the gateway.
//!
//! Asks the running gateway over its control socket; where none runs, reads the file that the last one left. Captures tell
//! without either.

mod captured;
mod difference;
mod form;
mod hosts;
mod html;
mod names;
mod table;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Subcommand};
use jiff::Timestamp;
use serde::Serialize;

use self::captured::Captured;
use self::hosts::Assessed;
use self::table::Judged;
use super::exit::Exit;
use super::load::{self, Reading};
use super::output::{answer, answer_json, note};
use super::{Global, runtime};
use crate::admin::client::{Client, ClientError};
use crate::config::settings::Settings;
use crate::inventory::{self, AskedName, InventoryError, SmtpClient, Snapshot};

/// Shows who still depends on the legacy protocols: which hosts send what to whom, what would break if it were switched off
/// today, and what to ask the vendor.
#[derive(Debug, ClapArgs)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    /// The SMTP clients: which of them could send to the provider directly, and why not the others
    #[arg(long, conflicts_with_all = ["unanswered", "quiet_for", "files"])]
    smtp: bool,
    /// The names to claim: messenger names that are asked for by broadcast and that nobody answers for
    #[arg(long, conflicts_with = "quiet_for")]
    unanswered: bool,
    /// Only hosts that sent something once, and nothing for so many days
    #[arg(long, value_name = "30d", value_parser = parse_days)]
    quiet_for: Option<Duration>,
    /// How it is printed; `--json` is the same as `--format json`
    #[arg(long, value_enum, default_value_t = Format::Table, value_name = "FORM")]
    format: Format,
    /// pcap or pcapng files, in the order in which they were recorded; else the gateway, or the file it left
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// What else can be done with inventories.
#[derive(Debug, Subcommand)]
enum Action {
    /// Show what has changed between two exports or databases
    Diff(difference::Args),
}

/// How an inventory is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Columns for people
    Table,
    /// Comma-separated values (RFC 4180) for spreadsheets
    Csv,
    /// Everything that is known
    Json,
    /// A report that stands alone, for people who decide
    Html,
}

/// What `diff` reads again: a [`Snapshot`], with what follows from it beside each host.
#[derive(Debug, Serialize)]
struct Export<'a> {
    taken_at: Timestamp,
    hosts: &'a [Assessed<'a>],
    asked_names: &'a [AskedName],
}

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    File(#[from] InventoryError),
}

/// Carries out `inventory …`.
#[must_use]
pub fn run(args: &Args, global: &Global) -> Exit {
    if let Some(Action::Diff(args)) = &args.action {
        return difference::run(args, global);
    }
    let format = if global.json { Format::Json } else { args.format };
    if format == Format::Html && (args.smtp || args.unanswered) {
        note(
            "mailslotd: the HTML report is about hosts, names to claim included: `mailslotd inventory --format html`",
        );
        return Exit::Usage;
    }
    let settings = match load::load_or_tell(global, Reading::WithoutSecrets) {
        Ok(loaded) => loaded.checked.settings,
        Err(exit) => return exit,
    };
    if !args.files.is_empty() {
        return captures(args, &settings, format);
    }
    runtime(async {
        let shown = if args.smtp {
            smtp_clients(&settings).await.map(|clients| print_clients(&clients, format))
        } else {
            snapshot(&settings).await.map(|snapshot| print(snapshot, &settings, args, format))
        };
        match shown {
            Ok(()) => Exit::Done,
            Err(failure) => {
                note(format_args!("mailslotd: {failure}"));
                match failure {
                    Failure::Client(ClientError::NotNow(_)) => Exit::TryLater,
                    Failure::Client(_) | Failure::File(_) => Exit::Unavailable,
                }
            }
        }
    })
}

fn captures(args: &Args, settings: &Settings, format: Format) -> Exit {
    let mut captured = Captured::new(settings.decoding.clone());
    let mut exit = Exit::Done;
    for file in &args.files {
        if let Err(error) = captured.file(file) {
            note(format_args!("{}: {error}", file.display()));
            exit = Exit::BadInput;
        }
    }
    print(captured.finish(), settings, args, format);
    exit
}

async fn smtp_clients(settings: &Settings) -> Result<Vec<SmtpClient>, Failure> {
    match Client::connect(&settings.state_dir).await {
        Ok(client) => Ok(client.get("/api/v1/inventory/smtp").await?),
        Err(ClientError::NotRunning { .. }) => Ok(contents(settings)?.smtp_clients),
        Err(error) => Err(error.into()),
    }
}

async fn snapshot(settings: &Settings) -> Result<Snapshot, Failure> {
    match Client::connect(&settings.state_dir).await {
        Ok(client) => Ok(client.get("/api/v1/inventory/hosts").await?),
        Err(ClientError::NotRunning { .. }) => {
            let mut snapshot = Snapshot::of_contents(contents(settings)?);
            snapshot.taken_at = now();
            Ok(snapshot)
        }
        Err(error) => Err(error.into()),
    }
}

fn contents(settings: &Settings) -> Result<inventory::Contents, InventoryError> {
    Ok(inventory::read(&settings.state_dir.join(inventory::DATABASE))?.unwrap_or_default())
}

fn print(mut snapshot: Snapshot, settings: &Settings, args: &Args, format: Format) {
    if let Some(span) = args.quiet_for {
        let now = snapshot.taken_at;
        snapshot.hosts.retain(|host| host.is_quiet_for(span, now));
    }
    let claimed = names::claimed(settings);
    if args.unanswered {
        return print_names(&snapshot, &claimed, format);
    }
    let assessed = hosts::assess(&snapshot);
    match format {
        Format::Table if assessed.is_empty() && args.quiet_for.is_some() => {
            answer("No host that sent something has been quiet for so long.");
        }
        Format::Table if assessed.is_empty() => answer("No host of the legacy protocols has been heard."),
        Format::Table => hosts::rows(&assessed).into_iter().for_each(answer),
        Format::Csv => print_csv(hosts::csv(&assessed)),
        Format::Json => answer_json(&Export {
            taken_at: snapshot.taken_at,
            hosts: &assessed,
            asked_names: &snapshot.asked_names,
        }),
        Format::Html => answer(html::report(&assessed, &snapshot, &claimed).trim_end()),
    }
}

fn print_names(snapshot: &Snapshot, claimed: &[String], format: Format) {
    let unanswered = names::unanswered(snapshot, claimed);
    match format {
        Format::Table if unanswered.is_empty() => {
            answer("No question for a messenger name was heard that stayed unanswered.");
            names::MEANING.iter().skip(2).for_each(answer);
        }
        Format::Table | Format::Html => names::rows(&unanswered, snapshot).into_iter().for_each(answer),
        Format::Csv => print_csv(names::csv(&unanswered, snapshot)),
        Format::Json => answer_json(&unanswered),
    }
}

fn print_clients(clients: &[SmtpClient], format: Format) {
    let judged: Vec<Judged<'_>> = clients.iter().map(Judged::of).collect();
    match format {
        Format::Table | Format::Html if judged.is_empty() => answer("No SMTP client has been seen."),
        Format::Table | Format::Html => table::rows(&judged).into_iter().for_each(answer),
        Format::Csv => print_csv(table::csv(&judged)),
        Format::Json => answer_json(&judged),
    }
}

fn print_csv(lines: Vec<String>) {
    lines.into_iter().for_each(|line| answer(format_args!("{line}\r")));
}

fn parse_days(text: &str) -> Result<Duration, String> {
    let days = text.strip_suffix('d').and_then(|number| number.parse::<u32>().ok());
    let seconds = days.map(|days| u64::from(days) * 24 * 60 * 60);
    seconds.map(Duration::from_secs).ok_or_else(|| "write a number of days, for example 30d".to_owned())
}

#[expect(clippy::disallowed_methods, reason = "what is quiet is so as of now")]
fn now() -> Timestamp {
    Timestamp::now()
}
