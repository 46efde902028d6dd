//! Stored passwords: Argon2id (RFC 9106) in PHC form, for PLAIN and LOGIN.

use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::keys::prepare;

/// What a password is stored as: `$argon2id$v=19$m=19456,t=2,p=1$<salt>$<hash>`.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash {
    cost: Cost,
    salt: Vec<u8>,
    hash: Vec<u8>,
}

/// How much one computation costs. Always worth something, never so much that a few logins bring the machine down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cost {
    /// KiB.
    memory: u32,
    passes: u32,
    lanes: u32,
}

/// Why a text is no stored password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HashFault {
    /// bcrypt, SHA-crypt, Argon2i, a password itself, ….
    #[error("it is no Argon2id hash, which begins with $argon2id$v=19$")]
    Kind,
    /// The parts of it are not there, or are no numbers or base64.
    #[error("it is cut off or has letters that do not belong there")]
    Malformed,
    /// Less than the OWASP's weakest choice.
    #[error("its parameters are too cheap to withstand guessing: {0}")]
    TooCheap(Cost),
    /// Anybody could keep the machine busy by logging in.
    #[error("its parameters are too costly, so that every login attempt would be an attack: {0}")]
    TooCostly(Cost),
}

/// There is not enough memory for a computation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is not enough memory to compute an Argon2id hash")]
pub struct OutOfMemory;

impl Cost {
    /// 19 MiB, two passes, one lane: what the OWASP recommends; some 20 ms.
    pub const DEFAULT: Self = Self { memory: 19_456, passes: 2, lanes: 1 };

    /// So many KiB, passes over them, and lanes.
    ///
    /// # Errors
    /// Below 7 MiB, or 35 MiB in all passes (OWASP: 7 MiB five times); above 256 MiB, 1 GiB in all passes, or 16
    /// lanes.
    pub const fn new(memory: u32, passes: u32, lanes: u32) -> Result<Self, HashFault> {
        let cost = Self { memory, passes, lanes };
        let work = memory.saturating_mul(passes);
        if memory < MIN_MEMORY || work < MIN_WORK || lanes == 0 {
            Err(HashFault::TooCheap(cost))
        } else if memory > MAX_MEMORY || work > MAX_WORK || lanes > MAX_LANES {
            Err(HashFault::TooCostly(cost))
        } else {
            Ok(cost)
        }
    }
}

/// As PHC writes it: `m=19456,t=2,p=1`.
impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "m={},t={},p={}", self.memory, self.passes, self.lanes)
    }
}

impl PasswordHash {
    /// Of this password, after NFKC. `salt` must be random.
    ///
    /// # Errors
    /// When memory does not suffice.
    pub fn of(password: &str, salt: [u8; 16], cost: Cost) -> Result<Self, OutOfMemory> {
        let mut stored = Self { cost, salt: salt.to_vec(), hash: vec![0; 32] };
        stored.hash = stored.compute(password)?.to_vec();
        Ok(stored)
    }

    /// Reads the PHC form.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, HashFault> {
        let rest = text.strip_prefix(PREFIX).ok_or(HashFault::Kind)?;
        let mut parts = rest.split('$');
        let mut part = || parts.next().ok_or(HashFault::Malformed);
        let (parameters, salt, hash) = (part()?, part()?, part()?);
        if parts.next().is_some() {
            return Err(HashFault::Malformed);
        }
        let mut parameters = parameters.split(',');
        let mut parameter = |name: &str| {
            let number = parameters.next()?.strip_prefix(name)?;
            number.bytes().all(|byte| byte.is_ascii_digit()).then(|| number.parse().ok())?
        };
        let (Some(memory), Some(passes), Some(lanes)) = (parameter("m="), parameter("t="), parameter("p="))
        else {
            return Err(HashFault::Malformed);
        };
        let decode = |text: &str| STANDARD_NO_PAD.decode(text).map_err(|_| HashFault::Malformed);
        let (salt, hash) = (decode(salt)?, decode(hash)?);
        if parameters.next().is_some() || !SALT.contains(&salt.len()) || !HASH.contains(&hash.len()) {
            return Err(HashFault::Malformed);
        }
        Ok(Self { cost: Cost::new(memory, passes, lanes)?, salt, hash })
    }

    /// One that costs as much as this one, and that no password is known for.
    pub(super) fn decoy_like(&self) -> Self {
        Self { cost: self.cost, salt: vec![0; self.salt.len()], hash: vec![0; self.hash.len()] }
    }

    /// As [`Self::decoy_like`] where there is nothing to be like.
    pub(super) fn decoy() -> Self {
        Self { cost: Cost::DEFAULT, salt: vec![0; 16], hash: vec![0; 32] }
    }

    /// Whether it is the hash of this password. Takes the same time either way, and that is long.
    pub(super) fn is_of(&self, password: &str) -> Result<bool, OutOfMemory> {
        Ok(bool::from(self.compute(password)?.ct_eq(&self.hash)))
    }

    /// What a computation costs.
    #[must_use]
    pub const fn cost(&self) -> Cost {
        self.cost
    }

    fn compute(&self, password: &str) -> Result<Zeroizing<Vec<u8>>, OutOfMemory> {
        let Cost { memory, passes, lanes } = self.cost;
        let mut hash = Zeroizing::new(vec![0; self.hash.len()]);
        // Parameters and lengths are within its bounds by their types, so that only memory can be missing.
        let params = Params::new(memory, passes, lanes, Some(hash.len())).map_err(|_| OutOfMemory)?;
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(prepare(password).as_bytes(), &self.salt, &mut hash)
            .map_err(|_| OutOfMemory)?;
        Ok(hash)
    }
}

/// The PHC form.
impl fmt::Display for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (salt, hash) = (STANDARD_NO_PAD.encode(&self.salt), STANDARD_NO_PAD.encode(&self.hash));
        write!(f, "{PREFIX}{}${salt}${hash}", self.cost)
    }
}

/// Shows no hash, since that can be guessed at.
impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PasswordHash({})", self.cost)
    }
}

const PREFIX: &str = "$argon2id$v=19$";
const MIN_MEMORY: u32 = 7 << 10;
const MIN_WORK: u32 = 5 * MIN_MEMORY;
const MAX_MEMORY: u32 = 256 << 10;
const MAX_WORK: u32 = 1 << 20;
const MAX_LANES: u32 = 16;
/// Octets of salt (RFC 9106 §3.1: 8 at least).
const SALT: std::ops::RangeInclusive<usize> = 8..=64;
/// Octets of hash.
const HASH: std::ops::RangeInclusive<usize> = 16..=64;

#[cfg(test)]
mod tests {
    use super::*;

    /// Of `correct horse`, made by argon2-cffi.
    const STORED: &str =
        "$argon2id$v=19$m=12288,t=3,p=2$ZmVkY2JhOTg3NjU0MzIxMA$KeraCGFmFAiug+ui+0vmkvUxQbiA0Ibv5OFWiOA54dQ";

    #[test]
    fn a_hash_is_read_and_written_as_phc_says() {
        let stored = PasswordHash::of("correct horse", *b"0123456789abcdef", Cost::DEFAULT).unwrap();
        let text = stored.to_string();
        assert!(text.starts_with("$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$"), "{text}");
        let read = PasswordHash::parse(&text).unwrap();
        assert_eq!(read, stored);
        assert_eq!(read.is_of("correct horse"), Ok(true));
        assert_eq!(read.is_of("ｃｏｒｒｅｃｔ\u{3000}ｈｏｒｓｅ"), Ok(true), "NFKC");
        assert_eq!(read.is_of("Correct horse"), Ok(false));
        assert_eq!(PasswordHash::parse(STORED).unwrap().is_of("correct horse"), Ok(true));
    }

    #[test]
    fn what_is_not_argon2id_or_not_whole_or_not_bearable_is_refused() {
        let cost = |memory, passes, lanes| Cost { memory, passes, lanes };
        let tail = "$MDEyMzQ1Njc4OWFiY2RlZg$MDEyMzQ1Njc4OWFiY2RlZg";
        for (head, fault) in [
            ("$argon2id$v=19$m=19456,t=1,p=1", HashFault::TooCheap(cost(19456, 1, 1))),
            ("$argon2id$v=19$m=1024,t=100,p=1", HashFault::TooCheap(cost(1024, 100, 1))),
            ("$argon2id$v=19$m=19456,t=2,p=0", HashFault::TooCheap(cost(19456, 2, 0))),
            ("$argon2id$v=19$m=4194304,t=1,p=1", HashFault::TooCostly(cost(4_194_304, 1, 1))),
            ("$argon2id$v=19$m=19456,t=4294967295,p=1", HashFault::TooCostly(cost(19456, u32::MAX, 1))),
            ("$argon2id$v=19$m=19456,t=2,p=64", HashFault::TooCostly(cost(19456, 2, 64))),
            ("$argon2id$v=19$m=19456,t=2", HashFault::Malformed),
            ("$argon2id$v=19$t=2,m=19456,p=1", HashFault::Malformed),
            ("$argon2id$v=19$m=+9456,t=2,p=1", HashFault::Malformed),
            ("$argon2id$v=19$m=19456,t=2,p=1,keyid=x", HashFault::Malformed),
            ("$argon2i$v=19$m=19456,t=2,p=1", HashFault::Kind),
            ("$argon2id$v=16$m=19456,t=2,p=1", HashFault::Kind),
            ("$2b$12", HashFault::Kind),
            ("", HashFault::Kind),
        ] {
            assert_eq!(PasswordHash::parse(&format!("{head}{tail}")), Err(fault), "{head}");
        }
        for tail in [
            "",
            "$MDEyMzQ1Njc4OWFiY2RlZg",
            "$c2hvcnQ$MDEyMzQ1Njc4OWFiY2RlZg",
            "$MDEyMzQ1Njc4OWFiY2RlZg$",
            "$?$?",
        ] {
            let text = format!("$argon2id$v=19$m=19456,t=2,p=1{tail}");
            assert_eq!(PasswordHash::parse(&text), Err(HashFault::Malformed), "{tail}");
        }
    }
}
