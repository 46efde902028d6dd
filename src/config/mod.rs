//! YAML text → [`settings::Settings`], or every [`problem::Problem`] in it at once.

pub mod check;
pub mod difference;
mod document;
mod merge;
mod presets;
pub mod problem;
mod raw;
pub mod settings;
pub mod show;
pub mod users;

use std::time::Duration;

/// A duration as the configuration has it, for options of commands: `30s`, `7d`.
///
/// # Errors
/// What is wrong with it and how to write it, for the operator.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    raw::duration(text).map_err(|(cause, fix)| format!("{cause}; {fix}"))
}
