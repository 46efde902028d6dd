//! A private smbd with a message command, on a port of loopback: its own configuration and folders, nothing of the system's.

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::samba_folder::SambaFolder;

/// smbd, and the folder it lives in. Killed when dropped, with the processes it made for its clients.
pub(crate) struct Smbd {
    child: Child,
    port: u16,
    folder: SambaFolder,
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
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let settings = format!("interfaces = lo\nbind interfaces only = yes\nsmb ports = {port}\n");
        let folder = SambaFolder::of_display("NBPEER", &settings);
        let mut command = Command::new("/usr/sbin/smbd");
        command.args(["-F", "--no-process-group", "-s", &folder.configuration()]);
        command.env("TMPDIR", folder.path("tmp")).stdin(Stdio::null()).stdout(Stdio::null());
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
        self.folder.messages()
    }

    fn wait_until(&self, holds: impl Fn(&Self) -> bool) {
        for _ in 0..600 {
            if holds(self) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("waited in vain for smbd; its log:\n{}", self.folder.log());
    }
}

impl Drop for Smbd {
    fn drop(&mut self) {
        let group = nix::unistd::Pid::from_raw(self.child.id().try_into().unwrap());
        nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL).ok();
        self.child.wait().ok();
    }
}
