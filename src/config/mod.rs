//! YAML text → [`settings::Settings`], or every [`problem::Problem`] in it at once.

pub mod check;
mod document;
mod merge;
pub mod problem;
mod raw;
pub mod settings;
pub mod show;
pub mod users;
