//! `mailslotd explain`: what the configuration makes of a message, and why.

mod notice;
mod relay;

use super::Global;
use super::exit::Exit;

/// Says what the configuration makes of a message, and why
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// A legacy message: which rule decides, and why not the others
    Notice(notice::Args),
    /// Mail: whether a client may send it (exit code 0 or 1), and by what
    Relay(relay::Args),
}

/// Runs the command.
#[must_use]
pub fn run(args: &Args, global: &Global) -> Exit {
    match &args.what {
        What::Notice(args) => notice::run(args, global),
        What::Relay(args) => relay::run(args, global),
    }
}
