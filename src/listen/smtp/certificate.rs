//! The certificate that a listener shows, read again when its files change.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::config::settings::CertificateFiles;

/// A certificate with its key, as its files have it.
///
/// A new certificate counts from the next handshake on; sessions that are open keep theirs. Files that cannot be used
/// change nothing: the old certificate stays.
#[derive(Debug)]
pub struct Certificate {
    files: CertificateFiles,
    current: RwLock<Arc<CertifiedKey>>,
    seen: Mutex<Seen>,
}

/// What a look at the files brought.
#[derive(Debug)]
pub enum Reload {
    /// They are as they were.
    Unchanged,
    /// The new certificate is in use.
    Renewed,
    /// They changed and cannot be used; said once for each change.
    Kept(CertificateError),
}

impl Certificate {
    /// Reads the files of a listener.
    ///
    /// # Errors
    /// [`CertificateError`], each a sentence for the operator.
    pub fn load(files: &CertificateFiles) -> Result<Self, CertificateError> {
        let seen = Seen::of(files);
        let current = RwLock::new(Arc::new(read(files)?));
        Ok(Self { files: files.clone(), current, seen: Mutex::new(seen) })
    }

    /// The files that it is made of.
    #[must_use]
    pub const fn files(&self) -> &CertificateFiles {
        &self.files
    }

    /// Looks at the files, and reads them where they have changed. Blocks for as long as the disk does.
    pub fn reload(&self) -> Reload {
        let now = Seen::of(&self.files);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == now {
            return Reload::Unchanged;
        }
        *seen = now;
        match read(&self.files) {
            Ok(new) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
                Reload::Renewed
            }
            Err(error) => Reload::Kept(error),
        }
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read, or is no PEM.
    #[error("{path} cannot be read: {source}; correct `tls.{key}`, or let this user read the file", path = .path.display())]
    Unreadable {
        /// The setting that names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: pem::Error,
    },
    /// The file has no certificate.
    #[error(
        "{path} has no certificate; `tls.certificate` must name a PEM file with `BEGIN CERTIFICATE`, the server's first, \
         then those that lead to its root",
        path = .path.display()
    )]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// The file has no private key.
    #[error(
        "{path} has no private key that can be used; `tls.key_file` must name a PEM file with `BEGIN PRIVATE KEY`, without \
         a passphrase",
        path = .path.display()
    )]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// They do not belong together, or are of a kind that is not supported.
    #[error(
        "the certificate in {certificate} and the key in {key_file} cannot be used together: {source}; name a certificate \
         and its own key: ECDSA P-256 or P-384, Ed25519, or RSA of 2048 bits or more",
        certificate = .certificate.display(), key_file = .key_file.display()
    )]
    Unusable {
        /// The file with the certificate.
        certificate: PathBuf,
        /// The file with the key.
        key_file: PathBuf,
        /// Why.
        source: rustls::Error,
    },
}

fn read(files: &CertificateFiles) -> Result<CertifiedKey, CertificateError> {
    let CertificateFiles { certificate, key_file } = files;
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(|source| unreadable("certificate", certificate, source))?;
    if chain.is_empty() {
        return Err(CertificateError::NoCertificate { path: certificate.clone() });
    }
    let key = PrivateKeyDer::from_pem_file(key_file).map_err(|error| {
        if matches!(error, pem::Error::NoItemsFound) {
            CertificateError::NoKey { path: key_file.clone() }
        } else {
            unreadable("key_file", key_file, error)
        }
    })?;
    CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|source| {
        CertificateError::Unusable {
            certificate: certificate.to_owned(),
            key_file: key_file.to_owned(),
            source,
        }
    })
}

fn unreadable(key: &'static str, path: &Path, source: pem::Error) -> CertificateError {
    CertificateError::Unreadable { key, path: path.to_owned(), source }
}

/// How the two files looked. Files that are replaced have another inode, files that are written another time.
#[derive(Debug, PartialEq, Eq)]
struct Seen([Option<(u64, u64, i64, i64)>; 2]);

impl Seen {
    fn of(files: &CertificateFiles) -> Self {
        Self([&files.certificate, &files.key_file].map(|path| {
            let metadata = fs::metadata(path).ok()?;
            Some((metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(dir: &Path) -> CertificateFiles {
        CertificateFiles { certificate: dir.join("tls.pem"), key_file: dir.join("tls.key") }
    }

    fn write_new(tls: &CertificateFiles) {
        let made = rcgen::generate_simple_self_signed(vec!["gw1.plant.example".to_owned()]).unwrap();
        fs::write(&tls.certificate, made.cert.pem()).unwrap();
        fs::write(&tls.key_file, made.signing_key.serialize_pem()).unwrap();
    }

    fn shown(certificate: &Certificate) -> Vec<u8> {
        certificate.current.read().unwrap().cert[0].to_vec()
    }

    #[test]
    fn a_renewed_certificate_is_shown_from_the_next_handshake_on() {
        let dir = tempfile::tempdir().unwrap();
        let tls = files(dir.path());
        write_new(&tls);
        let certificate = Certificate::load(&tls).unwrap();
        let old = shown(&certificate);
        assert!(matches!(certificate.reload(), Reload::Unchanged));
        write_new(&tls);
        assert!(matches!(certificate.reload(), Reload::Renewed));
        assert_ne!(shown(&certificate), old);
    }

    #[test]
    fn broken_files_keep_the_old_certificate_and_are_told_once() {
        let dir = tempfile::tempdir().unwrap();
        let tls = files(dir.path());
        write_new(&tls);
        let certificate = Certificate::load(&tls).unwrap();
        let old = shown(&certificate);
        fs::write(&tls.certificate, "-----BEGIN CERTIFICATE-----\n").unwrap();
        assert!(matches!(certificate.reload(), Reload::Kept(_)));
        assert!(matches!(certificate.reload(), Reload::Unchanged), "said once");
        fs::remove_file(&tls.certificate).unwrap();
        assert!(matches!(certificate.reload(), Reload::Kept(CertificateError::Unreadable { .. })));
        assert_eq!(shown(&certificate), old);
        write_new(&tls);
        assert!(matches!(certificate.reload(), Reload::Renewed));
    }

    #[test]
    fn each_way_to_name_the_wrong_file_has_its_own_sentence() {
        let dir = tempfile::tempdir().unwrap();
        let tls = files(dir.path());
        let said = || Certificate::load(&tls).unwrap_err().to_string();
        assert!(said().contains("correct `tls.certificate`"), "{}", said());
        write_new(&tls);
        fs::write(&tls.certificate, "").unwrap();
        assert!(said().contains("has no certificate"), "{}", said());
        write_new(&tls);
        fs::copy(&tls.certificate, &tls.key_file).unwrap();
        assert!(said().contains("has no private key"), "{}", said());
        write_new(&tls);
        let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
        fs::write(&tls.key_file, key).unwrap();
        assert!(said().contains("cannot be used together"), "{}", said());
    }
}
