//! The `mailslotd` command; everything is in the library.

use mailslotd::cli;

fn main() -> cli::exit::Exit {
    cli::run()
}
