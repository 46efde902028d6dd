//! Durable messages become attempts, attempts become outcomes.
//!
//! [`scheduler`] asks the spool what is due and gives it to a [`transport::Transport`]; what comes back goes to the
//! spool. Delivery is at least once: an attempt whose answer is lost is repeated with the same Message-ID.

pub mod maildir;
pub mod outcome;
pub mod scheduler;
pub mod submission;
pub mod tls;
pub mod transport;
