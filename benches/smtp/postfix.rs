//! A private Postfix with its defaults, as a relay for loopback; nothing of the system's but its programs is used.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::load::{free_port, memory_of, until_listening};

/// Stopped when dropped.
pub(crate) struct Postfix {
    dir: TempDir,
    port: u16,
}

impl Postfix {
    /// Passes everything on to this port.
    pub(crate) fn start(sink: u16) -> Self {
        // On the disk of the gateway's spool: what is compared is two ways to fsync.
        let dir = tempfile::Builder::new().prefix("postfix").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let postfix = Self { dir, port: free_port() };
        let root = postfix.dir.path();
        fs::set_permissions(root, fs::Permissions::from_mode(0o755)).unwrap();
        for folder in ["conf/postfix-files.d", "data", "log", "queue"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        let user = nix::unistd::User::from_name("postfix").unwrap().expect("Debian's postfix is installed");
        for folder in ["data", "log"] {
            chown(root.join(folder), Some(user.uid.as_raw()), None).unwrap();
        }
        fs::write(root.join("conf/main.cf"), main_cf(root, sink)).unwrap();
        fs::write(root.join("conf/master.cf"), master_cf(postfix.port)).unwrap();
        postfix.control("start");
        until_listening(postfix.port);
        postfix
    }

    /// Where it takes mail.
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// KiB that all its processes hold.
    pub(crate) fn memory(&self) -> u64 {
        let Ok(pid) = fs::read_to_string(self.dir.path().join("queue/pid/master.pid")) else { return 0 };
        let Ok(master) = pid.trim().parse::<u32>() else { return 0 };
        let children =
            fs::read_to_string(format!("/proc/{master}/task/{master}/children")).unwrap_or_default();
        let mut all = vec![master];
        all.extend(children.split_ascii_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
        memory_of(&all)
    }

    fn control(&self, verb: &str) {
        let conf = self.dir.path().join("conf");
        let done = Command::new("/usr/sbin/postfix").arg("-c").arg(conf).arg(verb).output().unwrap();
        assert!(done.status.success(), "postfix {verb}: {}", String::from_utf8_lossy(&done.stderr));
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        let conf = self.dir.path().join("conf");
        Command::new("/usr/sbin/postfix").arg("-c").arg(conf).arg("stop").output().ok();
    }
}

fn main_cf(dir: &Path, sink: u16) -> String {
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
myhostname = mx.bench.example
mydestination =
local_recipient_maps =
local_transport = error:5.1.1 no local mailboxes here
alias_maps =
relayhost = [127.0.0.1]:{sink}
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_client_connection_count_limit = 0
smtpd_tls_security_level = none
smtp_tls_security_level = none
"
    )
}

fn master_cf(port: u16) -> String {
    format!(
        "127.0.0.1:{port} inet n - n - 200 smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"
    )
}
