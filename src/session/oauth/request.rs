//! What is asked of a token endpoint.

use std::fmt;

use zeroize::Zeroizing;

use super::form::Form;

/// How the client proves that it is itself.
#[derive(Clone, Copy)]
pub enum ClientProof<'a> {
    /// Not at all: a public client (RFC 6749 §2.1).
    None,
    /// By a secret in the form (RFC 6749 §2.3.1), which Microsoft and Google both take.
    Secret(&'a str),
    /// By a JWT that its certificate's key has signed (RFC 7523 §2.2).
    Assertion(&'a str),
}

/// What is asked.
#[derive(Clone, Copy)]
pub enum TokenRequest<'a> {
    /// A token for the client itself (RFC 6749 §4.4).
    ClientCredentials {
        /// The client.
        client_id: &'a str,
        /// Its proof.
        proof: ClientProof<'a>,
        /// For what.
        scope: &'a str,
    },
    /// A token for the user that once gave a refresh token (RFC 6749 §6).
    RefreshToken {
        /// The client that it was given to.
        client_id: &'a str,
        /// Its proof.
        proof: ClientProof<'a>,
        /// What it was given.
        refresh_token: &'a str,
        /// For what; empty: what it was given for.
        scope: &'a str,
    },
    /// A token for whom a signed JWT names (RFC 7523 §2.1); the scope stands in it.
    JwtBearer {
        /// The JWT.
        assertion: &'a str,
    },
    /// A token for the user who types a code elsewhere (RFC 8628 §3.4).
    DeviceCode {
        /// The client.
        client_id: &'a str,
        /// Its proof.
        proof: ClientProof<'a>,
        /// What the provider gave for it.
        device_code: &'a str,
    },
}

/// Shows the grant only.
impl fmt::Debug for TokenRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TokenRequest").field(&self.grant_type()).finish()
    }
}

impl TokenRequest<'_> {
    /// `grant_type`.
    #[must_use]
    pub const fn grant_type(&self) -> &'static str {
        match self {
            Self::ClientCredentials { .. } => "client_credentials",
            Self::RefreshToken { .. } => "refresh_token",
            Self::JwtBearer { .. } => "urn:ietf:params:oauth:grant-type:jwt-bearer",
            Self::DeviceCode { .. } => "urn:ietf:params:oauth:grant-type:device_code",
        }
    }

    /// The body to POST, `application/x-www-form-urlencoded`.
    #[must_use]
    pub fn form(&self) -> Zeroizing<String> {
        let mut form = Form::new("grant_type", self.grant_type());
        match *self {
            Self::ClientCredentials { client_id, proof, scope } => {
                identify(&mut form, client_id, proof);
                push_scope(&mut form, scope);
            }
            Self::RefreshToken { client_id, proof, refresh_token, scope } => {
                identify(&mut form, client_id, proof);
                form.push("refresh_token", refresh_token);
                push_scope(&mut form, scope);
            }
            Self::JwtBearer { assertion } => form.push("assertion", assertion),
            Self::DeviceCode { client_id, proof, device_code } => {
                identify(&mut form, client_id, proof);
                form.push("device_code", device_code);
            }
        }
        form.into_text()
    }
}

/// The body that asks for a code for the user to type (RFC 8628 §3.1).
#[must_use]
pub fn device_authorization(client_id: &str, scope: &str) -> Zeroizing<String> {
    let mut form = Form::new("client_id", client_id);
    push_scope(&mut form, scope);
    form.into_text()
}

fn identify(form: &mut Form, client_id: &str, proof: ClientProof<'_>) {
    form.push("client_id", client_id);
    match proof {
        ClientProof::None => {}
        ClientProof::Secret(secret) => form.push("client_secret", secret),
        ClientProof::Assertion(assertion) => {
            form.push("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
            form.push("client_assertion", assertion);
        }
    }
}

fn push_scope(form: &mut Form, scope: &str) {
    if !scope.is_empty() {
        form.push("scope", scope);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_credentials_are_asked_for_as_microsoft_documents_it() {
        let request = TokenRequest::ClientCredentials {
            client_id: "id",
            proof: ClientProof::Secret("a&b"),
            scope: "https://outlook.office365.com/.default",
        };
        assert_eq!(
            &*request.form(),
            "grant_type=client_credentials&client_id=id&client_secret=a%26b&scope=https%3A%2F%2Foutlook.office365.com%2F.default"
        );
        assert!(!format!("{request:?}").contains("a&b"));
    }

    #[test]
    fn a_certificate_goes_as_an_assertion_and_a_public_client_as_nothing() {
        let request = |proof| {
            TokenRequest::RefreshToken { client_id: "id", proof, refresh_token: "r", scope: "" }.form()
        };
        assert_eq!(
            &*request(ClientProof::Assertion("x.y.z")),
            "grant_type=refresh_token&client_id=id&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion=x.y.z&refresh_token=r"
        );
        assert_eq!(&*request(ClientProof::None), "grant_type=refresh_token&client_id=id&refresh_token=r");
    }

    #[test]
    fn the_other_grants_name_themselves_by_their_urns() {
        let form = TokenRequest::JwtBearer { assertion: "x.y.z" }.form();
        assert!(form.contains("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion="));
        let form =
            TokenRequest::DeviceCode { client_id: "id", proof: ClientProof::None, device_code: "d" }.form();
        assert!(form.ends_with("device_code&client_id=id&device_code=d"), "{}", *form);
        assert_eq!(&*device_authorization("id", "a b"), "client_id=id&scope=a%20b");
    }
}
