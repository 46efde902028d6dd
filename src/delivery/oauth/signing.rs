//! The RSA signatures under assertions; what is signed, [`crate::session::oauth::assertion`] says.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use crate::config::settings::{Algorithm, CertificateFiles};
use crate::session::oauth::assertion::{ClientAssertion, ServiceAssertion, signed};
use crate::wire::oauth::service_account::ServiceAccount;

/// Why nothing could be signed; each a sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// A file cannot be read, or is no PEM.
    #[error("{} cannot be read: {source}; put the PEM file there, or let this user read it", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: pem::Error,
    },
    /// The key is none that can sign.
    #[error(
        "the key in {key} cannot sign: {why}; it must be an RSA key of 2048 bits or more, without a passphrase"
    )]
    Key {
        /// Where it stands.
        key: String,
        /// Why.
        why: String,
    },
    /// The system gives no random numbers.
    #[error("no random numbers for a signature; check this host")]
    Random,
}

/// A client's proof of itself, made now.
pub(super) fn client_assertion(
    files: &CertificateFiles,
    algorithm: Algorithm,
    (client_id, token_url): (&str, &str),
    now: Timestamp,
) -> Result<Zeroizing<String>, SigningError> {
    let certificate = CertificateDer::from_pem_file(&files.certificate)
        .map_err(|source| SigningError::Unreadable { path: files.certificate.clone(), source })?;
    let key = key_of_file(&files.key_file)?;
    let mut unique = [0; 16];
    getrandom::fill(&mut unique).map_err(|_| SigningError::Random)?;
    let assertion = ClientAssertion { client_id, token_url, certificate: &certificate, algorithm };
    sign(&key, algorithm, &assertion.to_be_signed(unique, now))
}

/// A service account's request, made now.
pub(super) fn service_assertion(
    account: &ServiceAccount,
    subject: Option<&str>,
    (scope, token_url): (&str, &str),
    now: Timestamp,
) -> Result<Zeroizing<String>, SigningError> {
    let named = || "the service account's file".to_owned();
    let key = PrivateKeyDer::from_pem_slice(account.private_key.as_bytes())
        .map_err(|error| SigningError::Key { key: named(), why: error.to_string() })?;
    let key = rsa(&Zeroizing::new(key), named)?;
    let assertion = ServiceAssertion {
        client_email: &account.client_email,
        key_id: account.private_key_id.as_deref(),
        subject,
        scope,
        token_url,
    };
    sign(&key, Algorithm::Rs256, &assertion.to_be_signed(now))
}

fn key_of_file(path: &Path) -> Result<RsaKeyPair, SigningError> {
    let key = PrivateKeyDer::from_pem_file(path)
        .map_err(|source| SigningError::Unreadable { path: path.to_owned(), source })?;
    rsa(&Zeroizing::new(key), || path.display().to_string())
}

fn rsa(key: &PrivateKeyDer<'_>, named: impl Fn() -> String) -> Result<RsaKeyPair, SigningError> {
    let pair = if let PrivateKeyDer::Pkcs1(der) = key {
        RsaKeyPair::from_der(der.secret_pkcs1_der())
    } else {
        // What is neither says so itself.
        RsaKeyPair::from_pkcs8(key.secret_der())
    };
    pair.map_err(|error| SigningError::Key { key: named(), why: error.to_string() })
}

fn sign(
    key: &RsaKeyPair,
    algorithm: Algorithm,
    to_be_signed: &str,
) -> Result<Zeroizing<String>, SigningError> {
    let mut signature = Zeroizing::new(vec![0; key.public().modulus_len()]);
    let padding: &dyn ring::signature::RsaEncoding = match algorithm {
        Algorithm::Ps256 => &RSA_PSS_SHA256,
        Algorithm::Rs256 => &RSA_PKCS1_SHA256,
    };
    key.sign(padding, &SystemRandom::new(), to_be_signed.as_bytes(), &mut signature)
        .map_err(|_| SigningError::Random)?;
    Ok(signed(to_be_signed, &signature))
}
