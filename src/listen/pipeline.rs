//! From the bytes of one datagram to a verdict, without a socket and without a clock.
//!
//! The receiver, `replay`, `demo` and the benchmarks all go through [`Pipeline::take`], so what one of them shows is
//! what the gateway does.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::judge::{self, Hearing, Judge};
use crate::decode::{Layer, decode};
use crate::inventory::HostRecorder;
use crate::message::mail::Message;
use crate::message::notice::{Arrival, Notice};
use crate::policy::heard::Claim;
use crate::policy::mapping::Rule;
use crate::policy::own_datagrams::OwnDatagrams;
use crate::session::reassembly::{self, Reassembly};
use crate::telemetry::metrics::{DropReason, Metrics, Withheld};
use crate::wire::datagram::{Datagram, Direct, Fragment};
use crate::wire::reader::WireError;

/// What became of a datagram.
#[derive(Debug)]
pub enum Verdict {
    /// A rule delivers it; [`Pipeline::lost`] is told of the claim when it cannot.
    Deliver(Box<Message>, Claim),
    /// A rule discards it.
    Discard,
    /// A rule would deliver it, or its source is not heard at all: it is not taken.
    Withheld(Withheld),
    /// It is a fragment; the others are awaited.
    Incomplete,
    /// It did not become a message.
    Dropped(DropReason),
}

/// Decodes datagrams, has them judged, and counts.
#[derive(Debug)]
pub struct Pipeline {
    judge: Judge,
    reassembly: Reassembly,
    own: Arc<Mutex<OwnDatagrams>>,
    metrics: Arc<Metrics>,
    hosts: Option<HostRecorder>,
}

impl Pipeline {
    /// A pipeline that drops what is recorded in `own`, and counts everything but [`DropReason::Kernel`] and what comes
    /// after it in `metrics`.
    #[must_use]
    pub fn new(judge: Judge, own: Arc<Mutex<OwnDatagrams>>, metrics: Arc<Metrics>) -> Self {
        Self { judge, reassembly: Reassembly::new(), own, metrics, hosts: None }
    }

    /// Also tells the inventory, where there is one, from which hosts messages come, whatever becomes of them.
    #[must_use]
    pub fn with_hosts(mut self, hosts: Option<HostRecorder>) -> Self {
        self.hosts = hosts;
        self
    }

    /// Goes by these settings from the next datagram on. Fragments that wait for others are kept.
    pub fn adopt(&mut self, hearing: Arc<Hearing>) {
        self.judge.adopt(hearing);
    }

    /// A message that was to be delivered found no room: its copies are as good as it was.
    pub fn lost(&self, claim: Claim) {
        self.judge.lost(claim);
    }

    /// Decides about one UDP payload that arrived at `now`.
    #[must_use = "a message that is to be delivered would be lost"]
    pub fn take(&mut self, bytes: &[u8], arrival: Arrival, now: Instant) -> Verdict {
        self.take_with(bytes, arrival, now, |_, _| {})
    }

    /// As [`Self::take`], and shows what was decoded together with the rule that decided.
    #[must_use = "a message that is to be delivered would be lost"]
    pub fn take_with(
        &mut self,
        bytes: &[u8],
        arrival: Arrival,
        now: Instant,
        heard: impl FnOnce(&Notice<'_>, &Rule),
    ) -> Verdict {
        if let Err(withheld) = self.judge.admit(&arrival, now) {
            return Verdict::Withheld(withheld);
        }
        let verdict = match &Datagram::parse(bytes) {
            Ok(Datagram::Direct(direct)) => self.take_whole(direct, arrival, now, heard),
            Ok(Datagram::Fragment(fragment)) => self.take_fragment(fragment, arrival, now, heard),
            Ok(Datagram::Error { .. } | Datagram::Query { .. }) => {
                Verdict::Dropped(DropReason::NotAMailslotWrite)
            }
            Err(error) => dropped(DropReason::MalformedDatagram, arrival, *error),
        };
        if let Verdict::Dropped(reason) = verdict {
            self.metrics.datagrams_dropped(reason, 1);
        }
        verdict
    }

    /// When [`Self::handle_timeout`] is to be called; `None` while no fragment waits and the inventory knows everything.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let hosts = self.hosts.as_ref().and_then(HostRecorder::poll_timeout);
        [self.reassembly.poll_timeout(), hosts].into_iter().flatten().min()
    }

    /// Gives up the fragments whose time has run out, and tells the inventory what was counted. Calling it at other
    /// times does no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Some(hosts) = &mut self.hosts {
            hosts.handle_timeout(now);
        }
        let expired = self.reassembly.handle_timeout(now);
        if expired > 0 {
            let count = u64::try_from(expired).unwrap_or(u64::MAX);
            self.metrics.datagrams_dropped(DropReason::FragmentTimeout, count);
            tracing::debug!(
                count,
                "Fragments were dropped because the rest of their datagrams did not come."
            );
        }
    }

    /// Forgets the fragments that wait: after a defect nothing is known of their state.
    pub fn reset(&mut self) {
        self.reassembly = Reassembly::new();
    }

    fn take_fragment(
        &mut self,
        fragment: &Fragment<'_>,
        arrival: Arrival,
        now: Instant,
        heard: impl FnOnce(&Notice<'_>, &Rule),
    ) -> Verdict {
        let whole = match self.reassembly.handle_input(now, arrival.source.ip(), fragment) {
            reassembly::Verdict::Pending => return Verdict::Incomplete,
            reassembly::Verdict::Complete(whole) => whole,
            reassembly::Verdict::Dropped(reason) => {
                tracing::debug!(source = %arrival.source, ?reason, "A fragment was dropped.");
                return Verdict::Dropped(drop_reason(reason));
            }
        };
        match Datagram::parse(&whole) {
            Ok(Datagram::Direct(direct)) => self.take_whole(&direct, arrival, now, heard),
            Ok(Datagram::Fragment(_) | Datagram::Error { .. } | Datagram::Query { .. }) => {
                Verdict::Dropped(DropReason::FragmentConflict)
            }
            Err(error) => dropped(DropReason::MalformedDatagram, arrival, error),
        }
    }

    fn take_whole(
        &mut self,
        direct: &Direct<'_>,
        arrival: Arrival,
        now: Instant,
        heard: impl FnOnce(&Notice<'_>, &Rule),
    ) -> Verdict {
        if direct.length_mismatch() {
            self.metrics.dgm_length_mismatch();
        }
        if !direct.destination_scope.text().eq_ignore_ascii_case(&self.judge.hearing().decoding.scope) {
            return Verdict::Dropped(DropReason::ForeignScope);
        }
        if self.is_own(direct, now) {
            return Verdict::Dropped(DropReason::Own);
        }
        let sender = self.judge.hearing().decoding.of(arrival.source.ip());
        match decode(direct, arrival, sender) {
            Ok(notice) => {
                if let Some(hosts) = &mut self.hosts {
                    hosts.heard(&notice, now);
                }
                self.judge.decide(notice, now, heard).into()
            }
            Err(undecodable) => {
                let reason = match undecodable.layer {
                    Layer::Transaction => DropReason::MalformedTransaction,
                    Layer::NotAMailslotWrite => DropReason::NotAMailslotWrite,
                    Layer::Message => DropReason::MalformedMessage,
                };
                dropped(reason, arrival, undecodable.error)
            }
        }
    }

    fn is_own(&self, direct: &Direct<'_>, now: Instant) -> bool {
        let own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        own.is_own(direct.header.dgm_id, direct.user_data, now)
    }
}

impl From<judge::Verdict> for Verdict {
    fn from(verdict: judge::Verdict) -> Self {
        match verdict {
            judge::Verdict::Deliver(message, claim) => Self::Deliver(message, claim),
            judge::Verdict::Discarded => Self::Discard,
            judge::Verdict::Withheld(withheld) => Self::Withheld(withheld),
        }
    }
}

const fn drop_reason(reason: reassembly::Reason) -> DropReason {
    if reason.is_limit() { DropReason::FragmentLimit } else { DropReason::FragmentConflict }
}

/// A drop whose cause is worth a line in the debug log: where in the bytes, never the bytes.
fn dropped(reason: DropReason, arrival: Arrival, error: WireError) -> Verdict {
    tracing::debug!(
        source = %arrival.source,
        reason = reason.as_str(),
        field = error.field(),
        offset = error.offset(),
        %error,
        "A datagram was dropped."
    );
    Verdict::Dropped(reason)
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::Duration;

    use jiff::Timestamp;
    use jiff::tz::TimeZone;

    use super::*;
    use crate::config::settings::Decoding;
    use crate::listen::judge::{HearingLimits, Shared};
    use crate::message::id::{DestinationName, DiscardReason, RuleName};
    use crate::message::mail::Body;
    use crate::message::notice::Listener;
    use crate::policy::mapping::{Action, Context, Delivery, Glob, Keys, Match, RuleSet};
    use crate::policy::template::{AddressForm, AddressTemplate, Template};
    use crate::wire::datagram::{Flags, Header, MsgType};
    use crate::wire::messenger::Text;
    use crate::wire::netbios_name::{NameType, NetbiosName, Scope};
    use crate::wire::oem_text::{CodePage, SenderText, Utf8};

    #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
    fn start() -> Instant {
        Instant::now()
    }

    fn rule(name: &str, when: Match, action: Action) -> Rule {
        Rule::new(RuleName::new(name).unwrap(), when, action)
    }

    /// Delivers what UPS7 says, discards the rest.
    fn hearing() -> Arc<Hearing> {
        let delivery = Delivery {
            via: DestinationName::new("inbox").unwrap(),
            to: AddressTemplate::new(Template::parse("{originator}").unwrap(), AddressForm::Folder),
            subject: None,
            otherwise: Vec::new(),
        };
        let keys = Keys { originator: vec![Glob::new("UPS*").unwrap()], ..Keys::default() };
        let rules = RuleSet::new(vec![
            rule("ups", Match::Keys(Box::new(keys)), Action::Deliver(vec![delivery])),
            rule("rest", Match::Any, Action::Discard(DiscardReason::new("not-mapped").unwrap())),
        ]);
        let code_page = SenderText { code_page: CodePage::Cp437, utf8: Utf8::Never };
        Arc::new(Hearing {
            decoding: Decoding { code_page, exceptions: Vec::new(), scope: Vec::new() },
            rules: Arc::new(rules.unwrap()),
            context: Context { site: String::new(), host: String::new(), timezone: TimeZone::UTC },
            limits: HearingLimits::NONE,
        })
    }

    struct Bench {
        pipeline: Pipeline,
        own: Arc<Mutex<OwnDatagrams>>,
        metrics: Arc<Metrics>,
        now: Instant,
    }

    fn bench() -> Bench {
        let (own, metrics) = (Arc::default(), Arc::new(Metrics::new()));
        let judge = Judge::new(hearing(), Arc::new(Shared::default()), Arc::clone(&metrics));
        let pipeline = Pipeline::new(judge, Arc::clone(&own), Arc::clone(&metrics));
        Bench { pipeline, own, metrics, now: start() }
    }

    impl Bench {
        fn take(&mut self, bytes: &[u8]) -> Verdict {
            let arrival = Arrival {
                at: Timestamp::UNIX_EPOCH,
                source: "192.0.2.7:138".parse().unwrap(),
                destination: Some(IpAddr::from([192, 0, 2, 255])),
                interface: Some(2),
                listener: Listener::Datagram,
            };
            self.pipeline.take(bytes, arrival, self.now)
        }

        #[track_caller]
        fn expect_dropped(&mut self, bytes: &[u8], reason: DropReason) {
            let before = self.metrics.dropped_so_far(reason);
            let verdict = self.take(bytes);
            assert!(matches!(verdict, Verdict::Dropped(why) if why == reason), "{verdict:?}");
            assert_eq!(self.metrics.dropped_so_far(reason), before + 1);
        }

        #[track_caller]
        fn expect_line(&self, line: &str) {
            let text = self.metrics.encode();
            assert!(text.lines().any(|each| each == line), "{line} is not in\n{text}");
        }
    }

    fn name(text: &[u8]) -> NetbiosName {
        NetbiosName::new(text, NameType::MESSENGER).unwrap()
    }

    fn messngr(dgm_id: u16, from: &[u8], text: &[u8]) -> Vec<u8> {
        let header =
            Header { flags: Flags::FIRST, dgm_id, source_ip: Ipv4Addr::new(192, 0, 2, 7), source_port: 138 };
        let text = Text { from, to: b"ALERTS", text };
        text.datagram(header, MsgType::DirectUnique, name(from), name(b"ALERTS")).unwrap()
    }

    #[test]
    fn a_message_that_a_rule_delivers_comes_out_with_its_recipient() {
        let mut bench = bench();
        let Verdict::Deliver(message, _) = bench.take(&messngr(1, b"UPS7", b"on battery")) else {
            panic!("not delivered");
        };
        assert_eq!(message.recipients[0].to, "UPS7");
        let Body::Notice(notice) = message.body else {
            panic!("no notice");
        };
        assert_eq!((&*notice.first.text, notice.first.arrival.interface), ("on battery", Some(2)));
        bench.expect_line(r#"mailslotd_notices_total{mailslot="messngr",rule="ups"} 1"#);
    }

    #[test]
    fn a_message_that_a_rule_discards_is_counted_under_its_rule_and_reason() {
        let mut bench = bench();
        for id in 0..3 {
            assert!(matches!(bench.take(&messngr(id, b"DOOR", b"open")), Verdict::Discard));
        }
        bench.expect_line(r#"mailslotd_notices_total{mailslot="messngr",rule="rest"} 3"#);
        bench.expect_line(r#"mailslotd_notices_discarded_total{reason="not-mapped"} 3"#);
    }

    #[test]
    fn each_layer_that_refuses_has_a_reason_of_its_own() {
        let mut bench = bench();
        let good = messngr(1, b"UPS7", b"x");
        bench.expect_dropped(&[], DropReason::MalformedDatagram);
        bench.expect_dropped(&good[..60], DropReason::MalformedDatagram);
        bench.expect_dropped(&good[..100], DropReason::MalformedTransaction);
        let mut error = Vec::new();
        let Ok(datagram) = Datagram::parse(&good) else { panic!("good") };
        let code = crate::wire::datagram::ErrorCode::DESTINATION_NAME_NOT_PRESENT;
        Datagram::Error { header: *datagram.header(), code }.emit(&mut error);
        bench.expect_dropped(&error, DropReason::NotAMailslotWrite);
        assert!(matches!(bench.take(&good), Verdict::Deliver(..)), "what is whole is still heard");
    }

    #[test]
    fn a_dgm_length_that_lies_is_counted_and_the_message_heard() {
        let mut bench = bench();
        let mut bytes = messngr(1, b"UPS7", b"x");
        bytes[10..12].copy_from_slice(&272_u16.to_be_bytes());
        assert!(matches!(bench.take(&bytes), Verdict::Deliver(..)));
        bench.expect_line("mailslotd_dgm_length_mismatches_total 1");
    }

    #[test]
    fn another_scope_is_not_heard_unless_it_is_ours_in_either_case() {
        let mut bench = bench();
        let good = messngr(1, b"UPS7", b"x");
        let Ok(Datagram::Direct(mut direct)) = Datagram::parse(&good) else { panic!("good") };
        direct.source_scope = Scope::new(b"plant").unwrap();
        direct.destination_scope = Scope::new(b"plant").unwrap();
        let mut scoped = Vec::new();
        direct.emit(&mut scoped);
        bench.expect_dropped(&scoped, DropReason::ForeignScope);
        let mut hearing = Hearing::clone(&hearing());
        hearing.decoding.scope = b"PLANT".to_vec();
        bench.pipeline.adopt(Arc::new(hearing));
        assert!(matches!(bench.take(&scoped), Verdict::Deliver(..)));
        bench.expect_dropped(&good, DropReason::ForeignScope);
    }

    #[test]
    fn what_this_process_sent_is_dropped_and_the_same_words_under_another_id_are_heard() {
        let mut bench = bench();
        let ours = messngr(7, b"UPS7", b"hello");
        let Ok(Datagram::Direct(direct)) = Datagram::parse(&ours) else { panic!("ours") };
        bench.own.lock().unwrap().record(7, direct.user_data, bench.now);
        bench.expect_dropped(&ours, DropReason::Own);
        assert!(matches!(bench.take(&messngr(8, b"UPS7", b"hello")), Verdict::Deliver(..)));
        bench.now += OwnDatagrams::AGE + Duration::from_millis(1);
        assert!(matches!(bench.take(&ours), Verdict::Deliver(..)), "someone sends the same much later");
    }

    /// The datagram in two fragments as RFC 1002 §5.3.1 cuts it.
    fn fragments(bytes: &[u8], cut: usize) -> [Vec<u8>; 2] {
        let (mut first, mut last) = (bytes[..cut].to_vec(), bytes[..14].to_vec());
        first[1] |= Flags::MORE.0;
        last[1] &= !Flags::FIRST.0;
        last[12..14].copy_from_slice(&u16::try_from(cut - 14).unwrap().to_be_bytes());
        last.extend_from_slice(&bytes[cut..]);
        [first, last]
    }

    #[test]
    fn fragments_become_one_message() {
        let mut bench = bench();
        let [first, last] = fragments(&messngr(1, b"UPS7", b"on battery"), 150);
        assert!(matches!(bench.take(&first), Verdict::Incomplete));
        let Verdict::Deliver(message, _) = bench.take(&last) else { panic!("not complete") };
        let Body::Notice(notice) = message.body else { panic!("no notice") };
        assert_eq!(notice.first.text, "on battery");
    }

    #[test]
    fn a_fragment_whose_rest_does_not_come_is_counted_when_its_time_is_over() {
        let mut bench = bench();
        let [first, _] = fragments(&messngr(1, b"UPS7", b"on battery"), 150);
        assert_eq!(bench.pipeline.poll_timeout(), None);
        assert!(matches!(bench.take(&first), Verdict::Incomplete));
        let timeout = bench.pipeline.poll_timeout().unwrap();
        bench.pipeline.handle_timeout(timeout);
        assert_eq!(bench.metrics.dropped_so_far(DropReason::FragmentTimeout), 1);
        assert_eq!(bench.pipeline.poll_timeout(), None);
    }

    #[test]
    fn fragments_that_overlap_are_a_conflict() {
        let mut bench = bench();
        let bytes = messngr(1, b"UPS7", b"on battery");
        let [first, _] = fragments(&bytes, 160);
        let [_, last] = fragments(&bytes, 150);
        assert!(matches!(bench.take(&first), Verdict::Incomplete));
        bench.expect_dropped(&last, DropReason::FragmentConflict);
    }

    #[test]
    fn new_rules_decide_from_the_next_datagram_on() {
        let mut bench = bench();
        let rest = Action::Discard(DiscardReason::new("quiet").unwrap());
        let rules = RuleSet::new(vec![rule("nothing", Match::Any, rest)]).unwrap();
        let hearing = Hearing { rules: Arc::new(rules), ..Hearing::clone(&hearing()) };
        assert!(matches!(bench.take(&messngr(1, b"UPS7", b"x")), Verdict::Deliver(..)));
        bench.pipeline.adopt(Arc::new(hearing));
        assert!(matches!(bench.take(&messngr(2, b"UPS7", b"x")), Verdict::Discard));
        bench.expect_line(r#"mailslotd_notices_total{mailslot="messngr",rule="nothing"} 1"#);
    }

    #[test]
    fn the_observer_sees_the_notice_and_the_rule_that_decided() {
        let mut bench = bench();
        let arrival = Arrival {
            at: Timestamp::UNIX_EPOCH,
            source: "192.0.2.7:138".parse().unwrap(),
            destination: None,
            interface: None,
            listener: Listener::Datagram,
        };
        let mut seen = None;
        let bytes = messngr(1, b"DOOR", b"open");
        let verdict = bench.pipeline.take_with(&bytes, arrival, bench.now, |notice, rule| {
            seen = Some((notice.originator.to_string(), rule.name().clone()));
        });
        assert!(matches!(verdict, Verdict::Discard));
        assert_eq!(seen, Some(("DOOR".to_owned(), RuleName::new("rest").unwrap())));
    }
}
