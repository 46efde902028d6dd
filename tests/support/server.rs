//! A server of the test's own that can be killed, frozen and started again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A child of this process; killed when dropped.
pub(crate) struct Server {
    child: Option<Child>,
}

impl Server {
    /// One that does not run yet.
    pub(crate) const fn none() -> Self {
        Self { child: None }
    }

    /// Starts it; what it says goes to `log`.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Self {
        let file = fs::File::options().create(true).append(true).open(log).unwrap();
        let command = command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { child: Some(child) }
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// It holds its connections and answers no more.
    pub(crate) fn freeze(&self) {
        kill(self.pid(), Signal::SIGSTOP).unwrap();
        // The signal stops one thread after the other.
        assert!(wait_until(|| all_threads_are_stopped(self.pid())), "it does not stop");
    }

    /// It goes on after [`Self::freeze`].
    pub(crate) fn thaw(&self) {
        kill(self.pid(), Signal::SIGCONT).unwrap();
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.as_ref().unwrap().id().try_into().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let ended = child.kill().and_then(|()| child.wait());
            assert!(ended.is_ok() || std::thread::panicking(), "{ended:?}");
        }
    }
}

/// Waits until something is so, up to a minute.
pub(crate) fn wait_until(condition: impl Fn() -> bool) -> bool {
    for _ in 0..1200 {
        if condition() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    false
}

/// Waits until a port of loopback is listened on.
pub(crate) fn is_listening(port: u16) -> bool {
    wait_until(|| std::net::TcpStream::connect(("127.0.0.1", port)).is_ok())
}

/// Where a program is, in `PATH` or where Debian keeps it from users.
pub(crate) fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&path).chain(["/usr/sbin".into()]).map(|dir| dir.join(name));
    places.find(|place| place.is_file()).unwrap_or_else(|| name.into())
}

fn all_threads_are_stopped(pid: Pid) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let is_stopped = |stat: String| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'));
    threads.flatten().all(|thread| fs::read_to_string(thread.path().join("stat")).is_ok_and(is_stopped))
}
