//! A redis-server of the test's own: in clear text and under TLS, with every write on disk before it is answered.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::broker_certificates::write_certificates;
use super::server::{Server, is_listening};
use super::{Missing, free_port, has_program};

/// A redis-server on loopback; killed when dropped.
pub(crate) struct RedisServer {
    dir: TempDir,
    /// In clear text.
    pub(crate) port: u16,
    /// Under TLS, with a client certificate.
    pub(crate) tls_port: u16,
    server: Server,
}

impl RedisServer {
    /// Starts one; `more` goes into its configuration as it is.
    pub(crate) fn start(more: &str) -> Result<Self, Missing> {
        if !has_program("redis-server") || !has_program("redis-cli") {
            return Err(Missing("redis-server is not installed (Debian: redis-server)".to_owned()));
        }
        let dir = tempfile::Builder::new().prefix("redis").tempdir().unwrap();
        write_certificates(dir.path(), "gw");
        let (port, tls_port) = (free_port(), free_port());
        let path = dir.path().display();
        let text = format!(
            "bind 127.0.0.1\nport {port}\ntls-port {tls_port}\ntls-cert-file {path}/server.pem\ntls-key-file {path}/server.key\n\
             tls-ca-cert-file {path}/ca.pem\ntls-auth-clients yes\ndir {path}\nsave \"\"\nappendonly yes\n\
             appendfsync always\n{more}\n"
        );
        std::fs::write(dir.path().join("redis.conf"), text).unwrap();
        let server = Self::run(&dir, port);
        Ok(Self { dir, port, tls_port, server })
    }

    fn run(dir: &TempDir, port: u16) -> Server {
        let mut command = Command::new("redis-server");
        let server = Server::start(command.arg(dir.path().join("redis.conf")), &dir.path().join("redis.log"));
        assert!(is_listening(port), "no redis-server on port {port}");
        server
    }

    /// A file of its folder: `ca.pem`, `client.pem`, `client.key`.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// As a power cut would end it.
    pub(crate) fn kill(&mut self) {
        self.server.kill();
    }

    /// Starts it after [`Self::kill`], on the same ports and files.
    pub(crate) fn start_again(&mut self) {
        self.server = Self::run(&self.dir, self.port);
    }

    /// It holds its connections and answers no more.
    pub(crate) fn freeze(&self) {
        self.server.freeze();
    }

    /// It goes on after [`Self::freeze`].
    pub(crate) fn thaw(&self) {
        self.server.thaw();
    }

    /// What redis-cli prints for a command, without formatting.
    pub(crate) fn command(&self, arguments: &[&str]) -> String {
        let port = self.port.to_string();
        let output = Command::new("redis-cli").args(["-p", &port, "--raw"]).args(arguments).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The entries of a stream, oldest first: each its fields and values.
    pub(crate) fn entries(&self, stream: &str) -> Vec<Vec<(String, String)>> {
        let port = self.port.to_string();
        let output = Command::new("redis-cli")
            .args(["-p", &port, "--json", "XRANGE", stream, "-", "+"])
            .output()
            .unwrap();
        let entries: Vec<(String, Vec<String>)> = serde_json::from_slice(&output.stdout).unwrap();
        let pairs = |fields: Vec<String>| {
            let pairs = fields.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone()));
            pairs.collect()
        };
        entries.into_iter().map(|(_, fields)| pairs(fields)).collect()
    }
}
