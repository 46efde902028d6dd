//! `mailslotd sendmail` as programs of this host use it, and what a gateway makes of what it drops.

mod support;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use support::gateway::{Gateway, PATIENCE, write_config};
use tempfile::TempDir;

/// A configuration with a pickup directory; the gateway need not run.
struct Host {
    scratch: TempDir,
    config: PathBuf,
}

impl Host {
    fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let pickup = scratch.path().join("pickup");
        fs::create_dir(&pickup).unwrap();
        let rest = format!(
            "destinations:\n  inbox: {{ maildir: {{ path: {inbox} }} }}\n\
             rules: [{{ name: rest, match: any, deliver: [{{ via: inbox, to: rest }}] }}]\n\
             operator: {{ postmaster: it@corp.example }}\n\
             relay:\n  accepted_domains: [corp.example]\n  routes: [{{ domain: '*', via: inbox, folder: mail }}]\n\
             pickup: {{ path: {pickup}, from: ['*@corp.example', '*@gw.test'] }}\n",
            inbox = scratch.path().join("inbox").display(),
            pickup = pickup.display(),
        );
        let config = write_config(scratch.path(), &rest);
        Self { scratch, config }
    }

    fn pickup(&self) -> PathBuf {
        self.scratch.path().join("pickup")
    }

    fn sendmail(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mailslotd"));
        command.arg("sendmail").args(arguments).env("MAILSLOTD_CONFIG", &self.config);
        fed(command, input)
    }

    /// What lies in the pickup directory.
    fn dropped(&self) -> Vec<String> {
        let files = fs::read_dir(self.pickup()).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<PathBuf> = files.filter(|path| path.is_file()).collect();
        files.sort();
        files.iter().map(|path| fs::read_to_string(path).unwrap()).collect()
    }
}

fn fed(mut command: Command, input: &str) -> Output {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // One that refuses its arguments does not wait for it.
    child.stdin.take().unwrap().write_all(input.as_bytes()).ok();
    child.wait_with_output().unwrap()
}

#[track_caller]
fn expect(output: &Output, code: i32, words: &str) {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(text.contains(words), "{text}");
}

const MAIL: &str =
    "From: App <app@corp.example>\nTo: ops@corp.example\nSubject: done\n\nAll of it.\n.\nnot this\n";

#[test]
fn a_message_is_dropped_whole_while_no_gateway_runs() {
    let host = Host::new();
    expect(&host.sendmail(&["-t", "boss@corp.example"], MAIL), 0, "");
    assert_eq!(
        host.dropped(),
        ["X-Sender: <app@corp.example>\nX-Receiver: <boss@corp.example>\nX-Receiver: <ops@corp.example>\n\
          From: App <app@corp.example>\nTo: ops@corp.example\nSubject: done\n\nAll of it.\n"]
    );
    let file = fs::read_dir(host.pickup()).unwrap().next().unwrap().unwrap();
    assert_eq!(file.path().extension().unwrap(), "eml");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o640);
}

#[test]
fn an_envelope_that_a_message_brings_along_is_not_believed() {
    let host = Host::new();
    let mail = format!("X-Receiver: victim@corp.example\n{MAIL}");
    expect(&host.sendmail(&["-f", "app@corp.example", "ops@corp.example"], &mail), 0, "");
    assert!(!host.dropped()[0].contains("victim"));
}

#[test]
fn what_would_be_refused_is_refused_at_once_and_nothing_is_left() {
    let host = Host::new();
    let elsewhere = host.sendmail(&["someone@elsewhere.example"], MAIL);
    expect(
        &elsewhere,
        1,
        "recipient <someone@elsewhere.example>: Relay access denied; fix: set `pickup.relay_to: any`",
    );
    expect(&host.sendmail(&["-f", "a@forged.example", "ops@corp.example"], MAIL), 1, "`pickup.from`");
    expect(&host.sendmail(&[], MAIL), 64, "no recipients");
    expect(&host.sendmail(&["-bs"], ""), 64, "SMTP listener");
    expect(&host.sendmail(&["-f"], MAIL), 64, "-f needs an address");
    expect(&host.sendmail(&["-bi"], ""), 0, "");
    let large = format!("{MAIL}{}", "line\n".repeat(8 << 20)).replace("\n.\n", "\n");
    expect(&host.sendmail(&["ops@corp.example"], &large), 1, "larger than");
    assert_eq!(fs::read_dir(host.pickup()).unwrap().count(), 0);
    fs::remove_dir(host.pickup()).unwrap();
    expect(&host.sendmail(&["ops@corp.example"], MAIL), 75, "cannot write into the pickup directory");
}

#[test]
fn under_its_own_name_and_without_a_configuration_the_directory_comes_from_the_environment() {
    let host = Host::new();
    let program = host.scratch.path().join("sendmail");
    symlink(env!("CARGO_BIN_EXE_mailslotd"), &program).unwrap();
    let mut command = Command::new(&program);
    command.args(["-oi", "-f", "app@corp.example", "ops@corp.example"]);
    command.env("MAILSLOTD_CONFIG", "/nonexistent/mailslotd.yaml").env("MAILSLOTD_PICKUP", host.pickup());
    expect(&fed(command, "hello\n.\nthere\n"), 0, "");
    let dropped = host.dropped();
    assert!(dropped[0].ends_with("From: <app@corp.example>\nhello\n.\nthere\n"), "{dropped:?}");
}

#[test]
fn a_gateway_delivers_what_was_dropped_before_it_started_and_after() {
    let host = Host::new();
    expect(&host.sendmail(&["-t"], MAIL), 0, "");
    let mut gateway = Gateway::start(&host.config);
    gateway.wait_for("Mail picked up.");
    let user = nix::unistd::User::from_uid(nix::unistd::getuid()).unwrap().unwrap().name;
    expect(
        &host.sendmail(&["-i", "-FCron Daemon", "-f", user.as_str(), "ops@corp.example"], "hello\n"),
        0,
        "",
    );
    gateway.wait_for("Mail picked up.");
    let mail = delivered(&host.scratch.path().join("inbox"), 2);
    let [first, second] = mail.as_slice() else { panic!("{mail:?}") };
    assert!(
        first.contains("Subject: done") && first.contains("Message-ID: <") && !first.contains("not this"),
        "{first}"
    );
    assert!(second.contains(&format!("From: \"Cron Daemon\" <{user}@gw.test>")), "{second}");
    assert!(second.replace('\r', "").ends_with("\n\nhello\n"), "{second}");
    assert_eq!(host.dropped(), Vec::<String>::new());
}

/// The mail of a Maildir's folder, sorted so that the first test message comes first.
fn delivered(inbox: &Path, count: usize) -> Vec<String> {
    #[expect(clippy::disallowed_methods, reason = "what another process does is awaited on the wall clock")]
    let end = std::time::Instant::now() + PATIENCE;
    loop {
        let mut mail = Vec::new();
        let mut folders = vec![inbox.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.parent().is_some_and(|parent| parent.ends_with("new")) {
                    mail.push(fs::read_to_string(path).unwrap());
                }
            }
        }
        if mail.len() >= count {
            mail.sort_by_key(|text| !text.contains("Subject: done"));
            return mail;
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "what another process does is awaited on the wall clock"
        )]
        let now = std::time::Instant::now();
        assert!(now < end, "only {} mails", mail.len());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}
