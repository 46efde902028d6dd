//! What a command prints: answers to stdout, words about the work to stderr.

use std::io::{self, Write as _};

use serde::Serialize;

/// Prints a line of the answer. A reader that went away (`| head`) ends the program quietly.
pub fn answer(line: impl std::fmt::Display) {
    if writeln!(io::stdout().lock(), "{line}").is_err() {
        std::process::exit(0);
    }
}

/// Prints the answer as JSON.
pub fn answer_json(value: &impl Serialize) {
    match serde_json::to_string_pretty(value) {
        Ok(text) => answer(text),
        Err(error) => note(format_args!("cannot write JSON: {error}")),
    }
}

/// Prints a line about the work. Nobody is left to tell when stderr is closed.
pub fn note(line: impl std::fmt::Display) {
    writeln!(io::stderr().lock(), "{line}").ok();
}
