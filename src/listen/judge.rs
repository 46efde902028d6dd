//! What becomes of a decoded message, however it came: the same for datagrams and for sessions.
//!
//! In this order: is its source heard at all; which rule decides; is the switch on; is it a copy of one that was taken;
//! has its source sent more than its share. What a rule discards costs neither memory nor share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prometheus::IntCounter;

use super::links::{Links, Reach};
use crate::config::settings::{Decoding, Settings};
use crate::message::mail::{Body, Message};
use crate::message::notice::{Arrival, Notice};
use crate::policy::heard::{Admission, Claim, Heard};
use crate::policy::mapping::{Action, Context, Rule, RuleSet};
use crate::policy::source_rate::SourceRate;
use crate::switch::Passage;
use crate::telemetry::log::Recurring;
use crate::telemetry::metrics::{Metrics, Withheld, mailslot_label};

/// The settings that decide what becomes of a message; replaced as a whole when the configuration is read again.
#[derive(Debug, Clone)]
pub struct Hearing {
    /// How bytes become text, and which scope is heard.
    pub decoding: Decoding,
    /// Which messages go where.
    pub rules: Arc<RuleSet>,
    /// What templates know of this gateway.
    pub context: Context,
    /// Whom is heard, and how much.
    pub limits: HearingLimits,
}

/// Whom is heard, and how much.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HearingLimits {
    /// Whose messages are taken; `None`: everybody's, as from a capture of some other network.
    pub reach: Option<Reach>,
    /// How long a copy of a message is the same message; `None`: each is delivered.
    pub dedup_window: Option<Duration>,
    /// How much each source may send, where that is limited.
    pub rate: Option<SourceRate>,
}

impl HearingLimits {
    /// Everything is heard.
    pub const NONE: Self = Self { reach: None, dedup_window: None, rate: None };
}

impl Hearing {
    /// Those of a configuration.
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        let netbios = &settings.netbios;
        let reach = Reach { interfaces: netbios.interfaces.clone(), allow: netbios.allow.clone() };
        Self {
            decoding: settings.decoding.clone(),
            rules: Arc::clone(&settings.rules),
            context: Context {
                site: settings.site.clone(),
                host: settings.hostname.clone().unwrap_or_default(),
                timezone: settings.timezone.clone(),
            },
            limits: HearingLimits {
                reach: Some(reach),
                dedup_window: netbios.dedup_window,
                rate: netbios.rate,
            },
        }
    }
}

/// What all judges go by together.
#[derive(Debug, Default)]
pub struct Shared {
    heard: Mutex<Heard>,
    /// Whether messages that are heard pass.
    pub inbound: Arc<Passage>,
}

impl Shared {
    /// Nothing heard yet; messages pass as `inbound` says.
    #[must_use]
    pub fn new(inbound: Arc<Passage>) -> Self {
        Self { heard: Mutex::default(), inbound }
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What becomes of a message.
#[derive(Debug)]
pub enum Verdict {
    /// A rule delivers it. Whoever takes it to the spool tells [`Judge::durable`] or [`Judge::lost`] of the claim; for
    /// a datagram that is on its way nothing need be told.
    Deliver(Box<Message>, Claim),
    /// A rule discards it.
    Discarded,
    /// A rule would deliver it, but it is not taken.
    Withheld(Withheld),
}

/// Decides about the messages of one listener, and counts them.
#[derive(Debug)]
pub struct Judge {
    hearing: Arc<Hearing>,
    shared: Arc<Shared>,
    links: Links,
    counters: Box<[RuleCounters]>,
    metrics: Arc<Metrics>,
    strangers: Recurring,
    over_rate: Recurring,
}

/// The handles of one rule's counters, looked up at their first use.
#[derive(Debug, Default)]
struct RuleCounters {
    /// By label of the mailslot, of which there are six.
    heard: Vec<(&'static str, IntCounter)>,
    discarded: Option<IntCounter>,
}

impl Judge {
    /// One that goes by `hearing` and, with all others that have the same, by `shared`.
    #[must_use]
    pub fn new(hearing: Arc<Hearing>, shared: Arc<Shared>, metrics: Arc<Metrics>) -> Self {
        Self {
            counters: counters_of(&hearing),
            hearing,
            shared,
            links: Links::new(),
            metrics,
            strangers: Recurring::new(TELL_OF_STRANGERS_EVERY),
            over_rate: Recurring::new(TELL_OF_RATE_EVERY),
        }
    }

    /// Goes by these settings from the next message on.
    pub fn adopt(&mut self, hearing: Arc<Hearing>) {
        self.counters = counters_of(&hearing);
        self.hearing = hearing;
    }

    /// The settings in effect.
    #[must_use]
    pub const fn hearing(&self) -> &Arc<Hearing> {
        &self.hearing
    }

    /// Whether the source of a message is heard; to be asked before anything is made of its bytes.
    ///
    /// # Errors
    /// [`Withheld::NotAllowed`], counted.
    pub fn admit(&mut self, arrival: &Arrival, now: Instant) -> Result<(), Withheld> {
        let Some(reach) = &self.hearing.limits.reach else { return Ok(()) };
        if self.links.admit(reach, arrival, now) {
            return Ok(());
        }
        tracing::debug!(source = %arrival.source, "A message came from an address that is not heard.");
        if let Some(count) = self.strangers.happened(1, now) {
            tracing::info!(
                source = %arrival.source.ip(),
                count,
                "Messages from addresses that are not heard were dropped; if this one is yours, add its network to \
                 `netbios.allow`, and the interface it comes by to `netbios.interfaces`."
            );
        }
        self.metrics.notice_withheld(arrival.listener, Withheld::NotAllowed);
        Err(Withheld::NotAllowed)
    }

    /// Decides about a message that [`Self::admit`] let through; `heard` is shown it with the rule that decides.
    #[must_use = "a message that is to be delivered would be lost"]
    pub fn decide(
        &mut self,
        notice: Notice<'_>,
        now: Instant,
        heard: impl FnOnce(&Notice<'_>, &Rule),
    ) -> Verdict {
        let Self { hearing, shared, counters, metrics, over_rate, .. } = self;
        let rule = hearing.rules.decide(&notice);
        heard(&notice, rule);
        // `decide` may answer with a copy of the last rule.
        let last = counters.len().saturating_sub(1);
        let number = hearing.rules.rules().element_offset(rule).unwrap_or(last);
        if let Some(counters) = counters.get_mut(number) {
            counters.count(&notice, rule, metrics);
        }
        if let Action::Discard(_) = rule.action() {
            return Verdict::Discarded;
        }
        match take(&notice, &hearing.limits, shared, over_rate, now) {
            Err(withheld) => {
                metrics.notice_withheld(notice.arrival.listener, withheld);
                Verdict::Withheld(withheld)
            }
            Ok(claim) => match rule.message(notice.into_owned(), &hearing.context) {
                Some(message) => Verdict::Deliver(Box::new(telling(message, claim.held_back())), claim),
                None => Verdict::Discarded,
            },
        }
    }

    /// A message that was to be delivered is in the spool.
    pub fn durable(&self, claim: Claim, now: Instant) {
        self.shared.heard().durable(claim, self.hearing.limits.dedup_window, now);
    }

    /// A message that was to be delivered did not reach the spool: its copies are as good as it was.
    pub fn lost(&self, claim: Claim) {
        self.shared.heard().lost(claim);
    }
}

impl RuleCounters {
    fn count(&mut self, notice: &Notice<'_>, rule: &Rule, metrics: &Metrics) {
        let mailslot = mailslot_label(&notice.mailslot);
        if let Some((_, counter)) = self.heard.iter().find(|(label, _)| *label == mailslot) {
            counter.inc();
        } else {
            let counter = metrics.notices(mailslot, rule.name());
            counter.inc();
            self.heard.push((mailslot, counter));
        }
        if let Action::Discard(reason) = rule.action() {
            self.discarded.get_or_insert_with(|| metrics.notices_discarded(reason.as_str())).inc();
        }
    }
}

/// Whether a message that a rule delivers is taken.
fn take(
    notice: &Notice<'_>,
    limits: &HearingLimits,
    shared: &Shared,
    over_rate: &mut Recurring,
    now: Instant,
) -> Result<Claim, Withheld> {
    if !shared.inbound.lets_through(notice.arrival.at) {
        return Err(Withheld::SwitchedOff);
    }
    let admission = shared.heard().admit(notice, limits.dedup_window, limits.rate, now);
    match admission {
        Admission::New(claim) => Ok(claim),
        Admission::Copy => Err(Withheld::Duplicate),
        Admission::OverRate => {
            if let Some(count) = over_rate.happened(1, now) {
                tracing::warn!(
                    source = %notice.arrival.source.ip(),
                    count,
                    "Messages were dropped because their source sends more than `netbios.rate` allows."
                );
            }
            Err(Withheld::Throttled)
        }
    }
}

fn counters_of(hearing: &Hearing) -> Box<[RuleCounters]> {
    hearing.rules.rules().iter().map(|_| RuleCounters::default()).collect()
}

/// The message, which says how many others of its source were held back before it.
fn telling(mut message: Message, held_back: u64) -> Message {
    if let Body::Notice(gathered) = &mut message.body {
        gathered.held_back = held_back;
    }
    message
}

const TELL_OF_STRANGERS_EVERY: Duration = Duration::from_secs(10 * 60);
const TELL_OF_RATE_EVERY: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
