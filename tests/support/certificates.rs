//! Certificates of the test's own, as PEM files in a folder that goes away with them.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use tempfile::TempDir;

/// An authority and what it signed.
pub(crate) struct Certificates {
    dir: TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
}

/// Whether a certificate may be used now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Validity {
    Good,
    Expired,
}

impl Certificates {
    /// An authority of this name.
    pub(crate) fn of_authority(name: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("certificates").tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        fs::write(dir.path().join("ca.pem"), authority.pem()).unwrap();
        Self { dir, authority }
    }

    /// The authority's certificate.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// A certificate for a host, and its key.
    pub(crate) fn make(&self, host: &str, validity: Validity) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        if validity == Validity::Expired {
            params.not_after = date_time_ymd(2020, 1, 1);
        }
        let certificate = params.signed_by(&key, &self.authority).unwrap();
        let file = |end: &str| self.dir.path().join(format!("{host}-{validity:?}.{end}"));
        write(&file("pem"), &certificate.pem());
        write(&file("key"), &key.serialize_pem());
        (file("pem"), file("key"))
    }
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
}
