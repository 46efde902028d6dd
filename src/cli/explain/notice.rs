//! `mailslotd explain notice`: which rule decides, and why not the others.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use jiff::Timestamp;
use serde::Serialize;

use crate::cli::Global;
use crate::cli::exit::Exit;
use crate::cli::load::{Reading, load_or_tell};
use crate::cli::output::{answer, note};
use crate::config::settings::Settings;
use crate::decode::decode;
use crate::message::id::{DiscardReason, RuleName};
use crate::message::notice::{Arrival, Encoding, Kind, Listener, Name, Notice};
use crate::message::recipient::Recipient;
use crate::policy::mapping::{Action, Context, Explanation, Rule, Verdict};
use crate::wire::datagram::Datagram;
use crate::wire::netbios_name::NameType;

/// The message to explain, field by field or as the bytes of a datagram.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The mailslot
    #[arg(long, value_name = "M", default_value = r"\MAILSLOT\MESSNGR")]
    mailslot: String,
    /// The From inside the message [default: the source name]
    #[arg(long, value_name = "A")]
    originator: Option<String>,
    /// The To inside the message [default: the destination name]
    #[arg(long, value_name = "B")]
    to: Option<String>,
    /// The IP address that it came from
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    source: IpAddr,
    /// The sender's NetBIOS name [default: the originator]
    #[arg(long, value_name = "N")]
    source_name: Option<String>,
    /// The receiver's NetBIOS name [default: what is given with --to]
    #[arg(long, value_name = "N")]
    destination_name: Option<String>,
    /// The listener that hears it
    #[arg(long, value_name = "L", value_enum, default_value_t = ListenerArg::Datagram)]
    listener: ListenerArg,
    /// The text
    #[arg(long, value_name = "T", default_value = "")]
    text: String,
    /// A whole UDP 138 payload in hexadecimal instead of the fields; only --source goes with it
    #[arg(
        long,
        value_name = "BYTES",
        conflicts_with_all = ["mailslot", "originator", "to", "source_name", "destination_name", "listener", "text"]
    )]
    hex: Option<String>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum ListenerArg {
    /// UDP 138
    Datagram,
    /// TCP 139
    Messenger,
}

/// Runs the command.
#[must_use]
pub(super) fn run(what: &Args, global: &Global) -> Exit {
    let loaded = match load_or_tell(global, Reading::WithoutSecrets) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let settings = &loaded.checked.settings;
    let notice = match &what.hex {
        None => what.notice(settings),
        Some(hex) => match what.decoded(hex, settings) {
            Ok(notice) => notice,
            Err(reason) => {
                note(reason);
                return Exit::BadInput;
            }
        },
    };
    let told = Told::new(settings, &notice);
    if global.json {
        answer(serde_json::to_string_pretty(&told).unwrap_or_default());
    } else {
        told.for_people(global).into_iter().for_each(answer);
    }
    Exit::Done
}

/// Why no message can be made of bytes.
#[derive(Debug, thiserror::Error)]
enum NoNotice {
    #[error("these are no bytes in hexadecimal: two digits each, blanks and colons between them are ignored")]
    NotHex,
    #[error("these bytes are no datagram: {0}")]
    NotADatagram(crate::wire::reader::WireError),
    #[error("this is a piece of a datagram; give the whole one, or replay the capture that it is from")]
    Fragment,
    #[error("this datagram carries no message; `mailslotd decode` says what is in it")]
    NoMessage,
    #[error("this datagram holds no message: {0}; `mailslotd decode` says what is in it")]
    Undecodable(crate::decode::Undecodable),
}

impl Args {
    fn arrival(&self) -> Arrival {
        Arrival {
            at: now(),
            source: SocketAddr::new(self.source, 138),
            destination: None,
            interface: None,
            listener: match self.listener {
                ListenerArg::Datagram => Listener::Datagram,
                ListenerArg::Messenger => Listener::Messenger,
            },
        }
    }

    fn notice(&self, settings: &Settings) -> Notice<'static> {
        let first =
            |fields: [&Option<String>; 2]| fields.into_iter().flatten().next().cloned().unwrap_or_default();
        let name = |text: String, name_type| Name { text: text.into(), name_type };
        Notice {
            arrival: self.arrival(),
            dgm_id: 0,
            source_name: name(first([&self.source_name, &self.originator]), NameType::WORKSTATION),
            destination_name: name(first([&self.destination_name, &self.to]), NameType::MESSENGER),
            mailslot: self.mailslot.to_uppercase().into(),
            originator: first([&self.originator, &self.source_name]).into(),
            to: first([&self.to, &self.destination_name]).into(),
            text: self.text.clone().into(),
            encoding: Encoding { code_page: settings.decoding.of(self.source).code_page, lossy: false },
            kind: Kind::Messenger,
            data: Vec::new().into(),
        }
    }

    fn decoded(&self, hex: &str, settings: &Settings) -> Result<Notice<'static>, NoNotice> {
        let bytes = bytes(hex).ok_or(NoNotice::NotHex)?;
        match Datagram::parse(&bytes).map_err(NoNotice::NotADatagram)? {
            Datagram::Direct(direct) => decode(&direct, self.arrival(), settings.decoding.of(self.source))
                .map(Notice::into_owned)
                .map_err(NoNotice::Undecodable),
            Datagram::Fragment(_) => Err(NoNotice::Fragment),
            Datagram::Error { .. } | Datagram::Query { .. } => Err(NoNotice::NoMessage),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the message that is explained arrives now")]
fn now() -> Timestamp {
    Timestamp::now()
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = hex
        .chars()
        .filter(|letter| !letter.is_whitespace() && *letter != ':')
        .map(|letter| letter.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    let digits = digits.filter(|digits| !digits.is_empty() && digits.len() % 2 == 0)?;
    let (pairs, _) = digits.as_chunks::<2>();
    Some(pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

/// What is told of a message.
#[derive(Serialize)]
struct Told<'s> {
    rule: &'s RuleName,
    #[serde(skip_serializing_if = "Option::is_none")]
    discard: Option<&'s DiscardReason>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    deliver: Vec<Recipient>,
    rules: Vec<ToldRule<'s>>,
}

#[derive(Serialize)]
struct ToldRule<'s> {
    rule: &'s RuleName,
    #[serde(flatten)]
    explanation: Explanation,
}

impl<'s> Told<'s> {
    fn new(settings: &'s Settings, notice: &Notice<'static>) -> Self {
        let context = Context {
            site: settings.site.clone(),
            host: settings.hostname.clone().unwrap_or_default(),
            timezone: settings.timezone.clone(),
        };
        let rule = settings.rules.decide(notice);
        let message = rule.message(notice.clone(), &context);
        let discard = match rule.action() {
            Action::Discard(reason) => Some(reason),
            Action::Deliver(_) => None,
        };
        let explained = settings.rules.explain(notice).into_iter();
        Self {
            rule: rule.name(),
            discard,
            deliver: message.map(|message| message.recipients).unwrap_or_default(),
            rules: explained
                .map(|(rule, explanation)| ToldRule { rule: Rule::name(rule), explanation })
                .collect(),
        }
    }

    /// The rules in their order up to the one that decides, and with `-v` those behind it.
    fn for_people(&self, global: &Global) -> Vec<String> {
        let mut lines = Vec::new();
        for (number, ToldRule { rule, explanation: Explanation { verdict, clauses } }) in
            (1..).zip(&self.rules)
        {
            // Of a rule that does not match, what holds would only hide what does not.
            let telling = clauses.iter().filter(|clause| *verdict != Verdict::NoMatch || !clause.holds);
            let words: Vec<&str> = telling.map(|clause| &*clause.words).collect();
            let why = if words.is_empty() { "it matches everything".to_owned() } else { words.join("; ") };
            match verdict {
                Verdict::NoMatch => lines.push(format!("{number}. {rule} does not match: {why}")),
                Verdict::TooLate => {
                    lines.push(format!("{number}. {rule} would match, but comes later: {why}"))
                }
                Verdict::Decides => {
                    lines.push(format!("{number}. {rule} decides: {why}"));
                    lines.extend(self.outcome());
                    if global.verbose == 0 {
                        break;
                    }
                }
            }
        }
        lines
    }

    fn outcome(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(reason) = self.discard {
            lines.push(format!("   discarded, counted as {reason}"));
        }
        for recipient in &self.deliver {
            lines.push(format!("   delivered {}", place(recipient)));
            for standby in &recipient.otherwise {
                let after = crate::config::check::spelled(standby.after);
                lines.push(format!("     if not within {after}: {}", place(&standby.recipient)));
            }
        }
        lines
    }
}

fn place(recipient: &Recipient) -> String {
    let subject =
        recipient.subject.as_ref().map(|subject| format!(", subject {subject:?}")).unwrap_or_default();
    format!("via {} to {}{subject}", recipient.via, recipient.to)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use jiff::tz::TimeZone;

    use super::*;
    use crate::config::check::{Secrets, Source, Surroundings, check};

    const RULES: &str = r"
site: plant-1
rules:
  - { name: chatter, match: { mailslot: '\MAILSLOT\BROWSE' }, discard: inventory-only }
  - name: ups-alarms
    match: { originator: 'UPS-*', source: 192.0.2.0/24, text: battery }
    deliver:
      - { via: inbox, to: ups, subject: '[{site}] {originator}', otherwise: [{ via: inbox, to: late, after: 90s }] }
  - { name: ups, match: { originator: 'UPS-*' }, discard: routine }
  - { name: everything-else, match: any, deliver: [{ via: inbox, to: operator }] }
";

    fn settings() -> Settings {
        let surroundings = Surroundings {
            state_dir: "/var/lib/mailslotd".into(),
            timezone: TimeZone::UTC,
            secrets: Secrets::Offline,
            routers: Vec::new(),
            interfaces: Vec::new(),
        };
        check(&[Source { file: "a.yaml", text: RULES }], &surroundings).unwrap().settings
    }

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn parsed(words: &[&str]) -> Args {
        Line::try_parse_from(std::iter::once(&"notice").chain(words)).unwrap().args
    }

    fn told(words: &[&str], global: &Global) -> Vec<String> {
        let settings = settings();
        Told::new(&settings, &parsed(words).notice(&settings)).for_people(global)
    }

    #[test]
    fn people_are_told_why_the_earlier_rules_did_not_match_and_what_happens() {
        let words = ["--originator", "UPS-7", "--source", "192.0.2.7", "--text", "on battery"];
        assert_eq!(
            told(&words, &Global::default()),
            [
                r#"1. chatter does not match: mailslot is "\MAILSLOT\MESSNGR", not \MAILSLOT\BROWSE"#,
                r#"2. ups-alarms decides: originator "UPS-7" matches UPS-*; source 192.0.2.7 is in 192.0.2.0/24; text contains /battery/"#,
                r#"   delivered via inbox to ups, subject "[plant-1] UPS-7""#,
                "     if not within 90s: via inbox to late",
            ]
        );
        let verbose = told(&words, &Global { verbose: 1, ..Global::default() });
        assert_eq!(verbose[4], r#"3. ups would match, but comes later: originator "UPS-7" matches UPS-*"#);
    }

    #[test]
    fn a_discarding_rule_says_under_which_reason() {
        let lines = told(&["--originator", "UPS-7"], &Global::default());
        assert_eq!(
            lines[1],
            r#"2. ups-alarms does not match: source 127.0.0.1 is not in 192.0.2.0/24; text "" does not contain /battery/"#
        );
        assert_eq!(lines.last().unwrap(), "   discarded, counted as routine");
    }

    #[test]
    fn json_has_the_verdict_of_every_rule() {
        let settings = settings();
        let notice = parsed(&["--to", "X"]).notice(&settings);
        let json = serde_json::to_value(Told::new(&settings, &notice)).unwrap();
        assert_eq!(json["rule"], "everything-else");
        assert_eq!(json["deliver"][0]["to"], "operator");
        assert_eq!(json["rules"].as_array().unwrap().len(), 4);
        assert_eq!(json["rules"][1]["verdict"], "no_match");
        assert_eq!(json["rules"][1]["clauses"][0]["holds"], false);
    }

    #[test]
    fn bytes_that_are_no_datagram_are_refused_with_the_reason() {
        let settings = settings();
        let refused = |hex: &str| parsed(&["--hex", hex]).decoded(hex, &settings).unwrap_err().to_string();
        assert!(refused("xy").contains("hexadecimal"));
        assert!(refused("").contains("hexadecimal"));
        assert!(refused("11 02").starts_with("these bytes are no datagram: "));
    }

    #[test]
    fn a_datagram_in_hexadecimal_is_explained_as_it_would_be_heard() {
        let fixture = include_str!("../../../tests/fixtures/11-crafted-messngr-mailslots.hex");
        let hex = fixture.lines().find_map(|line| line.strip_prefix("udp138 ")).unwrap();
        let settings = settings();
        let notice = parsed(&["--hex", hex]).decoded(hex, &settings).unwrap();
        assert_eq!(notice.mailslot, r"\MAILSLOT\MESSNGR");
        assert_eq!(settings.rules.decide(&notice).name().as_str(), "everything-else");
    }
}
