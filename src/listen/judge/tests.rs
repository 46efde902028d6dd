use std::net::IpAddr;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::config::settings::Interfaces;
use crate::message::id::{DestinationName, DiscardReason, RuleName};
use crate::message::mail::Gathered;
use crate::message::notice::{Encoding, Kind, Listener, Name};
use crate::policy::allowed_sources::AllowedSources;
use crate::policy::mapping::{Delivery, Glob, Keys, Match};
use crate::policy::rate::Rate;
use crate::policy::template::{AddressForm, AddressTemplate};
use crate::wire::netbios_name::NameType;
use crate::wire::oem_text::{CodePage, SenderText, Utf8};

const SECOND: Duration = Duration::from_secs(1);

#[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
fn start() -> Instant {
    Instant::now()
}

/// Discards what DOOR says, delivers the rest; two messages a second from each source, five at once.
fn hearing() -> Hearing {
    let delivery = Delivery {
        via: DestinationName::new("inbox").unwrap(),
        to: AddressTemplate::constant("operator", AddressForm::Folder),
        subject: None,
        otherwise: Vec::new(),
    };
    let keys = Keys { originator: vec![Glob::new("DOOR").unwrap()], ..Keys::default() };
    let discard = Action::Discard(DiscardReason::new("door").unwrap());
    let rules = RuleSet::new(vec![
        Rule::new(RuleName::new("doors").unwrap(), Match::Keys(Box::new(keys)), discard),
        Rule::new(RuleName::new("rest").unwrap(), Match::Any, Action::Deliver(vec![delivery])),
    ]);
    let code_page = SenderText { code_page: CodePage::Cp437, utf8: Utf8::Never };
    Hearing {
        decoding: Decoding { code_page, exceptions: Vec::new(), scope: Vec::new() },
        rules: Arc::new(rules.unwrap()),
        context: Context { site: String::new(), host: String::new(), timezone: TimeZone::UTC },
        limits: HearingLimits {
            reach: None,
            dedup_window: Some(5 * SECOND),
            rate: Some(SourceRate { rate: Rate { count: 2, period: SECOND }, burst: 5 }),
        },
    }
}

/// The judges of both listeners, on one clock.
struct Court {
    datagrams: Judge,
    sessions: Judge,
    shared: Arc<Shared>,
    metrics: Arc<Metrics>,
    start: Instant,
    now: Instant,
}

impl Court {
    fn new() -> Self {
        let (shared, metrics) = (Arc::new(Shared::default()), Arc::new(Metrics::new()));
        let hearing = Arc::new(hearing());
        let judge = || Judge::new(Arc::clone(&hearing), Arc::clone(&shared), Arc::clone(&metrics));
        let (datagrams, sessions, now) = (judge(), judge(), start());
        Self { datagrams, sessions, shared, metrics, start: now, now }
    }

    fn hears(&mut self, listener: Listener, source: &str, from: &'static str, text: &str) -> Verdict {
        let since = SignedDuration::try_from(self.now - self.start).unwrap();
        let name = || Name { text: from.into(), name_type: NameType::MESSENGER };
        let notice = Notice {
            arrival: Arrival {
                at: Timestamp::UNIX_EPOCH + since,
                source: (source.parse::<IpAddr>().unwrap(), 138).into(),
                destination: None,
                interface: None,
                listener,
            },
            dgm_id: 1,
            source_name: name(),
            destination_name: name(),
            mailslot: r"\MAILSLOT\MESSNGR".into(),
            originator: from.into(),
            to: "ALERTS".into(),
            text: text.into(),
            encoding: Encoding { code_page: CodePage::Cp437, lossy: false },
            kind: Kind::Messenger,
            data: text.as_bytes().into(),
        };
        let judge = match listener {
            Datagram => &mut self.datagrams,
            Messenger => &mut self.sessions,
        };
        judge.decide(notice, self.now, |_, _| {})
    }

    #[track_caller]
    fn takes(&mut self, listener: Listener, source: &str, text: &str) -> (Box<Gathered>, Claim) {
        let verdict = self.hears(listener, source, "UPS7", text);
        let Verdict::Deliver(message, claim) = verdict else { panic!("{verdict:?}") };
        let Body::Notice(gathered) = message.body else { panic!("no notice") };
        (gathered, claim)
    }

    #[track_caller]
    fn withholds(&mut self, listener: Listener, source: &str, text: &str, reason: Withheld) {
        let before = self.metrics.withheld_so_far(listener, reason);
        let verdict = self.hears(listener, source, "UPS7", text);
        assert!(matches!(verdict, Verdict::Withheld(why) if why == reason), "{verdict:?}");
        assert_eq!(self.metrics.withheld_so_far(listener, reason), before + 1);
    }
}

use Listener::{Datagram, Messenger};

#[test]
fn a_broadcast_over_two_interfaces_is_taken_once_and_again_when_its_time_is_over() {
    let mut court = Court::new();
    let _on_its_way = court.takes(Datagram, "192.0.2.7", "on battery");
    court.withholds(Datagram, "192.0.2.7", "on battery", Withheld::Duplicate);
    let _another = court.takes(Datagram, "192.0.2.8", "on battery");
    court.now += 5 * SECOND;
    let _again = court.takes(Datagram, "192.0.2.7", "on battery");
}

#[test]
fn what_found_no_room_is_taken_when_its_copy_comes() {
    let mut court = Court::new();
    let (_, claim) = court.takes(Datagram, "192.0.2.7", "on battery");
    court.datagrams.lost(claim);
    let _copy = court.takes(Datagram, "192.0.2.7", "on battery");
}

#[test]
fn a_sender_whose_session_got_an_error_and_repeats_is_delivered() {
    let mut court = Court::new();
    let (_, claim) = court.takes(Messenger, "192.0.2.7", "on battery");
    court.sessions.lost(claim);
    let (_, claim) = court.takes(Messenger, "192.0.2.7", "on battery");
    court.sessions.durable(claim, court.now);
    court.withholds(Messenger, "192.0.2.7", "on battery", Withheld::Duplicate);
    court.withholds(Datagram, "192.0.2.7", "on battery", Withheld::Duplicate);
}

#[test]
fn a_session_is_not_answered_for_a_datagram_that_may_still_be_lost() {
    let mut court = Court::new();
    let _on_its_way = court.takes(Datagram, "192.0.2.7", "on battery");
    let _both_are_delivered = court.takes(Messenger, "192.0.2.7", "on battery");
}

#[test]
fn an_over_eager_source_is_throttled_says_so_later_and_disturbs_nobody() {
    let mut court = Court::new();
    for number in 0..5 {
        let _taken = court.takes(Datagram, "192.0.2.7", &format!("flood {number}"));
    }
    for number in 5..100 {
        court.withholds(Datagram, "192.0.2.7", &format!("flood {number}"), Withheld::Throttled);
    }
    assert_eq!(court.takes(Datagram, "192.0.2.8", "on battery").0.held_back, 0);
    court.now += SECOND;
    let (told, claim) = court.takes(Datagram, "192.0.2.7", "flood 99");
    assert_eq!(told.held_back, 95, "one that was throttled is no copy of itself");
    court.datagrams.lost(claim);
    assert_eq!(court.takes(Messenger, "192.0.2.7", "flood 100").0.held_back, 95);
}

#[test]
fn copies_and_what_a_rule_discards_use_up_nobodys_share() {
    let mut court = Court::new();
    let _first = court.takes(Datagram, "192.0.2.7", "on battery");
    for _ in 0..100 {
        court.withholds(Datagram, "192.0.2.7", "on battery", Withheld::Duplicate);
        assert!(matches!(court.hears(Datagram, "192.0.2.7", "DOOR", "open"), Verdict::Discarded));
    }
    let _second = court.takes(Datagram, "192.0.2.7", "on mains");
}

#[test]
fn while_the_switch_is_off_nothing_is_taken_and_nothing_is_remembered() {
    let mut court = Court::new();
    court.shared.inbound.close();
    for listener in [Datagram, Messenger] {
        court.withholds(listener, "192.0.2.7", "on battery", Withheld::SwitchedOff);
    }
    let end = Timestamp::UNIX_EPOCH + SignedDuration::from_secs(60);
    court.shared.inbound.open_until(Some(end));
    let _taken = court.takes(Datagram, "192.0.2.7", "on battery");
    court.now += 60 * SECOND;
    court.withholds(Datagram, "192.0.2.7", "on mains", Withheld::SwitchedOff);
}

#[test]
fn whoever_is_not_allowed_is_turned_away_before_anything_is_read() {
    let mut court = Court::new();
    let networks = vec!["192.0.2.0/24".parse().unwrap()];
    let reach = Reach { interfaces: Interfaces::All, allow: AllowedSources::Networks(networks) };
    let hearing = hearing();
    let limits = HearingLimits { reach: Some(reach), ..hearing.limits };
    court.datagrams.adopt(Arc::new(Hearing { limits, ..hearing }));
    for (source, allowed) in [("192.0.2.7", true), ("198.51.100.1", false), ("127.0.0.1", true)] {
        let arrival = Arrival {
            at: Timestamp::UNIX_EPOCH,
            source: (source.parse::<IpAddr>().unwrap(), 138).into(),
            destination: None,
            interface: None,
            listener: Datagram,
        };
        assert_eq!(court.datagrams.admit(&arrival, court.now).is_ok(), allowed, "{source}");
    }
    assert_eq!(court.metrics.withheld_so_far(Datagram, Withheld::NotAllowed), 1);
}
