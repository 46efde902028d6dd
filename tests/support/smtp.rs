//! The SMTP front-end of the real binary, and a client that says exactly what a test wants.
#![expect(clippy::disallowed_methods, reason = "what another process does is awaited on the wall clock")]

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

use super::gateway::{Gateway, PATIENCE, until, write_config};

/// A gateway whose mail goes into a Maildir, with a folder of its own.
pub(crate) struct FrontEnd {
    /// The process.
    pub(crate) gateway: Gateway,
    dir: TempDir,
}

/// The domain that it takes mail for from everybody.
pub(crate) const ACCEPTED: &str = "corp.example";
/// Recipients that exist there.
pub(crate) const KNOWN: [&str; 2] = ["ops@corp.example", "night@corp.example"];
/// The account that may authenticate.
pub(crate) const USER: &str = "scanner-7";
/// Its password.
pub(crate) const PASSWORD: &str = "correct horse, \"battery\"=staple";

/// What the YAML of a test says beside the rest.
#[derive(Debug, Default)]
pub(crate) struct Config<'a> {
    /// Listeners, each `- { name: … }` on lines of their own, indented by 4; addresses may be `{any}`.
    pub(crate) listeners: &'a str,
    /// Of `relay.limits`, in braces.
    pub(crate) limits: Option<&'a str>,
    /// Of `tarpit`, in braces.
    pub(crate) tarpit: Option<&'a str>,
    /// Further keys, each on a line of its own.
    pub(crate) rest: &'a str,
}

impl FrontEnd {
    /// Starts one.
    pub(crate) fn start(config: &Config<'_>) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), config)
    }

    /// Starts one in a folder that may hold files already.
    pub(crate) fn start_in(dir: TempDir, config: &Config<'_>) -> Self {
        let path = write_smtp_config(dir.path(), config);
        let gateway = Gateway::start(&path);
        Self { gateway, dir }
    }

    /// Where a listener is reached.
    pub(crate) fn address(&mut self, listener: &str) -> SocketAddr {
        let events = self.gateway.events();
        let event = events.iter().find(|event| event["listener"] == listener && event["address"].is_string());
        let event = event.unwrap_or_else(|| panic!("no listener {listener}: {events:#?}"));
        event["address"].as_str().unwrap().parse().unwrap()
    }

    /// The mails that have arrived, in no order.
    pub(crate) fn mails(&self) -> Vec<String> {
        mails_below(&self.dir.path().join("inbox"))
    }

    /// The mails, once there are so many.
    pub(crate) fn delivered(&self, count: usize) -> Vec<String> {
        until(&format!("{count} mails in the inbox"), || self.mails().len() >= count);
        let mails = self.mails();
        assert_eq!(mails.len(), count, "{mails:#?}");
        mails
    }

    /// SIGTERM, and the end of the orderly shutdown.
    pub(crate) fn stop(self) -> (ExitStatus, Vec<serde_json::Value>) {
        self.gateway.stop()
    }

    /// As [`Self::stop`]; its folder stays.
    pub(crate) fn stop_and_keep(self) -> TempDir {
        self.gateway.stop();
        self.dir
    }

    /// Its folder.
    pub(crate) fn folder(&self) -> &Path {
        self.dir.path()
    }

    /// Kilobytes of memory that are its own: not its program's, which other tests run too.
    pub(crate) fn private_memory(&self) -> u64 {
        let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.gateway.pid())).unwrap();
        let line = rollup.lines().find(|line| line.starts_with("Anonymous:")).unwrap();
        line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

/// The configuration file of [`FrontEnd`].
pub(crate) fn write_smtp_config(dir: &Path, config: &Config<'_>) -> PathBuf {
    let mut yaml = String::from("  smtp:\n");
    let tls = format!(
        "certificate: {}, key_file: {}",
        dir.join("server.pem").display(),
        dir.join("server.key").display()
    );
    yaml.push_str(&config.listeners.replace("{any}", "127.0.0.1:0").replace("{tls}", &tls));
    let recipients = KNOWN.join(", ");
    writeln!(
        yaml,
        "netbios: {{ code_page: cp850 }}
destinations:
  inbox: {{ maildir: {{ path: {inbox} }} }}
operator: {{ postmaster: ops@corp.example }}
relay:
  accepted_domains: [{ACCEPTED}]
  recipients: [{{ list: [{recipients}] }}]
  routes: [{{ domain: '*', via: inbox }}]
  limits: {limits}
tarpit: {tarpit}
rules:
  - name: everything
    match: any
    deliver: [{{ via: inbox, to: notices }}]",
        inbox = dir.join("inbox").display(),
        limits = config.limits.unwrap_or("{}"),
        tarpit = config.tarpit.unwrap_or("{ time: 0s }"),
    )
    .unwrap();
    yaml.push_str(config.rest);
    if dir.join("users.yaml").exists() {
        writeln!(yaml, "users_file: {}", dir.join("users.yaml").display()).unwrap();
    }
    write_config(dir, &yaml)
}

fn mails_below(folder: &Path) -> Vec<String> {
    let mut mails = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("tmp") {
            mails.extend(mails_below(&path));
        } else if path.parent().is_some_and(|parent| parent.ends_with("new") || parent.ends_with("cur")) {
            mails.push(String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned());
        }
    }
    mails
}

/// Puts `ca.pem`, and `server.pem` with `server.key` for `localhost` and 127.0.0.1 that it signed, into a folder.
pub(crate) fn write_certificates(dir: &Path) {
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, "Test authority");
    let authority = rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().unwrap()).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let certificate = rcgen::CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
    std::fs::write(dir.join("ca.pem"), authority.pem()).unwrap();
    std::fs::write(dir.join("server.pem"), certificate.pem()).unwrap();
    std::fs::write(dir.join("server.key"), key.serialize_pem()).unwrap();
}

/// A client that says what it is told to.
pub(crate) struct Client {
    lines: BufReader<TcpStream>,
}

/// A reply: its code, and all its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    /// Its code.
    pub(crate) code: u16,
    /// Its lines, code included.
    pub(crate) text: String,
}

impl Client {
    /// Connects, and reads nothing.
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::of(TcpStream::connect(address).unwrap())
    }

    /// Connects from an address of its own, and reads nothing.
    pub(crate) fn connect_from(source: IpAddr, address: SocketAddr) -> Self {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(source, 0).into()).unwrap();
        socket.connect(&address.into()).unwrap();
        Self::of(socket.into())
    }

    fn of(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { lines: BufReader::new(stream) }
    }

    /// Connects and goes as far as the reply to EHLO.
    pub(crate) fn greeted(address: SocketAddr) -> Self {
        let mut client = Self::connect(address);
        assert_eq!(client.reply().code, 220);
        assert_eq!(client.say("EHLO client.test").code, 250);
        client
    }

    /// The next reply.
    pub(crate) fn reply(&mut self) -> Reply {
        self.try_reply().unwrap_or_else(|| panic!("the server closed the connection"))
    }

    /// The next reply, unless the server closes the connection.
    pub(crate) fn try_reply(&mut self) -> Option<Reply> {
        let mut text = String::new();
        loop {
            let mut line = String::new();
            if !matches!(self.lines.read_line(&mut line), Ok(read) if read > 0) {
                return None;
            }
            text.push_str(&line);
            if line.as_bytes().get(3) != Some(&b'-') {
                return Some(Reply { code: line.get(..3).unwrap().parse().unwrap(), text });
            }
        }
    }

    /// Sends octets as they are; whether they could be.
    pub(crate) fn send(&mut self, octets: &[u8]) -> std::io::Result<()> {
        self.lines.get_mut().write_all(octets)
    }

    /// Says one command and waits for its reply.
    pub(crate) fn say(&mut self, command: &str) -> Reply {
        self.send(format!("{command}\r\n").as_bytes()).unwrap();
        self.reply()
    }

    /// How long the next replies are waited for.
    pub(crate) fn set_patience(&self, patience: Duration) {
        self.lines.get_ref().set_read_timeout(Some(patience)).unwrap();
    }

    /// Whether the server has closed the connection; waits until it has or says something.
    pub(crate) fn is_closed(&mut self) -> bool {
        matches!(self.lines.read(&mut [0]), Ok(0) | Err(_))
    }

    /// One whole transaction.
    pub(crate) fn transact(&mut self, from: &str, to: &str, content: &str) -> Reply {
        assert_eq!(self.say(&format!("MAIL FROM:<{from}>")).code, 250);
        let reply = self.say(&format!("RCPT TO:<{to}>"));
        if reply.code != 250 {
            return reply;
        }
        assert_eq!(self.say("DATA").code, 354);
        self.send(content.as_bytes()).unwrap();
        self.say("\r\n.")
    }
}

/// Runs a program to its end; what it said on both channels, and whether it succeeded.
pub(crate) fn run(program: &str, arguments: &[&str], input: &str) -> (String, bool) {
    let mut child = Command::new(program)
        .args(arguments)
        .env("NODE_PATH", "/usr/share/nodejs:/usr/lib/nodejs")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    (String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr), status.success())
}

/// How long something took.
pub(crate) fn timed<T>(what: impl FnOnce() -> T) -> (T, Duration) {
    let begin = Instant::now();
    let result = what();
    (result, begin.elapsed())
}
