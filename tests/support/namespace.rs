//! A LAN of network namespaces: hosts on a bridge, in 192.0.2.0/24, seen by nobody else and gone with the test.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::{Missing, has_program};

/// Hosts on one bridge. Dropping it removes the namespaces, and with them every interface.
pub(crate) struct Lan {
    switch: String,
    hosts: Vec<Host>,
}

/// A host of a [`Lan`].
#[derive(Clone)]
pub(crate) struct Host {
    namespace: String,
    /// Its address; the network is /24.
    pub(crate) address: String,
}

/// A process of a test and those it forked, in a group of their own; killed, by the group's id, when dropped.
pub(crate) struct Running {
    child: Child,
    log: PathBuf,
}

impl Lan {
    /// Makes one with this many hosts.
    pub(crate) fn new(hosts: usize) -> Result<Self, Missing> {
        if !nix::unistd::geteuid().is_root() {
            return Err(Missing("network namespaces need root".to_owned()));
        }
        for (program, package) in [("ip", "iproute2"), ("setpriv", "util-linux")] {
            if !has_program(program) {
                return Err(Missing(format!("{program} is missing: apt-get install {package}")));
            }
        }
        remove_left_over();
        Ok(Self::make(hosts))
    }

    fn make(hosts: usize) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("{PREFIX}{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let mut lan = Self { switch: format!("{name}-switch"), hosts: Vec::new() };
        ip(&["netns", "add", &lan.switch]);
        ip(&[
            "-n",
            &lan.switch,
            "link",
            "add",
            "br0",
            "type",
            "bridge",
            "stp_state",
            "0",
            "forward_delay",
            "0",
        ]);
        ip(&["-n", &lan.switch, "link", "set", "br0", "up"]);
        for number in 1..=hosts {
            let host =
                Host { namespace: format!("{name}-host{number}"), address: format!("192.0.2.{number}") };
            ip(&["netns", "add", &host.namespace]);
            // From here on Drop removes it, whatever fails.
            lan.hosts.push(host.clone());
            let (switch, namespace, port) = (&lan.switch, &host.namespace, &format!("port{number}"));
            ip(&[
                "-n", switch, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", namespace,
            ]);
            ip(&["-n", switch, "link", "set", port, "master", "br0", "up"]);
            // Without IPv6 the host sends nothing of its own accord.
            let quiet = "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6";
            output(host.command("sh").args(["-c", quiet])).unwrap();
            let address = format!("{}/24", host.address);
            ip(&["-n", namespace, "addr", "add", &address, "brd", BROADCAST, "dev", "eth0"]);
            ip(&["-n", namespace, "link", "set", "lo", "up"]);
            ip(&["-n", namespace, "link", "set", "eth0", "up"]);
        }
        lan
    }

    /// Gives a host a second interface on the same bridge, with this address: it hears every broadcast twice.
    pub(crate) fn add_interface(&self, number: usize, address: &str) {
        let (host, port) = (&self.hosts[number], &format!("second{number}"));
        let (switch, namespace) = (&self.switch, &host.namespace);
        ip(&["-n", switch, "link", "add", port, "type", "veth", "peer", "name", "eth1", "netns", namespace]);
        ip(&["-n", switch, "link", "set", port, "master", "br0", "up"]);
        // A packet whose sender is reached by the other interface is heard all the same.
        let lenient = "for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 > $f; done";
        output(host.command("sh").args(["-c", lenient])).unwrap();
        let address = format!("{address}/24");
        ip(&["-n", namespace, "addr", "add", &address, "brd", BROADCAST, "dev", "eth1"]);
        ip(&["-n", namespace, "link", "set", "eth1", "up"]);
    }

    /// The host with this number, from 0.
    pub(crate) fn host(&self, number: usize) -> Host {
        self.hosts[number].clone()
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        for namespace in self.hosts.iter().map(|host| &host.namespace).chain([&self.switch]) {
            if let Err(error) = output(Command::new("ip").args(["netns", "del", namespace])) {
                // The others are removed all the same.
                writeln!(io::stderr().lock(), "{error}").ok();
            }
        }
    }
}

impl Host {
    /// Its namespace, for threads that open sockets there.
    pub(crate) fn path(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.namespace)
    }

    /// A command that runs on this host.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace]).arg(program).stdin(Stdio::null());
        command
    }

    /// Starts a process on this host with everything it says in the file `log`. It ends with the thread that started
    /// it, at the latest.
    pub(crate) fn start(&self, program: &str, arguments: &[&str], log: PathBuf) -> Running {
        let file = File::create(&log).unwrap();
        let mut command = self.command("setpriv");
        // What it forks, such as nmbd's child for DNS, outlives its parent; the group leads to it all the same.
        command.args(["--pdeathsig", "KILL", program]).args(arguments).process_group(0);
        let child = command.stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
        Running { child, log }
    }

    /// The body of an HTTP GET on this host's loopback; `None` while nobody answers with 200.
    pub(crate) fn get(&self, port: u16, path: &str) -> Option<String> {
        let script = format!(
            r"exec 3<>/dev/tcp/127.0.0.1/{port} && printf 'GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n' >&3 && cat <&3"
        );
        let answer = output(self.command("bash").args(["-c", &script])).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        head.lines().next()?.contains(" 200 ").then(|| body.to_owned())
    }

    /// How many packets have left this host through its interface.
    pub(crate) fn packets_sent(&self) -> u64 {
        let table = output(self.command("cat").arg("/proc/net/dev")).unwrap();
        let line = table.lines().find_map(|line| line.trim().strip_prefix("eth0:")).unwrap();
        line.split_whitespace().nth(9).unwrap().parse().unwrap()
    }
}

impl Running {
    /// What it has said so far.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// SIGTERM.
    pub(crate) fn terminate(&self) {
        nix::sys::signal::kill(self.pid(), Signal::SIGTERM).unwrap();
    }

    /// Waits until it ends by itself.
    pub(crate) fn ended(&mut self, within: Duration) -> ExitStatus {
        wait_for(within, "the process ends", || self.child.try_wait().unwrap())
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        killpg(self.pid(), Signal::SIGKILL).ok();
        self.child.wait().ok();
    }
}

/// Asks until there is an answer, and fails the test after `within`.
#[expect(clippy::disallowed_methods, reason = "real processes live on the real clock")]
pub(crate) fn wait_for<T>(within: Duration, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + within;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "waited {within:?} in vain until {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Runs a command to its end and gives what it printed.
pub(crate) fn output(command: &mut Command) -> Result<String, String> {
    let done = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    if done.status.success() {
        Ok(text(done.stdout))
    } else {
        Err(format!("{command:?}: {}: {}", done.status, text(done.stderr)))
    }
}

fn ip(arguments: &[&str]) {
    output(Command::new("ip").args(arguments)).unwrap();
}

/// Removes the namespaces of tests that were killed: those whose process is gone.
fn remove_left_over() {
    let Ok(folder) = fs::read_dir("/run/netns") else { return };
    for entry in folder.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let process = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if process.is_some_and(|id| !Path::new("/proc").join(id).exists()) {
            // Another test may have been quicker.
            output(Command::new("ip").args(["netns", "del", &name])).ok();
        }
    }
}

const PREFIX: &str = "mailslotd-test-";

/// The broadcast address of every [`Lan`].
pub(crate) const BROADCAST: &str = "192.0.2.255";
