//! `mailslotd user …` as an operator and a script use it.

mod support;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use support::gateway::until;
use support::smtp::{Client, Config, FrontEnd, write_smtp_config};
use tempfile::TempDir;

/// A users file that is not there yet.
struct Users(TempDir);

impl Users {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("users.yaml")
    }

    /// Runs `mailslotd user …` with this on standard input.
    fn user(&self, arguments: &[&str], input: &str) -> Output {
        run(&[&["user", "--users-file", self.path().to_str().unwrap()], arguments].concat(), input)
    }

    fn list(&self) -> Value {
        let output = self.user(&["list", "--json"], "");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
    }
}

fn run(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_mailslotd"))
        .args(arguments)
        .env("MAILSLOTD_CONFIG", "/nonexistent/mailslotd.yaml")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that asks for nothing does not wait for it either.
    child.stdin.take().unwrap().write_all(input.as_bytes()).ok();
    child.wait_with_output().unwrap()
}

#[track_caller]
fn expect(output: &Output, code: i32, words: &str) {
    let text = String::from_utf8_lossy(&[&*output.stdout, &*output.stderr].concat()).into_owned();
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(text.contains(words), "{text}");
    assert!(!text.contains("correct horse"), "a password was shown: {text}");
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

#[test]
fn an_account_is_made_changed_disabled_and_removed() {
    let users = Users::new();
    let made = users.user(
        &[
            "add",
            "Scanner-3",
            "--password-stdin",
            "--scram",
            "--cram-md5",
            "--may-send-as",
            "*@corp.example",
            "--rate",
            "20/min",
        ],
        "correct horse battery\n",
    );
    expect(&made, 0, "Scanner-3 added");
    assert_eq!(fs::metadata(users.path()).unwrap().mode() & 0o7777, 0o640);
    assert!(!text(&users.path()).contains("correct horse"));
    let expected = serde_json::json!([{
        "name": "Scanner-3",
        "state": "enabled",
        "mechanisms": ["PLAIN", "LOGIN", "SCRAM-SHA-256", "CRAM-MD5"],
        "may_send_as": ["*@corp.example"],
        "rate": "20/min",
        "may_act_for": [],
    }]);
    assert_eq!(users.list(), expected);

    let before = text(&users.path());
    expect(
        &users.user(&["passwd", "scanner-3", "--password-stdin"], "correct horse staple\n"),
        0,
        "new password",
    );
    assert_eq!(users.list(), expected, "all else stays");
    let after = text(&users.path());
    for key in ["password_hash", "scram_sha_256", "cram_md5"] {
        let line = |text: &str| text.lines().find(|line| line.contains(key)).unwrap().to_owned();
        assert_ne!(line(&before), line(&after), "{key}");
    }

    expect(&users.user(&["disable", "SCANNER-3"], ""), 0, "Scanner-3 disabled");
    assert_eq!(users.list()[0]["state"], "disabled");
    expect(&users.user(&["enable", "scanner-3"], ""), 0, "Scanner-3 enabled");
    expect(&users.user(&["remove", "scanner-3"], ""), 0, "Scanner-3 removed");
    expect(&users.user(&["list"], ""), 0, "There are no accounts.");
}

#[test]
fn what_cannot_be_done_changes_nothing_and_says_why() {
    let users = Users::new();
    expect(&users.user(&["list"], ""), 1, "`mailslotd user add` makes it");
    expect(&users.user(&["remove", "a"], ""), 1, "`mailslotd user add` makes it");
    for (password, words) in [("", "the password is empty"), ("short\n", "must have 12 at least")] {
        expect(&users.user(&["add", "a", "--password-stdin"], password), 1, words);
    }
    expect(&users.user(&["add", "a"], "correct horse battery\n"), 64, "--password-stdin");
    expect(&users.user(&["add", "", "--password-stdin"], ""), 64, "it is empty");
    expect(
        &users.user(&["add", "a", "--may-send-as", "*corp.example"], ""),
        64,
        "write an address, *@corp.example",
    );
    expect(&users.user(&["add", "a", "--rate", "20"], ""), 64, "20/min");
    assert!(!users.path().exists());
    expect(&users.user(&["add", "a", "--password-stdin"], "correct horse battery\n"), 0, "a added");
    expect(&users.user(&["add", "A", "--password-stdin"], "correct horse battery\n"), 1, "already");
    expect(&users.user(&["disable", "b"], ""), 1, "there is no account b");
    fs::write(users.path(), "users: [{ name: a, password: correct horse }]\n").unwrap();
    expect(&users.user(&["list"], ""), 78, "passwords do not stand in this file");
}

#[test]
fn without_a_users_file_in_the_configuration_the_command_says_where_to_name_one() {
    let folder = tempfile::tempdir().unwrap();
    let configuration = folder.path().join("mailslotd.yaml");
    fs::write(&configuration, "site: a\n").unwrap();
    let output = run(&["user", "list", "--config", configuration.to_str().unwrap()], "");
    expect(&output, 78, "users_file: /etc/mailslotd/users.yaml");
}

const LOGINS: &str = "    - name: devices
      addresses: ['{any}']
      trusted_networks: [127.0.0.1]
      auth: { mechanisms: [plain], require_tls: false }
";

#[test]
fn a_session_that_is_open_ends_when_its_password_is_changed_and_the_new_one_is_taken() {
    let users = Users::new();
    expect(&users.user(&["add", "ups", "--password-stdin"], "correct horse\n"), 0, "ups");
    let Users(dir) = users;
    // It asks until the file was read again, which may take more than ten tries.
    let config = Config {
        listeners: LOGINS,
        tarpit: Some("{ failed_auth: 0s }"),
        rest: "auth: { failures: off }\n",
        ..Config::default()
    };
    write_smtp_config(dir.path(), &config);
    let mut front_end = FrontEnd::start_in(dir, &config);
    let address = front_end.address("devices");
    let login = |client: &mut Client, password: &str| {
        client.say(&format!("AUTH PLAIN {}", STANDARD.encode(format!("\0ups\0{password}")))).code
    };
    let mut client = Client::greeted(address);
    assert_eq!(login(&mut client, "correct horse"), 235);
    assert_eq!(client.transact("ups@client.test", "somebody@elsewhere.example", "Hi").code, 250);

    let path = front_end.folder().join("users.yaml");
    let arguments = ["user", "--users-file", path.to_str().unwrap(), "passwd", "ups", "--password-stdin"];
    expect(&run(&arguments, "correct horse staple\n"), 0, "new password");
    until("the new password counts", || login(&mut Client::greeted(address), "correct horse staple") == 235);
    let reply = client.say("MAIL FROM:<ups@client.test>");
    assert_eq!(reply.text, "421 4.7.0 Account changed, authenticate again\r\n");
    assert!(client.is_closed());
    front_end.delivered(1);
}
