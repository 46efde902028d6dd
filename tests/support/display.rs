//! A legacy display that none of us wrote: nmbd, which owns its name, and smbd with a message command, on a host of a
//! [`Lan`](super::namespace::Lan).

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use super::namespace::{Host, Running, wait_for};
use super::samba::Nmbd;
use super::{Missing, has_program};

/// It shows a message by putting it into a folder.
pub(crate) struct Display {
    smbd: Running,
    folder: TempDir,
    _nmbd: Nmbd,
}

impl Display {
    /// Starts it under this NetBIOS name and waits until it takes messages.
    pub(crate) fn start(host: &Host, netbios_name: &str) -> Result<Self, Missing> {
        if !has_program("smbd") {
            return Err(Missing("smbd is missing: apt-get install samba".to_owned()));
        }
        let nmbd = Nmbd::start(host, netbios_name)?;
        let folder = tempfile::Builder::new().prefix("display").tempdir().unwrap();
        // The message command runs as the guest, who has to get here.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(folder.path().join("smb.conf"), configuration(&folder, netbios_name)).unwrap();
        let temporary = format!("TMPDIR={}", folder.path().join("tmp").display());
        let configuration = folder.path().join("smb.conf").display().to_string();
        let arguments = [&*temporary, "smbd", "-F", "--no-process-group", "-s", &configuration];
        let smbd = host.start("env", &arguments, folder.path().join("output"));
        let display = Self { smbd, folder, _nmbd: nmbd };
        wait_for(Duration::from_secs(60), "smbd listens", || {
            let sockets = super::namespace::output(host.command("cat").arg("/proc/net/tcp")).unwrap();
            assert!(!display.smbd.said().contains("ERROR"), "{}", display.smbd.said());
            sockets.contains(":008B ").then_some(())
        });
        Ok(display)
    }

    /// The messages that it has shown, in no order.
    pub(crate) fn messages(&self) -> Vec<String> {
        let read = |path: PathBuf| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
        let files = fs::read_dir(self.folder.path().join("messages")).unwrap();
        files.map(|file| read(file.unwrap().path())).collect()
    }

    /// Waits for its first message.
    pub(crate) fn message(&self) -> String {
        wait_for(Duration::from_secs(60), "the display shows a message", || {
            self.messages().pop().filter(|text| !text.is_empty())
        })
    }
}

fn configuration(folder: &TempDir, netbios_name: &str) -> String {
    let path = |name: &str| folder.path().join(name).display().to_string();
    let mut text = format!(
        "[global]\n\
         netbios name = {netbios_name}\n\
         workgroup = NBLAB\n\
         interfaces = eth0 lo\n\
         smb ports = 139\n\
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
