use super::*;
use crate::policy::account::ScramParameters;

/// What the client of RFC 4616's examples says: `\0tim\0tanstaaftanstaaf`.
const TIM: &str = "AHRpbQB0YW5zdGFhZnRhbnN0YWFm";

fn begin(mechanism: Mechanism, initial_response: Option<&str>) -> (Exchange, Step) {
    Exchange::begin(mechanism, initial_response, Nonce::new("server").unwrap(), "gw1.plant.example")
}

#[track_caller]
fn challenge(step: Step) -> String {
    let Step::Challenge(text) = step else { panic!("{step:?}") };
    text
}

#[track_caller]
fn outcome(step: Step) -> Outcome {
    let Step::Done(outcome) = step else { panic!("{step:?}") };
    outcome
}

#[test]
fn plain_says_all_at_once_or_after_an_empty_challenge() {
    let (_, at_once) = begin(Mechanism::Plain, Some(TIM));
    let (exchange, step) = begin(Mechanism::Plain, None);
    assert_eq!(challenge(step), "");
    let (_, asked) = exchange.respond(TIM);
    for step in [at_once, asked] {
        let Step::Check(Check::Password { mechanism, user, authorize_as, password }) = step else {
            panic!("{step:?}")
        };
        assert_eq!((mechanism, &*user, authorize_as), (PasswordMechanism::Plain, "tim", None));
        assert_eq!(*password, "tanstaaftanstaaf");
    }
}

#[test]
fn a_line_that_is_no_base64_a_star_and_an_endless_line_end_the_exchange_each_in_its_way() {
    for mechanism in [Mechanism::Plain, Mechanism::Login, Mechanism::CramMd5, Mechanism::ScramSha256] {
        let respond = |line: &str| outcome(begin(mechanism, None).0.respond(line).1);
        for line in ["?", "dGltx", "dGlt=", " dGlt", "=", "dGlt\r"] {
            assert!(matches!(respond(line), Outcome::BadBase64), "{mechanism} {line}");
        }
        assert!(matches!(respond("*"), Outcome::Cancelled), "{mechanism}");
        assert!(matches!(respond(&"A".repeat(MAX_LINE + 1)), Outcome::TooLong), "{mechanism}");
        assert!(matches!(respond("//8="), Outcome::Refused), "{mechanism}: no UTF-8");
    }
}

#[test]
fn login_prompts_are_those_that_every_scanner_knows() {
    let (exchange, step) = begin(Mechanism::Login, None);
    assert_eq!(challenge(step), "VXNlcm5hbWU6");
    let (asked, step) = exchange.respond("dGlt");
    assert_eq!(challenge(step), "UGFzc3dvcmQ6");
    // AUTH LOGIN with the user behind it, as Outlook and many devices have it.
    let (at_once, step) = begin(Mechanism::Login, Some("dGlt"));
    assert_eq!(challenge(step), "UGFzc3dvcmQ6");
    for exchange in [asked, at_once] {
        let (_, step) = exchange.respond("c2VzYW1l");
        let Step::Check(Check::Password { mechanism, user, authorize_as, password }) = step else {
            panic!("{step:?}")
        };
        assert_eq!((mechanism, &*user, authorize_as), (PasswordMechanism::Login, "tim", None));
        assert_eq!(*password, "sesame");
    }
}

#[test]
fn what_has_not_the_grammar_of_its_mechanism_is_refused_like_a_wrong_password() {
    let said = |mechanism, text: &str| outcome(begin(mechanism, None).0.respond(&STANDARD.encode(text)).1);
    for (mechanism, text) in [
        (Mechanism::Plain, ""),
        (Mechanism::Plain, "tim\0sesame"),
        (Mechanism::Plain, "\0tim\0sesame\0more"),
        (Mechanism::CramMd5, "tim"),
        (Mechanism::CramMd5, "tim b913a602c7eda7a495b4e6e7334d389"),
        (Mechanism::CramMd5, "tim b913a602c7eda7a495b4e6e7334d389g"),
        (Mechanism::ScramSha256, ""),
        (Mechanism::ScramSha256, "n,,n=,r=nonce"),
        (Mechanism::ScramSha256, "n,,n=tim,r="),
        (Mechanism::ScramSha256, "n,,n=a=b,r=nonce"),
        (Mechanism::ScramSha256, "n,,m=ext,n=tim,r=nonce"),
        (Mechanism::ScramSha256, "n,tim,n=tim,r=nonce"),
        (Mechanism::ScramSha256, "p=tls-unique,,n=tim,r=nonce"),
        (Mechanism::ScramSha256, "n=tim,r=nonce"),
    ] {
        assert!(matches!(said(mechanism, text), Outcome::Refused), "{mechanism} {text:?}");
    }
    let (_, step) = begin(Mechanism::Plain, Some("="));
    assert!(matches!(outcome(step), Outcome::Refused), "an empty initial response");
    let (_, step) = begin(Mechanism::CramMd5, Some("dGlt"));
    assert!(matches!(outcome(step), Outcome::Refused), "where the server speaks first");
}

/// RFC 7677 §3, up to the client's final message.
fn scram_final(gs2_header: &str) -> Exchange {
    let nonce = Nonce::new("%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0").unwrap();
    let first = STANDARD.encode(format!("{gs2_header}n=user,r=rOprNGfwEbeRWgbNEkqO"));
    let (exchange, step) = Exchange::begin(Mechanism::ScramSha256, Some(&first), nonce, "gw");
    assert!(matches!(&step, Step::Check(Check::ScramStart { user }) if user == "user"), "{step:?}");
    let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
    let parameters = ScramParameters { salt, iterations: 4096 };
    let (exchange, step) = exchange.answer(CheckAnswer::Scram(parameters));
    assert_eq!(
        STANDARD.decode(challenge(step)).unwrap(),
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    );
    exchange
}

const FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                     p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";

#[test]
fn scram_signs_what_rfc_7677_signs() {
    let (_, step) = scram_final("n,,").respond(&STANDARD.encode(FINAL));
    let Step::Check(Check::ScramProof { user, authorize_as, auth_message, proof }) = step else {
        panic!("{step:?}")
    };
    assert_eq!((&*user, authorize_as), ("user", None));
    assert_eq!(STANDARD.encode(proof), "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
    assert_eq!(
        auth_message,
        "n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
         s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    );
}

#[test]
fn scram_takes_only_the_nonce_and_the_header_that_began_it() {
    for (header, message, refused) in [
        ("n,,", FINAL.to_owned(), false),
        ("y,,", FINAL.replace("biws", "eSws"), false),
        ("n,a=boss,", FINAL.replace("biws", "bixhPWJvc3Ms"), false),
        ("y,,", FINAL.to_owned(), true),
        ("n,a=boss,", FINAL.to_owned(), true),
        ("n,,", FINAL.replace("hNlF$k0", "hNlF$k1"), true),
        ("n,,", FINAL.replace("%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", ""), true),
        ("n,,", FINAL.replace("p=dHzb", "p="), true),
        ("n,,", FINAL.replace(",p=", ",q="), true),
        ("n,,", String::new(), true),
    ] {
        let (_, step) = scram_final(header).respond(&STANDARD.encode(&message));
        assert_eq!(matches!(step, Step::Done(Outcome::Refused)), refused, "{header} {message}: {step:?}");
    }
}

#[test]
fn an_answer_that_does_not_come_ends_every_exchange_for_now() {
    for (mechanism, text) in [(Mechanism::Plain, TIM), (Mechanism::ScramSha256, "biwsbj10aW0scj1u")] {
        let (exchange, step) = begin(mechanism, Some(text));
        assert!(matches!(step, Step::Check(_)), "{step:?}");
        let (_, step) = exchange.answer(CheckAnswer::Unavailable);
        assert!(matches!(outcome(step), Outcome::Unavailable), "{mechanism}");
    }
}

mod round_trip {
    //! Our own client against our own server.

    use std::sync::LazyLock;

    use super::*;
    use crate::policy::account::{
        Account, AccountName, AccountState, Accounts, Cost, CramMd5Secret, PasswordHash, ScramVerifier,
        ServerSecret,
    };
    use crate::session::sasl::client::{self, PasswordIdentity};

    /// With letters that every mechanism must prepare and SCRAM must escape.
    const USER: &str = "Büro, 2=zwei";
    const PASSWORD: &str = "ｓesame ö\u{a0}x";

    static ACCOUNTS: LazyLock<Accounts> = LazyLock::new(|| {
        let account = Account {
            name: AccountName::new(USER).unwrap(),
            state: AccountState::Enabled,
            password: PasswordHash::of(PASSWORD, [1; 16], Cost::DEFAULT).unwrap(),
            scram: Some(ScramVerifier::of(PASSWORD, [2; 16])),
            cram_md5: Some(CramMd5Secret::of(PASSWORD)),
            may_send_as: None,
            rate: None,
            may_act_for: Vec::new(),
        };
        Accounts::new(vec![account], ServerSecret::new([3; 32])).unwrap()
    });

    /// Whom the server takes the client for.
    fn login(mechanism: Mechanism, user: &str, password: &str, room: usize) -> Option<String> {
        let identity = PasswordIdentity {
            user: user.to_owned(),
            password: Zeroizing::new(password.to_owned()),
            mechanisms: vec![mechanism],
        };
        let mut client = client::Exchange::new(mechanism, &identity, Nonce::new("client").unwrap());
        let initial = client.initial_response(room).map(|response| STANDARD.encode(&*response));
        let (mut exchange, mut step) = begin(mechanism, initial.as_deref());
        loop {
            (exchange, step) = match step {
                Step::Challenge(challenge) => {
                    let response = client.handle_challenge(&STANDARD.decode(challenge).unwrap()).unwrap();
                    exchange.respond(&STANDARD.encode(&*response))
                }
                Step::Check(check) => exchange.answer(ACCOUNTS.answer(&check)),
                Step::Done(Outcome::Proved(principal)) => {
                    client.handle_success().unwrap();
                    return Some(principal.name().to_owned());
                }
                Step::Done(Outcome::Refused) => return None,
                Step::Done(outcome) => panic!("{outcome:?}"),
            };
        }
    }

    #[test]
    fn each_mechanism_lets_in_who_knows_the_password_and_nobody_else() {
        for mechanism in [Mechanism::Plain, Mechanism::Login, Mechanism::CramMd5, Mechanism::ScramSha256] {
            for room in [0, 500] {
                let name = login(mechanism, "BÜRO, 2=zwei", PASSWORD, room);
                assert_eq!(name.as_deref(), Some(USER), "{mechanism}");
            }
            for (user, password) in [(USER, "wrong"), ("nobody", PASSWORD), (USER, "")] {
                assert_eq!(login(mechanism, user, password, 500), None, "{mechanism} {user} {password}");
            }
        }
    }

    #[test]
    fn a_client_that_does_not_trust_the_servers_signature_is_not_logged_in() {
        let (exchange, _) = scram_final("n,,").respond(&STANDARD.encode(FINAL));
        let Step::Check(check) = begin(Mechanism::Plain, Some("AELDvHJvLCAyPXp3ZWkAc2VzYW1lIMO2IHg=")).1
        else {
            panic!("no check")
        };
        let CheckAnswer::Proved(principal) = ACCOUNTS.answer(&check) else { panic!("not proved") };
        let (exchange, step) = exchange.answer(CheckAnswer::ProvedWithSignature(principal, [0; 32]));
        assert!(challenge(step).starts_with("dj1"), "v=");
        let (_, step) = exchange.respond("*");
        assert!(matches!(outcome(step), Outcome::Cancelled));
    }
}
