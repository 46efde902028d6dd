//! The product's nouns: what was heard, what is sent, and to whom.

pub mod compose;
pub mod downgrade;
pub mod dsn;
pub mod event;
pub mod host;
pub mod id;
pub mod intake;
pub mod mail;
pub mod mail_text;
pub mod net_send;
pub mod notice;
pub mod own_envelope;
pub mod recipient;
pub mod rewrite;
pub mod session_message;
pub mod trace;
