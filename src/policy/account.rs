//! Accounts of clients that authenticate, and the only way to become a [`Principal`].

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::policy::rate::Rate;
use crate::policy::relay::AddressPattern;

/// Who a client proved to be.
///
/// Only a successful check of a non-empty, known, enabled account makes one, in this module: there is no anonymous,
/// guest or empty principal in the program (the lesson of MS01-037 and MS02-011).
#[derive(Clone, PartialEq, Eq)]
pub struct Principal(Arc<Standing>);

/// What an account is allowed once it is proved.
#[derive(Debug, PartialEq, Eq)]
struct Standing {
    name: String,
    may_send_as: Option<Vec<AddressPattern>>,
    rate: Option<Rate>,
}

impl Principal {
    /// Its account's name: never empty.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The reverse-paths it may use; `None`: any.
    #[must_use]
    pub fn may_send_as(&self) -> Option<&[AddressPattern]> {
        self.0.may_send_as.as_deref()
    }

    /// How many messages it may send in a time, where limited.
    #[must_use]
    pub fn rate(&self) -> Option<Rate> {
        self.0.rate
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Principal({:?})", self.name())
    }
}

/// A claim to be checked.
pub enum Check {
    /// PLAIN and LOGIN.
    Password {
        /// The authentication identity.
        user: String,
        /// The authorization identity, where another was given.
        authorize_as: Option<String>,
        /// The secret; wiped when dropped.
        password: Zeroizing<String>,
    },
}

/// Shows neither user nor password.
impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password { .. } => f.write_str("Password"),
        }
    }
}

/// What came of a check.
#[derive(Debug)]
pub enum CheckAnswer {
    /// It is who it claims to be.
    Proved(Principal),
    /// It is not, or there is no such account, or it is disabled: nobody is told which.
    Refused,
    /// It could not be checked now: 454 4.7.0.
    Unavailable,
}

/// Whether passwords may be sent without TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cleartext {
    /// AUTH before TLS gets 538 5.7.11.
    Refused,
    /// The operator allowed it on this listener.
    Allowed,
}
