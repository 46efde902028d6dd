//! RFC 5321 grammar, the codes of RFC 3463, and content framing.

pub mod command;
pub mod command_line;
pub mod content;
pub mod data;
pub mod dsn;
pub mod extensions;
pub mod mechanism;
pub mod path;
pub mod quirk;
pub mod reply;
pub mod status;
pub mod tolerance;
pub mod xtext;
