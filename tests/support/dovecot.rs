//! A private Dovecot that lets in whoever shows a good token, and the OAuth provider that it asks (RFC 7662).
//!
//! Dovecot is real; the provider is a few lines of Python, since no real one answers on loopback. Both lie in a folder of
//! their own, and end with the test.
#![expect(clippy::disallowed_methods, reason = "what another process does is awaited on the wall clock")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Missing, has_program};

/// The mailbox that the provider's tokens are for.
pub(crate) const MAILBOX: &str = "gw@plant.example";
/// The client secret that is valid at first.
pub(crate) const SECRET: &str = "s3cret+&=";

/// The provider; ended when dropped.
pub(crate) struct Provider {
    dir: TempDir,
    child: Child,
    port: u16,
}

/// Dovecot's part that checks logins; ended when dropped.
pub(crate) struct Dovecot {
    dir: TempDir,
    child: Child,
}

impl Provider {
    /// Starts one whose tokens live for an hour.
    pub(crate) fn start() -> Result<Self, Missing> {
        if !has_program("python3") {
            return Err(Missing("python3 is not installed (Debian: python3)".to_owned()));
        }
        let dir = tempfile::Builder::new().prefix("provider").tempdir().unwrap();
        let state =
            json!({ "secret": SECRET, "generation": 1, "lifetime": 3600, "mailbox": MAILBOX, "refresh": 0 });
        fs::write(dir.path().join("state.json"), state.to_string()).unwrap();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/token_provider.py");
        let child = Command::new("python3").arg(script).arg(dir.path()).stdin(Stdio::null()).spawn().unwrap();
        let mut provider = Self { dir, child, port: 0 };
        let port = provider.dir.path().join("port");
        wait_until("the provider", || port.exists());
        provider.port = fs::read_to_string(port).unwrap().parse().unwrap();
        Ok(provider)
    }

    /// An endpoint of it.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }

    /// Changes how it behaves from now on.
    pub(crate) fn set(&self, key: &str, value: Value) {
        let path = self.dir.path().join("state.json");
        let mut state: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        state[key] = value;
        let new = self.dir.path().join("state.new");
        fs::write(&new, state.to_string()).unwrap();
        fs::rename(new, path).unwrap();
    }

    /// The forms of the requests to one of its endpoints so far.
    pub(crate) fn requests(&self, path: &str) -> Vec<Value> {
        let lines = fs::read_to_string(self.dir.path().join("requests")).unwrap_or_default();
        let all = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        all.filter(|request| request["path"] == format!("/{path}"))
            .map(|mut request| request["form"].take())
            .collect()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Dovecot {
    /// Starts one that asks `provider` about each token.
    pub(crate) fn start(provider: &Provider) -> Result<Self, Missing> {
        if !has_program("dovecot") {
            return Err(Missing("dovecot is not installed (Debian: dovecot-core)".to_owned()));
        }
        if !nix::unistd::Uid::effective().is_root() {
            return Err(Missing("not root, as which Dovecot starts".to_owned()));
        }
        let dir = tempfile::Builder::new().prefix("dovecot").tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let path = dir.path();
        fs::write(path.join("dovecot.conf"), configuration(path)).unwrap();
        fs::write(path.join("oauth2.conf"), token_check(&provider.url("introspect"))).unwrap();
        let child = Command::new("/usr/sbin/dovecot")
            .args(["-F", "-c"])
            .arg(path.join("dovecot.conf"))
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let dovecot = Self { dir, child };
        let socket = dovecot.socket();
        wait_until("Dovecot", || socket.exists());
        Ok(dovecot)
    }

    /// Where Postfix asks it who may log in.
    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("auth-client")
    }

    /// Everything that it logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Dovecot {
    /// SIGTERM, so that it ends its own processes.
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(self.child.id().try_into().unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).ok();
        self.child.wait().ok();
    }
}

fn configuration(dir: &Path) -> String {
    let dir = dir.display();
    format!(
        "protocols =
base_dir = {dir}/run
state_dir = {dir}/state
log_path = {dir}/log
auth_verbose = yes
auth_debug = yes
ssl = no
disable_plaintext_auth = no
auth_mechanisms = xoauth2 oauthbearer
auth_failure_delay = 0
passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {dir}/oauth2.conf
}}
service auth {{
  unix_listener {dir}/auth-client {{
    mode = 0666
  }}
}}
service stats {{
  unix_listener stats-writer {{
    mode = 0666
  }}
}}
"
    )
}

fn token_check(introspection: &str) -> String {
    format!(
        "introspection_url = {introspection}
introspection_mode = post
force_introspection = yes
active_attribute = active
active_value = true
username_attribute = email
"
    )
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < end, "{what} does not answer");
        std::thread::sleep(Duration::from_millis(20));
    }
}
