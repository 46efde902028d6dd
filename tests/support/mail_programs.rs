//! Programs of others that send mail, or look for weak spots in a mail server.

use std::net::SocketAddr;
use std::path::Path;

use super::smtp::run;
use super::{Missing, has_program};

/// All of them; a machine that lacks one is told which package has it.
pub(crate) struct MailPrograms(());

/// How a program's connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protection {
    /// Not at all.
    Clear,
    /// By STARTTLS.
    StartTls,
    /// From the first octet.
    Implicit,
}

/// One mail that a program is to send.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Errand<'a> {
    /// The listener.
    pub(crate) address: SocketAddr,
    /// How the connection is protected.
    pub(crate) protection: Protection,
    /// Mechanism as the program is told it, user and password; `None`: no AUTH.
    pub(crate) login: Option<(&'a str, &'a str, &'a str)>,
    /// Whom it is for.
    pub(crate) to: &'a str,
    /// What stands in its body, to find it by.
    pub(crate) mark: &'a str,
    /// The authority to trust.
    pub(crate) ca: &'a Path,
}

impl MailPrograms {
    /// Looks for them.
    pub(crate) fn find() -> Result<Self, Missing> {
        let programs = [
            ("python3", "python3"),
            ("curl", "curl"),
            ("swaks", "swaks"),
            ("node", "nodejs"),
            ("nmap", "nmap"),
            ("testssl", "testssl.sh"),
        ];
        for (program, package) in programs {
            if !has_program(program) {
                return Err(Missing(format!("{program} is not installed (Debian: {package})")));
            }
        }
        let nodemailer = "/usr/share/nodejs/nodemailer/package.json";
        if !Path::new(nodemailer).exists() {
            return Err(Missing(format!("{nodemailer} is not there (Debian: node-nodemailer)")));
        }
        if !run("perl", &["-MNet::SSLeay", "-e", "1"], "").1 {
            return Err(Missing("Net::SSLeay is not there (Debian: libnet-ssleay-perl)".to_owned()));
        }
        Ok(Self(()))
    }

    /// Python's smtplib; its own extension point speaks SCRAM-SHA-256.
    pub(crate) fn python(&self, errand: &Errand<'_>) -> (String, bool) {
        let (mechanism, user, password) = errand.login.unwrap_or(("", "", ""));
        let protection = format!("{:?}", errand.protection);
        let (host, port) = (errand.address.ip().to_string(), errand.address.port().to_string());
        let ca = errand.ca.display().to_string();
        let arguments =
            ["-", &host, &port, &protection, mechanism, user, password, errand.to, errand.mark, &ca];
        run("python3", &arguments, PYTHON)
    }

    /// curl.
    pub(crate) fn curl(&self, errand: &Errand<'_>) -> (String, bool) {
        let scheme = if errand.protection == Protection::Implicit { "smtps" } else { "smtp" };
        let url = format!("{scheme}://{}/client.test", errand.address);
        let ca = errand.ca.display().to_string();
        let mut arguments = vec!["-sS", "-v", "--url", &url, "--mail-from", "curl@device.example"];
        arguments.extend(["--mail-rcpt", errand.to, "--upload-file", "-", "--cacert", &ca]);
        if errand.protection == Protection::StartTls {
            arguments.push("--ssl-reqd");
        }
        let (user, options);
        if let Some((mechanism, name, password)) = errand.login {
            user = format!("{name}:{password}");
            options = format!("AUTH={mechanism}");
            arguments.extend(["--user", &user, "--login-options", &options]);
        }
        run("curl", &arguments, &content(errand))
    }

    /// swaks.
    pub(crate) fn swaks(&self, errand: &Errand<'_>) -> (String, bool) {
        let (host, port) = (errand.address.ip().to_string(), errand.address.port().to_string());
        let mut arguments = vec!["--server", &host, "--port", &port, "--from", "swaks@device.example"];
        arguments.extend(["--to", errand.to, "--data", "-", "--helo", "client.test"]);
        match errand.protection {
            Protection::Clear => {}
            Protection::StartTls => arguments.push("--tls"),
            Protection::Implicit => arguments.push("--tls-on-connect"),
        }
        if let Some((mechanism, user, password)) = errand.login {
            arguments.extend(["--auth", mechanism, "--auth-user", user, "--auth-password", password]);
        }
        run("swaks", &arguments, &content(errand))
    }

    /// nodemailer.
    pub(crate) fn nodemailer(&self, errand: &Errand<'_>) -> (String, bool) {
        let (mechanism, user, password) = errand.login.unwrap_or(("", "", ""));
        let protection = format!("{:?}", errand.protection);
        let (host, port) = (errand.address.ip().to_string(), errand.address.port().to_string());
        let ca = errand.ca.display().to_string();
        let arguments =
            ["-", &host, &port, &protection, mechanism, user, password, errand.to, errand.mark, &ca];
        run("node", &arguments, NODE)
    }
}

fn content(errand: &Errand<'_>) -> String {
    format!("From: device@device.example\r\nTo: {}\r\nSubject: test\r\n\r\n{}\r\n", errand.to, errand.mark)
}

const PYTHON: &str = r#"
import base64, hashlib, hmac, smtplib, ssl, sys
from email.message import EmailMessage
host, port, protection, mechanism, user, password, to, mark, ca = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
if protection == 'Implicit':
    client = smtplib.SMTP_SSL(host, int(port), context=context, timeout=30)
else:
    client = smtplib.SMTP(host, int(port), timeout=30)
    if protection == 'StartTls':
        client.starttls(context=context)

class Scram:
    """SCRAM-SHA-256 (RFC 5802, RFC 7677)."""
    def __init__(self):
        self.bare = f'n={user},r=rOprNGfwEbeRWgbNEkqO'
        self.step = 0
    def __call__(self, challenge=None):
        self.step += 1
        if self.step == 1:
            return 'n,,' + self.bare
        server = challenge if isinstance(challenge, str) else challenge.decode()
        if self.step == 2:
            fields = dict(part.split('=', 1) for part in server.split(','))
            salted = hashlib.pbkdf2_hmac('sha256', password.encode(), base64.b64decode(fields['s']), int(fields['i']))
            without = 'c=biws,r=' + fields['r']
            message = ','.join([self.bare, server, without]).encode()
            digest = lambda key, text: hmac.new(key, text, 'sha256').digest()
            client_key = digest(salted, b'Client Key')
            signature = digest(hashlib.sha256(client_key).digest(), message)
            proof = bytes(a ^ b for a, b in zip(client_key, signature))
            self.expected = b'v=' + base64.b64encode(digest(digest(salted, b'Server Key'), message))
            return without + ',p=' + base64.b64encode(proof).decode()
        assert server.encode() == self.expected, server
        return ''

if mechanism:
    client.ehlo_or_helo_if_needed()
    assert mechanism in client.esmtp_features['auth'].split(), client.esmtp_features
    client.user, client.password = user, password
    ours = {'PLAIN': client.auth_plain, 'LOGIN': client.auth_login, 'CRAM-MD5': client.auth_cram_md5}
    client.auth(mechanism, ours.get(mechanism) or Scram())
message = EmailMessage()
message['From'], message['To'], message['Subject'] = 'python@device.example', to, 'test'
message.set_content(mark)
client.send_message(message)
client.quit()
"#;

const NODE: &str = r"
const nodemailer = require('nodemailer'), fs = require('fs');
const [host, port, protection, method, user, pass, to, mark, ca] = process.argv.slice(2);
const transport = nodemailer.createTransport({
  host, port: Number(port), secure: protection === 'Implicit', requireTLS: protection === 'StartTls',
  ignoreTLS: protection === 'Clear', tls: { ca: fs.readFileSync(ca) },
  ...(method ? { authMethod: method, auth: { user, pass } } : {}),
});
transport.sendMail({ from: 'node@device.example', to, subject: 'test', text: mark })
  .then(() => transport.close(), error => { console.error(error); process.exit(1); });
";
