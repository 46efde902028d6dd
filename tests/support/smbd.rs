//! A private smbd with a message command, on a port of loopback: its own configuration and folders, nothing of the system's.

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

/// smbd, and the folder it lives in. Killed when dropped, with the processes it made for its clients.
pub(crate) struct Smbd {
    child: Child,
    port: u16,
    folder: TempDir,
}

impl Smbd {
    /// Starts it. Each message that it takes is moved into a folder, by one `mv`.
    ///
    /// # Errors
    /// What this machine lacks.
    pub(crate) fn start() -> Result<Self, String> {
        if !std::path::Path::new("/usr/sbin/smbd").exists() {
            return Err("smbd is missing: apt-get install samba".to_owned());
        }
        if !nix::unistd::geteuid().is_root() {
            return Err("smbd needs root".to_owned());
        }
        let folder = tempfile::Builder::new().prefix("smbd").tempdir().unwrap();
        // A command runs as the guest, who has to get here.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let configuration = configuration(&folder, port);
        fs::write(folder.path().join("smb.conf"), configuration).unwrap();
        let mut command = Command::new("/usr/sbin/smbd");
        command.args(["-F", "--no-process-group", "-s"]).arg(folder.path().join("smb.conf"));
        command.env("TMPDIR", folder.path().join("tmp")).stdin(Stdio::null()).stdout(Stdio::null());
        // A group of its own, since it signals its group when it ends.
        let child = command.stderr(Stdio::null()).process_group(0).spawn().unwrap();
        let smbd = Self { child, port, folder };
        smbd.wait_until(|smbd| TcpStream::connect(smbd.address()).is_ok());
        Ok(smbd)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::LOCALHOST, self.port)
    }

    /// The texts of the messages that it took, in no order.
    pub(crate) fn messages(&self) -> Vec<String> {
        let read = |path: PathBuf| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
        let files = fs::read_dir(self.folder.path().join("messages")).unwrap();
        files.map(|file| read(file.unwrap().path())).collect()
    }

    fn wait_until(&self, holds: impl Fn(&Self) -> bool) {
        for _ in 0..600 {
            if holds(self) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        panic!("waited in vain for smbd; its log:\n{log}");
    }
}

impl Drop for Smbd {
    fn drop(&mut self) {
        let group = nix::unistd::Pid::from_raw(self.child.id().try_into().unwrap());
        nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL).ok();
        self.child.wait().ok();
    }
}

fn configuration(folder: &TempDir, port: u16) -> String {
    let path = |name: &str| folder.path().join(name).display().to_string();
    let mut text = format!(
        "[global]\n\
         netbios name = NBPEER\n\
         workgroup = NBLAB\n\
         interfaces = lo\n\
         bind interfaces only = yes\n\
         smb ports = {port}\n\
         server role = standalone server\n\
         server min protocol = NT1\n\
         map to guest = Bad User\n\
         guest account = nobody\n\
         dos charset = CP850\n\
         unix charset = UTF-8\n\
         load printers = no\n\
         disable spoolss = yes\n\
         log file = {}\n\
         message command = mv %s {}/\n",
        path("log"),
        path("messages")
    );
    for (key, name) in [
        ("private dir", "private"),
        ("lock directory", "lock"),
        ("state directory", "state"),
        ("cache directory", "cache"),
        ("pid directory", "pid"),
        ("ncalrpc dir", "ncalrpc"),
    ] {
        fs::create_dir(path(name)).unwrap();
        text.push_str(&format!("{key} = {}\n", path(name)));
    }
    for name in ["tmp", "messages"] {
        fs::create_dir(path(name)).unwrap();
        fs::set_permissions(path(name), fs::Permissions::from_mode(0o1777)).unwrap();
    }
    fs::set_permissions(path("private"), fs::Permissions::from_mode(0o700)).unwrap();
    text
}
