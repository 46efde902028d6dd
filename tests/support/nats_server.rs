//! A nats-server of the test's own, with JetStream in files of a folder that goes away with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::{Missing, free_port, has_program};

/// A nats-server on loopback; killed when dropped.
pub(crate) struct NatsServer {
    dir: TempDir,
    /// Where it listens.
    pub(crate) port: u16,
    child: Option<Child>,
}

impl NatsServer {
    /// Starts one; `more` goes into its configuration as it is, with `DIR` for its folder.
    pub(crate) fn start(more: &str) -> Result<Self, Missing> {
        installed()?;
        let dir = tempfile::Builder::new().prefix("nats").tempdir().unwrap();
        make_certificates(dir.path());
        let mut server = Self { dir, port: free_port(), child: None };
        server.configure(more);
        server.start_again();
        Ok(server)
    }

    /// What it reads when it starts, or when it is told to by [`NatsServer::reload`].
    pub(crate) fn configure(&self, more: &str) {
        let dir = self.dir.path().display();
        let text = format!(
            "listen: 127.0.0.1:{}\njetstream: {{ store_dir: \"{dir}/store\", max_mem: 64MB, max_file: 2GB }}\n{more}\n",
            self.port
        );
        fs::write(self.path("nats.conf"), text.replace("DIR", &dir.to_string())).unwrap();
    }

    /// `nats://127.0.0.1:…`
    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// A file of its folder: `ca.pem`, `server.pem`, `client.pem`, `client.key`, `nats.log`.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// As a power cut would end it.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Starts it after [`NatsServer::kill`], on the same port and files.
    pub(crate) fn start_again(&mut self) {
        let child = Command::new("nats-server")
            .arg("--config")
            .arg(self.path("nats.conf"))
            .arg("--log")
            .arg(self.path("nats.log"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.child = Some(child);
        let listening = || std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok();
        assert!(wait_until(listening), "no nats-server on port {}:\n{}", self.port, self.log());
    }

    /// It reads its configuration anew.
    pub(crate) fn reload(&self) {
        let reloads = || self.log().matches("Reloaded server configuration").count();
        let before = reloads();
        kill(self.pid(), Signal::SIGHUP).unwrap();
        assert!(wait_until(|| reloads() > before), "it does not reload:\n{}", self.log());
    }

    /// It holds its connections and answers no more.
    pub(crate) fn freeze(&self) {
        kill(self.pid(), Signal::SIGSTOP).unwrap();
        assert!(wait_until(|| all_threads_are_stopped(self.pid())), "nats-server does not stop");
    }

    /// It goes on after [`NatsServer::freeze`].
    pub(crate) fn thaw(&self) {
        kill(self.pid(), Signal::SIGCONT).unwrap();
    }

    /// What it wrote into its log.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("nats.log")).unwrap_or_default()
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.as_ref().unwrap().id().try_into().unwrap())
    }
}

/// Whether this machine has the program.
pub(crate) fn installed() -> Result<(), Missing> {
    if has_program("nats-server") {
        return Ok(());
    }
    Err(Missing("nats-server is not installed (Debian: nats-server)".to_owned()))
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let ended = child.kill().and_then(|()| child.wait());
            assert!(ended.is_ok() || std::thread::panicking(), "{ended:?}");
        }
    }
}

fn all_threads_are_stopped(pid: Pid) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let is_stopped = |stat: String| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'));
    threads.flatten().all(|thread| fs::read_to_string(thread.path().join("stat")).is_ok_and(is_stopped))
}

fn wait_until(condition: impl Fn() -> bool) -> bool {
    for _ in 0..600 {
        if condition() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

/// An authority in `ca.pem`, and certificates that it signed for `localhost` and for a client.
fn make_certificates(dir: &Path) {
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, "Test authority");
    let authority = rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().unwrap()).unwrap();
    fs::write(dir.join("ca.pem"), authority.pem()).unwrap();
    for (file, name) in [("server", "localhost"), ("client", "gateway.plant.example")] {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &authority).unwrap();
        fs::write(dir.join(file).with_extension("pem"), certificate.pem()).unwrap();
        fs::write(dir.join(file).with_extension("key"), key.serialize_pem()).unwrap();
    }
}
