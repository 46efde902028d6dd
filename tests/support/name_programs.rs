//! Samba's programs that ask for names, on a host of a [`Lan`](super::namespace::Lan), with a configuration of their own.

use std::fs;
use std::process::Command;

use tempfile::TempDir;

use super::namespace::{BROADCAST, Host, output};
use super::{Missing, has_program};

/// nmblookup and smbtorture on a host.
pub(crate) struct NamePrograms {
    host: Host,
    folder: TempDir,
}

impl NamePrograms {
    /// On `host`; nothing runs yet.
    pub(crate) fn on(host: Host) -> Result<Self, Missing> {
        for (program, package) in [("nmblookup", "samba-common-bin"), ("smbtorture", "samba-testsuite")] {
            if !has_program(program) {
                return Err(Missing(format!("{program} is missing: apt-get install {package}")));
            }
        }
        let folder = tempfile::Builder::new().prefix("names").tempdir().unwrap();
        let path = folder.path().display();
        let configuration = format!(
            "[global]\nnetbios name = ASKER\nworkgroup = NBLAB\ninterfaces = eth0\nlock directory = {path}\n\
             state directory = {path}\ncache directory = {path}\nprivate dir = {path}\npid directory = {path}\n"
        );
        fs::write(folder.path().join("smb.conf"), configuration).unwrap();
        Ok(Self { host, folder })
    }

    /// Who has `name` (`ALERTS#03`), asked for by broadcast: the lines of the answer; an error where nobody answers.
    pub(crate) fn who_has(&self, name: &str) -> Result<String, String> {
        self.nmblookup(&["-B", BROADCAST, name])
    }

    /// Who has `name`, asked of the WINS server at `server`.
    pub(crate) fn who_has_by_wins(&self, server: &str, name: &str) -> Result<String, String> {
        self.nmblookup(&["--recursion", "-U", server, name])
    }

    /// All names of the host at `address`.
    pub(crate) fn status_of(&self, address: &str) -> Result<String, String> {
        self.nmblookup(&["-A", address])
    }

    fn nmblookup(&self, arguments: &[&str]) -> Result<String, String> {
        output(self.command("nmblookup").args(arguments))
    }

    /// What a test of smbtorture says about `host_name`; an error where it fails.
    pub(crate) fn torture(&self, host_name: &str, test: &str) -> Result<String, String> {
        let share = format!("//{host_name}/none");
        // Failures are told on standard output as well.
        let done = self.command("smbtorture").args([&share, test, "-U%"]).output().unwrap();
        let said = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
        if done.status.success() { Ok(said) } else { Err(said) }
    }

    fn command(&self, program: &str) -> Command {
        let mut command = self.host.command(program);
        command.arg("--configfile").arg(self.folder.path().join("smb.conf"));
        command
    }
}
