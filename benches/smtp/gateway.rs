//! The release binary as a child process.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::load::{free_port, memory_of, until_listening};

/// `mailslotd run` in a folder of its own; killed when dropped.
pub(crate) struct Gateway {
    child: Child,
    smtp: u16,
    _dir: TempDir,
}

/// A configuration that waits for its ports and its folder.
pub(crate) struct Config {
    smtp: u16,
    yaml: String,
}

/// Takes from everybody on loopback and passes on to this port.
pub(crate) fn relay(sink: u16) -> Config {
    let smtp = free_port();
    let yaml = format!(
        "    - name: bench
      addresses: ['127.0.0.1:{smtp}']
      trusted_networks: [{{ network: 127.0.0.0/8, relay_to: any }}]
relay:
  limits: {{ connections_per_network: off, messages: off }}
  routes: [{{ domain: '*', via: sink }}]
destinations:
  sink:
    submission:
      host: 127.0.0.1
      port: {sink}
      tls: {{ mode: none }}
      auth: none
      from: {{ address: gateway@bench.example, keep: ['*'] }}
      limits: {{ max_connections: 20 }}
"
    );
    Config { smtp, yaml }
}

/// Holds every refusal for minutes. Nobody is known at `corp.example`; `127.0.0.1` may send to it all the same.
pub(crate) fn tar_pit() -> Config {
    let smtp = free_port();
    let yaml = format!(
        "    - name: bench
      addresses: ['127.0.0.1:{smtp}']
relay:
  accepted_domains: [corp.example]
  recipients: [{{ list: [ops@corp.example] }}]
  limits: {{ connections_per_network: off, messages: off }}
  routes: [{{ domain: '*', via: inbox }}]
tarpit: {{ time: 4m, max: 4m, max_line: 4m, max_delayed: 12000 }}
"
    );
    Config { smtp, yaml }
}

impl Gateway {
    pub(crate) fn start(config: &Config) -> Self {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let path = dir.path().join("mailslotd.yaml");
        let mut yaml = format!(
            "hostname: gw.bench.example\nstate_dir: {}\noperator: {{ postmaster: postmaster@corp.example }}\n",
            dir.path().join("state").display()
        );
        yaml.push_str(
            "listeners:\n  datagram: { address: 127.0.0.1:0 }\n  admin: { address: 127.0.0.1:0 }\n  smtp:\n",
        );
        writeln!(yaml, "{}rules: [{{ name: all, match: any, discard: bench }}]", config.yaml).unwrap();
        std::fs::write(&path, yaml).unwrap();
        let child = run(&path);
        until_listening(config.smtp);
        Self { child, smtp: config.smtp, _dir: dir }
    }

    /// Where it takes mail.
    pub(crate) const fn smtp(&self) -> u16 {
        self.smtp
    }

    /// KiB that it holds.
    pub(crate) fn memory(&self) -> u64 {
        memory_of(&[self.child.id()])
    }
}

fn run(config: &PathBuf) -> Child {
    Command::new(env!("CARGO_BIN_EXE_mailslotd"))
        .args(["run", "-q", "--config"])
        .arg(config)
        .stdin(Stdio::null())
        .spawn()
        .unwrap()
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
