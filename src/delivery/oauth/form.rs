//! What is asked of the token endpoint, with the secrets that go along.
#![expect(clippy::disallowed_methods, reason = "assertions carry the time")]

use jiff::Timestamp;
use zeroize::Zeroizing;

use super::{files, signing};
use crate::config::settings::{ClientProof, Grant, OAuth};
use crate::session::oauth::request::{ClientProof as Proof, TokenRequest};
use crate::wire::oauth::service_account::ServiceAccount;
use crate::wire::url::HttpUrl;

/// The client's proof, made now, for a login by hand.
///
/// # Errors
/// A sentence for the operator.
pub fn client_proof(
    proof: Option<&ClientProof>,
    client_id: &str,
    token_url: &HttpUrl,
) -> Result<OwnedProof, String> {
    proof_of(proof, client_id, token_url, Timestamp::now())
}

/// A client's proof with what it is made of.
pub enum OwnedProof {
    /// A public client.
    None,
    /// A secret.
    Secret(Zeroizing<String>),
    /// A signed JWT.
    Assertion(Zeroizing<String>),
}

/// Shows which kind it is only.
impl std::fmt::Debug for OwnedProof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Secret(_) => "Secret",
            Self::Assertion(_) => "Assertion",
        })
    }
}

impl OwnedProof {
    /// As a request has it.
    #[must_use]
    pub fn as_proof(&self) -> Proof<'_> {
        match self {
            Self::None => Proof::None,
            Self::Secret(secret) => Proof::Secret(secret),
            Self::Assertion(assertion) => Proof::Assertion(assertion),
        }
    }
}

fn proof_of(
    proof: Option<&ClientProof>,
    client_id: &str,
    token_url: &HttpUrl,
    now: Timestamp,
) -> Result<OwnedProof, String> {
    match proof {
        None => Ok(OwnedProof::None),
        Some(ClientProof::Secret { secret, .. }) => {
            files::secret(secret).map(OwnedProof::Secret).map_err(|error| error.to_string())
        }
        Some(ClientProof::Certificate { files, algorithm }) => {
            let ids = (client_id, &*token_url.absolute());
            let assertion = signing::client_assertion(files, *algorithm, ids, now);
            assertion.map(OwnedProof::Assertion).map_err(|error| error.to_string())
        }
    }
}

/// What is sent for a token.
pub(super) struct Form {
    /// `application/x-www-form-urlencoded`.
    pub(super) text: Zeroizing<String>,
    /// The refresh token in it.
    pub(super) spends: Option<Zeroizing<String>>,
}

/// Made of what the files say now.
pub(super) fn of(settings: &OAuth, now: Timestamp) -> Result<Form, String> {
    let OAuth { grant, token_url, scope, .. } = settings;
    let (text, spends) = match grant {
        Grant::ClientCredentials { client_id, proof } => {
            let proof = proof_of(Some(proof), client_id, token_url, now)?;
            (TokenRequest::ClientCredentials { client_id, proof: proof.as_proof(), scope }.form(), None)
        }
        Grant::RefreshToken { client_id, proof, file } => {
            let proof = proof_of(proof.as_ref(), client_id, token_url, now)?;
            let spent = files::one_line(file).map_err(|error| without_login(&error))?;
            let (proof, refresh_token) = (proof.as_proof(), spent.as_str());
            (TokenRequest::RefreshToken { client_id, proof, refresh_token, scope }.form(), Some(spent))
        }
        Grant::JwtBearer { service_account, subject } => {
            let text = files::whole(service_account).map_err(|error| error.to_string())?;
            let account = ServiceAccount::parse(&text)
                .map_err(|error| format!("{} {error}; put Google's file there", service_account.display()))?;
            let of = (&**scope, &*token_url.absolute());
            let assertion = signing::service_assertion(&account, subject.as_deref(), of, now)
                .map_err(|error| error.to_string())?;
            (TokenRequest::JwtBearer { assertion: &assertion }.form(), None)
        }
    };
    Ok(Form { text, spends })
}

/// Why there is no refresh token, and what makes one.
pub(super) fn without_login(error: &files::FileError) -> String {
    format!("{error}; `mailslotd oauth login` makes it, as the service's user")
}
