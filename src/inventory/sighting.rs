//! What one session of a client showed.

use std::fmt;
use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::message::id::ListenerName;
use crate::wire::client_hello::Version;
use crate::wire::smtp::mechanism::Mechanism;
use crate::wire::smtp::path::ReversePath;
use crate::wire::smtp::quirk::Quirks;

/// What one session of a client showed, for [`Inventory::record`](super::Inventory::record). Made at the session's end;
/// a long one may be recorded in parts, each with what came since the last.
#[derive(Debug, Clone)]
pub struct SmtpClientSeen {
    /// Where it came in.
    pub listener: ListenerName,
    /// Where it is.
    pub address: IpAddr,
    /// Whether it is one of ours.
    pub acquaintance: Acquaintance,
    /// As it named itself; escaped and cut when it is taken over.
    pub client_name: Option<String>,
    /// The last reverse-path it was heard with.
    pub reverse_path: Option<ReversePath>,
    /// Its TLS.
    pub tls: TlsSeen,
    /// The account that it proved.
    pub auth: Option<AuthSeen>,
    /// What it does that strict servers refuse.
    pub quirks: Quirks,
    /// Octets of the largest message it sent, refused ones included.
    pub largest_message: u64,
    /// Messages that were accepted.
    pub messages: u64,
    /// Messages, senders and recipients that were refused.
    pub refused: u64,
    /// When.
    pub at: Timestamp,
}

/// Whether a client is one of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Acquaintance {
    /// Neither in a trusted network nor authenticated.
    Stranger,
    /// In a trusted network, or authenticated.
    Own,
}

impl Acquaintance {
    /// The word in the database.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Stranger => "stranger",
            Self::Own => "own",
        }
    }

    pub(super) fn named(word: &str) -> Self {
        if word == Self::Own.as_str() { Self::Own } else { Self::Stranger }
    }
}

/// The TLS of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TlsSeen {
    /// It did not use any.
    None,
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
    /// It tried, and no handshake came about.
    Failed {
        /// The newest version that it offers, where its first octets told.
        newest: Option<Version>,
    },
}

impl TlsSeen {
    /// What a session under TLS used: `TLSv1.2`, `TLSv1.3`.
    #[must_use]
    pub fn established(version: &str) -> Self {
        if version == "TLSv1.3" { Self::Tls13 } else { Self::Tls12 }
    }

    /// What is known after one more session: one without TLS does not make a failed handshake forgotten, since devices
    /// that fail go on in clear.
    pub(super) const fn and_then(self, later: Self) -> Self {
        match (self, later) {
            (Self::Failed { .. }, Self::None) => self,
            _ => later,
        }
    }

    pub(super) fn named(text: &str) -> Option<Self> {
        let versions = (0x0300..=0x0304).chain([Version::SSL2.0]).map(|number| Some(Version(number)));
        let failed = versions.chain([None]).map(|newest| Self::Failed { newest });
        [Self::None, Self::Tls12, Self::Tls13].into_iter().chain(failed).find(|tls| tls.to_string() == text)
    }
}

impl fmt::Display for TlsSeen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Tls12 => f.write_str("TLS 1.2"),
            Self::Tls13 => f.write_str("TLS 1.3"),
            Self::Failed { newest: None } => f.write_str("failed"),
            Self::Failed { newest: Some(newest) } => write!(f, "failed: offers at most {newest}"),
        }
    }
}

impl Serialize for TlsSeen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TlsSeen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        // Versions that nobody has a name for are not told apart.
        Ok(Self::named(&text).unwrap_or(Self::Failed { newest: None }))
    }
}

/// An account that a client proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthSeen {
    /// How.
    pub mechanism: Mechanism,
    /// Its name.
    pub account: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tls_reads_back_as_written() {
        let failed = [None, Some(Version::SSL2), Some(Version(0x0301)), Some(Version::TLS12)];
        let failed = failed.map(|newest| TlsSeen::Failed { newest });
        for tls in [TlsSeen::None, TlsSeen::Tls12, TlsSeen::Tls13].into_iter().chain(failed) {
            assert_eq!(TlsSeen::named(&tls.to_string()), Some(tls), "{tls}");
            let json = serde_json::to_string(&tls).unwrap();
            assert_eq!(serde_json::from_str::<TlsSeen>(&json).unwrap(), tls);
        }
        assert_eq!(
            TlsSeen::Failed { newest: Some(Version(0x0301)) }.to_string(),
            "failed: offers at most TLS 1.0"
        );
    }

    #[test]
    fn a_device_that_falls_back_to_clear_after_a_failed_handshake_stays_one_that_failed() {
        let failed = TlsSeen::Failed { newest: Some(Version(0x0301)) };
        assert_eq!(failed.and_then(TlsSeen::None), failed);
        assert_eq!(failed.and_then(TlsSeen::Tls12), TlsSeen::Tls12, "a new firmware");
        assert_eq!(TlsSeen::Tls12.and_then(TlsSeen::None), TlsSeen::None);
    }
}
