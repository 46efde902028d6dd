//! What of a rule can be hashed: names, their beginnings and ends, networks.

use std::hash::Hasher;

use ipnet::IpNet;

use super::glob::{Glob, Token, fold};
use super::rule::NameKey;

/// Something that a rule can be filed under.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    pub(super) hash: u64,
    pub(super) kind: Kind,
    /// How many characters or bits it is long.
    pub(super) length: u8,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Whole(NameKey),
    Prefix(NameKey),
    Suffix(NameKey),
    Ipv4,
    Ipv6,
}

/// Which shapes of literals are in use for a name; the bits of a mask are lengths in characters.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Shapes {
    pub(super) whole: bool,
    pub(super) prefixes: u64,
    pub(super) suffixes: u64,
}

/// The longest literal part of each form of the pattern, at its beginning or end.
pub(super) fn literal_key(name: NameKey, glob: &Glob) -> Option<Vec<Key>> {
    glob.forms()
        .map(|tokens| {
            let prefix = leading(tokens.iter());
            let suffix = leading(tokens.iter().rev());
            if prefix.len() == tokens.len() && prefix.len() <= usize::from(LONGEST_WHOLE) {
                return key(Kind::Whole(name), &prefix);
            }
            let longest = usize::from(LONGEST_PART);
            if prefix.len().min(longest) >= suffix.len().min(longest) {
                key(Kind::Prefix(name), prefix.get(..longest).unwrap_or(&prefix))
            } else {
                key(Kind::Suffix(name), suffix.get(..longest).unwrap_or(&suffix))
            }
        })
        .collect()
}

fn leading<'t>(tokens: impl Iterator<Item = &'t Token>) -> Vec<char> {
    tokens
        .map_while(|token| match token {
            Token::Letter(letter) => Some(*letter),
            Token::One | Token::Many => None,
        })
        .collect()
}

fn key(kind: Kind, letters: &[char]) -> Option<Key> {
    let length = u8::try_from(letters.len()).ok().filter(|length| *length > 0)?;
    let hash = letters.iter().fold(kind.seed(), |hash, letter| step(hash, *letter));
    let hash = if matches!(kind, Kind::Whole(_)) { hash ^ WHOLE } else { hash };
    Some(Key { hash: finish(hash, length), kind, length })
}

pub(super) fn network_key(network: &IpNet) -> Option<Key> {
    let length = network.prefix_len();
    let (kind, bits) = match network {
        IpNet::V4(network) => (Kind::Ipv4, u128::from(network.addr().to_bits())),
        IpNet::V6(network) => (Kind::Ipv6, network.addr().to_bits()),
    };
    (length > 0).then(|| Key { hash: network_hash(kind, bits, length), kind, length })
}

/// The longest literal that is hashed whole, and the most of a beginning or end that is; in characters.
const LONGEST_WHOLE: u8 = 63;
const LONGEST_PART: u8 = 32;

pub(super) fn bit(length: u8) -> u64 {
    1_u64.checked_shl(length.into()).unwrap_or_default()
}

impl Shapes {
    /// Gives every hash that a rule for this name may be filed under to `f`.
    pub(super) fn each_hash(self, name: NameKey, text: &str, mut f: impl FnMut(u64)) {
        if self.prefixes != 0 || self.whole {
            let longest = if self.whole { LONGEST_WHOLE } else { LONGEST_PART };
            let (hash, length) = each_part(Kind::Prefix(name), text.chars(), self.prefixes, longest, &mut f);
            if self.whole && length > 0 {
                // A name over the longest is cut there; what that finds is compared in full and differs.
                f(finish(hash ^ WHOLE, length));
            }
        }
        if self.suffixes != 0 {
            each_part(Kind::Suffix(name), text.chars().rev(), self.suffixes, LONGEST_PART, &mut f);
        }
    }
}

/// Hashes `letters` one by one, up to `longest`, and gives the hash at each length that `lengths` has to `f`. Returns
/// the last hash and how many letters it covers.
fn each_part(
    kind: Kind,
    letters: impl Iterator<Item = char>,
    lengths: u64,
    longest: u8,
    f: &mut impl FnMut(u64),
) -> (u64, u8) {
    let mut hash = kind.seed();
    let mut length = 0_u8;
    for letter in letters.take(longest.into()) {
        hash = step(hash, fold(letter));
        length = length.saturating_add(1);
        if lengths & bit(length) != 0 {
            f(finish(hash, length));
        }
    }
    (hash, length)
}

/// Tells the hash of a whole name from that of a beginning.
const WHOLE: u64 = 0x5bd1_e995_9e37_79b9;

impl Kind {
    /// Hashes of different kinds begin differently, so that all fit into one map.
    const fn seed(self) -> u64 {
        match self {
            Self::Whole(name) | Self::Prefix(name) => name.seed(),
            Self::Suffix(name) => name.seed().rotate_left(17),
            Self::Ipv4 => 0x9ae1_6a3b_2f90_404f,
            Self::Ipv6 => 0xb492_b66f_be98_f273,
        }
    }
}

impl NameKey {
    const fn seed(self) -> u64 {
        match self {
            Self::Originator => 0xc3a5_c85c_97cb_3127,
            Self::To => 0x8445_d61a_4e77_4912,
            Self::SourceName => 0x27d4_eb2f_1656_67c5,
            Self::DestinationName => 0x165f_35b9_1a2c_7d41,
            Self::Mailslot => 0xd6e8_feb8_6659_fd93,
        }
    }
}

pub(super) fn network_hash(kind: Kind, bits: u128, length: u8) -> u64 {
    let width = if matches!(kind, Kind::Ipv4) { 32_u8 } else { 128 };
    let host_bits = u32::from(width.saturating_sub(length));
    let network = bits.checked_shr(host_bits).unwrap_or_default();
    let [high, low] =
        [network >> 64, network & u128::from(u64::MAX)].map(|half| u64::try_from(half).unwrap_or(0));
    finish((kind.seed() ^ high).wrapping_mul(PRIME).rotate_left(29) ^ low.wrapping_mul(PRIME), length)
}

const PRIME: u64 = 0x0000_0100_0000_01b3;

fn step(hash: u64, letter: char) -> u64 {
    (hash ^ u64::from(letter)).wrapping_mul(PRIME)
}

/// Spreads a hash over all bits (the finalizer of MurmurHash3), so that the map may take it as it is.
fn finish(hash: u64, length: u8) -> u64 {
    let mut hash = hash ^ u64::from(length).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

/// The hash of a key that is a hash.
#[derive(Debug, Default)]
pub(super) struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}
