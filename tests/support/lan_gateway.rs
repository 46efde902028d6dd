//! The built program on a host of a [`Lan`](super::namespace::Lan), with everything at its default but the folder.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use tempfile::TempDir;

use super::namespace::{Host, Running, output, wait_for};

/// `mailslotd run`; killed when dropped.
pub(crate) struct Gateway {
    /// Where it runs.
    pub(crate) host: Host,
    process: Running,
    folder: TempDir,
}

impl Gateway {
    /// Starts it without waiting for anything.
    pub(crate) fn start(host: Host) -> Self {
        Self::start_with(host, "")
    }

    /// As [`Self::start`], with these settings beside the folder.
    pub(crate) fn start_with(host: Host, settings: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let configuration = folder.path().join("mailslotd.yaml");
        let state = folder.path().join("state");
        fs::write(&configuration, format!("state_dir: {}\n{settings}", state.display())).unwrap();
        let arguments = ["--config", configuration.to_str().unwrap(), "run"];
        let process = host.start(PROGRAM, &arguments, folder.path().join("log"));
        Self { host, process, folder }
    }

    /// Ends it in order and starts it again with the same files.
    pub(crate) fn restart(&mut self) {
        self.stop();
        self.start_again();
    }

    /// Starts it again with the same files.
    pub(crate) fn start_again(&mut self) {
        let configuration = self.folder.path().join("mailslotd.yaml");
        let arguments = ["--config", configuration.to_str().unwrap(), "run"];
        self.process = self.host.start(PROGRAM, &arguments, self.folder.path().join("log"));
        self.wait_until_ready();
    }

    /// Ends it in order.
    pub(crate) fn stop(&mut self) {
        self.terminate();
        assert!(self.ended(Duration::from_secs(30)).success());
    }

    /// A command with its configuration, on its host.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.host.command(PROGRAM);
        command.arg("--config").arg(self.folder.path().join("mailslotd.yaml")).args(arguments);
        command
    }

    /// Waits until it hears.
    pub(crate) fn wait_until_ready(&self) {
        wait_for(Duration::from_secs(30), "mailslotd is ready", || self.host.get(ADMIN, "/readyz"));
    }

    /// Waits until so many names are its own.
    pub(crate) fn wait_until_claimed(&self, names: usize) {
        self.wait_until_ready();
        wait_for(Duration::from_secs(30), "the names are claimed", || {
            let metrics = self.host.get(ADMIN, "/metrics")?;
            let lines = metrics.lines().filter(|line| line.starts_with("mailslotd_netbios_names{"));
            let claimed = lines.filter(|line| line.contains("state=\"claimed\"") && line.ends_with(" 1"));
            (claimed.count() == names).then_some(())
        });
    }

    /// Waits until it ends by itself.
    pub(crate) fn ended(&mut self, within: Duration) -> ExitStatus {
        self.process.ended(within)
    }

    /// SIGTERM; it ends in order by itself.
    pub(crate) fn terminate(&self) {
        self.process.terminate();
    }

    /// Its log so far.
    pub(crate) fn said(&self) -> String {
        self.process.said()
    }

    /// The sum of the metrics whose line begins with this.
    pub(crate) fn sum(&self, begin: &str) -> u64 {
        let metrics = self.host.get(ADMIN, "/metrics").unwrap();
        let lines = metrics.lines().filter(|line| line.starts_with(begin));
        lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum()
    }

    /// What its inventory knows.
    pub(crate) fn inventory(&self) -> serde_json::Value {
        let configuration = self.folder.path().join("mailslotd.yaml");
        let arguments = ["--config", configuration.to_str().unwrap(), "inventory", "--json"];
        serde_json::from_str(&output(self.host.command(PROGRAM).args(arguments)).unwrap()).unwrap()
    }

    /// The mail in its inbox, each as text.
    pub(crate) fn inbox(&self) -> Vec<String> {
        let folder: PathBuf = self.folder.path().join("state/inbox/operator/new");
        let Ok(files) = fs::read_dir(folder) else { return Vec::new() };
        files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap()).collect()
    }
}

/// The built program.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_mailslotd");

/// The default port of metrics and health.
const ADMIN: u16 = 9138;
