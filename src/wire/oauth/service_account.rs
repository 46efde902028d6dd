//! The JSON file of a Google service account's key.

use std::fmt;

use serde::Deserialize;
use zeroize::Zeroizing;

/// What the file says, as far as it matters here.
#[derive(Clone)]
pub struct ServiceAccount {
    /// Who it is.
    pub client_email: String,
    /// The key in PEM form, PKCS #8; wiped when dropped.
    pub private_key: Zeroizing<String>,
    /// Which of the account's keys that is.
    pub private_key_id: Option<String>,
    /// Where tokens are had.
    pub token_uri: Option<String>,
}

/// Shows no key.
impl fmt::Debug for ServiceAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceAccount").field("client_email", &self.client_email).finish_non_exhaustive()
    }
}

/// Why a text is no such file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAServiceAccount {
    /// It is no JSON object with the fields that are needed.
    #[error("is no JSON key of a service account")]
    Json,
    /// It is the file of another kind of client.
    #[error("is of the type {0:?}, not \"service_account\"")]
    Kind(String),
}

#[derive(Deserialize)]
struct File {
    #[serde(rename = "type")]
    kind: String,
    client_email: Option<String>,
    private_key: Option<String>,
    private_key_id: Option<String>,
    token_uri: Option<String>,
}

impl ServiceAccount {
    /// What a file says.
    ///
    /// # Errors
    /// When it is no key of a service account.
    pub fn parse(text: &str) -> Result<Self, NotAServiceAccount> {
        let file: File = serde_json::from_str(text).map_err(|_| NotAServiceAccount::Json)?;
        let private_key = file.private_key.map(Zeroizing::new);
        if file.kind != "service_account" {
            return Err(NotAServiceAccount::Kind(file.kind.chars().take(40).collect()));
        }
        let (Some(client_email), Some(private_key)) = (file.client_email, private_key) else {
            return Err(NotAServiceAccount::Json);
        };
        Ok(Self { client_email, private_key, private_key_id: file.private_key_id, token_uri: file.token_uri })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn googles_file_is_read_and_another_is_named() {
        let text = r#"{"type":"service_account","client_email":"a@b.example","private_key":"PEM","private_key_id":"k",
            "token_uri":"https://oauth2.googleapis.com/token","universe_domain":"googleapis.com"}"#;
        let account = ServiceAccount::parse(text).unwrap();
        assert_eq!(account.client_email, "a@b.example");
        assert!(!format!("{account:?}").contains("PEM"));
        let other = ServiceAccount::parse(r#"{"type":"authorized_user"}"#).unwrap_err();
        assert_eq!(other, NotAServiceAccount::Kind("authorized_user".to_owned()));
        assert_eq!(ServiceAccount::parse("secret").unwrap_err(), NotAServiceAccount::Json);
    }
}
