use super::*;
use crate::policy::account::{Cost, PasswordMechanism};

/// The cheapest that is allowed, since what is tested here is who may do what.
fn cheap() -> Cost {
    Cost::new(7168, 5, 1).unwrap()
}

fn account(name: &str, password: &str) -> Account {
    Account {
        name: AccountName::new(name).unwrap(),
        state: AccountState::Enabled,
        password: PasswordHash::of(password, [7; 16], cheap()).unwrap(),
        scram: None,
        cram_md5: None,
        may_send_as: None,
        rate: Some(Rate { count: 20, period: std::time::Duration::from_secs(60) }),
        may_act_for: Vec::new(),
    }
}

fn accounts(accounts: impl Into<Vec<Account>>) -> Accounts {
    Accounts::new(accounts.into(), ServerSecret::new([9; 32])).unwrap()
}

fn plain(user: &str, authorize_as: Option<&str>, password: &str) -> Check {
    Check::Password {
        mechanism: PasswordMechanism::Plain,
        user: user.to_owned(),
        authorize_as: authorize_as.map(str::to_owned),
        password: Zeroizing::new(password.to_owned()),
    }
}

#[track_caller]
fn refusal(answer: CheckAnswer) -> Refusal {
    let CheckAnswer::Refused(refusal) = answer else { panic!("{answer:?}") };
    refusal
}

#[track_caller]
fn principal(answer: CheckAnswer) -> Principal {
    match answer {
        CheckAnswer::Proved(principal) | CheckAnswer::ProvedWithSignature(principal, _) => principal,
        CheckAnswer::Scram(_) | CheckAnswer::Refused(_) | CheckAnswer::Unavailable => panic!("{answer:?}"),
    }
}

#[test]
fn only_the_right_password_of_a_known_and_enabled_account_makes_a_principal() {
    let closed = Account { state: AccountState::Disabled, ..account("closed", "sesame") };
    let accounts = accounts([account("Scanner", "sesame"), closed]);
    let proved = principal(accounts.answer(&plain("scanner", None, "sesame")));
    assert_eq!((proved.name(), proved.proved_by()), ("Scanner", "Scanner"));
    assert_eq!(proved.rate().unwrap().count, 20);
    for (user, password, expected) in [
        ("scanner", "Sesame", Refusal::WrongPassword),
        ("printer", "sesame", Refusal::UnknownAccount),
        ("closed", "sesame", Refusal::Disabled),
        ("closed", "wrong", Refusal::WrongPassword),
        ("", "", Refusal::Empty),
        ("", "sesame", Refusal::Empty),
        ("scanner", "", Refusal::Empty),
    ] {
        assert_eq!(refusal(accounts.answer(&plain(user, None, password))), expected, "{user} {password}");
    }
}

#[test]
fn where_there_is_no_account_nobody_is_anybody() {
    let none = accounts([]);
    for (user, password) in [("", ""), ("guest", "guest"), ("anonymous", ""), ("root", "x")] {
        refusal(none.answer(&plain(user, Some(""), password)));
        let digest = [0; 16];
        refusal(none.answer(&Check::CramMd5 { user: user.into(), challenge: String::new(), digest }));
        refusal(none.answer(&Check::ScramProof {
            user: user.into(),
            authorize_as: None,
            auth_message: String::new(),
            proof: [0; 32],
        }));
    }
    for mechanism in [Mechanism::Plain, Mechanism::Login, Mechanism::CramMd5, Mechanism::ScramSha256] {
        assert!(!none.supports(mechanism), "{mechanism}");
    }
}

#[test]
fn another_authorization_identity_must_be_granted_known_and_enabled() {
    let closed = Account { state: AccountState::Disabled, ..account("closed", "x") };
    let names = ["alerts", "closed", "gone"].map(|name| AccountName::new(name).unwrap());
    let service = Account { may_act_for: names.to_vec(), ..account("service", "sesame") };
    let accounts = accounts([service, account("alerts", "x"), account("other", "x"), closed]);
    let answer = |authorize_as| accounts.answer(&plain("service", Some(authorize_as), "sesame"));
    let proved = principal(answer("Alerts"));
    assert_eq!((proved.name(), proved.proved_by()), ("alerts", "service"));
    assert_eq!(principal(answer("SERVICE")).name(), "service", "its own name in other letters");
    for identity in ["other", "closed", "gone", "", "root"] {
        assert_eq!(refusal(answer(identity)), Refusal::MayNotActFor, "{identity:?}");
    }
    let wrong = accounts.answer(&plain("service", Some("alerts"), "wrong"));
    assert_eq!(refusal(wrong), Refusal::WrongPassword);
    let reverse = accounts.answer(&plain("alerts", Some("service"), "x"));
    assert_eq!(refusal(reverse), Refusal::MayNotActFor);
}

#[test]
fn an_account_that_does_not_exist_costs_as_much_as_one_that_does() {
    let dear = Account {
        password: PasswordHash::of("x", [1; 16], Cost::new(19_456, 3, 1).unwrap()).unwrap(),
        ..account("dear", "x")
    };
    let closed = Account { state: AccountState::Disabled, ..account("closed", "x") };
    let accounts = accounts([account("cheap", "x"), dear, closed]);
    let cost = |user: &str| accounts.password_trial(user, None).verifier.cost();
    assert_eq!(cost("cheap"), cost("closed"));
    let costs: Vec<Cost> = (0..64).map(|number| cost(&format!("nobody-{number}"))).collect();
    assert!(costs.contains(&cost("cheap")) && costs.contains(&cost("dear")), "as mixed as the accounts are");
    assert_eq!(costs, (0..64).map(|number| cost(&format!("NOBODY-{number}"))).collect::<Vec<_>>());
    let none = Accounts::new(Vec::new(), ServerSecret::new([9; 32])).unwrap();
    assert_eq!(none.password_trial("nobody", None).verifier.cost(), Cost::DEFAULT);
}

#[test]
fn scram_parameters_of_an_account_that_does_not_exist_stay_and_look_like_the_others() {
    let scram = |name| Account {
        scram: Some(ScramVerifier::with_iterations("x", &[3; 16], 4096)),
        ..account(name, "x")
    };
    let accounts = accounts([scram("real"), account("no-scram", "x")]);
    let parameters = |accounts: &Accounts, user: &str| {
        let answer = accounts.answer(&Check::ScramStart { user: user.to_owned() });
        let CheckAnswer::Scram(parameters) = answer else { panic!("{answer:?}") };
        parameters
    };
    let real = parameters(&accounts, "real");
    for user in ["nobody", "no-scram", ""] {
        let made_up = parameters(&accounts, user);
        assert_eq!(made_up, parameters(&accounts.clone(), user), "{user}");
        assert_eq!((made_up.salt.len(), made_up.iterations), (real.salt.len(), real.iterations), "{user}");
        assert_ne!(made_up.salt, real.salt);
    }
    assert_ne!(parameters(&accounts, "nobody"), parameters(&accounts, "nobody-else"));
    let other = Accounts::new(Vec::new(), ServerSecret::new([8; 32])).unwrap();
    assert_ne!(parameters(&accounts, "nobody"), parameters(&other, "nobody"));
}

#[test]
fn a_proof_for_an_account_without_verifier_is_as_wrong_as_one_for_nobody() {
    let accounts = accounts([account("plain-only", "x")]);
    for (user, expected) in [("plain-only", Refusal::NoVerifier), ("nobody", Refusal::UnknownAccount)] {
        let digest = [0; 16];
        let cram = Check::CramMd5 { user: user.into(), challenge: "<1@a>".into(), digest };
        assert_eq!(refusal(accounts.answer(&cram)), expected);
        let scram = Check::ScramProof {
            user: user.into(),
            authorize_as: None,
            auth_message: "n=x".into(),
            proof: [0; 32],
        };
        assert_eq!(refusal(accounts.answer(&scram)), expected);
    }
}

#[test]
fn a_mechanism_is_supported_when_an_enabled_account_can_use_it() {
    let scram =
        Account { scram: Some(ScramVerifier::with_iterations("x", &[3; 16], 4096)), ..account("a", "x") };
    let cram = Account {
        cram_md5: Some(CramMd5Secret::of("x")),
        state: AccountState::Disabled,
        ..account("b", "x")
    };
    let accounts = accounts([scram, cram]);
    let supported = [Mechanism::Plain, Mechanism::Login, Mechanism::ScramSha256, Mechanism::CramMd5]
        .map(|mechanism| accounts.supports(mechanism));
    assert_eq!(supported, [true, true, true, false]);
}

#[test]
fn two_names_that_are_one_are_refused_and_explanations_know_enabled_accounts_only() {
    let twice = vec![account("Scanner", "x"), account("scanner", "y")];
    assert!(Accounts::new(twice, ServerSecret::new([9; 32])).is_err());
    let closed = Account { state: AccountState::Disabled, ..account("closed", "x") };
    let accounts = accounts([account("Scanner", "x"), closed]);
    assert_eq!(accounts.permissions_of("SCANNER").unwrap().name(), "Scanner");
    assert!(accounts.permissions_of("closed").is_none() && accounts.permissions_of("").is_none());
}

#[test]
fn neither_claims_nor_accounts_show_what_must_stay_secret() {
    let with_all = Account {
        scram: Some(ScramVerifier::with_iterations("sesame", &[3; 16], 4096)),
        cram_md5: Some(CramMd5Secret::of("sesame")),
        ..account("a", "sesame")
    };
    let hash = with_all.password.to_string();
    let text = format!("{:?} {:?}", plain("user", None, "sesame"), accounts([with_all]));
    assert!(!text.contains("sesame") && !text.contains("user"), "{text}");
    assert!(!text.contains(hash.rsplit('$').next().unwrap()) && !text.contains("[9,"), "{text}");
}

#[test]
fn what_was_proved_stands_until_its_password_changes_either_account_goes_or_may_do_something_else() {
    let boss =
        Account { may_act_for: vec![AccountName::new("scanner").unwrap()], ..account("boss", "sesame") };
    let before = accounts([boss.clone(), account("scanner", "other")]);
    let proved = principal(before.answer(&plain("boss", Some("scanner"), "sesame")));
    let stands = |now: &[Account]| accounts(now).still_grant(&proved);
    assert!(stands(&[boss.clone(), account("scanner", "other")]));
    assert!(stands(&[boss.clone(), account("scanner", "changed"), account("new", "new")]));
    let boss_with = |password| Account { may_act_for: boss.may_act_for.clone(), ..account("boss", password) };
    assert!(stands(&[boss_with("sesame"), account("scanner", "other")]));
    assert!(!stands(&[boss_with("changed"), account("scanner", "other")]));
    let scram = Some(ScramVerifier::of("sesame", [1; 16]));
    assert!(!stands(&[Account { scram, ..boss.clone() }, account("scanner", "other")]));
    let disabled = |account: Account| Account { state: AccountState::Disabled, ..account };
    assert!(!stands(std::slice::from_ref(&boss)));
    assert!(!stands(&[account("scanner", "other")]));
    assert!(!stands(&[disabled(boss.clone()), account("scanner", "other")]));
    assert!(!stands(&[boss.clone(), disabled(account("scanner", "other"))]));
    assert!(!stands(&[account("boss", "sesame"), account("scanner", "other")]));
    assert!(!stands(&[boss, Account { rate: None, ..account("scanner", "other") }]));
}
