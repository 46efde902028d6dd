//! An nginx of the test's own: it takes whatever is posted to it, reads it whole, and writes down its `webhook-id`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::server::{Server, is_listening, wait_until};
use super::{Missing, free_port, has_program};

/// An nginx on loopback; killed when dropped.
pub(crate) struct Nginx {
    dir: TempDir,
    /// In clear text.
    pub(crate) port: u16,
    _server: Server,
}

impl Nginx {
    /// Starts one.
    pub(crate) fn start() -> Result<Self, Missing> {
        if !has_program("nginx") {
            return Err(Missing("nginx is not installed (Debian: nginx-light)".to_owned()));
        }
        let dir = tempfile::Builder::new().prefix("nginx").tempdir().unwrap();
        let port = free_port();
        fs::write(dir.path().join("nginx.conf"), configuration(port)).unwrap();
        let mut command = Command::new("nginx");
        command.arg("-p").arg(dir.path()).args(["-e", "error.log", "-c", "nginx.conf"]);
        let server = Server::start(&mut command, &dir.path().join("said.log"));
        assert!(is_listening(port), "no nginx on port {port}");
        Ok(Self { dir, port, _server: server })
    }

    /// The ids of what came, once those are so many, in the order in which it was answered; fewer after a minute.
    pub(crate) fn taken(&self, count: usize) -> Vec<String> {
        let lines = || fs::read_to_string(self.log()).unwrap_or_default();
        wait_until(|| lines().lines().count() >= count);
        lines().lines().map(id_of_whole).collect()
    }

    /// It remembers nothing of what came.
    pub(crate) fn forget(&self) {
        fs::File::options().write(true).open(self.log()).unwrap().set_len(0).unwrap();
    }

    /// A file of its folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn log(&self) -> PathBuf {
        self.path("taken.log")
    }
}

/// The id in a line of the log, whose request must have come with all of its body.
fn id_of_whole(line: &str) -> String {
    let fields: Vec<&str> = line.split(' ').collect();
    let [id, status, body, whole] = fields[..] else { panic!("{line}") };
    assert_eq!(status, "204", "{line}");
    assert!(whole.parse::<u64>().unwrap() > body.parse::<u64>().unwrap(), "{line}");
    id.to_owned()
}

/// `mirror` has the body read before anything answers; what answers then is that there is no picture to post to.
fn configuration(port: u16) -> String {
    format!(
        "daemon off;
master_process off;
pid nginx.pid;
events {{ worker_connections 4096; }}
http {{
  log_format taken '$http_webhook_id $status $content_length $request_length';
  access_log taken.log taken;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  client_max_body_size 64m;
  client_body_buffer_size 64k;
  client_body_temp_path temp;
  proxy_temp_path temp;
  fastcgi_temp_path temp;
  uwsgi_temp_path temp;
  scgi_temp_path temp;
  server {{
    listen 127.0.0.1:{port};
    location / {{ mirror /read; empty_gif; error_page 405 = @taken; }}
    location = /read {{ internal; access_log off; return 204; }}
    location @taken {{ return 204; }}
  }}
}}
"
    )
}
