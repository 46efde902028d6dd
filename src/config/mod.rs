//! YAML text → [`settings::Settings`], or every [`problem::Problem`] in it at once.

pub mod check;
pub mod problem;
pub mod raw;
pub mod settings;
