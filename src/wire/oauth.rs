//! What OAuth providers and signatures have in files and fields.

pub mod service_account;

/// How a JWT is signed (RFC 7518 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Algorithm {
    /// RSA-PSS with SHA-256, which Microsoft recommends.
    #[default]
    Ps256,
    /// RSA PKCS #1 1.5 with SHA-256; the only one that Google knows.
    Rs256,
}

impl Algorithm {
    /// `alg`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ps256 => "PS256",
            Self::Rs256 => "RS256",
        }
    }
}
