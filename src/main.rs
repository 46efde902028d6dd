//! The `mailslotd` command; everything is in the library.

fn main() {}
