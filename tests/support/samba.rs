//! A private nmbd on a host of a [`Lan`](super::namespace::Lan): its own configuration and folders, nothing of the
//! system's.

use super::namespace::{Host, Running};
use super::samba_folder::SambaFolder;
use super::{Missing, has_program};

/// nmbd, and the folder it lives in.
pub(crate) struct Nmbd {
    process: Running,
    folder: SambaFolder,
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
        let folder = SambaFolder::new(&format!(
            "netbios name = {netbios_name}\n\
             server string = a host of the lab\n\
             server role = standalone server\n\
             interfaces = eth0\n\
             local master = no\n\
             lm announce = yes\n\
             lm interval = 5\n\
             {settings}"
        ));
        let arguments = ["-F", "--no-process-group", "-s", &folder.configuration()];
        let process = host.start("nmbd", &arguments, folder.path("output").into());
        Ok(Self { process, folder })
    }

    /// What it has said so far.
    pub(crate) fn said(&self) -> String {
        self.process.said()
    }

    /// Its own log so far.
    pub(crate) fn log(&self) -> String {
        self.folder.log()
    }
}
