//! The commands: arguments in, text and an exit code out. `command-line` conventions are sysexits'.

pub mod check;
pub mod config_show;
pub mod describe;
pub mod exit;
pub mod explain;
pub mod load;
pub mod output;
pub mod replay;
pub mod send;

use std::path::PathBuf;

/// Options that every command takes.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Global {
    /// The configuration file; else $MAILSLOTD_CONFIG, else /etc/mailslotd/mailslotd.yaml, else built-in defaults
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print data as JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// Say more; twice for everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Say only what went wrong
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
}
