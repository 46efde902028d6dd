//! A private nmbd on a host of a [`Lan`](super::namespace::Lan): its own configuration and folders, nothing of the
//! system's.

use std::fs;

use tempfile::TempDir;

use super::namespace::{Host, Running};
use super::{Missing, has_program};

/// nmbd, and the folder it lives in.
pub(crate) struct Nmbd {
    process: Running,
    folder: TempDir,
}

impl Nmbd {
    /// Starts nmbd on `host` under a NetBIOS name. It announces itself at once, and every few seconds to LAN Managers.
    pub(crate) fn start(host: &Host, netbios_name: &str) -> Result<Self, Missing> {
        Self::start_with(host, netbios_name, "")
    }

    /// As [`Self::start`], with these lines of its `[global]` section beside or instead of the others.
    pub(crate) fn start_with(host: &Host, netbios_name: &str, settings: &str) -> Result<Self, Missing> {
        if !has_program("nmbd") {
            return Err(Missing("nmbd is missing: apt-get install samba".to_owned()));
        }
        let folder = tempfile::Builder::new().prefix("nmbd").tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let mut configuration = format!(
            "[global]\n\
             netbios name = {netbios_name}\n\
             workgroup = NBLAB\n\
             server string = a host of the lab\n\
             server role = standalone server\n\
             interfaces = eth0\n\
             local master = no\n\
             lm announce = yes\n\
             lm interval = 5\n\
             load printers = no\n\
             disable spoolss = yes\n"
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
            fs::create_dir(path(name)).unwrap();
            configuration.push_str(&format!("{key} = {}\n", path(name)));
        }
        configuration.push_str(&format!("log file = {}\n", path("log")));
        configuration.push_str(settings);
        fs::write(path("smb.conf"), configuration).unwrap();
        let arguments = ["-F", "--no-process-group", "-s", &path("smb.conf")];
        let process = host.start("nmbd", &arguments, folder.path().join("output"));
        Ok(Self { process, folder })
    }

    /// What it has said so far.
    pub(crate) fn said(&self) -> String {
        self.process.said()
    }

    /// Its own log so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}
