use tempfile::TempDir;
use zeroize::Zeroizing;

use super::*;
use crate::policy::account::{Account, AccountName, AccountState, Cost, PasswordHash, PasswordMechanism};
use crate::policy::client_network::Prefixes;

/// A users file in a folder of its own.
struct Users(TempDir);

impl Users {
    /// With one account.
    fn new(name: &str, password: &str) -> Self {
        let users = Self(tempfile::tempdir().unwrap());
        users.write(name, password);
        users
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("users.yaml")
    }

    fn write(&self, name: &str, password: &str) {
        let account = Account {
            name: AccountName::new(name).unwrap(),
            state: AccountState::Enabled,
            password: PasswordHash::of(password, [1; 16], Cost::new(7168, 5, 1).unwrap()).unwrap(),
            scram: None,
            cram_md5: None,
            may_send_as: None,
            rate: None,
            may_act_for: Vec::new(),
        };
        let file = UsersFile { secret: None, accounts: vec![account] };
        fs::write(self.path(), file.write().as_bytes()).unwrap();
    }

    fn authenticator(&self, policy: AuthGuardPolicy) -> Authenticator {
        Authenticator::load(&self.path(), policy, Arc::new(Metrics::new())).unwrap()
    }
}

async fn login(authenticator: &Authenticator, host: u8, user: &str, password: &str) -> CheckAnswer {
    let network = Prefixes::default().network_of(std::net::IpAddr::from([192, 168, 0, host]));
    let check = Check::Password {
        mechanism: PasswordMechanism::Plain,
        user: user.to_owned(),
        authorize_as: None,
        password: Zeroizing::new(password.to_owned()),
    };
    authenticator.answer(&ListenerName::new("devices").unwrap(), network, check).await
}

/// As if the last look had been long ago.
fn look_again(authenticator: &Authenticator) {
    authenticator.shared.look.lock().unwrap().at -= LOOK;
}

fn counted(authenticator: &Authenticator, outcome: AuthOutcome) -> bool {
    let label = format!("outcome=\"{}\"", outcome.as_str());
    let text = authenticator.shared.metrics.encode();
    text.lines().any(|line| line.starts_with("mailslotd_smtp_auth_total") && line.contains(&label))
}

#[tokio::test]
async fn a_changed_users_file_counts_and_a_broken_one_does_not() {
    let users = Users::new("a", "old");
    let authenticator = users.authenticator(AuthGuardPolicy::default());
    assert!(matches!(login(&authenticator, 1, "a", "old").await, CheckAnswer::Proved(_)));
    users.write("a", "newer");
    look_again(&authenticator);
    assert!(matches!(login(&authenticator, 1, "a", "newer").await, CheckAnswer::Proved(_)));
    fs::write(users.path(), "users: [{ name: a }]").unwrap();
    look_again(&authenticator);
    assert!(matches!(login(&authenticator, 1, "a", "newer").await, CheckAnswer::Proved(_)));
    fs::remove_file(users.path()).unwrap();
    look_again(&authenticator);
    assert!(matches!(login(&authenticator, 1, "a", "newer").await, CheckAnswer::Proved(_)));
    users.write("b", "newest");
    look_again(&authenticator);
    assert!(matches!(login(&authenticator, 1, "b", "newest").await, CheckAnswer::Proved(_)));
    assert!(matches!(login(&authenticator, 1, "a", "newer").await, CheckAnswer::Refused(_)));
}

#[tokio::test]
async fn a_changed_users_file_that_cannot_be_read_for_a_moment_is_tried_again() {
    let users = Users::new("a", "old");
    let authenticator = users.authenticator(AuthGuardPolicy::default());
    users.write("a", "newer");
    // As when no more files can be had: it is seen to have changed, and reading it fails.
    let aside = users.0.path().join("aside");
    fs::rename(users.path(), &aside).unwrap();
    fs::create_dir(users.path()).unwrap();
    look_again(&authenticator);
    assert!(matches!(login(&authenticator, 1, "a", "old").await, CheckAnswer::Proved(_)));
    let seen = authenticator.shared.look.lock().unwrap().seen;
    assert_ne!(seen, Stamp::of(&users.path()), "what was not read does not count as seen");
    fs::remove_dir(users.path()).unwrap();
    fs::rename(&aside, users.path()).unwrap();
    look_again(&authenticator);
    assert!(matches!(login(&authenticator, 1, "a", "newer").await, CheckAnswer::Proved(_)));
}

#[tokio::test]
async fn a_network_that_guesses_is_refused_without_a_computation_and_others_are_not() {
    let users = Users::new("a", "sesame");
    let policy = AuthGuardPolicy { failures: Some(2), ..AuthGuardPolicy::default() };
    let authenticator = users.authenticator(policy);
    for guess in ["one", "two"] {
        assert!(matches!(login(&authenticator, 1, "a", guess).await, CheckAnswer::Refused(_)));
    }
    assert!(matches!(login(&authenticator, 1, "a", "sesame").await, CheckAnswer::Unavailable));
    assert!(matches!(login(&authenticator, 2, "a", "sesame").await, CheckAnswer::Proved(_)));
    for outcome in [AuthOutcome::Proved, AuthOutcome::Refused, AuthOutcome::TooManyFailures] {
        assert!(counted(&authenticator, outcome), "{outcome:?}");
    }
}

#[tokio::test]
async fn guesses_that_wait_together_do_not_get_around_the_limit() {
    let users = Users::new("a", "sesame");
    let policy = AuthGuardPolicy { failures: Some(2), ..AuthGuardPolicy::default() };
    let authenticator = Arc::new(users.authenticator(policy));
    let mut tasks = task::JoinSet::new();
    for number in 0..20 {
        let authenticator = Arc::clone(&authenticator);
        tasks.spawn(async move { login(&authenticator, 1, "a", &format!("guess {number}")).await });
    }
    let answers = tasks.join_all().await;
    let computed = answers.iter().filter(|answer| matches!(answer, CheckAnswer::Refused(_))).count();
    assert!((2..=1 + COMPUTATIONS).contains(&computed), "{computed}");
}

#[tokio::test]
async fn past_the_bound_of_the_line_clients_come_back_later() {
    let users = Users::new("a", "sesame");
    let policy = AuthGuardPolicy { line: 4, ..AuthGuardPolicy::default() };
    let authenticator = Arc::new(users.authenticator(policy));
    let mut tasks = task::JoinSet::new();
    for host in 0..20 {
        let authenticator = Arc::clone(&authenticator);
        tasks.spawn(async move { login(&authenticator, host, "a", "sesame").await });
    }
    let answers = tasks.join_all().await;
    let proved = answers.iter().filter(|answer| matches!(answer, CheckAnswer::Proved(_))).count();
    let later = answers.iter().filter(|answer| matches!(answer, CheckAnswer::Unavailable)).count();
    assert!(proved >= 4 && later >= 1 && proved + later == 20, "{proved} {later}");
    assert!(
        matches!(login(&authenticator, 1, "a", "sesame").await, CheckAnswer::Proved(_)),
        "the line is free again"
    );
}

#[test]
fn a_users_file_that_is_not_there_or_broken_is_an_error_that_says_what_to_do() {
    let users = Users::new("a", "x");
    let load = || Authenticator::load(&users.path(), AuthGuardPolicy::default(), Arc::new(Metrics::new()));
    fs::write(users.path(), "users: [{ name: a }]").unwrap();
    let error = load().unwrap_err().to_string();
    assert!(error.contains("line 1") && error.contains("password_hash"), "{error}");
    fs::remove_file(users.path()).unwrap();
    let error = load().unwrap_err().to_string();
    assert!(error.contains("users.yaml cannot be read") && error.contains("mailslotd user add"), "{error}");
}

#[tokio::test]
async fn what_a_client_proved_ends_with_its_password_and_with_its_account() {
    let users = Users::new("a", "sesame");
    let authenticator = users.authenticator(AuthGuardPolicy::default());
    let CheckAnswer::Proved(principal) = login(&authenticator, 1, "a", "sesame").await else { panic!() };
    look_again(&authenticator);
    assert!(authenticator.still_grants(&principal).await);
    users.write("a", "changed");
    look_again(&authenticator);
    assert!(!authenticator.still_grants(&principal).await);
    let CheckAnswer::Proved(principal) = login(&authenticator, 1, "a", "changed").await else { panic!() };
    users.write("b", "changed");
    look_again(&authenticator);
    assert!(!authenticator.still_grants(&principal).await);
}
