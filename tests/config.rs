//! Configurations as operators write them: every shipped one loads, every bad one is told in the words recorded.

use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use mailslotd::config::check::{Checked, Secrets, Source, Surroundings, check};
use mailslotd::config::problem::Problems;
use mailslotd::config::show::show;
use mailslotd::decode::decode;
use mailslotd::message::notice::{Arrival, Listener};
use mailslotd::wire::datagram::Datagram;

#[path = "support/messngr.rs"]
mod messngr;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn checked(file: &str, text: &str) -> Result<Checked, Problems> {
    let surroundings = Surroundings {
        state_dir: "/var/lib/mailslotd".into(),
        timezone: TimeZone::UTC,
        secrets: Secrets::Offline,
        routers: Vec::new(),
        interfaces: Vec::new(),
    };
    check(&[Source { file, text }], &surroundings)
}

fn yaml_files(folder: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(root().join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    files
}

/// What a configuration names and this build cannot reach: Cargo features that were off.
fn lacking(text: &str) -> Vec<&'static str> {
    let features = [
        ("amqp", cfg!(feature = "amqp")),
        ("mqtt", cfg!(feature = "mqtt")),
        ("nats", cfg!(feature = "nats")),
        ("redis", cfg!(feature = "redis")),
    ];
    let names = |feature: &str| {
        let key = format!("{feature}:");
        text.lines().filter(|line| !line.trim_start().starts_with('#')).any(|line| line.contains(&key))
    };
    let lacking = features.into_iter().filter(|(feature, is_built)| !is_built && names(feature));
    lacking.map(|(feature, _)| feature).collect()
}

/// Whether this build has all that a configuration names; one that lacks something must say so.
fn is_built_for(file: &str, text: &str) -> bool {
    let lacking = lacking(text);
    for feature in &lacking {
        let told = checked(file, text).unwrap_err().to_string();
        assert!(told.contains(&format!("build with the Cargo feature `{feature}`")), "{file}: {told}");
    }
    lacking.is_empty()
}

#[test]
fn every_shipped_configuration_loads_without_a_warning() {
    let files = [yaml_files("config"), yaml_files("config/examples")].concat();
    assert!(files.len() >= 4, "{files:?}");
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        if !is_built_for(&path.display().to_string(), &text) {
            continue;
        }
        let checked =
            checked(&path.display().to_string(), &text).unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!(checked.warnings, Problems::default(), "{}", path.display());
    }
}

#[test]
fn the_readmes_configurations_load_and_the_first_pages_somebody_for_the_alarm_it_speaks_of() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let blocks = readme.split("```yaml\n").skip(1).map(|rest| rest.split_once("```").unwrap().0);
    let mut loaded: Vec<Checked> = blocks
        .filter(|yaml| is_built_for("README.md", yaml))
        .map(|yaml| checked("README.md", yaml).unwrap_or_else(|problems| panic!("{problems}")))
        .collect();
    for checked in &loaded {
        assert_eq!(checked.warnings, Problems::default());
    }
    assert!(loaded.len() >= 2, "{}", loaded.len());
    let checked = loaded.remove(0);
    let bytes = messngr::messngr("UPS-3", "On battery");
    let Ok(Datagram::Direct(direct)) = Datagram::parse(&bytes) else { panic!("a whole datagram") };
    let source = "192.0.2.3:138".parse().unwrap();
    let arrival = Arrival {
        at: Timestamp::UNIX_EPOCH,
        source,
        destination: None,
        interface: None,
        listener: Listener::Datagram,
    };
    let notice = decode(&direct, arrival, checked.settings.decoding.of(source.ip())).unwrap();
    assert_eq!(checked.settings.rules.decide(&notice).name().as_str(), "ups-alarms");
}

#[test]
#[cfg(all(feature = "amqp", feature = "mqtt", feature = "nats", feature = "redis"))]
fn every_key_of_the_shipped_configuration_loads_when_its_comment_is_removed() {
    use mailslotd::config::settings::Mode;

    let text = fs::read_to_string(root().join("config/mailslotd.yaml")).unwrap();
    // `#key:` and, below it, `#  key:` are settings; `# Words` are words.
    let setting = |rest: &&str| !rest.starts_with(' ') && !rest.is_empty() || rest.starts_with("  ");
    let mut uncommented = String::new();
    for line in text.lines() {
        let (indent, rest) = line.split_at(line.len() - line.trim_start().len());
        let line = rest.strip_prefix('#').filter(setting).unwrap_or(rest);
        uncommented.push_str(&format!("{indent}{line}\n"));
    }
    // Names are claimed in this mode only.
    let uncommented = uncommented.replace("mode: observe", "mode: answer");
    let checked = checked("mailslotd.yaml", &uncommented)
        .unwrap_or_else(|problems| panic!("{problems}\n{uncommented}"));
    let names: Vec<_> =
        checked.settings.destinations.iter().map(|destination| destination.name.as_str()).collect();
    assert_eq!(
        names,
        ["inbox", "smarthost", "m365", "graph", "displays", "bus", "rabbit", "plant", "redis", "hook"]
    );
    let Mode::Answer(claims) = &checked.settings.netbios.mode else { panic!("observes") };
    let names: Vec<_> = claims.names.iter().map(ToString::to_string).collect();
    assert_eq!(
        (claims.host_name.to_string(), names.join(" ")),
        ("GW1<00>".into(), "ALERTS<03> OPERATORS<03>".into())
    );
    assert_eq!(checked.settings.rules.rules()[0].name().as_str(), "ups-alarms");
    let smtp = &checked.settings.smtp;
    let listeners: Vec<_> = smtp.listeners.iter().map(|listener| listener.policy.name.as_str()).collect();
    assert_eq!(listeners, ["devices", "submission", "mx"]);
    assert_eq!((smtp.recipients.len(), smtp.relay.routes.len()), (4, 2));
    assert!(smtp.pickup.is_some() && smtp.users_file.is_some() && smtp.dns_server.is_some());
    assert_eq!(checked.warnings, Problems::default());
}

#[test]
fn every_bad_configuration_is_told_in_the_words_recorded() {
    let files = yaml_files("tests/bad-config");
    assert!(files.len() >= 15, "{files:?}");
    let mut wrong = Vec::new();
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        if !lacking(&text).is_empty() {
            // Its words are those of a build that could reach all of it.
            continue;
        }
        let told = match checked(name, &text) {
            Ok(checked) => format!("no problems\n{}\n", checked.warnings),
            Err(problems) => format!("{problems}\n"),
        };
        let expected = fs::read_to_string(path.with_extension("expect")).unwrap_or_default();
        if told != expected {
            wrong.push(format!("=== {name}, expected:\n{expected}--- told:\n{told}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_shown_loads_again_and_shows_the_same() {
    let files = [yaml_files("config"), yaml_files("config/examples")].concat();
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        if !lacking(&text).is_empty() {
            continue;
        }
        let first = checked("first.yaml", &text).unwrap();
        let shown = serde_yaml::to_string(&show(&first.settings, &first.secrets)).unwrap();
        let second = checked("shown.yaml", &shown).unwrap_or_else(|problems| panic!("{problems}\n{shown}"));
        assert_eq!(serde_yaml::to_string(&show(&second.settings, &second.secrets)).unwrap(), shown);
    }
}

#[test]
fn a_gateway_that_answers_is_shown_as_it_was_written() {
    let text = "hostname: a-very-long-name-indeed.plant.example
timezone: Asia/Tokyo
netbios:
  mode: answer
  names: [First Last, Größe]
  workgroup: Plant
  interfaces: [eth0]
  allow: [192.0.2.0/24]
  wins: [192.0.2.5]
  code_page: cp850
  dedup_window: off
  rate: { per_source: off }
mailslots:
  inbound: { enabled: false, exception_until: 2027-03-31 }
  outbound: { enabled: true }
";
    let checked_text = checked("written.yaml", text).unwrap_or_else(|problems| panic!("{problems}"));
    let shown = serde_yaml::to_string(&show(&checked_text.settings, &checked_text.secrets)).unwrap();
    for line in [
        "host_name: A-VERY-LONG-NAM",
        "- FIRST LAST",
        "- GRÖßE",
        "workgroup: PLANT",
        "interfaces:\n  - eth0",
        "allow:\n  - 192.0.2.0/24",
        "dedup_window: \"off\"",
        "per_source: \"off\"",
        "exception_until: \"2027-03-31\"",
    ] {
        assert!(shown.contains(line), "{line} is not in\n{shown}");
    }
    let again = checked("shown.yaml", &shown).unwrap_or_else(|problems| panic!("{problems}\n{shown}"));
    assert_eq!(again.settings.netbios, checked_text.settings.netbios);
    assert_eq!(again.settings.mailslots, checked_text.settings.mailslots);
}

mod secrets {
    use std::io;
    use std::path::Path;

    use mailslotd::config::check::{Readers, SecretFile};
    use mailslotd::config::settings::{Auth, DestinationKind};
    use zeroize::Zeroizing;

    use super::*;

    const SMARTHOST: &str = "hostname: gw1.plant.example\nnetbios: { code_page: cp850 }\ndestinations:\n  smarthost:\n    submission:\n      host: smtp.corp.example\n      auth: { user: alerts, password_file: /etc/mailslotd/smarthost.pw }\n      from: { address: alerts@corp.example }\nrules: [{ name: all, match: any, deliver: [{ via: smarthost, to: it@corp.example }] }]\n";

    fn online(file: &dyn Fn(&Path) -> io::Result<SecretFile>) -> Result<Checked, Problems> {
        let surroundings = Surroundings {
            state_dir: "/var/lib/mailslotd".into(),
            timezone: TimeZone::UTC,
            secrets: Secrets::Online { file, variable: &|_| None, now: Timestamp::UNIX_EPOCH },
            routers: Vec::new(),
            interfaces: Vec::new(),
        };
        check(&[Source { file: "a.yaml", text: SMARTHOST }], &surroundings)
    }

    fn holding(text: &str, readers: Readers) -> io::Result<SecretFile> {
        Ok(SecretFile { text: Zeroizing::new(text.to_owned()), readers })
    }

    #[test]
    fn a_password_is_the_file_without_its_line_end_and_is_never_printed() {
        let checked = online(&|path| {
            assert_eq!(path, Path::new("/etc/mailslotd/smarthost.pw"));
            holding("hunter2\n", Readers::Few)
        });
        let checked = checked.unwrap();
        let DestinationKind::Submission(submission) = &checked.settings.destinations[0].kind else {
            panic!()
        };
        let Some(Auth::Password(credentials)) = &submission.auth else { panic!("{:?}", submission.auth) };
        assert_eq!(*credentials.password, "hunter2");
        let shown = serde_yaml::to_string(&show(&checked.settings, &checked.secrets)).unwrap();
        assert!(shown.contains("/etc/mailslotd/smarthost.pw") && !shown.contains("hunter2"), "{shown}");
        assert!(!format!("{checked:?}").contains("hunter2"));
    }

    #[test]
    fn a_missing_an_empty_and_an_open_password_file_are_told_with_the_path_and_the_fix() {
        let missing = online(&|_| Err(io::ErrorKind::NotFound.into())).unwrap_err().to_string();
        assert!(missing.contains("line 7  destinations.smarthost.submission.auth.password_file: /etc/mailslotd/smarthost.pw cannot be read: "), "{missing}");
        assert!(missing.contains("fix: put the password there"), "{missing}");
        let empty = online(&|_| holding("\n", Readers::Few)).unwrap_err().to_string();
        assert!(empty.contains("smarthost.pw is empty"), "{empty}");
        let two = online(&|_| holding("a\nb\n", Readers::Few)).unwrap_err().to_string();
        assert!(two.contains("has more than one line"), "{two}");
        let open = online(&|_| holding("hunter2", Readers::Everybody)).unwrap().warnings.to_string();
        assert!(open.contains("every user of this machine may read") && open.contains("chmod o="), "{open}");
    }
}

#[test]
fn a_router_in_a_trusted_network_is_a_warning_until_it_has_an_entry_of_its_own() {
    let warnings = |networks: &str| {
        let surroundings = Surroundings {
            state_dir: "/var/lib/mailslotd".into(),
            timezone: TimeZone::UTC,
            secrets: Secrets::Offline,
            routers: vec!["192.0.2.1".parse().unwrap()],
            interfaces: Vec::new(),
        };
        let text = format!(
            "hostname: gw1.plant.example\noperator: {{ postmaster: it@corp.example }}\nlisteners:\n  smtp:\n    - name: devices\n      addresses: ['192.0.2.10:25']\n      trusted_networks: [{networks}]\nrelay:\n  accepted_domains: [corp.example]\n  routes: [{{ domain: '*', via: onprem }}]\ndestinations:\n  onprem: {{ submission: {{ host: mail.corp.example, port: 25, auth: none }} }}\n"
        );
        let checked = check(&[Source { file: "a.yaml", text: &text }], &surroundings);
        checked.unwrap_or_else(|problems| panic!("{problems}")).warnings.to_string()
    };
    let warned = warnings("198.51.100.7, 192.0.2.0/24");
    assert!(
        warned.contains("line 7  listeners.smtp[0] \"devices\" trusted_networks[1]: the router 192.0.2.1 is in 192.0.2.0/24: whoever it lets in under its own address would be trusted\n  fix: write an entry for the router alone before it, bound to what it sends mail as: `{ network: 192.0.2.1, from: [router@example.com] }`"),
        "{warned}"
    );
    let thought_of = warnings("{ network: 192.0.2.1, from: [router@corp.example] }, 192.0.2.0/24");
    assert!(!thought_of.contains("router"), "{thought_of}");
}

#[test]
fn an_interface_that_this_machine_does_not_have_is_a_warning() {
    let surroundings = Surroundings {
        state_dir: "/var/lib/mailslotd".into(),
        timezone: TimeZone::UTC,
        secrets: Secrets::Offline,
        routers: Vec::new(),
        interfaces: vec!["lo".to_owned(), "eth0".to_owned()],
    };
    let text = "netbios: { interfaces: [eth0, eht0, wlp3s0] }\n";
    let checked = check(&[Source { file: "a.yaml", text }], &surroundings).unwrap();
    assert_eq!(
        checked.warnings.to_string(),
        "a.yaml: 2 warnings\n\
         line 1  netbios.interfaces[1]: this machine has no interface eht0 that is up, so nothing is heard there\n  \
         fix: write eth0, or leave it if it appears later\n\
         line 1  netbios.interfaces[2]: this machine has no interface wlp3s0 that is up, so nothing is heard there\n  \
         fix: this machine has lo, eth0; leave it if it appears later"
    );
}

mod several_files {
    use super::*;

    fn both(main: &str, fragment: &str) -> Result<Checked, Problems> {
        let surroundings = Surroundings {
            state_dir: "/var/lib/mailslotd".into(),
            timezone: TimeZone::UTC,
            secrets: Secrets::Offline,
            routers: Vec::new(),
            interfaces: Vec::new(),
        };
        let main = Source { file: "mailslotd.yaml", text: main };
        check(&[main, Source { file: "conf.d/ups.yaml", text: fragment }], &surroundings)
    }

    #[test]
    fn rules_of_a_fragment_come_before_the_end_of_the_main_file_and_maps_are_merged() {
        let checked = both(
            "retry: { first: 1m }\nrules:\n  - { name: a, match: { to: A }, discard: a }\n  - { name: end, match: any, discard: end }\n",
            "retry: { max: 2h }\nrules: [{ name: b, match: { to: B }, discard: b }]\n",
        );
        let settings = checked.unwrap().settings;
        let names: Vec<_> = settings.rules.rules().iter().map(|rule| rule.name().as_str()).collect();
        assert_eq!(names, ["a", "b", "end"]);
        assert_eq!((settings.retry.first.as_secs(), settings.retry.max.as_secs()), (60, 7200));
    }

    #[test]
    fn a_key_of_two_files_is_a_problem_that_names_both_places() {
        let problems =
            both("site: one\nretry: { first: 1m }\n", "\nsite: two\nretry:\n  first: 2m\n").unwrap_err();
        assert_eq!(
            problems.to_string(),
            "conf.d/ups.yaml: 2 problems\n\
             line 2  site is set on line 1 of mailslotd.yaml already\n  fix: keep one of the two\n\
             line 4  retry.first is set on line 2 of mailslotd.yaml already\n  fix: keep one of the two"
        );
    }

    #[test]
    fn a_problem_in_a_fragment_counts_rules_as_the_fragment_has_them() {
        let problems = both(
            "rules: [{ name: end, match: any, discard: end }]\n",
            "rules:\n  - { name: b, match: { to: B }, discard: b }\n  - { name: c, match: { too: C }, discard: c }\n",
        );
        let told = problems.unwrap_err().to_string();
        assert!(
            told.starts_with(
                "conf.d/ups.yaml: 1 problem\nline 3  rules[1] \"c\" match.too: there is no such key"
            ),
            "{told}"
        );
    }
}

#[test]
fn nothing_written_is_a_configuration_that_keeps_everything_here() {
    let checked = checked("empty.yaml", "").unwrap();
    let built_in =
        mailslotd::config::settings::Settings::built_in(Path::new("/var/lib/mailslotd"), TimeZone::UTC);
    let shown = |settings| serde_yaml::to_string(&show(settings, &[])).unwrap();
    assert_eq!(shown(&checked.settings), shown(&built_in));
    assert!(shown(&built_in).contains("path: /var/lib/mailslotd/inbox"), "{}", shown(&built_in));
    assert_eq!(checked.warnings, Problems::default());
}

mod addresses {
    use mailslotd::config::settings::{DestinationKind, Settings};
    use mailslotd::message::compose::{Addressees, Identity, compose};
    use mailslotd::message::id::QueueId;
    use mailslotd::message::mail::{Body, Gathered, Priority, Spooled};
    use mailslotd::message::notice::{Arrival, Encoding, Kind, Listener, Name, Notice};
    use mailslotd::wire::netbios_name::NameType;
    use mailslotd::wire::oem_text::CodePage;
    use mailslotd::wire::smtp::path::Mailbox;

    use super::*;

    /// Accepts the address both as a recipient and as the sender, or neither.
    fn with_address(address: &str, hostname: &str) -> Result<Checked, Problems> {
        let address = serde_json::to_string(address).unwrap();
        let text = format!(
            "hostname: {hostname}\nnetbios: {{ code_page: cp850 }}\ndestinations:\n  smarthost: {{ submission: {{ \
             host: smtp.corp.example, auth: none, from: {{ address: {address} }} }} }}\nrules:\n- {{ name: all, match: \
             any, deliver: [{{ via: smarthost, to: {address} }}, {{ via: inbox, to: operator }}] }}\n"
        );
        checked("a.yaml", &text)
    }

    fn spooled() -> Spooled {
        let name = || Name { text: "UPS-07".into(), name_type: NameType::MESSENGER };
        let at = "2026-03-05T08:30:00Z".parse().unwrap();
        let arrival = Arrival {
            at,
            source: "192.0.2.7:138".parse().unwrap(),
            destination: None,
            interface: None,
            listener: Listener::Datagram,
        };
        let notice = Notice {
            arrival,
            dgm_id: 1,
            source_name: name(),
            destination_name: name(),
            mailslot: r"\MAILSLOT\MESSNGR".into(),
            originator: "UPS-07".into(),
            to: "ALERTS".into(),
            text: "on battery".into(),
            encoding: Encoding { code_page: CodePage::Cp850, lossy: false },
            kind: Kind::Messenger,
            data: b"".as_slice().into(),
        };
        Spooled {
            id: QueueId::from_row(1).unwrap(),
            body: Body::Notice(Box::new(Gathered::one(notice))),
            accepted_at: at,
            expires_at: at,
            priority: Priority::Normal,
            rule: None,
        }
    }

    /// Composes for each destination as its transport does.
    fn composes(checked: &Checked, address: &str) {
        let Settings { hostname, timezone, destinations, .. } = &checked.settings;
        for destination in destinations {
            let (to, from) = match &destination.kind {
                DestinationKind::Submission(submission) => {
                    Mailbox::parse(address).unwrap();
                    let sender = submission.from.as_ref().unwrap();
                    (Addressees::Mailboxes(&[address]), Some(sender.address.as_str()))
                }
                DestinationKind::Graph(graph) => {
                    Mailbox::parse(address).unwrap();
                    (Addressees::Mailboxes(&[address]), Some(graph.from.address.as_str()))
                }
                DestinationKind::Maildir(_)
                | DestinationKind::Netbios(_)
                | DestinationKind::Nats(_)
                | DestinationKind::Webhook(_)
                | DestinationKind::Amqp(_)
                | DestinationKind::Mqtt(_)
                | DestinationKind::Redis(_) => (Addressees::Folder("operator"), None),
            };
            let identity = Identity::new(hostname.as_deref(), "", from, timezone.clone());
            let composed = compose(&spooled(), to, None, &identity);
            assert!(composed.is_ok(), "{address} via {}: {composed:?}", destination.name);
        }
    }

    #[test]
    fn every_address_that_the_check_accepts_becomes_a_mail() {
        let locals = [
            "ops",
            "a.b+c=d",
            "o'brien/x",
            "\"night shift\"",
            "\"a\\\"b, c@d;\"",
            "\"\"",
            "\"=?x?\"",
            "\"a:(b)\"",
            "jörg",
            "\"jörg\"",
            "night shift",
            ".ops",
            "a..b",
            "a;b",
            "a,b",
            "<a",
            "a\tb",
            "\"a\tb\"",
            "\"a\\\"",
            "",
            &"a".repeat(64),
            &"a".repeat(65),
        ];
        let domain = ["d".repeat(60).as_str(); 4].join(".");
        let domains = [
            "example.com",
            "localhost",
            "[192.0.2.1]",
            "[IPv6:2001:db8::1]",
            "[]",
            "[",
            "例え.example",
            "xn--r8jz45g.example",
            "a_b.example",
            "-a.example",
            "example.com.",
            "a..b",
            "",
            &domain,
        ];
        let mut accepted = Vec::new();
        for (local, domain) in locals.iter().flat_map(|local| domains.map(|domain| (local, domain))) {
            let address = format!("{local}@{domain}");
            if let Ok(checked) = with_address(&address, "gw1.plant.example") {
                composes(&checked, &address);
                accepted.push(address);
            }
        }
        assert_eq!(accepted.len(), 9 * 5 + 6, "{accepted:?}");
        assert!(accepted.iter().all(|address| address.is_ascii()), "{accepted:?}");
    }

    #[test]
    fn every_hostname_that_the_check_accepts_can_stand_in_from() {
        let address = "ops@example.com";
        for length in 240..=253_usize {
            let (long, short) = ("d".repeat(59), "e".repeat(20));
            let hostname = format!("{long}.{long}.{long}.{short}.{}", "f".repeat(length - 201));
            assert_eq!(hostname.len(), length);
            match with_address(address, &hostname) {
                Ok(checked) => composes(&checked, address),
                Err(problems) => assert!(length > 244, "{problems}"),
            }
        }
    }
}
