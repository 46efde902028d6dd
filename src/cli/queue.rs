//! `mailslotd queue …`: what waits in the spool, and what to do with it.
//!
//! Asks the running gateway over its control socket; where none runs, works on the spool itself under its lock.

mod access;
mod table;

use std::fs::OpenOptions;
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::{Args as ClapArgs, Subcommand};

use self::access::{Access, Failure};
use super::exit::Exit;
use super::load::{self, Reading};
use super::output::{answer, answer_json, note};
use super::{Global, runtime};
use crate::admin::api::ListQuery;
use crate::message::id::{DestinationName, QueueId};
use crate::policy::spelling::counted;
use crate::spool::{Filter, Pause, SpoolState};

/// Shows and changes the queue.
#[derive(Debug, ClapArgs)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List what waits, what is held, and what failed
    List {
        /// Only what goes to this destination
        #[arg(long, value_name = "NAME")]
        destination: Option<DestinationName>,
        /// Only what is queued, held, failed or corrupt
        #[arg(long, value_parser = parse_state)]
        state: Option<SpoolState>,
        /// At most so many lines; the oldest first
        #[arg(long, default_value = "100", value_name = "N")]
        limit: NonZeroUsize,
    },
    /// Show one message: its content, and what each attempt met
    Show {
        /// As `queue list` prints it
        id: QueueId,
    },
    /// Try again now, failed messages included
    #[command(group = clap::ArgGroup::new("which").required(true))]
    Retry {
        /// As `queue list` prints it
        #[arg(group = "which")]
        id: Option<QueueId>,
        /// Everything that is delayed or failed
        #[arg(long, group = "which")]
        all: bool,
    },
    /// Keep a message back; it does not expire meanwhile
    Hold {
        /// As `queue list` prints it
        id: QueueId,
    },
    /// Let a held message go
    Release {
        /// As `queue list` prints it
        id: QueueId,
    },
    /// Remove a message for good
    Delete {
        /// As `queue list` prints it
        id: QueueId,
    },
    /// Stop deliveries to a destination; messages for it are still accepted
    Pause {
        /// Its name in the configuration
        destination: DestinationName,
    },
    /// Start deliveries to a destination again
    Resume {
        /// Its name in the configuration
        destination: DestinationName,
    },
    /// Write every message of the queue to a file, one JSON object a line; the queue stays as it is
    Export {
        /// A new file; only its owner may read it
        file: PathBuf,
    },
}

fn parse_state(text: &str) -> Result<SpoolState, String> {
    SpoolState::ALL
        .into_iter()
        .find(|state| state.as_str() == text)
        .ok_or_else(|| "it is one of queued, held, failed, corrupt".to_owned())
}

/// Carries out `queue …`.
#[must_use]
pub fn run(args: Args, global: &Global) -> Exit {
    let loaded = match load::load_or_tell(global, Reading::WithoutSecrets) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let settings = loaded.checked.settings;
    runtime(async {
        let access = match Access::open(&settings).await {
            Ok(access) => access,
            Err(failure) => return failed(&failure),
        };
        let outcome = act(&access, args.action, global).await;
        access.close().await;
        outcome.unwrap_or_else(|failure| failed(&failure))
    })
}

async fn act(access: &Access, action: Action, global: &Global) -> Result<Exit, Failure> {
    match action {
        Action::List { destination, state, limit } => {
            let query = ListQuery { destination, state, limit: Some(limit.get()), ..ListQuery::default() };
            list(access, query, global).await
        }
        Action::Show { id } => show(access, id, global).await,
        Action::Retry { id: Some(id), .. } => match access.retry(id).await? {
            0 if !global.json => {
                answer(format_args!("{id} was due already; its destination is tried now"));
                Ok(Exit::Done)
            }
            copies => acted(copies, "due now", global),
        },
        Action::Retry { id: None, .. } => {
            let exit = acted(access.retry_all().await?, "made due", global);
            note("What was due already is tried now, too, while the gateway runs.");
            exit
        }
        Action::Hold { id } => acted(access.hold(id).await?, "held", global),
        Action::Release { id } => acted(access.release(id).await?, "released", global),
        Action::Delete { id } => acted(access.delete(id).await?, "deleted", global),
        Action::Pause { destination } => {
            let before = access.pause(&destination).await?;
            said_of(
                &destination,
                before.as_ref(),
                "paused; messages for it wait",
                "was already paused",
                global,
            )
        }
        Action::Resume { destination } => {
            let before = access.resume(&destination).await?;
            said_of(&destination, before.as_ref(), "was not paused", "delivers again; it was paused", global)
        }
        Action::Export { file } => export(access, &file).await,
    }
}

async fn list(access: &Access, mut query: ListQuery, global: &Global) -> Result<Exit, Failure> {
    let filtered = query.destination.is_some() || query.state.is_some();
    let mut wanted = query.limit.unwrap_or(Filter::PAGE);
    let mut copies = Vec::new();
    while wanted > 0 {
        query.limit = Some(wanted.min(Filter::PAGE));
        let page = access.list(&query).await?;
        let Some(last) = page.last() else { break };
        (query.after, query.after_number) = (Some(last.id), last.number.0);
        wanted = wanted.saturating_sub(page.len());
        copies.extend(page);
    }
    let unseen = access.unseen().await?;
    if global.json {
        answer_json(&copies);
    } else if !copies.is_empty() {
        table::list(&copies, &access.troubles().await?);
    } else if unseen.is_none() {
        answer(if filtered { "Nothing in the queue matches." } else { "The queue is empty." });
    }
    // It is no part of the list, and says that there is more.
    match unseen {
        Some(unseen) => {
            note(unseen);
            Ok(Exit::TryLater)
        }
        None => Ok(Exit::Done),
    }
}

async fn show(access: &Access, id: QueueId, global: &Global) -> Result<Exit, Failure> {
    let Some(shown) = access.show(id).await? else {
        note(format_args!("{id} is not in the queue: it was delivered or deleted"));
        return Ok(Exit::No);
    };
    if global.json {
        answer_json(&shown);
    } else {
        table::show(&shown, &access.troubles().await?);
    }
    Ok(Exit::Done)
}

async fn export(access: &Access, file: &Path) -> Result<Exit, Failure> {
    let unwritable = |source| Failure::Export { path: file.to_owned(), source };
    let mut output =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).map_err(unwritable)?;
    let mut query = ListQuery::default();
    let (mut messages, mut last) = (0_u64, None);
    loop {
        let page = access.list(&query).await?;
        let Some(end) = page.last() else { break };
        (query.after, query.after_number) = (Some(end.id), end.number.0);
        for copy in page {
            if last == Some(copy.id) {
                continue;
            }
            last = Some(copy.id);
            if let Some(shown) = access.show(copy.id).await? {
                let line = serde_json::to_string(&shown).map_err(|error| unwritable(error.into()))?;
                writeln!(output, "{line}").map_err(unwritable)?;
                messages += 1;
            }
        }
    }
    output.sync_all().map_err(unwritable)?;
    note(format_args!("{} written to {}", counted(messages, "message", "messages"), file.display()));
    Ok(Exit::Done)
}

fn acted(copies: u64, word: &str, global: &Global) -> Result<Exit, Failure> {
    if global.json {
        answer_json(&crate::admin::api::Acted { copies });
    } else if !global.quiet {
        answer(format_args!("{} {word}", counted(copies, "copy", "copies")));
    }
    Ok(Exit::Done)
}

fn said_of(
    destination: &DestinationName,
    before: Option<&Pause>,
    fresh: &str,
    already: &str,
    global: &Global,
) -> Result<Exit, Failure> {
    if global.json {
        answer_json(&before);
    } else if !global.quiet {
        match before {
            None => answer(format_args!("{destination} {fresh}")),
            Some(pause) => answer(format_args!(
                "{destination} {already} since {} by {}",
                pause.since,
                pause.by.escape_debug()
            )),
        }
    }
    Ok(Exit::Done)
}

fn failed(failure: &Failure) -> Exit {
    note(format_args!("mailslotd: {failure}"));
    failure.exit()
}
