//! Programs of others against the SMTP front-end of the real binary: mail of each arrives, and who looks for weak spots
//! finds none.

mod support;

use std::net::SocketAddr;
use std::path::Path;

use support::gateway::command;
use support::mail_programs::{Errand, MailPrograms, Protection};
use support::require;
use support::smtp::{ACCEPTED, Config, FrontEnd, PASSWORD, USER, run, write_certificates, write_smtp_config};

const LISTENERS: &str = "    - name: submission
      addresses: ['{any}']
      tls: { mode: starttls, {tls} }
      auth: { mechanisms: [plain, login, cram-md5, scram-sha-256], require_tls: true, required: true }
    - name: submissions
      addresses: ['{any}']
      tls: { mode: implicit, {tls} }
      auth: { mechanisms: [plain, login, cram-md5, scram-sha-256], require_tls: true, required: true }
    - name: devices
      addresses: ['{any}']
      trusted_networks: [{ network: 127.0.0.1, relay_to: any }]
      tls: { mode: starttls, {tls} }
      auth: { mechanisms: [plain, login, cram-md5, scram-sha-256], require_tls: false }
    - name: mx
      addresses: ['{any}']
      tls: { mode: starttls, {tls} }
";

/// Certificates and one account, then the gateway.
fn start(tarpit: &str) -> FrontEnd {
    let dir = tempfile::tempdir().unwrap();
    write_certificates(dir.path());
    let config = Config { listeners: LISTENERS, tarpit: Some(tarpit), ..Config::default() };
    std::fs::write(dir.path().join("users.yaml"), "").unwrap();
    add_user(&write_smtp_config(dir.path(), &config));
    FrontEnd::start_in(dir, &config)
}

fn add_user(config: &Path) {
    use std::io::Write as _;
    let mut child = command(config)
        .args(["user", "add", USER, "--password-stdin", "--scram", "--cram-md5"])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(PASSWORD.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

/// Sends one mail by each way and mechanism that a program knows, without AUTH too, and looks that each has arrived.
fn sends_by_each_way(program: impl Fn(&Errand<'_>) -> (String, bool), mechanisms: &[&str]) {
    let mut front_end = start("{ time: 0s }");
    let ca = front_end.folder().join("ca.pem");
    let ways = [
        ("submission", Protection::StartTls),
        ("submissions", Protection::Implicit),
        ("devices", Protection::Clear),
    ];
    let mut marks = Vec::new();
    let mut send = |front_end: &mut FrontEnd, listener: &str, protection, login| {
        let mark = format!("mark-{}-of-{listener}", marks.len());
        let address = front_end.address(listener);
        let errand = Errand { address, protection, login, to: "ops@corp.example", mark: &mark, ca: &ca };
        let (said, sent) = program(&errand);
        assert!(sent, "{errand:?}: {said}");
        marks.push(mark);
    };
    for (listener, protection) in ways {
        for mechanism in mechanisms {
            send(&mut front_end, listener, protection, Some((*mechanism, USER, PASSWORD)));
        }
    }
    for protection in [Protection::Clear, Protection::StartTls] {
        send(&mut front_end, "devices", protection, None);
        send(&mut front_end, "mx", protection, None);
    }
    let mails = front_end.delivered(marks.len());
    for mark in marks {
        let mail = mails.iter().find(|mail| mail.contains(&mark));
        let mail = mail.unwrap_or_else(|| panic!("{mark} is missing"));
        assert!(mail.starts_with("Received: from ") || mail.contains("\nReceived: from "), "{mail}");
    }
}

#[test]
fn mail_of_pythons_smtplib_arrives_by_each_mechanism_with_and_without_tls() {
    let programs = require!(MailPrograms::find());
    sends_by_each_way(|errand| programs.python(errand), &["PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256"]);
}

#[test]
fn mail_of_curl_arrives_by_each_mechanism_with_and_without_tls() {
    let programs = require!(MailPrograms::find());
    sends_by_each_way(|errand| programs.curl(errand), &["PLAIN", "LOGIN", "CRAM-MD5"]);
}

#[test]
fn mail_of_swaks_arrives_by_each_mechanism_with_and_without_tls() {
    let programs = require!(MailPrograms::find());
    sends_by_each_way(|errand| programs.swaks(errand), &["PLAIN", "LOGIN", "CRAM-MD5"]);
}

#[test]
fn mail_of_nodemailer_arrives_by_each_mechanism_with_and_without_tls() {
    let programs = require!(MailPrograms::find());
    sends_by_each_way(|errand| programs.nodemailer(errand), &["PLAIN", "LOGIN", "CRAM-MD5"]);
}

#[test]
fn a_wrong_password_is_refused_by_each_mechanism() {
    let programs = require!(MailPrograms::find());
    let mut front_end = start("{ time: 0s, failed_auth: 0s }");
    let ca = front_end.folder().join("ca.pem");
    let address = front_end.address("submission");
    for mechanism in ["PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256"] {
        let login = Some((mechanism, USER, "wrong"));
        let protection = Protection::StartTls;
        let errand = Errand { address, protection, login, to: "ops@corp.example", mark: "never", ca: &ca };
        let (said, sent) = programs.python(&errand);
        assert!(!sent && said.contains("535") && said.contains("5.7.8"), "{mechanism}: {said}");
    }
    assert!(front_end.mails().is_empty());
}

/// What a script of nmap's says of a port.
fn nmap(script: &str, address: SocketAddr, arguments: &str) -> String {
    let (port, script) = (address.port().to_string(), format!("+{script}"));
    let host = address.ip().to_string();
    let arguments =
        ["-Pn", "-n", "-sT", "-vv", "-p", &port, "--script", &script, "--script-args", arguments, &host];
    let (said, ran) = run("nmap", &arguments, "");
    assert!(ran && said.contains("/tcp open"), "{said}");
    said
}

#[test]
fn nmap_finds_neither_an_open_relay_nor_a_user_nor_a_command_that_tells() {
    let _programs = require!(MailPrograms::find());
    let mut front_end = start("{ time: 0s }");
    let address = front_end.address("mx");
    let relay = nmap("smtp-open-relay", address, "smtp-open-relay.domain=elsewhere.example");
    assert!(relay.contains("doesn't seem to be an open relay"), "{relay}");
    // Existing recipients are accepted, slowly where strangers ask for others: RCPT finds none that nmap knows by heart.
    for methods in ["RCPT", "VRFY", "EXPN"] {
        let arguments = format!("smtp-enum-users.domain={ACCEPTED},smtp-enum-users.methods={{{methods}}}");
        let users = nmap("smtp-enum-users", address, &arguments);
        assert!(users.contains("Couldn't find any accounts"), "{methods}: {users}");
    }
    let commands = nmap("smtp-commands", address, "smtp-commands.domain=client.test");
    assert!(commands.contains("PIPELINING"), "{commands}");
    assert!(!["VRFY", "EXPN", "ETRN", "TURN"].iter().any(|command| commands.contains(command)), "{commands}");
    assert!(front_end.mails().is_empty());
}

#[test]
fn testssl_finds_tls_1_2_and_1_3_only_and_no_weak_cipher() {
    let _programs = require!(MailPrograms::find());
    let mut front_end = start("{ time: 0s }");
    for (listener, starttls) in [("submission", &["-t", "smtp"][..]), ("submissions", &[])] {
        let address = front_end.address(listener).to_string();
        let json = front_end.folder().join(format!("{listener}.json"));
        let json = json.display().to_string();
        let mut arguments = vec!["-p", "-s", "--warnings", "batch", "--color", "0", "--jsonfile", &json];
        arguments.extend(starttls);
        arguments.push(&address);
        let (said, _) = run("testssl", &arguments, "");
        let findings = std::fs::read_to_string(&json).unwrap();
        let findings: Vec<serde_json::Value> = serde_json::from_str(&findings).unwrap();
        let finding = |id: &str| {
            let found = findings.iter().find(|finding| finding["id"] == id);
            found.unwrap_or_else(|| panic!("no {id}: {said}"))["finding"].as_str().unwrap().to_owned()
        };
        for version in ["SSLv2", "SSLv3", "TLS1", "TLS1_1"] {
            assert!(finding(version).starts_with("not offered"), "{version}: {}", finding(version));
        }
        for version in ["TLS1_2", "TLS1_3"] {
            assert!(finding(version).starts_with("offered"), "{version}: {}", finding(version));
        }
        for suites in ["NULL", "aNULL", "EXPORT", "LOW", "3DES_IDEA", "AVERAGE"] {
            let found = finding(&format!("cipherlist_{suites}"));
            assert!(found.starts_with("not offered"), "{suites}: {found}");
        }
    }
}
