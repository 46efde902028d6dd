//! `mailslotd reload`: the running gateway reads its configuration again.

use clap::Args as ClapArgs;

use super::exit::Exit;
use super::load::{self, Reading};
use super::output::{answer, answer_json, note};
use super::{Global, runtime};
use crate::admin::client::{Client, ClientError};
use crate::admin::reload::Reloaded;

/// Has the running gateway read its configuration again: rules, code pages, rates, the switch, who may relay, and the tar
/// pit are in force at once; what needs a restart is refused by name, and a configuration with problems changes nothing.
#[derive(Debug, ClapArgs)]
pub struct Args {}

/// Carries out `reload`.
#[must_use]
pub fn run(_: &Args, global: &Global) -> Exit {
    // What is wrong with it is told here, with line and fix, before the gateway is asked.
    let settings = match load::load_or_tell(global, Reading::WithoutSecrets) {
        Ok(loaded) => loaded.checked.settings,
        Err(exit) => return exit,
    };
    runtime(async {
        let asked = async {
            let client = Client::connect(&settings.state_dir).await?;
            client.post::<Reloaded>("/api/v1/reload", &()).await
        };
        match asked.await {
            Ok(reloaded) if global.json => answer_json(&reloaded),
            Ok(_) if global.quiet => {}
            Ok(Reloaded { changed }) if changed.is_empty() => answer("nothing has changed"),
            Ok(Reloaded { changed }) => answer(format_args!("in force now: {}", changed.join(", "))),
            Err(error) => {
                note(format_args!("mailslotd: {error}"));
                return match error {
                    ClientError::BadRequest(_) => Exit::Config,
                    ClientError::NotFound(_) => Exit::No,
                    ClientError::NotNow(_) => Exit::TryLater,
                    ClientError::NotRunning { .. }
                    | ClientError::Forbidden { .. }
                    | ClientError::Broken { .. } => Exit::Unavailable,
                };
            }
        }
        Exit::Done
    })
}
