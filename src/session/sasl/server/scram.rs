//! SCRAM-SHA-256 (RFC 5802, RFC 7677) without channel binding, which `SCRAM-SHA-256-PLUS` would have.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Nonce, Outcome, Step};
use crate::policy::account::{Check, CheckAnswer, Principal, ScramParameters};

/// The server's side of one exchange.
pub(super) struct Scram(State);

enum State {
    /// The client's first message has not come.
    First { nonce: Nonce },
    /// Salt and iterations are being asked for.
    Parameters { first: ClientFirst, nonce: Nonce },
    /// The client's final message has not come.
    Final { first: ClientFirst, whole_nonce: String, server_first: String },
    /// The proof is being checked.
    Proof,
    /// The server's signature is out; the client must acknowledge it, since 235 carries nothing (RFC 4954 §4).
    Signature { principal: Principal },
    /// The outcome is out.
    Over,
}

impl Scram {
    pub(super) const fn new(nonce: Nonce) -> Self {
        Self(State::First { nonce })
    }

    /// What follows the client's message; `None`: it is refused.
    pub(super) fn respond(self, message: &str) -> Option<(Self, Step)> {
        match self.0 {
            State::First { nonce } => {
                let first = ClientFirst::parse(message)?;
                let check = Check::ScramStart { user: first.user.clone() };
                Some((Self(State::Parameters { first, nonce }), Step::Check(check)))
            }
            State::Final { first, whole_nonce, server_first } => {
                let (without_proof, proof) = client_final(message, &first.gs2_header, &whole_nonce)?;
                let auth_message = format!("{},{server_first},{without_proof}", first.bare);
                let ClientFirst { user, authorize_as, .. } = first;
                let check = Check::ScramProof { user, authorize_as, auth_message, proof };
                Some((Self(State::Proof), Step::Check(check)))
            }
            State::Signature { principal } => {
                message.is_empty().then(|| (Self(State::Over), Step::Done(Outcome::Proved(principal))))
            }
            State::Parameters { .. } | State::Proof | State::Over => None,
        }
    }

    /// What follows the answer to a check; `None`: the client is refused.
    pub(super) fn answer(self, answer: CheckAnswer) -> Option<(Self, Step)> {
        match (self.0, answer) {
            (
                State::Parameters { first, nonce },
                CheckAnswer::Scram(ScramParameters { salt, iterations }),
            ) => {
                let whole_nonce = format!("{}{}", first.nonce, nonce.0);
                let server_first = format!("r={whole_nonce},s={},i={iterations}", STANDARD.encode(salt));
                let challenge = Step::Challenge(STANDARD.encode(&server_first));
                Some((Self(State::Final { first, whole_nonce, server_first }), challenge))
            }
            (State::Proof, CheckAnswer::ProvedWithSignature(principal, signature)) => {
                let server_final = format!("v={}", STANDARD.encode(signature));
                let challenge = Step::Challenge(STANDARD.encode(server_final));
                Some((Self(State::Signature { principal }), challenge))
            }
            (
                State::First { .. }
                | State::Parameters { .. }
                | State::Final { .. }
                | State::Proof
                | State::Signature { .. }
                | State::Over,
                CheckAnswer::Proved(_)
                | CheckAnswer::ProvedWithSignature(..)
                | CheckAnswer::Scram(_)
                | CheckAnswer::Refused(_)
                | CheckAnswer::Unavailable,
            ) => None,
        }
    }
}

/// `client-first-message` (RFC 5802 §7).
struct ClientFirst {
    /// With its last comma.
    gs2_header: String,
    bare: String,
    user: String,
    authorize_as: Option<String>,
    nonce: String,
}

impl ClientFirst {
    fn parse(message: &str) -> Option<Self> {
        let (flag, rest) = message.split_once(',')?;
        // `y`: the client could bind, but was not offered it, which is true here. `p=` is SCRAM-SHA-256-PLUS.
        if !matches!(flag, "n" | "y") {
            return None;
        }
        let (authzid, bare) = rest.split_once(',')?;
        let authorize_as = match authzid.strip_prefix("a=") {
            Some(name) => Some(saslname(name)?),
            None if authzid.is_empty() => None,
            None => return None,
        };
        // A mandatory extension, `m=`, would stand in front: it is refused, as RFC 5802 §5.1 asks.
        let (user, rest) = bare.strip_prefix("n=")?.split_once(',')?;
        // Extensions may follow the nonce and are ignored.
        let nonce = rest.strip_prefix("r=")?.split(',').next()?;
        Some(Self {
            gs2_header: format!("{flag},{authzid},"),
            user: saslname(user)?,
            authorize_as,
            nonce: Nonce::new(nonce)?.0,
            bare: bare.to_owned(),
        })
    }
}

/// `client-final-message` (RFC 5802 §7): the part that is signed, and the proof.
fn client_final<'m>(message: &'m str, gs2_header: &str, nonce: &str) -> Option<(&'m str, [u8; 32])> {
    let (without_proof, proof) = message.rsplit_once(",p=")?;
    let mut parts = without_proof.split(',');
    // No octets of a channel follow the header, so nobody in the middle can have changed it.
    let binding = STANDARD.decode(parts.next()?.strip_prefix("c=")?).ok()?;
    let same = binding == gs2_header.as_bytes() && parts.next()?.strip_prefix("r=")? == nonce;
    // Extensions may follow the nonce and are ignored.
    same.then_some(())?;
    Some((without_proof, STANDARD.decode(proof).ok()?.try_into().ok()?))
}

/// A name in which `,` and `=` are written `=2C` and `=3D`; never empty.
fn saslname(text: &str) -> Option<String> {
    let mut parts = text.split('=');
    let mut name = parts.next()?.to_owned();
    for part in parts {
        let (sign, rest) = match (part.strip_prefix("2C"), part.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            (None, None) => return None,
        };
        name.push(sign);
        name.push_str(rest);
    }
    (!name.is_empty() && !name.contains('\0')).then_some(name)
}
