//! The commands: arguments in, text and an exit code out.

pub mod capture;
pub mod check;
pub mod config_show;
pub mod decode;
pub mod demo;
pub mod describe;
pub mod exit;
pub mod explain;
pub mod inventory;
pub mod load;
pub mod mailslots;
pub mod oauth;
pub mod output;
pub mod queue;
pub mod reload;
pub mod replay;
pub mod run;
pub mod schema;
pub mod send;
pub mod sendmail;
pub mod status;
mod table;
pub mod tarpit;
pub mod user;

use std::future::Future;
use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};

use self::exit::Exit;
use self::output::note;
use crate::telemetry::log::Colours;

/// Keeps machines heard that still speak through NetBIOS mailslots: hears `net send`, WinPopup and mailslot writes on
/// the LAN, and delivers them as mail.
#[derive(Debug, Parser)]
#[command(name = "mailslotd", version, max_term_width = 110, after_help = AFTER_HELP)]
struct CommandLine {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Begin with `mailslotd demo`, then `mailslotd run` without any configuration: it observes, sends nothing, and puts what \
it hears into an inbox.

Exit codes: 0 done, 1 no (not found, refused), 64 usage, 65 unreadable input, 69 cannot bind \
or reach, 75 try later, 78 configuration.";

/// Options that every command takes.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// The configuration file; else $MAILSLOTD_CONFIG, else /etc/mailslotd/mailslotd.yaml, else built-in defaults
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print data as JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// Colour the log
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub color: Color,
    /// Say more; twice for everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Say only what went wrong
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
}

/// When the log is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Color {
    /// Where it goes to a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl From<Color> for Colours {
    fn from(color: Color) -> Self {
        match color {
            Color::Auto => Self::Auto,
            Color::Always => Self::Always,
            Color::Never => Self::Never,
        }
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway in the foreground
    Run(run::Args),
    /// Show the whole job on loopback, unprivileged: datagrams in, mail out
    Demo(demo::Args),
    /// Check the configuration: every problem with line, cause and fix
    Check(check::Args),
    /// Show the configuration that is in effect
    Config(config_show::Args),
    /// Say which rule decides about a message, and why not the others
    Explain(explain::Args),
    /// Send a real mailslot message, as `net send` did
    Send(send::Args),
    /// Say what is in some bytes or in a capture
    Decode(decode::Args),
    /// Say what the rules would have done with captured traffic; sends nothing
    Replay(replay::Args),
    /// Test and set up logins by OAuth tokens: Microsoft 365, Google and others
    Oauth(oauth::Args),
    /// Show and change the queue
    Queue(queue::Args),
    /// Show and change the accounts of clients that authenticate
    User(user::Args),
    /// Take a message from standard input as sendmail(8) does, and drop it into the pickup directory
    Sendmail(sendmail::Args),
    /// Show and change whether mailslot messages pass at all
    Mailslots(mailslots::Args),
    /// Have the running gateway read its configuration again
    Reload(reload::Args),
    /// Show how the running gateway stands
    Status(status::Args),
    /// Show what the tar pit does to clients, and which networks are responsible
    Tarpit(tarpit::Args),
    /// Show who still depends on the legacy protocols and on the gateway: what they send, what would break if it were
    /// switched off today, what to ask the vendor
    Inventory(inventory::Args),
    /// Print the form of what programs read from the gateway
    Schema(schema::Args),
}

/// Reads the command line and does what it says.
#[must_use]
pub fn run() -> Exit {
    let mut words = std::env::args_os();
    if words.next().is_some_and(|program| Path::new(&program).ends_with("sendmail")) {
        return sendmail::run(&words.collect::<Vec<_>>(), &Global::default());
    }
    let line = match CommandLine::try_parse() {
        Ok(line) => line,
        Err(error) => {
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            // Nobody is left to tell when the terminal is gone.
            error.print().ok();
            return exit;
        }
    };
    let global = line.global;
    match line.command {
        Command::Run(args) => run::run(args, &global),
        Command::Demo(args) => demo::run(args, &global),
        Command::Check(args) => check::run(&args, &global),
        Command::Config(args) => config_show::run(&args, &global),
        Command::Explain(args) => explain::run(&args, &global),
        Command::Send(args) => send::run(args, &global),
        Command::Decode(args) => decode::run(args, &global),
        Command::Replay(args) => replay::run(&args, &global),
        Command::Oauth(args) => oauth::run(args, &global),
        Command::Queue(args) => queue::run(args, &global),
        Command::User(args) => user::run(args, &global),
        Command::Sendmail(args) => sendmail::run(&args.words, &global),
        Command::Mailslots(args) => mailslots::run(args, &global),
        Command::Reload(args) => reload::run(&args, &global),
        Command::Status(args) => status::run(&args, &global),
        Command::Tarpit(args) => tarpit::run(&args, &global),
        Command::Inventory(args) => inventory::run(&args, &global),
        Command::Schema(args) => schema::run(&args),
    }
}

/// Runs a command's tasks on this thread.
fn runtime(work: impl Future<Output = Exit>) -> Exit {
    awaited(work).unwrap_or_else(|exit| exit)
}

/// What a command's tasks come to, on this thread; or how the command ends that cannot run them.
fn awaited<T>(work: impl Future<Output = T>) -> Result<T, Exit> {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => Ok(runtime.block_on(work)),
        Err(error) => {
            note(format_args!("mailslotd: cannot start: {error}"));
            Err(Exit::TryLater)
        }
    }
}

/// Who gives a command, for people.
fn user_name() -> String {
    let uid = nix::unistd::getuid();
    let user = nix::unistd::User::from_uid(uid).ok().flatten();
    user.map_or_else(|| format!("uid {uid}"), |user| user.name)
}
