//! What the configuration says of the files that it names: certificates, keys, accounts, passwords.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::LazyLock;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use mailslotd::config::check::{Checked, Readers, SecretFile, Secrets, Source, Surroundings, check};
use mailslotd::config::problem::Problems;
use mailslotd::config::settings::RecipientSource;
use mailslotd::config::show::show;
use mailslotd::config::users::UsersFile;
use mailslotd::policy::account::{Account, AccountName, AccountState, Cost, PasswordHash, ScramVerifier};
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use zeroize::Zeroizing;

const CONFIG: &str = "\
hostname: gw1.plant.example
operator: { postmaster: it@corp.example }
users_file: /etc/mailslotd/users.yaml
listeners:
  smtp:
    - name: submission
      addresses: ['0.0.0.0:587']
      tls: { certificate: /etc/mailslotd/tls.pem, key_file: /etc/mailslotd/tls.key }
      auth: { mechanisms: [plain, scram-sha-256], required: true }
relay:
  accepted_domains: [corp.example]
  recipients:
    - file: /etc/mailslotd/recipients.txt
    - ldap: { url: 'ldaps://dc1.corp.example', base: 'dc=corp', filter: '(mail={address})', bind_dn: 'cn=gw', password_file: /etc/mailslotd/ldap.pw }
  routes: [{ domain: '*', via: inbox }]
tarpit: { time: 5s }
";

/// The files of a gateway where all is well, to be spoilt one by one.
struct Files {
    texts: HashMap<&'static str, String>,
    open: Option<&'static str>,
}

const CERTIFICATE: &str = "/etc/mailslotd/tls.pem";
const KEY: &str = "/etc/mailslotd/tls.key";
const USERS: &str = "/etc/mailslotd/users.yaml";

impl Files {
    fn good() -> Self {
        let (certificate, key) = certificate(2030);
        let texts = [
            (CERTIFICATE, certificate),
            (KEY, key),
            (USERS, users(&[("erp", true)])),
            ("/etc/mailslotd/recipients.txt", "ops@corp.example\n".to_owned()),
            ("/etc/mailslotd/ldap.pw", "hunter2\n".to_owned()),
        ];
        Self { texts: texts.into(), open: None }
    }

    fn with(mut self, file: &'static str, text: String) -> Self {
        self.texts.insert(file, text);
        self
    }

    fn without(mut self, file: &str) -> Self {
        self.texts.remove(file);
        self
    }

    fn check(&self) -> Result<Checked, Problems> {
        let file = |path: &Path| {
            let name = path.to_str().unwrap();
            let text = self.texts.get(name).ok_or(io::ErrorKind::NotFound)?;
            let readers = if self.open == Some(name) { Readers::Everybody } else { Readers::Few };
            Ok(SecretFile { text: Zeroizing::new(text.clone()), readers })
        };
        let surroundings = Surroundings {
            state_dir: "/var/lib/mailslotd".into(),
            timezone: TimeZone::UTC,
            secrets: Secrets::Online { file: &file, variable: &|_| None, now: now() },
            routers: Vec::new(),
            interfaces: Vec::new(),
        };
        check(&[Source { file: "a.yaml", text: CONFIG }], &surroundings)
    }

    fn problems(&self) -> String {
        self.check().unwrap_err().to_string()
    }

    fn warnings(&self) -> String {
        self.check().unwrap().warnings.to_string()
    }
}

fn now() -> Timestamp {
    "2027-03-05T08:30:00Z".parse().unwrap()
}

/// A certificate that is good until the first of March of this year, and its key.
fn certificate(until: i32) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["gw1.plant.example".to_owned()]).unwrap();
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(until, 3, 1);
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

/// Costly to make, as is the other.
static HASH: LazyLock<PasswordHash> =
    LazyLock::new(|| PasswordHash::of("x", [1; 16], Cost::DEFAULT).unwrap());

static SCRAM: LazyLock<ScramVerifier> = LazyLock::new(|| ScramVerifier::of("x", [2; 16]));

fn users(names: &[(&str, bool)]) -> String {
    let accounts = names.iter().map(|(name, scram)| Account {
        name: AccountName::new(name).unwrap(),
        state: AccountState::Enabled,
        password: HASH.clone(),
        scram: scram.then(|| SCRAM.clone()),
        cram_md5: None,
        may_send_as: None,
        rate: None,
        may_act_for: Vec::new(),
    });
    UsersFile { secret: None, accounts: accounts.collect() }.write().to_string()
}

#[test]
fn files_that_are_as_they_should_be_are_not_mentioned_and_no_secret_is_printed() {
    let checked = Files::good().check().unwrap();
    assert_eq!(checked.warnings, Problems::default());
    let RecipientSource::Ldap(ldap) = &checked.settings.smtp.recipients[1] else { panic!() };
    assert_eq!(ldap.bind.as_ref().map(|(_, password)| password.as_str()), Some("hunter2"));
    let shown = serde_yaml::to_string(&show(&checked.settings, &checked.secrets)).unwrap();
    assert!(shown.contains("password_file: /etc/mailslotd/ldap.pw"), "{shown}");
    assert!(!shown.contains("hunter2") && !format!("{checked:?}").contains("hunter2"));
}

#[test]
fn a_certificate_that_has_expired_or_soon_will_is_a_warning_with_its_day() {
    for (until, fault) in [(2026, "expired on 2026-03-01"), (2027, "expired on 2027-03-01")] {
        let (certificate, key) = certificate(until);
        let warnings = Files::good().with(CERTIFICATE, certificate).with(KEY, key).warnings();
        let place = "line 8  listeners.smtp[0] \"submission\" tls.certificate: /etc/mailslotd/tls.pem";
        assert!(warnings.contains(&format!("{place} {fault}\n  fix: renew it")), "{warnings}");
    }
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["gw1.plant.example".to_owned()]).unwrap();
    params.not_after = date_time_ymd(2027, 3, 12);
    let soon = params.self_signed(&key).unwrap().pem();
    let warnings = Files::good().with(CERTIFICATE, soon).with(KEY, key.serialize_pem()).warnings();
    assert!(warnings.contains("tls.pem expires on 2027-03-12"), "{warnings}");
}

#[test]
fn a_certificate_and_a_key_that_cannot_be_used_are_told_with_the_reason() {
    let other = certificate(2030).1;
    let problems = Files::good().with(KEY, other).problems();
    let cause = "tls.key_file: /etc/mailslotd/tls.key is not the key of the first certificate in /etc/mailslotd/tls.pem";
    assert!(problems.contains(cause), "{problems}");
    let problems = Files::good().without(CERTIFICATE).with(KEY, "nothing".to_owned()).problems();
    assert!(problems.contains("tls.certificate: /etc/mailslotd/tls.pem cannot be read"), "{problems}");
    assert!(problems.contains("tls.key has no private key in PEM form"), "{problems}");
    let locked = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let problems = Files::good().with(CERTIFICATE, String::new()).with(KEY, locked.to_owned()).problems();
    assert!(problems.contains("tls.pem has no certificate in PEM form"), "{problems}");
    assert!(
        problems.contains("tls.key is locked by a passphrase\n  fix: write it without one"),
        "{problems}"
    );
}

#[test]
fn a_key_and_accounts_that_everybody_may_read_are_warnings() {
    let warnings = Files { open: Some(KEY), ..Files::good() }.warnings();
    assert!(
        warnings.contains("every user of this machine may read the key in /etc/mailslotd/tls.key"),
        "{warnings}"
    );
    let warnings = Files { open: Some(USERS), ..Files::good() }.warnings();
    assert!(warnings.contains("line 3  users_file: every user of this machine may read"), "{warnings}");
}

#[test]
fn mechanisms_that_no_account_can_use_and_accounts_that_cannot_be_read_are_problems() {
    let problems = Files::good().with(USERS, users(&[("erp", false)])).problems();
    assert!(problems.contains("auth.mechanisms[1]: SCRAM-SHA-256: no account can use it"), "{problems}");
    assert!(problems.contains("fix: `mailslotd user passwd --scram NAME`"), "{problems}");
    let problems = Files::good().with(USERS, users(&[])).problems();
    assert!(problems.contains("nobody can authenticate: `users_file` has no accounts"), "{problems}");
    let problems = Files::good().without(USERS).problems();
    assert!(problems.contains("line 3  users_file: /etc/mailslotd/users.yaml cannot be read"), "{problems}");
    assert!(problems.contains("fix: `mailslotd user add NAME` makes it"), "{problems}");
    let problems = Files::good().with(USERS, "users: [{ name: erp }]\n".to_owned()).problems();
    assert!(
        problems.contains("/etc/mailslotd/users.yaml: 1 problem\nline 1  users[0] \"erp\" has no"),
        "{problems}"
    );
}

#[test]
fn a_recipients_file_that_is_not_there_is_a_problem() {
    let problems = Files::good().without("/etc/mailslotd/recipients.txt").problems();
    assert!(
        problems.contains("line 13  relay.recipients[0].file: /etc/mailslotd/recipients.txt cannot be read"),
        "{problems}"
    );
}
