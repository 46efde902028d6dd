//! An authority of the test's own, and certificates that it signed for a server and a client.

use std::fs;
use std::path::Path;

/// Puts the files of an authority (`ca.pem`), of a server that it signed for `localhost` and 127.0.0.1 (`server.pem`,
/// `server.key`) and of a client whose common name is `client` (`client.pem`, `client.key`) into a folder, where a server
/// that runs as another user can read them.
pub(crate) fn write_certificates(dir: &Path, client: &str) {
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, "Test authority");
    let authority = rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().unwrap()).unwrap();
    let write = |name: &str, text: String| {
        fs::write(dir.join(name), text).unwrap();
        readable(&dir.join(name));
    };
    write("ca.pem", authority.pem());
    let sign = |file: &str, names: Vec<String>, common_name: &str| {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(names).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, common_name);
        let certificate = params.signed_by(&key, &authority).unwrap();
        write(&format!("{file}.pem"), certificate.pem());
        write(&format!("{file}.key"), key.serialize_pem());
    };
    sign("server", vec!["localhost".to_owned(), "127.0.0.1".to_owned()], "localhost");
    sign("client", Vec::new(), client);
    readable(dir);
}

/// Lets every user read a file, or look into a folder.
pub(crate) fn readable(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = if path.is_dir() { 0o755 } else { 0o644 };
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}
