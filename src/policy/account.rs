//! Accounts of clients that authenticate, and the only way to become a [`Principal`].

mod accounts;
mod cram_md5;
pub(crate) mod keys;
mod name;
mod password;
mod scram;

pub use accounts::{Account, AccountState, Accounts, DuplicateName, ServerSecret};
pub use cram_md5::{CramMd5Fault, CramMd5Secret};
pub use name::{AccountName, NameFault};
pub use password::{Cost, HashFault, OutOfMemory, PasswordHash};
pub use scram::{ScramFault, ScramVerifier};

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::policy::rate::Rate;
use crate::policy::relay::AddressPattern;
use crate::wire::smtp::mechanism::Mechanism;

/// Who a client proved to be.
///
/// Only a successful check of a non-empty, known, enabled account makes one, in this module: there is no anonymous,
/// guest or empty principal in the program (the lesson of MS01-037 and MS02-011).
#[derive(Clone, PartialEq, Eq)]
pub struct Principal {
    permissions: Arc<Permissions>,
    /// The account whose password was proved, as it was then.
    proved_by: Arc<Account>,
}

/// What an account may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permissions {
    name: AccountName,
    may_send_as: Option<Vec<AddressPattern>>,
    rate: Option<Rate>,
}

impl Principal {
    /// Its account's name as the operator spells it: never empty.
    #[must_use]
    pub fn name(&self) -> &str {
        self.permissions.name()
    }

    /// The reverse-paths it may use; `None`: any.
    #[must_use]
    pub fn may_send_as(&self) -> Option<&[AddressPattern]> {
        self.permissions.may_send_as()
    }

    /// How many messages it may send in a time, where limited.
    #[must_use]
    pub fn rate(&self) -> Option<Rate> {
        self.permissions.rate()
    }

    /// All that its account may do.
    #[must_use]
    pub fn permissions(&self) -> &Permissions {
        &self.permissions
    }

    /// The account whose password was proved: another one's name where that may act for this one.
    #[must_use]
    pub fn proved_by(&self) -> &str {
        self.proved_by.name.as_str()
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Principal({:?})", self.name())
    }
}

impl Permissions {
    /// The account's name as the operator spells it: never empty.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    /// The reverse-paths it may use; `None`: any.
    #[must_use]
    pub fn may_send_as(&self) -> Option<&[AddressPattern]> {
        self.may_send_as.as_deref()
    }

    /// How many messages it may send in a time, where limited.
    #[must_use]
    pub const fn rate(&self) -> Option<Rate> {
        self.rate
    }
}

/// A claim to be checked.
pub enum Check {
    /// PLAIN and LOGIN.
    Password {
        /// Which of the two; it changes nothing but what is counted.
        mechanism: PasswordMechanism,
        /// The authentication identity.
        user: String,
        /// The authorization identity, where one was given; not always another one.
        authorize_as: Option<String>,
        /// The secret; wiped when dropped.
        password: Zeroizing<String>,
    },
    /// CRAM-MD5 (RFC 2195).
    CramMd5 {
        /// The authentication identity.
        user: String,
        /// What the client was asked.
        challenge: String,
        /// HMAC-MD5 of it, keyed with the password, if the client knows that.
        digest: [u8; 16],
    },
    /// SCRAM-SHA-256 begins: what is the client to compute with? Proves nothing yet.
    ScramStart {
        /// The authentication identity.
        user: String,
    },
    /// SCRAM-SHA-256 ends: is this the proof (RFC 5802 §3)?
    ScramProof {
        /// The authentication identity.
        user: String,
        /// The authorization identity, where one was given; not always another one.
        authorize_as: Option<String>,
        /// `AuthMessage`: all that both sides said.
        auth_message: String,
        /// `ClientProof`.
        proof: [u8; 32],
    },
}

/// A mechanism that hands over the password itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordMechanism {
    /// RFC 4616.
    Plain,
    /// draft-murchison-sasl-login.
    Login,
}

impl Check {
    /// Whose step it is.
    #[must_use]
    pub const fn mechanism(&self) -> Mechanism {
        match self {
            Self::Password { mechanism: PasswordMechanism::Plain, .. } => Mechanism::Plain,
            Self::Password { mechanism: PasswordMechanism::Login, .. } => Mechanism::Login,
            Self::CramMd5 { .. } => Mechanism::CramMd5,
            Self::ScramStart { .. } | Self::ScramProof { .. } => Mechanism::ScramSha256,
        }
    }

    /// The authentication identity that is claimed: text of the peer, which may be a password typed into the wrong
    /// field.
    #[must_use]
    pub fn user(&self) -> &str {
        match self {
            Self::Password { user, .. }
            | Self::CramMd5 { user, .. }
            | Self::ScramStart { user }
            | Self::ScramProof { user, .. } => user,
        }
    }
}

/// Shows neither user nor password.
impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password { .. } => "Password",
            Self::CramMd5 { .. } => "CramMd5",
            Self::ScramStart { .. } => "ScramStart",
            Self::ScramProof { .. } => "ScramProof",
        })
    }
}

/// What came of a check.
#[derive(Debug)]
pub enum CheckAnswer {
    /// It is who it claims to be.
    Proved(Principal),
    /// So it is, and this proves to the client that it talks to the right server: SCRAM's `ServerSignature`.
    ProvedWithSignature(Principal, [u8; 32]),
    /// To [`Check::ScramStart`]; the same for an account that does not exist, each time.
    Scram(ScramParameters),
    /// It is not. The client is never told why.
    Refused(Refusal),
    /// It could not be checked now: 454 4.7.0.
    Unavailable,
}

/// What a client of SCRAM computes with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScramParameters {
    /// Random octets, not secret.
    pub salt: Vec<u8>,
    /// Rounds of PBKDF2.
    pub iterations: u32,
}

/// Why a check fails. For the log alone: all look the same from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No user or no password was given.
    Empty,
    /// There is no such account.
    UnknownAccount,
    /// There is, but the operator disabled it.
    Disabled,
    /// It is not this account's password.
    WrongPassword,
    /// The account has no verifier for this mechanism.
    NoVerifier,
    /// The password is right, but the account may not act for the authorization identity that was given.
    MayNotActFor,
}

impl Refusal {
    /// The word in the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::UnknownAccount => "unknown_account",
            Self::Disabled => "disabled",
            Self::WrongPassword => "wrong_password",
            Self::NoVerifier => "no_verifier",
            Self::MayNotActFor => "may_not_act_for",
        }
    }
}

/// Whether clients may authenticate without TLS, by whatever mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cleartext {
    /// AUTH before TLS gets 538 5.7.11.
    Refused,
    /// The operator allowed it on this listener.
    Allowed,
}
