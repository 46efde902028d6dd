//! HTTP proxies of the test's own: squid and tinyproxy, on loopback, with a login.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::{Missing, free_port, has_program};

/// The user that they know.
pub(crate) const USER: &str = "gw1";
/// The password of that user.
pub(crate) const PASSWORD: &str = "proxy-word";
/// A name that only squid knows, for 127.0.0.1.
pub(crate) const HIDDEN_HOST: &str = "hooks.hidden.example";
/// A name that squid lets nobody through to.
pub(crate) const FORBIDDEN_HOST: &str = "hooks.forbidden.example";

/// A proxy on loopback; ended when dropped.
pub(crate) struct HttpProxy {
    dir: TempDir,
    /// Where it listens.
    pub(crate) port: u16,
    child: Child,
}

impl HttpProxy {
    /// squid, which resolves names by a file of its own.
    pub(crate) fn squid() -> Result<Self, Missing> {
        if !has_program("squid") || !Path::new(BASIC_FILE_AUTH).exists() {
            return Err(Missing("squid is not installed (Debian: squid)".to_owned()));
        }
        let (dir, port) = scratch();
        let path = dir.path().display();
        fs::write(dir.path().join("hosts"), format!("127.0.0.1 {HIDDEN_HOST} {FORBIDDEN_HOST}\n")).unwrap();
        fs::write(dir.path().join("auth"), AUTH).unwrap();
        let conf = format!(
            "http_port 127.0.0.1:{port}\nvisible_hostname squid.test\npid_filename {path}/squid.pid\n\
             access_log stdio:{path}/access.log\ncache_log {path}/cache.log\ncache deny all\nhosts_file {path}/hosts\n\
             netdb_filename none\nshutdown_lifetime 1 seconds\n\
             auth_param basic program /bin/sh {path}/auth\nauth_param basic children 2 startup=1 idle=1\nacl known proxy_auth REQUIRED\n\
             acl forbidden dstdomain {FORBIDDEN_HOST}\nhttp_access deny forbidden\nhttp_access allow known\nhttp_access deny all\n"
        );
        fs::write(dir.path().join("squid.conf"), conf).unwrap();
        let mut command = Command::new("squid");
        // Its shared memory is named after the service.
        command.args(["-N", "-n", &format!("test{port}"), "-f"]).arg(dir.path().join("squid.conf"));
        Ok(Self::start(dir, port, command))
    }

    /// tinyproxy.
    pub(crate) fn tinyproxy() -> Result<Self, Missing> {
        if !has_program("tinyproxy") {
            return Err(Missing("tinyproxy is not installed (Debian: tinyproxy)".to_owned()));
        }
        let (dir, port) = scratch();
        let conf = format!(
            "Port {port}\nListen 127.0.0.1\nTimeout 30\nMaxClients 20\nAllow 127.0.0.1\nBasicAuth {USER} {PASSWORD}\n\
             LogFile \"{}/access.log\"\nLogLevel Connect\n",
            dir.path().display()
        );
        fs::write(dir.path().join("tinyproxy.conf"), conf).unwrap();
        let mut command = Command::new("tinyproxy");
        command.args(["-d", "-c"]).arg(dir.path().join("tinyproxy.conf"));
        Ok(Self::start(dir, port, command))
    }

    fn start(dir: TempDir, port: u16, mut command: Command) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let proxy = Self { dir, port, child };
        let tries = 1000;
        let listening = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
        let begun = (0..tries).any(|_| {
            let is = listening();
            if !is {
                std::thread::sleep(Duration::from_millis(20));
            }
            is
        });
        assert!(begun, "no proxy on port {port}:\n{}", proxy.log());
        proxy
    }

    /// What it has let through and refused.
    pub(crate) fn log(&self) -> String {
        let read = |name| fs::read_to_string(self.dir.path().join(name)).unwrap_or_default();
        read("access.log") + &read("cache.log")
    }
}

impl Drop for HttpProxy {
    fn drop(&mut self) {
        // squid ends its helpers when it is asked to end.
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        kill(pid, Signal::SIGTERM).unwrap();
        self.child.wait().unwrap();
    }
}

fn scratch() -> (TempDir, u16) {
    let dir = tempfile::Builder::new().prefix("proxy").tempdir().unwrap();
    // Started by root they go on as users of their own, who write there too.
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    (dir, free_port())
}

const BASIC_FILE_AUTH: &str = "/usr/lib/squid/basic_ncsa_auth";
/// Answers squid's questions, each a line of user and password in the form of URLs.
const AUTH: &str =
    "while read user word; do [ \"$user $word\" = 'gw1 proxy-word' ] && echo OK || echo ERR; done\n";
