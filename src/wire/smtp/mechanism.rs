//! The SASL mechanisms of the client side (RFC 4954), as the configuration and EHLO name them.

use std::fmt;

/// A SASL mechanism of the client side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// RFC 7677; the password never leaves.
    ScramSha256,
    /// RFC 4616; only under TLS.
    Plain,
    /// draft-murchison-sasl-login; only under TLS.
    Login,
    /// RFC 2195; the password never leaves, but MD5 protects it poorly.
    CramMd5,
}

impl Mechanism {
    /// As EHLO spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
            Self::CramMd5 => "CRAM-MD5",
        }
    }

    /// The mechanism of this name, in any case; `None` for one that this program does not know.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::ScramSha256, Self::Plain, Self::Login, Self::CramMd5]
            .into_iter()
            .find(|mechanism| mechanism.as_str().eq_ignore_ascii_case(name))
    }

    /// Whether the other side learns the password itself, so that only TLS may carry it.
    #[must_use]
    pub const fn sends_password(self) -> bool {
        matches!(self, Self::Plain | Self::Login)
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A SASL mechanism of the client side that shows an OAuth token, and so needs TLS (RFC 6750 §5.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BearerMechanism {
    /// Google's, which Microsoft 365 has too; never standardised.
    Xoauth2,
    /// RFC 7628.
    OauthBearer,
}

impl BearerMechanism {
    /// As EHLO spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Xoauth2 => "XOAUTH2",
            Self::OauthBearer => "OAUTHBEARER",
        }
    }
}

impl fmt::Display for BearerMechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whatever proves who we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SaslMechanism {
    /// By a password.
    Password(Mechanism),
    /// By a token.
    Bearer(BearerMechanism),
}

impl From<Mechanism> for SaslMechanism {
    fn from(mechanism: Mechanism) -> Self {
        Self::Password(mechanism)
    }
}

impl From<BearerMechanism> for SaslMechanism {
    fn from(mechanism: BearerMechanism) -> Self {
        Self::Bearer(mechanism)
    }
}

impl SaslMechanism {
    /// As EHLO spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Password(mechanism) => mechanism.as_str(),
            Self::Bearer(mechanism) => mechanism.as_str(),
        }
    }

    /// Whether only TLS may carry it.
    #[must_use]
    pub const fn needs_tls(self) -> bool {
        match self {
            Self::Password(mechanism) => mechanism.sends_password(),
            Self::Bearer(_) => true,
        }
    }
}

impl fmt::Display for SaslMechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
