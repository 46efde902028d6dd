//! Certificates and their keys, as files.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, Error, InconsistentKeys, RootCertStore};
use zeroize::Zeroizing;

use super::super::problem::Place;
use super::super::raw::{At, Lost};
use super::super::settings::CertificateFiles;
use super::{Checking, Readers, Secrets};

/// A certificate and its key as they are written.
pub(super) struct WrittenFiles<'w> {
    /// The map that has both keys.
    pub(super) place: &'w Place,
    pub(super) lost: &'w Lost,
    /// What the key of the certificate is called there.
    pub(super) certificate_key: &'static str,
    pub(super) certificate: Option<At<String>>,
    pub(super) key_file: Option<At<String>>,
}

impl Checking<'_> {
    /// Both files, of which neither may be missing.
    pub(super) fn certificate_files(&mut self, written: WrittenFiles<'_>) -> Option<CertificateFiles> {
        let WrittenFiles { place, lost, certificate_key, certificate, key_file } = written;
        if certificate.is_none() {
            let fix = format!("add the PEM file, for example `{certificate_key}: /etc/mailslotd/tls.pem`");
            self.missing(place, lost, certificate_key, fix);
        }
        if key_file.is_none() {
            let fix = "add the PEM file with its key, for example `key_file: /etc/mailslotd/tls.key`";
            self.missing(place, lost, "key_file", fix);
        }
        let certificate = certificate.and_then(|written| Some((self.absolute(&written)?, written)));
        let key_file = key_file.and_then(|written| Some((self.absolute(&written)?, written)));
        let chain = certificate.as_ref().and_then(|(path, written)| self.chain(path, written));
        let key = key_file.as_ref().and_then(|(path, written)| self.key(path, written));
        let (certificate, key_file) = (certificate?, key_file?);
        if let (Some(chain), Some(key)) = (chain, key) {
            self.belong_together(chain, key, &key_file.1, &certificate.0);
        }
        Some(CertificateFiles { certificate: certificate.0, key_file: key_file.0 })
    }

    /// The certificates in a file; warns when the first has expired or soon will. Nothing offline.
    fn chain(&mut self, path: &Path, written: &At<String>) -> Option<Vec<CertificateDer<'static>>> {
        let text = self.pem(path, written)?;
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
        let Some(chain) = chain.ok().filter(|chain| !chain.is_empty()) else {
            let cause = format!("{} has no certificate in PEM form", path.display());
            let fix = "put a file there with lines `-----BEGIN CERTIFICATE-----`, the server's own first";
            self.problem(written.problem(cause, fix));
            return None;
        };
        if let Secrets::Online { now, .. } = self.surroundings.secrets
            && let Some(fault) = chain.first().and_then(|first| validity_fault(first, now))
        {
            let fix = "renew it; clients that check certificates turn away from it";
            self.problems.warn(written.problem(format!("{} {fault}", path.display()), fix));
        }
        Some(chain)
    }

    fn key(&mut self, path: &Path, written: &At<String>) -> Option<PrivateKeyDer<'static>> {
        let text = self.pem(path, written)?;
        if let Ok(key) = PrivateKeyDer::from_pem_slice(text.as_bytes()) {
            return Some(key);
        }
        let shown = path.display();
        let (cause, fix) = if text.contains("ENCRYPTED") {
            let fix = format!(
                "write it without one: `openssl pkey -in {shown} -out new.key`, readable by the service only"
            );
            (format!("the key in {shown} is locked by a passphrase"), fix)
        } else {
            let fix = "put a file there with a line `-----BEGIN PRIVATE KEY-----`".to_owned();
            (format!("{shown} has no private key in PEM form"), fix)
        };
        self.problem(written.problem(cause, fix));
        None
    }

    /// The text of a file; `None` offline, or when it cannot be read.
    fn pem(&mut self, path: &Path, written: &At<String>) -> Option<Zeroizing<String>> {
        let Secrets::Online { file, .. } = self.surroundings.secrets else { return None };
        let shown = path.display();
        match file(path) {
            Ok(pem) => {
                if pem.readers == Readers::Everybody && pem.text.contains("PRIVATE KEY-----") {
                    let cause = format!("every user of this machine may read the key in {shown}");
                    self.problems.warn(written.problem(cause, format!("chmod o= {shown}")));
                }
                Some(pem.text)
            }
            Err(error) => {
                let fix = format!(
                    "put a PEM file there, or let the service's user read it: `chgrp mailslotd {shown} && chmod 640 {shown}`"
                );
                self.problem(written.problem(format!("{shown} cannot be read: {error}"), fix));
                None
            }
        }
    }

    fn belong_together(
        &mut self,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        written: &At<String>,
        certificate: &Path,
    ) {
        let Ok(key) = rustls::crypto::ring::sign::any_supported_type(&key) else {
            let cause = format!("{} has a key of a kind that TLS does not use here", written.value);
            self.problem(
                written.problem(cause, "make a certificate for an RSA, ECDSA (P-256, P-384) or Ed25519 key"),
            );
            return;
        };
        let fits = CertifiedKey::new(chain, key).keys_match();
        if fits == Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) {
            let cause = format!("is not the key of the first certificate in {}", certificate.display());
            let fix = "name the key that the certificate was made for; in the file, the server's own certificate comes first";
            self.problem(written.problem(format!("{} {cause}", written.value), fix));
        }
    }
}

/// Why a certificate is not good now, or will not be for long.
fn validity_fault(certificate: &CertificateDer<'_>, now: Timestamp) -> Option<String> {
    let expired = |at: Timestamp| match validity(certificate, at) {
        Some(CertificateError::ExpiredContext { not_after, .. }) => {
            let day = i64::try_from(not_after.as_secs())
                .ok()
                .and_then(|second| Timestamp::from_second(second).ok());
            day.map(|day| day.strftime("on %Y-%m-%d").to_string())
        }
        Some(CertificateError::Expired) => Some("already".to_owned()),
        Some(_) | None => None,
    };
    if let Some(day) = expired(now) {
        return Some(format!("expired {day}"));
    }
    if let Some(CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }) =
        validity(certificate, now)
    {
        return Some("is not valid yet, or the clock of this machine is wrong".to_owned());
    }
    let soon = now.checked_add(SOON).ok()?;
    expired(soon).map(|day| format!("expires {day}"))
}

/// What is wrong with the certificate at a time. Its times are looked at before its issuer, of which none is trusted
/// here.
fn validity(certificate: &CertificateDer<'_>, at: Timestamp) -> Option<CertificateError> {
    let at = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(at.as_second()).ok()?));
    let parsed = ParsedCertificate::try_from(certificate).ok()?;
    let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms.all;
    let roots = RootCertStore::empty();
    match verify_server_cert_signed_by_trust_anchor(&parsed, &roots, &[], at, algorithms) {
        Err(Error::InvalidCertificate(error)) => Some(error),
        _ => None,
    }
}

/// As long before as the running gateway tells of it first: time to renew it by hand.
const SOON: Duration = Duration::from_secs(30 * 24 * 60 * 60);
