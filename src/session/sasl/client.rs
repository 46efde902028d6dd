//! Client side of the SASL mechanisms PLAIN, LOGIN, CRAM-MD5, SCRAM-SHA-256, XOAUTH2 and OAUTHBEARER (RFC 4422), without
//! base64 and SMTP.
//!
//! How user and password are prepared, `policy::account::keys` says.

mod bearer;
mod scram;

use std::fmt;

use hmac::digest::Digest as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use md5::Md5;
use zeroize::Zeroizing;

use crate::policy::account::keys::{MIN_ITERATIONS, fill, prepare};
use crate::session::sasl::Nonce;
use crate::wire::smtp::mechanism::{Mechanism, SaslMechanism};
pub use bearer::{Bearer, BearerError, BearerIdentity};
use scram::Scram;

/// Whether others can read the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// No TLS: the mechanisms that send the password are not used.
    Clear,
    /// TLS with a verified certificate.
    Tls,
}

/// Who logs in, and what proves it.
#[derive(Debug, Clone)]
pub enum Identity {
    /// A password.
    Password(PasswordIdentity),
    /// A token of an OAuth provider.
    Bearer(BearerIdentity),
}

impl Identity {
    /// The mechanism to use with a server that offers these, and the login by it. `nonce` must be fresh.
    ///
    /// # Errors
    /// When there is none that is offered, allowed and safe on this channel.
    pub fn begin(
        &self,
        offered: &[String],
        channel: Channel,
        nonce: Nonce,
    ) -> Result<(SaslMechanism, Exchange), NoMechanism> {
        match self {
            Self::Password(identity) => {
                let mechanism = choose(offered, &identity.mechanisms, channel)?;
                Ok((mechanism.into(), Exchange::new(mechanism, identity, nonce)))
            }
            Self::Bearer(identity) => {
                let mechanism = choose(offered, &identity.mechanisms, channel)?;
                Ok((mechanism.into(), Exchange::Bearer(Bearer::new(mechanism, identity))))
            }
        }
    }
}

/// Who logs in by a password.
#[derive(Clone)]
pub struct PasswordIdentity {
    /// The authentication identity; the authorization identity is left to the server to derive.
    pub user: String,
    /// The secret; wiped when dropped.
    pub password: Zeroizing<String>,
    /// Mechanisms that the operator allows, the preferred one first.
    pub mechanisms: Vec<Mechanism>,
}

/// Shows neither user nor password.
impl fmt::Debug for PasswordIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordIdentity").field("mechanisms", &self.mechanisms).finish_non_exhaustive()
    }
}

/// Why none of the server's mechanisms can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoMechanism {
    /// What the server offers, as it spells it.
    pub offered: Vec<String>,
    /// What the operator allows.
    pub allowed: Vec<SaslMechanism>,
    /// `Clear`: an offered and allowed one may have been passed over because it sends the password or a token.
    pub channel: Channel,
}

/// "the server offers XOAUTH2; allowed are PLAIN, LOGIN"
impl fmt::Display for NoMechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let allowed: Vec<&str> = self.allowed.iter().map(|mechanism| mechanism.as_str()).collect();
        let list = |names: &[&str]| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        let offered: Vec<&str> = self.offered.iter().map(String::as_str).collect();
        write!(f, "the server offers {}; allowed are {}", list(&offered), list(&allowed))?;
        match self.channel {
            Channel::Clear if self.allowed.iter().all(|mechanism| mechanism.needs_tls()) => {
                f.write_str(", which needs TLS")
            }
            Channel::Clear => f.write_str(", of which PLAIN and LOGIN need TLS"),
            Channel::Tls => Ok(()),
        }
    }
}

/// The mechanism to use: the first that the operator allows, the server offers, and the channel is fit for.
///
/// # Errors
/// When there is none, with both lists.
pub fn choose<M: Copy + Into<SaslMechanism>>(
    offered: &[String],
    allowed: &[M],
    channel: Channel,
) -> Result<M, NoMechanism> {
    let is_offered = |mechanism: SaslMechanism| offered.iter().any(|name| name == mechanism.as_str());
    let is_safe = |mechanism: SaslMechanism| channel == Channel::Tls || !mechanism.needs_tls();
    let fits = |mechanism: SaslMechanism| is_offered(mechanism) && is_safe(mechanism);
    allowed.iter().find(|mechanism| fits((**mechanism).into())).copied().ok_or_else(|| NoMechanism {
        offered: offered.to_vec(),
        allowed: allowed.iter().map(|mechanism| (*mechanism).into()).collect(),
        channel,
    })
}

/// Why an exchange is broken off by this side: the server does something that the mechanism does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SaslFault {
    /// A challenge without the mechanism's grammar; the text says which part.
    #[error("its challenge is malformed: {0}")]
    Malformed(&'static str),
    /// One challenge more than the mechanism has.
    #[error("it goes on asking after the last step")]
    TooManyChallenges,
    /// SCRAM: the server's nonce does not begin with ours, as in a replay of an earlier login.
    #[error("its nonce does not begin with ours")]
    Nonce,
    /// SCRAM: below what protects the password (RFC 7677 §4), or above what this side is willing to compute.
    #[error("its iteration count {0} is not between {min} and {max}", min = MIN_ITERATIONS, max = MAX_ITERATIONS)]
    Iterations(u32),
    /// SCRAM: the server cannot prove that it knows the password's verifier.
    #[error("its signature is wrong, so it does not know this user's password")]
    Signature,
    /// SCRAM: the server said success without its signature.
    #[error("it accepted the login without proving that it knows this user's password")]
    Unproven,
    /// SCRAM: the server reported an error in its last message, which is a refused login.
    #[error("it refused the proof of the password")]
    Refused,
}

/// One login.
#[derive(Debug)]
pub enum Exchange {
    /// RFC 4616.
    Plain(Plain),
    /// draft-murchison-sasl-login.
    Login(Login),
    /// RFC 2195.
    CramMd5(CramMd5),
    /// RFC 7677.
    ScramSha256(Box<Scram>),
    /// XOAUTH2, or RFC 7628.
    Bearer(Bearer),
}

impl Exchange {
    /// A login that has not begun. `nonce` must be fresh; only SCRAM uses it.
    #[must_use]
    pub fn new(mechanism: Mechanism, identity: &PasswordIdentity, nonce: Nonce) -> Self {
        let (user, password) = (prepare(&identity.user), prepare(&identity.password));
        match mechanism {
            Mechanism::Plain => Self::Plain(Plain { message: Some(plain_message(&user, &password)) }),
            Mechanism::Login => Self::Login(Login { password: Some(password), user: Some(user) }),
            Mechanism::CramMd5 => Self::CramMd5(CramMd5 { secrets: Some((user, password)) }),
            Mechanism::ScramSha256 => Self::ScramSha256(Box::new(Scram::new(&user, password, nonce))),
        }
    }

    /// What may go along with the AUTH command; `None` where the server speaks first, and when it would have more than
    /// `room` octets. Then it is the response to the first challenge.
    #[must_use]
    pub fn initial_response(&mut self, room: usize) -> Option<Zeroizing<Vec<u8>>> {
        match self {
            Self::Plain(plain) => plain.message.take_if(|message| message.len() <= room),
            Self::ScramSha256(scram) => scram.client_first(room),
            Self::Bearer(bearer) => bearer.initial_response(room),
            Self::Login(_) | Self::CramMd5(_) => None,
        }
    }

    /// The response to the server's next challenge.
    ///
    /// # Errors
    /// The exchange is over and must be cancelled.
    pub fn handle_challenge(&mut self, challenge: &[u8]) -> Result<Zeroizing<Vec<u8>>, SaslFault> {
        match self {
            // The server did not take the initial response, or there was no room for it.
            Self::Plain(plain) => plain.message.take().ok_or(SaslFault::TooManyChallenges),
            // The prompts are not standardised: "Username:", "User Name\0". Their order is.
            Self::Login(login) => {
                let answer = login.user.take().or_else(|| login.password.take());
                answer
                    .map(|text| Zeroizing::new(text.as_bytes().to_vec()))
                    .ok_or(SaslFault::TooManyChallenges)
            }
            Self::CramMd5(cram) => {
                let (user, password) = cram.secrets.take().ok_or(SaslFault::TooManyChallenges)?;
                Ok(cram_md5_response(&user, &password, challenge))
            }
            Self::ScramSha256(scram) => scram.handle_challenge(challenge),
            Self::Bearer(bearer) => bearer.handle_challenge(challenge),
        }
    }

    /// The server reports success.
    ///
    /// # Errors
    /// SCRAM: it did so without having proven itself, so it is not the server it should be.
    pub const fn handle_success(&self) -> Result<(), SaslFault> {
        match self {
            Self::ScramSha256(scram) if !scram.is_proven() => Err(SaslFault::Unproven),
            Self::ScramSha256(_) | Self::Plain(_) | Self::Login(_) | Self::CramMd5(_) | Self::Bearer(_) => {
                Ok(())
            }
        }
    }
}

/// What PLAIN still has to say.
pub struct Plain {
    message: Option<Zeroizing<Vec<u8>>>,
}

/// What LOGIN still has to say.
pub struct Login {
    user: Option<Zeroizing<String>>,
    password: Option<Zeroizing<String>>,
}

/// What CRAM-MD5 needs for its one response.
pub struct CramMd5 {
    secrets: Option<(Zeroizing<String>, Zeroizing<String>)>,
}

macro_rules! debug_without_secrets {
    ($($name:ident)*) => { $(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    )* };
}
debug_without_secrets!(Plain Login CramMd5);

fn plain_message(user: &str, password: &str) -> Zeroizing<Vec<u8>> {
    Zeroizing::new([b"\0", user.as_bytes(), b"\0", password.as_bytes()].concat())
}

fn cram_md5_response(user: &str, password: &str, challenge: &[u8]) -> Zeroizing<Vec<u8>> {
    // HMAC pads a short key with zeros and hashes a long one (RFC 2104 §2); done here, no length is left to fail.
    let mut key = hmac::digest::Key::<Hmac<Md5>>::default();
    if password.len() > key.len() {
        fill(&mut key, &Md5::digest(password.as_bytes()));
    } else {
        fill(&mut key, password.as_bytes());
    }
    let digest = Hmac::<Md5>::new(&key).chain_update(challenge).finalize().into_bytes();
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    Zeroizing::new(format!("{user} {hex}").into_bytes())
}

/// About half a second of one core; a server that asks for more is broken or hostile.
pub const MAX_ITERATIONS: u32 = 600_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(user: &str, password: &str) -> PasswordIdentity {
        PasswordIdentity {
            user: user.to_owned(),
            password: Zeroizing::new(password.to_owned()),
            mechanisms: vec![Mechanism::ScramSha256, Mechanism::Plain],
        }
    }

    fn exchange(mechanism: Mechanism, user: &str, password: &str) -> Exchange {
        Exchange::new(mechanism, &identity(user, password), Nonce::new("n").unwrap())
    }

    #[test]
    fn cram_md5_answers_as_in_rfc_2195() {
        let mut cram = exchange(Mechanism::CramMd5, "tim", "tanstaaftanstaaf");
        assert_eq!(cram.initial_response(300), None);
        let answer = cram.handle_challenge(b"<1896.697170952@postoffice.reston.mci.net>").unwrap();
        assert_eq!(answer.as_slice(), b"tim b913a602c7eda7a495b4e6e7334d3890");
        assert_eq!(cram.handle_challenge(b"<again>"), Err(SaslFault::TooManyChallenges));
    }

    #[test]
    fn cram_md5_hashes_a_password_longer_than_a_block() {
        // The crate's own handling of keys of any length is the second opinion.
        let long = "a".repeat(80);
        let mut cram = exchange(Mechanism::CramMd5, "u", &long);
        let expected =
            Hmac::<Md5>::new_from_slice(long.as_bytes()).unwrap().chain_update(b"c").finalize().into_bytes();
        let hex: String = expected.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(cram.handle_challenge(b"c").unwrap().as_slice(), format!("u {hex}").as_bytes());
    }

    #[test]
    fn plain_says_all_at_once_or_when_asked() {
        let mut plain = exchange(Mechanism::Plain, "tim", "tanstaaftanstaaf");
        assert_eq!(plain.initial_response(300).unwrap().as_slice(), b"\0tim\0tanstaaftanstaaf");
        assert_eq!(plain.handle_challenge(b""), Err(SaslFault::TooManyChallenges));
        let mut plain = exchange(Mechanism::Plain, "tim", "tanstaaftanstaaf");
        assert_eq!(plain.handle_challenge(b"").unwrap().as_slice(), b"\0tim\0tanstaaftanstaaf");
    }

    #[test]
    fn login_answers_two_prompts_whatever_they_say() {
        let mut login = exchange(Mechanism::Login, "tim", "secret");
        assert_eq!(login.handle_challenge(b"User Name\0").unwrap().as_slice(), b"tim");
        assert_eq!(login.handle_challenge(b"Password\0").unwrap().as_slice(), b"secret");
        assert_eq!(login.handle_challenge(b"PIN:"), Err(SaslFault::TooManyChallenges));
    }

    #[test]
    fn passwords_typed_in_full_width_or_with_hard_spaces_are_the_plain_ones() {
        let mut login = exchange(Mechanism::Login, "ｔｉｍ", "a\u{a0}b");
        assert_eq!(login.handle_challenge(b"").unwrap().as_slice(), b"tim");
        assert_eq!(login.handle_challenge(b"").unwrap().as_slice(), b"a b");
    }

    #[test]
    fn the_operators_first_choice_that_is_offered_and_safe_is_taken() {
        use Mechanism::{CramMd5, Login, Plain, ScramSha256};
        let offered = ["LOGIN", "PLAIN", "CRAM-MD5"].map(String::from);
        assert_eq!(choose(&offered, &[ScramSha256, Plain, Login], Channel::Tls), Ok(Plain));
        assert_eq!(choose(&offered, &[Plain, CramMd5], Channel::Clear), Ok(CramMd5));
    }

    #[test]
    fn when_none_fits_the_reason_names_both_lists() {
        let offered = ["XOAUTH2", "PLAIN"].map(String::from);
        let refused =
            choose(&offered, &[Mechanism::ScramSha256, Mechanism::Plain], Channel::Clear).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the server offers XOAUTH2, PLAIN; allowed are SCRAM-SHA-256, PLAIN, of which PLAIN and LOGIN need TLS"
        );
        let refused = choose(&[], &[Mechanism::Login], Channel::Tls).unwrap_err();
        assert_eq!(refused.to_string(), "the server offers none; allowed are LOGIN");
    }

    #[test]
    fn secrets_do_not_show_in_debug_output() {
        for mechanism in [Mechanism::Plain, Mechanism::Login, Mechanism::CramMd5, Mechanism::ScramSha256] {
            let text = format!("{:?} {:?}", exchange(mechanism, "tim", "sesame"), identity("tim", "sesame"));
            assert!(!text.contains("sesame"), "{text}");
        }
    }
}
