//! A folder that a program of Samba lives in: its configuration, its folders and its log lie in it, nothing is the
//! system's.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use tempfile::TempDir;

/// Gone with its value.
pub(crate) struct SambaFolder(TempDir);

impl SambaFolder {
    /// Makes one with a configuration of these lines of the `[global]` section beside those that place its files.
    pub(crate) fn new(settings: &str) -> Self {
        let folder = Self(tempfile::Builder::new().prefix("samba").tempdir().unwrap());
        // A message command runs as the guest, who has to get here.
        fs::set_permissions(folder.0.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let mut configuration = format!(
            "[global]\nworkgroup = NBLAB\nload printers = no\ndisable spoolss = yes\nlog file = {}\n",
            folder.path("log")
        );
        for (key, name) in [
            ("private dir", "private"),
            ("lock directory", "lock"),
            ("state directory", "state"),
            ("cache directory", "cache"),
            ("pid directory", "pid"),
            ("ncalrpc dir", "ncalrpc"),
            ("nmbd:socket dir", "nmbd"),
        ] {
            fs::create_dir(folder.path(name)).unwrap();
            configuration.push_str(&format!("{key} = {}\n", folder.path(name)));
        }
        fs::set_permissions(folder.path("private"), fs::Permissions::from_mode(0o700)).unwrap();
        configuration.push_str(settings);
        fs::write(folder.configuration(), configuration).unwrap();
        folder
    }

    /// Makes one for an smbd that is called so and moves each message that it takes into a folder, by one `mv`, with
    /// these further lines.
    pub(crate) fn of_display(netbios_name: &str, settings: &str) -> Self {
        let folder = Self::new("");
        for name in ["tmp", "messages"] {
            fs::create_dir(folder.path(name)).unwrap();
            fs::set_permissions(folder.path(name), fs::Permissions::from_mode(0o1777)).unwrap();
        }
        let mut configuration = fs::read_to_string(folder.configuration()).unwrap();
        configuration.push_str(&format!(
            "netbios name = {netbios_name}\n\
             server role = standalone server\n\
             server min protocol = NT1\n\
             map to guest = Bad User\n\
             guest account = nobody\n\
             dos charset = CP850\n\
             unix charset = UTF-8\n\
             message command = mv %s {}/\n\
             {settings}",
            folder.path("messages")
        ));
        fs::write(folder.configuration(), configuration).unwrap();
        folder
    }

    /// The path of something in it.
    pub(crate) fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    /// The path of the configuration.
    pub(crate) fn configuration(&self) -> String {
        self.path("smb.conf")
    }

    /// The program's own log so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// The texts of the messages that a display took, in no order.
    pub(crate) fn messages(&self) -> Vec<String> {
        let files = fs::read_dir(self.path("messages")).unwrap();
        files
            .map(|file| String::from_utf8_lossy(&fs::read(file.unwrap().path()).unwrap()).into_owned())
            .collect()
    }
}
