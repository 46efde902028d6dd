//! The switch for mailslot messages, as the listeners ask it.

mod passage;

pub use passage::Passage;
