//! A private Postfix: demands TLS and a login, and delivers into Maildirs that the test can read.
//!
//! Everything lies in a folder of its own; nothing of the system's Postfix is used or touched but its programs.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::{Missing, free_port, has_program};

/// The domain whose mailboxes are [`MAILBOXES`].
pub(crate) const DOMAIN: &str = "plant.example";
/// Local parts that exist, also with an extension (`ops+x`); any other is refused with 550 5.1.1.
pub(crate) const MAILBOXES: [&str; 3] = ["ops", "night", "archive"];
/// A domain of which every address exists.
pub(crate) const CATCH_ALL: &str = "all.example";
/// A local part that is refused with 450 4.2.1, for ever.
pub(crate) const BUSY: &str = "busy";
/// What [`USER`] may send as, and [`RELAYED_SENDER`], and nothing else.
pub(crate) const SENDER: &str = "gw@plant.example";
/// Where reports about relayed mail can be read: one of [`MAILBOXES`].
pub(crate) const RELAYED_SENDER: &str = "archive@plant.example";
/// The user that may log in.
pub(crate) const USER: &str = "alice";
/// Its password.
pub(crate) const PASSWORD: &str = "correct horse, \"battery\"=staple";

/// A Postfix of the test's own; stopped when dropped.
pub(crate) struct Postfix {
    dir: TempDir,
    starttls_port: u16,
    implicit_port: u16,
    mx_port: u16,
    mx_starttls_port: u16,
    mx_implicit_port: u16,
}

impl Postfix {
    /// Builds and starts one.
    pub(crate) fn start() -> Result<Self, Missing> {
        Self::start_with("")
    }

    /// One that asks Dovecot who may log in, over this socket, and lets all of them send as anybody.
    pub(crate) fn start_with_dovecot(socket: &Path) -> Result<Self, Missing> {
        let socket = socket.display();
        Self::start_with(&format!(
            "smtpd_sasl_type = dovecot\nsmtpd_sasl_path = {socket}\nsmtpd_sender_restrictions =\n"
        ))
    }

    /// One with further lines of main.cf, instead of others of the same name.
    fn start_with(settings: &str) -> Result<Self, Missing> {
        check_machine()?;
        let dir = tempfile::Builder::new().prefix("postfix").tempdir().unwrap();
        let [starttls_port, implicit_port, mx_port, mx_starttls_port, mx_implicit_port] =
            std::array::from_fn(|_| free_port());
        let postfix = Self { dir, starttls_port, implicit_port, mx_port, mx_starttls_port, mx_implicit_port };
        postfix.build(settings);
        postfix.start_again();
        Ok(postfix)
    }

    /// The port that demands STARTTLS, as 587 does.
    pub(crate) const fn starttls_port(&self) -> u16 {
        self.starttls_port
    }

    /// The port that speaks TLS from the first octet, as 465 does.
    pub(crate) const fn implicit_port(&self) -> u16 {
        self.implicit_port
    }

    /// The port that asks for neither TLS nor a login and takes mail for its own domains, as 25 does.
    pub(crate) const fn mx_port(&self) -> u16 {
        self.mx_port
    }

    /// As [`Self::mx_port`], and demands STARTTLS.
    pub(crate) const fn mx_starttls_port(&self) -> u16 {
        self.mx_starttls_port
    }

    /// As [`Self::mx_port`], and speaks TLS from the first octet.
    pub(crate) const fn mx_implicit_port(&self) -> u16 {
        self.mx_implicit_port
    }

    /// PEM file with the authority that signed the certificate for `localhost` and 127.0.0.1.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.path("tls/ca.pem")
    }

    /// Stops it; its ports answer no more.
    pub(crate) fn stop(&self) {
        self.control("stop");
    }

    /// Starts it after [`Postfix::stop`] on the same ports.
    pub(crate) fn start_again(&self) {
        self.control("start");
        for port in self.ports() {
            let listening = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
            assert!(wait_until(listening), "no Postfix on port {port}:\n{}", self.maillog());
        }
    }

    /// The mails that are in a mailbox now.
    pub(crate) fn mails(&self, mailbox: &str) -> Vec<String> {
        let new = self.path("mail").join(mailbox).join("new");
        let entries = fs::read_dir(new).into_iter().flatten();
        entries.map(|entry| String::from_utf8(fs::read(entry.unwrap().path()).unwrap()).unwrap()).collect()
    }

    /// The mails in a mailbox, once there are `count`.
    pub(crate) async fn delivered(&self, mailbox: &str, count: usize) -> Vec<String> {
        let new = self.path("mail").join(mailbox).join("new");
        let files = || -> Vec<PathBuf> {
            fs::read_dir(&new)
                .map(|entries| entries.map(|entry| entry.unwrap().path()).collect())
                .unwrap_or_default()
        };
        for _ in 0..WAIT_STEPS {
            if files().len() >= count {
                let mails = files();
                assert_eq!(mails.len(), count, "too many mails for {mailbox}");
                return mails
                    .iter()
                    .map(|path| String::from_utf8(fs::read(path).unwrap()).unwrap())
                    .collect();
            }
            tokio::time::sleep(WAIT_STEP).await;
        }
        panic!("{} of {count} mails for {mailbox}:\n{}", files().len(), self.maillog());
    }

    /// What it logged at the end of each session with a login, once there are `count`.
    pub(crate) async fn sessions(&self, count: usize) -> Vec<String> {
        for _ in 0..WAIT_STEPS {
            let log = self.maillog();
            let ends =
                log.lines().filter(|line| line.contains(": disconnect from ") && line.contains(" auth="));
            let ends: Vec<String> = ends.map(str::to_owned).collect();
            if ends.len() >= count {
                return ends;
            }
            tokio::time::sleep(WAIT_STEP).await;
        }
        panic!("fewer than {count} sessions ended:\n{}", self.maillog());
    }

    /// Everything that it logged.
    pub(crate) fn maillog(&self) -> String {
        fs::read_to_string(self.path("log/maillog")).unwrap_or_default()
    }

    const fn ports(&self) -> [u16; 5] {
        [self.starttls_port, self.implicit_port, self.mx_port, self.mx_starttls_port, self.mx_implicit_port]
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn control(&self, verb: &str) {
        let done =
            Command::new("/usr/sbin/postfix").arg("-c").arg(self.path("conf")).arg(verb).output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "postfix {verb}: {said}\n{}", self.maillog());
    }

    fn build(&self, settings: &str) {
        let dir = self.dir.path();
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
        for folder in ["conf/sasl", "conf/postfix-files.d", "data", "log", "queue", "sasl", "tls", "mail"] {
            fs::create_dir_all(dir.join(folder)).unwrap();
        }
        let (postfix, nobody) = (owner_id("postfix"), owner_id("nobody"));
        for folder in ["data", "log"] {
            chown(dir.join(folder), Some(postfix), None).unwrap();
        }
        chown(dir.join("mail"), Some(nobody), None).unwrap();
        self.write("conf/main.cf", &with_settings(&main_cf(dir, nobody), settings));
        self.write("conf/master.cf", &master_cf(self.ports()));
        let mailboxes = MAILBOXES.map(|name| format!("{name}@{DOMAIN} {name}/\n")).concat();
        self.write("conf/mailboxes", &format!("{mailboxes}@{CATCH_ALL} archive/\n"));
        let senders =
            [SENDER, RELAYED_SENDER].map(|sender| format!("{sender} {USER}@{HOST}, {USER}\n")).concat();
        self.write("conf/senders", &senders);
        self.write("conf/access", &format!("{BUSY}@{DOMAIN} 450 4.2.1 {BUSY} is busy, try again later\n"));
        let sasldb = dir.join("sasl/sasldb2");
        self.write(
            "conf/sasl/smtpd.conf",
            &format!(
                "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: {}\n\
                 mech_list: PLAIN LOGIN CRAM-MD5 SCRAM-SHA-256\n",
                sasldb.display()
            ),
        );
        add_user(&sasldb);
        chown(&sasldb, Some(postfix), None).unwrap();
        make_certificates(&dir.join("tls"));
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }
}

/// Stops it, by the pid in its own queue folder.
impl Drop for Postfix {
    fn drop(&mut self) {
        let stopped = Command::new("/usr/sbin/postfix")
            .arg("-c")
            .arg(self.path("conf"))
            .arg("stop")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        assert!(stopped.is_ok() || std::thread::panicking(), "{stopped:?}");
    }
}

fn check_machine() -> Result<(), Missing> {
    if !nix::unistd::Uid::effective().is_root() {
        return Err(Missing("a private Postfix needs root".to_owned()));
    }
    for (program, package) in [("postfix", "postfix"), ("saslpasswd2", "sasl2-bin")] {
        if !has_program(program) {
            return Err(Missing(format!("{program} is not installed (Debian: {package})")));
        }
    }
    let plugin = "sasl2/libscram.so";
    let found = ["/usr/lib", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64"]
        .iter()
        .any(|dir| Path::new(dir).join(plugin).exists());
    if found { Ok(()) } else { Err(Missing(format!("{plugin} is not installed (Debian: libsasl2-modules)"))) }
}

fn owner_id(user: &str) -> u32 {
    nix::unistd::User::from_name(user).unwrap().unwrap_or_else(|| panic!("no user {user}")).uid.as_raw()
}

fn wait_until(condition: impl Fn() -> bool) -> bool {
    for _ in 0..WAIT_STEPS {
        if condition() {
            return true;
        }
        std::thread::sleep(WAIT_STEP);
    }
    false
}

fn main_cf(dir: &Path, mail_owner: u32) -> String {
    let dir = dir.display();
    format!(
        "compatibility_level = 3.6
queue_directory = {dir}/queue
data_directory = {dir}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file = {dir}/log/maillog
maillog_file_prefixes = {dir}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = {HOST}
mynetworks =
mydestination =
local_recipient_maps =
local_transport = error:5.1.1 no local mailboxes here
alias_maps =
notify_classes =
recipient_delimiter = +
virtual_mailbox_domains = {DOMAIN}, {CATCH_ALL}
virtual_mailbox_base = {dir}/mail
virtual_mailbox_maps = texthash:{dir}/conf/mailboxes
virtual_uid_maps = static:{mail_owner}
virtual_gid_maps = static:{mail_owner}
smtpd_sender_login_maps = texthash:{dir}/conf/senders
smtpd_sender_restrictions = reject_authenticated_sender_login_mismatch
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_recipient_restrictions = check_recipient_access texthash:{dir}/conf/access, reject_unlisted_recipient
smtpd_tls_security_level = encrypt
smtpd_tls_auth_only = yes
smtpd_tls_chain_files = {dir}/tls/server.pem
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = cyrus
smtpd_sasl_path = smtpd
smtpd_sasl_local_domain = {HOST}
smtpd_sasl_security_options = noanonymous
smtpd_error_sleep_time = 0
smtpd_forbid_bare_newline = reject
message_size_limit = 2000000
"
    )
}

/// A line that stands twice is warned of by every process, postlogd too: that one then waits for itself to read it.
fn with_settings(main_cf: &str, settings: &str) -> String {
    let name = |line: &str| line.split_once(" =").map(|(name, _)| name.to_owned());
    let others: Vec<_> = settings.lines().filter_map(name).collect();
    let kept = main_cf.lines().filter(|line| !name(line).is_some_and(|name| others.contains(&name)));
    kept.chain(settings.lines()).map(|line| format!("{line}\n")).collect()
}

fn master_cf(
    [starttls_port, implicit_port, mx_port, mx_starttls_port, mx_implicit_port]: [u16; 5],
) -> String {
    format!(
        "127.0.0.1:{starttls_port} inet n - n - - smtpd
127.0.0.1:{implicit_port} inet n - n - - smtpd
  -o smtpd_tls_wrappermode=yes
127.0.0.1:{mx_port} inet n - n - - smtpd
  -o smtpd_tls_security_level=none
  -o smtpd_sasl_auth_enable=no
  -o smtpd_sender_restrictions=
  -o smtpd_relay_restrictions=reject_unauth_destination
127.0.0.1:{mx_starttls_port} inet n - n - - smtpd
  -o smtpd_sasl_auth_enable=no
  -o smtpd_sender_restrictions=
  -o smtpd_relay_restrictions=reject_unauth_destination
127.0.0.1:{mx_implicit_port} inet n - n - - smtpd
  -o smtpd_tls_wrappermode=yes
  -o smtpd_sasl_auth_enable=no
  -o smtpd_sender_restrictions=
  -o smtpd_relay_restrictions=reject_unauth_destination
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
proxymap unix - - n - - proxymap
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"
    )
}

fn add_user(sasldb: &Path) {
    let mut child = Command::new("/usr/sbin/saslpasswd2")
        .args(["-p", "-c", "-u", HOST, "-f"])
        .arg(sasldb)
        .arg(USER)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(PASSWORD.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

/// An authority in `ca.pem`, and a key with a certificate that it signed in `server.pem`.
fn make_certificates(dir: &Path) {
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, "Test authority");
    let authority = rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().unwrap()).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let certificate = rcgen::CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
    fs::write(dir.join("ca.pem"), authority.pem()).unwrap();
    fs::write(dir.join("server.pem"), key.serialize_pem() + &certificate.pem()).unwrap();
}

const HOST: &str = "mx.plant.example";
const WAIT_STEP: Duration = Duration::from_millis(50);
/// 20 s in all.
const WAIT_STEPS: usize = 400;
