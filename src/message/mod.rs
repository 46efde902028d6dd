//! The product's nouns: what was heard, what is sent, and to whom.

pub mod compose;
pub mod id;
pub mod mail;
pub mod notice;
pub mod recipient;
