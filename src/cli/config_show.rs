//! `mailslotd config show`: what is in effect.

use super::Global;
use super::exit::Exit;
use super::load::{Reading, load_or_tell};
use super::output::{answer, note};
use crate::config::show::show;

/// Looks at the configuration
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Prints what is in effect: defaults and all files merged, secrets hidden
    Show,
}

/// Runs the command.
#[must_use]
pub fn run(args: &Args, global: &Global) -> Exit {
    let What::Show = args.what;
    let loaded = match load_or_tell(global, Reading::WithoutSecrets) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let shown = show(&loaded.checked.settings, &loaded.checked.secrets);
    let text = if global.json {
        serde_json::to_string_pretty(&shown).map_err(|error| error.to_string())
    } else {
        serde_yaml::to_string(&shown).map_err(|error| error.to_string())
    };
    match text {
        Ok(text) => {
            if !global.json {
                if loaded.files.is_empty() {
                    answer("# built in; no file was found");
                }
                loaded.files.iter().for_each(|file| answer(format_args!("# from {}", file.display())));
            }
            answer(text.trim_end());
            Exit::Done
        }
        Err(error) => {
            note(format_args!("the configuration cannot be written down: {error}"));
            Exit::BadInput
        }
    }
}
