//! `mailslotd check`: every problem of the configuration, with its line, cause and fix.

mod recipients;

use super::exit::Exit;
use super::load::{LoadError, Loaded, Reading, load};
use super::output::{answer, note};
use super::{Global, awaited};
use crate::config::problem::Problems;
use crate::policy::spelling::counted;

/// Checks the configuration: every problem, its line, its cause and how to mend it
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Do not read password and authority files, and ask no directory and no next hop for recipients
    #[arg(long)]
    offline: bool,
}

/// Runs the command: done when there are no problems (warnings may be), else a fault of the configuration.
#[must_use]
pub fn run(args: &Args, global: &Global) -> Exit {
    let reading = if args.offline { Reading::WithoutSecrets } else { Reading::Everything };
    let (found, summary, exit) = match load(global, reading) {
        Ok(Loaded { mut checked, files }) => {
            let mut found = std::mem::take(&mut checked.warnings);
            if reading == Reading::Everything {
                match awaited(recipients::examined(&checked, global)) {
                    Ok(more) => found.append(more),
                    Err(exit) => return exit,
                }
            }
            let what = match &*files {
                [] => "no file: the built-in configuration".to_owned(),
                [main] => main.display().to_string(),
                [main, others @ ..] => format!("{} and {} of conf.d", main.display(), others.len()),
            };
            let settings = &checked.settings;
            let rules = some(settings.rules.rules().len(), "rule", "rules");
            let destinations = some(settings.destinations.len(), "destination", "destinations");
            let listeners = match settings.smtp.listeners.len() {
                0 => String::new(),
                count => format!(", {}", some(count, "SMTP listener", "SMTP listeners")),
            };
            let spool = settings.spool_group.as_ref().map(|group| {
                let servers = some(group.replicas, "server", "servers");
                format!(
                    ", spool shared on {servers} of `{}` (safe in a power cut only with `sync_interval: always` there)",
                    group.via
                )
            });
            let spool = spool.unwrap_or_default();
            let summary = format!("{what}: no problems; {rules}, {destinations}{listeners}{spool}");
            if found.problems.is_empty() {
                (found, Some(summary), Exit::Done)
            } else {
                (found, None, Exit::Config)
            }
        }
        Err(LoadError::Problems(problems)) => (problems, None, Exit::Config),
        Err(error @ LoadError::Unreadable { .. }) => {
            note(error);
            return Exit::Config;
        }
    };
    if global.json {
        answer(serde_json::to_string_pretty(&found).unwrap_or_default());
        return exit;
    }
    if found != Problems::default() {
        answer(&found);
    }
    if let Some(summary) = summary.filter(|_| !global.quiet) {
        answer(summary);
    }
    exit
}

fn some(count: usize, one: &str, many: &str) -> String {
    counted(u64::try_from(count).unwrap_or(u64::MAX), one, many)
}
