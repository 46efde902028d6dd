//! Enhanced status codes (RFC 3463).

use std::fmt;

use serde::{Deserialize, Serialize};

/// A code `class.subject.detail`; the class is 2, 4 or 5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EnhancedStatus {
    /// 2 success, 4 persistent transient failure, 5 permanent failure.
    pub class: u8,
    /// 0 to 7: address, mailbox, mail system, network, delivery protocol, content, security.
    pub subject: u16,
    /// Meaning depends on the subject.
    pub detail: u16,
}

impl EnhancedStatus {
    /// The code of these three numbers.
    #[must_use]
    pub const fn new(class: u8, subject: u16, detail: u16) -> Self {
        Self { class, subject, detail }
    }
}

impl fmt::Display for EnhancedStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}
