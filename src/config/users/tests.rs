use std::sync::LazyLock;
use std::time::Duration;

use super::*;
use crate::policy::account::Cost;

static HASH: LazyLock<PasswordHash> =
    LazyLock::new(|| PasswordHash::of("x", [1; 16], Cost::DEFAULT).unwrap());

fn account(name: &str) -> Account {
    Account {
        name: AccountName::new(name).unwrap(),
        state: AccountState::Enabled,
        password: HASH.clone(),
        scram: None,
        cram_md5: None,
        may_send_as: None,
        rate: None,
        may_act_for: Vec::new(),
    }
}

/// What is wrong with a file, without the fixes.
fn problems(text: &str) -> Vec<String> {
    let problems = UsersFile::read("users.yaml", text).unwrap_err();
    assert!(problems.problems.iter().all(|problem| !problem.fix().is_empty()));
    problems.problems.iter().map(|problem| problem.to_string().lines().next().unwrap().to_owned()).collect()
}

#[test]
fn what_is_written_is_read_again() {
    let pattern = |text| AddressPattern::parse(text).unwrap();
    let mut accounts: Vec<Account> =
        ["yes", "123", "~", "a: b", "#x", "it's", "*", "Büro 2", "null", "{a}", "\\n\""].map(account).into();
    accounts.push(Account {
        state: AccountState::Disabled,
        scram: Some(ScramVerifier::of("x", [2; 16])),
        cram_md5: Some(CramMd5Secret::of("x")),
        may_send_as: Some(vec![pattern("*@corp.example"), pattern("o'neil@corp.example"), pattern("<>")]),
        rate: Some(Rate { count: 20, period: Duration::from_secs(60) }),
        may_act_for: vec![AccountName::new("it's").unwrap(), AccountName::new("123").unwrap()],
        ..account("everything")
    });
    accounts.push(Account { may_send_as: Some(Vec::new()), ..account("nobody's sender") });
    let file = UsersFile { secret: Some(ServerSecret::new([7; 32])), accounts };
    let text = file.write();
    assert_eq!(UsersFile::read("users.yaml", &text), Ok(file), "{}", &*text);
    let empty = UsersFile::default();
    assert_eq!(UsersFile::read("users.yaml", &empty.write()), Ok(empty));
    assert_eq!(UsersFile::read("users.yaml", ""), Ok(UsersFile::default()));
}

#[test]
fn every_problem_is_named_at_once_with_its_line() {
    let text = format!(
        "\
secret: c2hvcnQ=
users:
  - name: a
    password_hash: {hash}
  - name: A
    password_hash: {hash}
  - password_hash: '$2b$12$abc'
  - name: b
    password: hunter2
  - name: c
  - name: d
    password_hash: 31337
    state: off
    rate: 20
    may_send_as: ['*corp.example']
    scram_sha_256: 'SCRAM-SHA-1$4096:x$y:z'
    cram_md5: hunter2
  - name: e
    password_hash: '$argon2id$v=19$m=65536,t=4096,p=1$MDEyMzQ1Njc4OWFiY2RlZg$MDEyMzQ1Njc4OWFiY2RlZg'
    sendas: []
",
        hash = *HASH
    );
    let found = problems(&text);
    assert_eq!(
        found,
        [
            "line 1  secret: these are not 32 octets in base64",
            "line 5  users[1] \"A\" name: the account of line 3 has this name already; case does not count",
            "line 7  users[2] has no `name`",
            "line 7  users[2].password_hash: it is no Argon2id hash, which begins with $argon2id$v=19$",
            "line 9  users[3] \"b\" password: passwords do not stand in this file, only what is made of them",
            "line 10  users[4] \"c\" has no `password_hash`",
            "line 12  users[5] \"d\" password_hash: a number where a text belongs",
            "line 13  users[5] \"d\" state: this is no state of an account",
            "line 14  users[5] \"d\" rate: 20 has no period",
            "line 15  users[5] \"d\" may_send_as[0]: \"*corp.example\" has a * in a place where it means nothing",
            "line 16  users[5] \"d\" scram_sha_256: it does not begin with SCRAM-SHA-256$",
            "line 17  users[5] \"d\" cram_md5: it does not begin with CRAM-MD5$",
            "line 19  users[6] \"e\" password_hash: its parameters are too costly, so that every login attempt would be an attack: m=65536,t=4096,p=1",
            "line 20  users[6] \"e\" sendas: there is no such key here; there are `name`, `state`, `password_hash`, `scram_sha_256`, `cram_md5`, `may_send_as`, `rate` and `may_act_for`",
        ]
    );
    let all = UsersFile::read("users.yaml", &text).unwrap_err().to_string();
    assert!(!all.contains("hunter2") && !all.contains("31337"), "{all}");
}

#[test]
fn an_account_acts_only_for_those_that_are_there() {
    let user = |name: &str, more: &str| {
        format!("- {{ name: {name}, password_hash: {}{more} }}\n", quoted(&HASH.to_string()))
    };
    let text = format!("users:\n{}{}", user("a", ", may_act_for: [B]"), user("b", ""));
    assert_eq!(UsersFile::read("users.yaml", &text).unwrap().accounts.len(), 2);
    let text = format!("users:\n{}{}", user("a", ", may_act_for: [c]"), user("b", ""));
    assert_eq!(problems(&text), ["line 2  users[0] \"a\" may_act_for[0]: there is no such account"]);
}

#[test]
fn the_verifier_of_an_empty_password_opens_nothing() {
    let empty = CramMd5Secret::of("");
    let hash = quoted(&HASH.to_string());
    let text = format!("users:\n- {{ name: a, password_hash: {hash}, cram_md5: '{empty}' }}\n");
    assert_eq!(problems(&text).len(), 1);
}

#[test]
fn a_file_that_is_no_yaml_is_one_problem() {
    assert_eq!(problems("users: [\n").len(), 1);
    assert_eq!(problems("- a\n").len(), 1);
}
