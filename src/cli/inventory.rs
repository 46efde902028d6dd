//! `mailslotd inventory`: who still depends on the gateway.
//!
//! Asks the running gateway over its control socket; where none runs, reads the file that the last one left.

mod table;

use clap::Args as ClapArgs;

use self::table::Judged;
use super::exit::Exit;
use super::load::{self, Reading};
use super::output::{answer, answer_json, note};
use super::{Global, runtime};
use crate::admin::client::{Client, ClientError};
use crate::config::settings::Settings;
use crate::inventory::{self, InventoryError, SmtpClient};

/// Shows who still depends on the gateway, and why.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// The SMTP clients: which of them could send to the provider directly, and why not the others
    #[arg(long)]
    smtp: bool,
    /// How it is printed; `--json` is the same as `--format json`
    #[arg(long, value_enum, default_value_t = Format::Table, value_name = "FORM")]
    format: Format,
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
    if !args.smtp {
        note(
            "mailslotd: the inventory knows SMTP clients so far: `mailslotd inventory --smtp`; hosts of the legacy \
             protocols, captures, comparisons and HTML are not there yet",
        );
        return Exit::Usage;
    }
    let settings = match load::load_or_tell(global, Reading::WithoutSecrets) {
        Ok(loaded) => loaded.checked.settings,
        Err(exit) => return exit,
    };
    let format = if global.json { Format::Json } else { args.format };
    runtime(async {
        match smtp_clients(&settings).await {
            Ok(clients) => {
                print(&clients, format);
                Exit::Done
            }
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

async fn smtp_clients(settings: &Settings) -> Result<Vec<SmtpClient>, Failure> {
    match Client::connect(&settings.state_dir).await {
        Ok(client) => Ok(client.get("/api/v1/inventory/smtp").await?),
        Err(ClientError::NotRunning { .. }) => {
            let contents = inventory::read(&settings.state_dir.join(inventory::DATABASE))?;
            Ok(contents.unwrap_or_default().smtp_clients)
        }
        Err(error) => Err(error.into()),
    }
}

fn print(clients: &[SmtpClient], format: Format) {
    let judged: Vec<Judged<'_>> = clients.iter().map(Judged::of).collect();
    match format {
        Format::Table if judged.is_empty() => answer("No SMTP client has been seen."),
        Format::Table => table::rows(&judged).into_iter().for_each(answer),
        Format::Csv => table::csv(&judged).into_iter().for_each(|line| answer(format_args!("{line}\r"))),
        Format::Json => answer_json(&judged),
    }
}
