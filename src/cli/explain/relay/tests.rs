//! Golden texts: what the operator reads.

use std::sync::Arc;
use std::time::Duration;

use clap::Parser as _;

use super::*;
use crate::config::settings::{
    CallForward, CallForwardTls, RecipientSource, Route, RouteDomain, SmtpListener,
};
use crate::message::id::{DestinationName, ListenerName};
use crate::policy::account::{Account, AccountName, AccountState, Cost, PasswordHash};
use crate::policy::rate::Rate;
use crate::policy::relay::{
    AcceptedDomains, AddressPattern, Authentication, DomainPattern, RelayPolicy, RelayTo, TrustedNetwork,
};
use crate::policy::route::RouteTo;
use crate::policy::tarpit::TarpitPolicy;
use crate::policy::template::{AddressForm, AddressTemplate, Template};

fn listener(name: &str, authentication: Authentication, trusted: Vec<TrustedNetwork>) -> SmtpListener {
    let name = ListenerName::new(name).unwrap();
    SmtpListener {
        addresses: Vec::new(),
        policy: Arc::new(ListenerPolicy { name, trusted_networks: trusted, authentication }),
        tolerance: None,
        clients: Vec::new(),
        tls: None,
        auth: None,
        dnsbl: Vec::new(),
        proxy_protocol_from: Vec::new(),
    }
}

fn smtp() -> SmtpFrontEnd {
    let trusted = |network: &str, relay_to, from: Option<&[&str]>| TrustedNetwork {
        network: network.parse().unwrap(),
        relay_to,
        from: from.map(|all| all.iter().map(|text| AddressPattern::parse(text).unwrap()).collect()),
        rate: None,
    };
    let route =
        |domain, via| Route { domain, via: DestinationName::new(via).unwrap(), to: RouteTo::Recipient };
    let domain = |text| DomainPattern::parse(text).unwrap();
    SmtpFrontEnd {
        listeners: vec![
            listener(
                "devices",
                Authentication::Optional,
                vec![
                    trusted("192.0.2.0/25", RelayTo::AcceptedDomains, Some(&["*@corp.example"])),
                    trusted("192.0.2.200/32", RelayTo::Any, None),
                ],
            ),
            listener("submission", Authentication::Required, Vec::new()),
            listener("mx", Authentication::Optional, Vec::new()),
        ],
        relay: Arc::new(RelayPolicy {
            accepted_domains: AcceptedDomains::new(vec![domain("corp.example"), domain(".branches.example")]),
            routes: vec![
                route(RouteDomain::Domain(domain("corp.example")), "onprem"),
                route(RouteDomain::Any, "smarthost"),
            ],
            hostname: None,
        }),
        recipients: vec![
            RecipientSource::File("/etc/mailslotd/recipients.txt".into()),
            RecipientSource::CallForward(CallForward {
                host: "mail.corp.example".to_owned(),
                port: 25,
                tls: CallForwardTls::Opportunistic,
                timeout: Duration::from_secs(10),
            }),
        ],
        tarpit: TarpitPolicy { time: Duration::from_secs(5), ..TarpitPolicy::default() },
        ..SmtpFrontEnd::default()
    }
}

#[derive(Debug, clap::Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

fn args(listener: &str, client: &str, from: &str, to: &str) -> Args {
    let words = ["relay", "--listener", listener, "--client", client, "--from", from, "--to", to];
    Line::try_parse_from(words).unwrap().args
}

/// What is told without a network.
fn explained(args: &Args, smtp: SmtpFrontEnd) -> Result<Told, Unexplained> {
    let built_in = Settings::built_in(Path::new("/var/lib/mailslotd"), jiff::tz::TimeZone::UTC);
    let settings = Settings { smtp, ..built_in };
    awaited(args.told(&settings, &Reach::ThisHost { why: "--offline".to_owned() })).unwrap()
}

fn told(listener: &str, client: &str, from: &str, to: &str) -> Vec<String> {
    explained(&args(listener, client, from, to), smtp()).unwrap().for_people(&Global::default())
}

/// The rows of what decides, without those that say how much.
fn reasons(lines: &[String]) -> Vec<&str> {
    let limits = ["connections", "new connections", "messages", "recipients:", "size"];
    let is_limit = |line: &&String| {
        let words = line.trim_start().trim_start_matches("limits").trim_start();
        limits.iter().any(|what| words.starts_with(what))
    };
    lines.iter().filter(|line| !is_limit(line)).map(String::as_str).collect()
}

#[test]
fn a_stranger_reaches_an_accepted_domain_and_is_told_who_was_not_asked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recipients.txt");
    fs::write(&path, "night@corp.example\n").unwrap();
    let mut smtp = smtp();
    smtp.recipients[0] = RecipientSource::File(path.clone());
    let args = args("mx", "203.0.113.9", "someone@elsewhere.example", "ops@corp.example");
    assert_eq!(
        explained(&args, smtp).unwrap().for_people(&Global::default()),
        [
            "allowed: accepted domain",
            "  sender      anybody may call itself <someone@elsewhere.example>, so nothing is allowed because of it",
            "  domain      decides: corp.example is an accepted domain",
            "  AUTH        nobody has authenticated; --user NAME supposes that somebody has",
            "  network     mx trusts no network",
            "  route       via onprem, by the route for corp.example",
            "  recipients  undecided: no yes, and not all were asked",
            &format!("              {} says no", path.display()),
            "              mail.corp.example:25 is not asked: --offline",
            "  limits      connections at once: 50, of 203.0.113.0/24",
            "              new connections: off",
            "              connections in all: 10500, of all clients but those of trusted networks",
            "              messages: 600/min, of 203.0.113.0/24",
            "              recipients: 100, of one message",
            "              size: 35MiB, of one message",
            "  tar pit     refusals are held for 5s or more, counted for 203.0.113.0/24",
        ]
    );
}

#[test]
fn the_route_to_a_queue_shows_the_address_that_the_mail_would_have_there() {
    let mut smtp = smtp();
    let template = Template::parse("mail.{local_part}.{sender}").unwrap();
    let bus = Route {
        domain: RouteDomain::Any,
        via: DestinationName::new("bus").unwrap(),
        to: RouteTo::Address(AddressTemplate::new(template, AddressForm::NatsSubject)),
    };
    Arc::make_mut(&mut smtp.relay).routes.insert(0, bus);
    for (from, to, address) in [
        ("a.b@corp.example", "x.*@corp.example", "mail.x%2E%2A.a%2Eb@corp%2Eexample"),
        ("<>", "ops@corp.example", "mail.ops.%-"),
    ] {
        let lines = explained(&args("devices", "192.0.2.7", from, to), smtp.clone());
        let lines = lines.unwrap().for_people(&Global::default());
        let row = format!("  route       via bus, by the route for *, to {address}");
        assert!(lines.contains(&row), "{row} in {lines:#?}");
    }
}

#[test]
fn a_stranger_does_not_relay_and_is_told_why_by_no_method() {
    let lines = told("devices", "203.0.113.9", "boss@corp.example", "someone@mail.corp.example");
    assert_eq!(
        reasons(&lines),
        [
            "refused at RCPT: 554 5.7.1 <someone@mail.corp.example>: Relay access denied",
            "  sender      anybody may call itself <boss@corp.example>, so nothing is allowed because of it",
            "  domain      mail.corp.example is not accepted: corp.example stands for itself only, .corp.example for \
             what is below it",
            "  AUTH        nobody has authenticated; --user NAME supposes that somebody has",
            "  network     203.0.113.9 is not in 192.0.2.0/25 or 192.0.2.200/32",
            "  route       via smarthost, by the route for *",
            "  tar pit     refusals are held for 5s or more, counted for 203.0.113.0/24",
        ]
    );
}

#[test]
fn a_device_is_refused_for_its_sender_for_the_far_domain_and_for_a_hidden_route() {
    let lines = told("devices", "192.0.2.7", "scanner@elsewhere.example", "ops@corp.example");
    assert_eq!(
        lines.get(..2).unwrap(),
        [
            "refused at MAIL: 550 5.7.1 This client may not send as this address",
            "  sender      refuses: 192.0.2.0/25 may send as *@corp.example only, not as <scanner@elsewhere.example>",
        ]
    );
    let lines = told("devices", "192.0.2.7", "scanner@corp.example", "a@elsewhere.example");
    assert_eq!(lines[0], "refused at RCPT: 554 5.7.1 <a@elsewhere.example>: Relay access denied");
    assert_eq!(lines[1], "  sender      192.0.2.0/25 may send as <scanner@corp.example>: *@corp.example");
    assert_eq!(lines[2], "  domain      elsewhere.example is not corp.example or .branches.example");
    assert_eq!(
        lines[4],
        "  network     192.0.2.7 is in 192.0.2.0/25, which may send to accepted domains only"
    );
    assert_eq!(
        reasons(&lines)[6],
        "  tar pit     never, since 192.0.2.7 is in the trusted network 192.0.2.0/25"
    );
    let lines = told("devices", "192.0.2.7", "scanner@corp.example", "a%elsewhere.example@corp.example");
    assert_eq!(
        lines.get(..3).unwrap(),
        [
            "refused at RCPT: 553 5.1.3 <a%elsewhere.example@corp.example>: Routes in the local part are not followed",
            "  sender      192.0.2.0/25 may send as <scanner@corp.example>: *@corp.example",
            "  domain      refuses: corp.example is an accepted domain, but the next hop may read the % before its @ as \
             the way to somewhere else, where this client may not send",
        ]
    );
}

#[test]
fn a_device_that_may_mail_anyone_does_so_by_its_network() {
    let lines = told("devices", "192.0.2.200", "<>", "a@[198.51.100.1]");
    assert_eq!(
        reasons(&lines),
        [
            "allowed: trusted network",
            "  sender      192.0.2.200/32 may send as anyone, <> too",
            "  domain      \"[198.51.100.1]\" is an IP address, not a domain, and so none of ours",
            "  AUTH        nobody has authenticated; --user NAME supposes that somebody has",
            "  network     decides: 192.0.2.200 is in 192.0.2.200/32, which may send anywhere",
            "  route       via smarthost, by the route for *",
            "  tar pit     never, since 192.0.2.200 is in the trusted network 192.0.2.200/32",
        ]
    );
}

#[test]
fn verbose_shows_every_rule() {
    let told =
        explained(&args("devices", "192.0.2.200", "a@corp.example", "a@x.branches.example"), smtp()).unwrap();
    let lines = told.for_people(&Global { verbose: 1, ..Global::default() });
    let rules: Vec<&str> = lines
        .iter()
        .map(|line| line.trim_start())
        .filter(|line| line.starts_with("holds ") || line.starts_with("not "))
        .collect();
    assert_eq!(
        rules,
        [
            "not   corp.example",
            "holds .branches.example",
            "not   192.0.2.0/25",
            "holds 192.0.2.200/32",
            "not   corp.example via onprem",
            "holds * via smarthost",
        ]
    );
}

#[test]
fn an_address_that_is_none_is_refused_before_any_rule() {
    for (to, line) in [
        (
            "ops@corp.example.",
            "refused at RCPT, before any rule is asked: \"ops@corp.example.\" has a domain that cannot exist",
        ),
        (
            "ops@corp。example",
            "refused at RCPT, before any rule is asked: \"ops@corp。example\" has a domain that cannot exist",
        ),
    ] {
        assert_eq!(told("mx", "203.0.113.9", "<>", to), [line]);
    }
    assert_eq!(
        told("mx", "203.0.113.9", "nobody", "<POSTMASTER>"),
        ["refused at MAIL, before any rule is asked: \"nobody\" has no domain"]
    );
    assert_eq!(told("mx", "203.0.113.9", "", "<POSTMASTER>")[0], "allowed: postmaster");
}

#[test]
fn json_has_the_verdict_the_reply_and_every_finding() {
    let told = explained(&args("mx", "203.0.113.9", "", "a@elsewhere.example"), smtp()).unwrap();
    let json = serde_json::to_value(told).unwrap();
    assert_eq!(json["allowed"], false);
    assert_eq!(json["command"], "RCPT");
    assert_eq!(json["reason"], "not_accepted");
    assert_eq!(json["reply"], "554 5.7.1 <a@elsewhere.example>: Relay access denied");
    assert_eq!(json["findings"][1]["method"], "domain");
    assert_eq!(json["findings"][1]["bearing"], "silent");
    assert_eq!(json["findings"][1]["rules"][0]["rule"], "corp.example");
    assert_eq!(json["findings"][1]["rules"][0]["holds"], false);
    let told = explained(&args("mx", "203.0.113.9", "", "a@corp.example"), smtp()).unwrap();
    let json = serde_json::to_value(told).unwrap();
    assert_eq!((&json["allowed"], &json["by"]), (&true.into(), &"accepted_domain".into()));
    assert_eq!(json["recipients"]["verdict"], "undecided");
    assert_eq!(json["recipients"]["sources"][1]["source"], "mail.corp.example:25");
    assert_eq!(json["recipients"]["sources"][1]["answer"], "not_asked");
    assert_eq!(json["limits"][0]["what"], "connections_at_once");
}

#[test]
fn a_listener_that_is_not_there_is_told_with_those_that_are() {
    let error = explained(&args("mx2", "203.0.113.9", "", "a@corp.example"), smtp()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "there is no SMTP listener \"mx2\"; the configuration has devices, submission, mx"
    );
    assert_eq!(error.exit(), Exit::Usage);
}

#[test]
fn a_user_is_supposed_to_have_authenticated_if_there_is_such_an_account() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("users.yaml");
    let account = |name: &str, state| Account {
        name: AccountName::new(name).unwrap(),
        state,
        password: PasswordHash::of("not asked for here", [7; 16], Cost::DEFAULT).unwrap(),
        scram: None,
        cram_md5: None,
        may_send_as: Some(vec![AddressPattern::parse("ups@corp.example").unwrap()]),
        rate: Some(Rate { count: 5, period: Duration::from_secs(60) }),
        may_act_for: Vec::new(),
    };
    let accounts = vec![account("ups", AccountState::Enabled), account("old", AccountState::Disabled)];
    fs::write(&path, &*UsersFile { secret: None, accounts }.write()).unwrap();
    let mut smtp = smtp();
    let ask = |smtp: &SmtpFrontEnd, user: &str, from: &str| {
        let mut args = args("submission", "203.0.113.9", from, "a@elsewhere.example");
        args.user = Some(user.to_owned());
        explained(&args, smtp.clone()).map(|told| told.for_people(&Global::default()))
    };
    assert_eq!(ask(&smtp, "ups", "ups@corp.example").unwrap_err().exit(), Exit::Usage);
    smtp.users_file = Some(path);
    let lines = ask(&smtp, "UPS", "ups@corp.example").unwrap();
    assert!(lines.contains(&"              messages: 5/min, of account ups".to_owned()), "{lines:?}");
    assert_eq!(
        reasons(&lines),
        [
            "allowed: authenticated",
            "  sender      account ups may send as <ups@corp.example>: ups@corp.example",
            "  domain      elsewhere.example is not corp.example or .branches.example",
            "  AUTH        decides: authenticated as ups, who may send anywhere",
            "  network     submission trusts no network",
            "  route       via smarthost, by the route for *",
            "  tar pit     never, since the client has authenticated",
        ]
    );
    assert_eq!(
        ask(&smtp, "ups", "boss@corp.example").unwrap()[..2],
        [
            "refused at MAIL: 550 5.7.1 This account may not send as this address",
            "  sender      refuses: account ups may send as ups@corp.example only, not as <boss@corp.example>",
        ]
    );
    for user in ["old", "nobody"] {
        assert_eq!(ask(&smtp, user, "ups@corp.example").unwrap_err().exit(), Exit::BadInput, "{user}");
    }
    let without = told("submission", "203.0.113.9", "ups@corp.example", "a@elsewhere.example");
    assert_eq!(without[0], "refused at MAIL: 530 5.7.0 Authentication required");
    assert_eq!(without[3], "  AUTH        refuses: submission requires it, and nobody has authenticated");
}

/// What is told of `ops@corp.example` with these sources, and its recipients' rows.
fn filtered(sources: Vec<RecipientSource>, client: &str) -> (bool, Vec<String>) {
    let args = args("devices", client, "scanner@corp.example", "ops@corp.example");
    let told = explained(&args, SmtpFrontEnd { recipients: sources, ..smtp() }).unwrap();
    let lines = told.for_people(&Global::default());
    let begun = lines.iter().skip_while(|line| !line.starts_with("  recipients")).cloned();
    let rows: Vec<String> = begun.take_while(|line| !line.starts_with("  limits")).collect();
    (told.allowed, std::iter::once(lines[0].clone()).chain(rows).collect())
}

#[test]
fn each_source_is_quoted_and_their_verdict_is_that_of_rcpt() {
    let list = |entries: &[&str]| RecipientSource::List(entries.iter().map(|&one| one.to_owned()).collect());
    let missing = || RecipientSource::File("/nowhere/recipients.txt".into());
    let (allowed, lines) =
        filtered(vec![list(&["night@corp.example"]), list(&["@corp.example"])], "203.0.113.9");
    assert!(allowed);
    assert_eq!(
        lines,
        [
            "allowed: accepted domain",
            "  recipients  known: any yes wins",
            "              the list in the configuration says no",
            "              the list in the configuration says yes",
        ]
    );
    let (allowed, lines) = filtered(vec![list(&["night@corp.example"])], "203.0.113.9");
    assert!(!allowed);
    assert_eq!(
        lines,
        [
            "refused at RCPT: 550 5.1.1 <ops@corp.example>: Recipient unknown",
            "  recipients  refuses: all say no",
            "              the list in the configuration says no",
        ]
    );
    let (allowed, lines) = filtered(vec![missing()], "203.0.113.9");
    assert!(!allowed);
    assert_eq!(lines[0], "refused at RCPT: 451 4.3.0 <ops@corp.example>: Recipient cannot be looked up now");
    assert!(
        lines[2].starts_with("              /nowhere/recipients.txt gives no answer: cannot be read: "),
        "{lines:?}"
    );
    assert_eq!(
        filtered(Vec::new(), "203.0.113.9").1[1],
        "  recipients  no filter: every address of the domain is taken"
    );
}

#[test]
fn whoever_is_trusted_is_told_the_limits_of_its_network() {
    let lines = told("devices", "192.0.2.200", "<>", "a@elsewhere.example");
    let begun = lines.iter().skip_while(|line| !line.starts_with("  limits"));
    let limits: Vec<&str> = begun.take(4).map(|line| line.get(14..).unwrap()).collect();
    assert_eq!(
        limits,
        [
            "connections in all: 12000, of everybody",
            "messages: off",
            "recipients: 1000, of one message",
            "size: 35MiB, of one message"
        ]
    );
}
