//! A private slapd with a small directory: StartTLS and ldaps, an account that may search, one that sees nothing.
//!
//! Everything lies in a folder of its own; nothing of the system's slapd is used or touched but its programs and schemas.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::{Missing, free_port, has_program};

/// Where its directory begins.
pub(crate) const BASE: &str = "dc=corp,dc=example";
/// The account that may search.
pub(crate) const BIND_DN: &str = "cn=gw,dc=corp,dc=example";
/// An account that may log in and see nothing.
pub(crate) const BLIND_DN: &str = "cn=blind,dc=corp,dc=example";
/// The password of both.
pub(crate) const PASSWORD: &str = "directory \"password\"";

/// A slapd of the test's own; stopped when dropped.
pub(crate) struct Slapd {
    dir: TempDir,
    port: u16,
    tls_port: u16,
    child: Option<Child>,
}

impl Slapd {
    /// Builds and starts one.
    pub(crate) fn start() -> Result<Self, Missing> {
        if !has_program("slapd") || !Path::new(SCHEMAS).join("core.schema").exists() {
            return Err(Missing("slapd is not installed (Debian: slapd)".to_owned()));
        }
        let dir = tempfile::Builder::new().prefix("slapd").tempdir().unwrap();
        let mut slapd = Self { dir, port: free_port(), tls_port: free_port(), child: None };
        slapd.build();
        slapd.start_again();
        Ok(slapd)
    }

    /// `ldap://`, for StartTLS.
    pub(crate) fn url(&self) -> String {
        format!("ldap://localhost:{}", self.port)
    }

    /// `ldaps://`.
    pub(crate) fn ldaps_url(&self) -> String {
        format!("ldaps://localhost:{}", self.tls_port)
    }

    /// PEM file with the authority that signed the certificate for `localhost`.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.path("ca.pem")
    }

    /// Stops it; its ports answer no more.
    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            kill(pid(&child), Signal::SIGTERM).unwrap();
            child.wait().unwrap();
        }
    }

    /// Starts it after [`Slapd::stop`] on the same ports.
    pub(crate) fn start_again(&mut self) {
        let urls = format!("ldap://127.0.0.1:{}/ ldaps://127.0.0.1:{}/", self.port, self.tls_port);
        // With -d it stays a child of this process.
        let child = program("slapd")
            .args(["-d", "0", "-f"])
            .arg(self.path("slapd.conf"))
            .args(["-h", &urls])
            .stdout(Stdio::null())
            .stderr(fs::File::create(self.path("slapd.log")).unwrap())
            .spawn()
            .unwrap();
        self.child = Some(child);
        for port in [self.port, self.tls_port] {
            let listening = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
            assert!(wait_until(listening), "no slapd on port {port}:\n{}", self.log());
        }
    }

    /// It holds its connections and answers no more.
    pub(crate) fn freeze(&self) {
        let pid = pid(self.child.as_ref().unwrap());
        kill(pid, Signal::SIGSTOP).unwrap();
        // The signal stops one thread after the other.
        assert!(wait_until(|| all_threads_are_stopped(pid)), "slapd does not stop");
    }

    /// It goes on after [`Slapd::freeze`].
    pub(crate) fn thaw(&self) {
        kill(pid(self.child.as_ref().unwrap()), Signal::SIGCONT).unwrap();
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("slapd.log")).unwrap_or_default()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn build(&self) {
        fs::create_dir(self.path("data")).unwrap();
        make_certificates(self.dir.path());
        fs::write(self.path("ad.schema"), AD_SCHEMA).unwrap();
        fs::write(self.path("slapd.conf"), slapd_conf(self.dir.path())).unwrap();
        fs::write(self.path("data.ldif"), DATA.replace("PASSWORD", PASSWORD)).unwrap();
        let added = program("slapadd")
            .arg("-f")
            .arg(self.path("slapd.conf"))
            .arg("-l")
            .arg(self.path("data.ldif"))
            .output();
        let added = added.unwrap();
        assert!(added.status.success(), "slapadd: {}", String::from_utf8_lossy(&added.stderr));
    }
}

impl Drop for Slapd {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let ended = child.kill().and_then(|()| child.wait());
            assert!(ended.is_ok() || std::thread::panicking(), "{ended:?}");
        }
    }
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id().try_into().unwrap())
}

fn all_threads_are_stopped(pid: Pid) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let is_stopped = |stat: String| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'));
    threads.flatten().all(|thread| fs::read_to_string(thread.path().join("stat")).is_ok_and(is_stopped))
}

/// Its programs are in a folder that users do not have in their path.
fn program(name: &str) -> Command {
    let sbin = Path::new("/usr/sbin").join(name);
    Command::new(if sbin.is_file() { sbin.into_os_string() } else { name.into() })
}

fn wait_until(condition: impl Fn() -> bool) -> bool {
    for _ in 0..400 {
        if condition() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    false
}

fn slapd_conf(dir: &Path) -> String {
    let dir = dir.display();
    format!(
        "include {SCHEMAS}/core.schema
include {SCHEMAS}/cosine.schema
include {SCHEMAS}/inetorgperson.schema
include {dir}/ad.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {dir}/slapd.pid
argsfile {dir}/slapd.args
TLSCACertificateFile {dir}/ca.pem
TLSCertificateFile {dir}/server.pem
TLSCertificateKeyFile {dir}/server.key
referral ldap://127.0.0.1:1
database mdb
suffix \"{BASE}\"
directory {dir}/data
maxsize 16777216
index objectClass eq
index proxyAddresses eq
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact=\"{BIND_DN}\" read by anonymous auth by * none
"
    )
}

/// An authority in `ca.pem`, and a certificate that it signed in `server.pem` with its key in `server.key`.
fn make_certificates(dir: &Path) {
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, "Test authority");
    let authority = rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().unwrap()).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let names = vec!["localhost".to_owned()];
    let certificate = rcgen::CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
    fs::write(dir.join("ca.pem"), authority.pem()).unwrap();
    fs::write(dir.join("server.pem"), certificate.pem()).unwrap();
    fs::write(dir.join("server.key"), key.serialize_pem()).unwrap();
}

const SCHEMAS: &str = "/etc/ldap/schema";
/// The attribute in which Active Directory keeps the addresses of a mailbox: `SMTP:` before the main one, `smtp:` before
/// the others.
const AD_SCHEMA: &str = "attributetype ( 1.2.840.113556.1.2.210 NAME 'proxyAddresses'
  EQUALITY caseIgnoreMatch SUBSTR caseIgnoreSubstringsMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
objectclass ( 1.2.840.113556.1.3.46 NAME 'mailRecipient' SUP top AUXILIARY MAY proxyAddresses )
";
const DATA: &str = "dn: dc=corp,dc=example
objectClass: dcObject
objectClass: organization
dc: corp
o: Corp

dn: cn=gw,dc=corp,dc=example
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: gw
userPassword: PASSWORD

dn: cn=blind,dc=corp,dc=example
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: blind
userPassword: PASSWORD

dn: ou=people,dc=corp,dc=example
objectClass: organizationalUnit
ou: people

dn: cn=Ops,ou=people,dc=corp,dc=example
objectClass: inetOrgPerson
objectClass: mailRecipient
cn: Ops
sn: Ops
proxyAddresses: SMTP:Ops@corp.example
proxyAddresses: smtp:alerts@corp.example
proxyAddresses: X400:c=US;a= ;p=Corp;o=Exchange;s=Ops;

dn: cn=Brackets,ou=people,dc=corp,dc=example
objectClass: inetOrgPerson
objectClass: mailRecipient
cn: Brackets
sn: Brackets
proxyAddresses: smtp:o'brien+a/b=c*d@corp.example
proxyAddresses: smtp:twice@corp.example

dn: cn=Twice,ou=people,dc=corp,dc=example
objectClass: inetOrgPerson
objectClass: mailRecipient
cn: Twice
sn: Twice
mail: shop@xn--bcher-kva.example
proxyAddresses: smtp:twice@corp.example
proxyAddresses: smtp:desk@xn--bcher-kva.example
proxyAddresses:: c210cDpib29rc0Biw7xjaGVyLmV4YW1wbGU=
";
