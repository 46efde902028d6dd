//! The release binary as a child process.

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

/// `mailslotd run` in a folder of its own, in mode answer; killed when dropped.
pub(crate) struct Gateway {
    child: Child,
    address: SocketAddrV4,
    _folder: TempDir,
}

impl Gateway {
    /// Starts it, and waits until it takes sessions. Everything goes into a Maildir; repeats and shares are not looked at,
    /// since all comes from one address.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let yaml = format!(
            "hostname: gw.bench.example
state_dir: {}
netbios: {{ mode: answer, names: [ALERTS], code_page: cp850, dedup_window: off, rate: {{ per_source: off }} }}
listeners:
  datagram: {{ address: 127.0.0.1:0 }}
  name_service: {{ address: 127.0.0.1:0 }}
  messenger: {{ address: 127.0.0.1:{port} }}
  admin: {{ address: 127.0.0.1:0 }}
",
            folder.path().join("state").display()
        );
        let config = folder.path().join("mailslotd.yaml");
        std::fs::write(&config, yaml).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_mailslotd"))
            .args(["run", "-q", "--config"])
            .arg(config)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let gateway = Self { child, address: SocketAddrV4::new(Ipv4Addr::LOCALHOST, port), _folder: folder };
        while TcpStream::connect(gateway.address).is_err() {
            std::thread::sleep(Duration::from_millis(20));
        }
        gateway
    }

    /// Where it takes sessions.
    pub(crate) const fn address(&self) -> SocketAddrV4 {
        self.address
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
