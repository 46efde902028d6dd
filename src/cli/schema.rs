//! `mailslotd schema`: forms of what programs read from the gateway.

use super::exit::Exit;
use super::output::{answer, note};
use crate::message::event;

/// Prints the form of what programs read
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Events in queues and webhooks: a JSON Schema (draft 2020-12) of CloudEvents in structured mode
    Event,
}

/// Runs the command.
#[must_use]
pub fn run(args: &Args) -> Exit {
    let What::Event = args.what;
    match serde_json::to_string_pretty(&event::schema()) {
        Ok(text) => {
            answer(text);
            Exit::Done
        }
        Err(error) => {
            note(format_args!("the schema cannot be written down: {error}"));
            Exit::BadInput
        }
    }
}
