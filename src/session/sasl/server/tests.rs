use super::*;

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
