//! Every metric, declared once. Labels are enums of this program or names from the configuration, never from a peer.

mod credentials;
mod lookups;
pub mod messenger;
mod names;
mod pickup;
mod reports;
pub mod smtp;

use jiff::Timestamp;
use prometheus::{
    Counter, Encoder as _, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

use crate::message::id::{DestinationName, RuleName};
use crate::message::mail::Class;
use crate::message::notice::Listener;
pub use credentials::CredentialKind;
pub use lookups::{DirectoryAnswer, DnsblOutcome, SourceKind};
pub use names::{ConflictWith, NameState};
pub use pickup::PickupOutcome;
pub use reports::{ReportKind, ReportOutcome};

/// Why a datagram did not become a message. Every increase may be a message lost: legacy senders do not repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// The NetBIOS header is not what RFC 1002 §4.4 says.
    MalformedDatagram,
    /// The SMB or its transaction is not what MS-CIFS says, or its lengths lie.
    MalformedTransaction,
    /// The data of the mailslot is not what its specification says.
    MalformedMessage,
    /// A datagram that carries no mailslot write: an error, a query, another SMB.
    NotAMailslotWrite,
    /// Sent in a NetBIOS scope that is not ours.
    ForeignScope,
    /// Fragments of one datagram that overlap, leave a gap, or contradict each other.
    FragmentConflict,
    /// A fragment whose other part did not come in time.
    FragmentTimeout,
    /// More unfinished datagrams than are kept.
    FragmentLimit,
    /// Sent by this process itself.
    Own,
    /// The queue between socket and spool was full.
    SpoolBacklog,
    /// The spool accepts nothing: limit reached, disk full, or failed.
    SpoolRefused,
    /// The kernel's socket buffer was full.
    Kernel,
}

impl DropReason {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::MalformedDatagram,
        Self::MalformedTransaction,
        Self::MalformedMessage,
        Self::NotAMailslotWrite,
        Self::ForeignScope,
        Self::FragmentConflict,
        Self::FragmentTimeout,
        Self::FragmentLimit,
        Self::Own,
        Self::SpoolBacklog,
        Self::SpoolRefused,
        Self::Kernel,
    ];

    /// The label, and the word in the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MalformedDatagram => "malformed_datagram",
            Self::MalformedTransaction => "malformed_transaction",
            Self::MalformedMessage => "malformed_message",
            Self::NotAMailslotWrite => "not_a_mailslot_write",
            Self::ForeignScope => "foreign_scope",
            Self::FragmentConflict => "fragment_conflict",
            Self::FragmentTimeout => "fragment_timeout",
            Self::FragmentLimit => "fragment_limit",
            Self::Own => "own",
            Self::SpoolBacklog => "spool_backlog",
            Self::SpoolRefused => "spool_refused",
            Self::Kernel => "kernel",
        }
    }

    const fn index(self) -> usize {
        self as usize
    }
}

/// Why a message that was understood is not taken, though no rule discards it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Withheld {
    /// Its source, or the interface it came by, is not heard.
    NotAllowed,
    /// Messages that are heard are switched off.
    SwitchedOff,
    /// The same was taken from the same source a moment ago.
    Duplicate,
    /// Its source sent more than its share.
    Throttled,
}

impl Withheld {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::NotAllowed, Self::SwitchedOff, Self::Duplicate, Self::Throttled];

    /// The label, and the word in the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotAllowed => "not_allowed",
            Self::SwitchedOff => "switched_off",
            Self::Duplicate => "duplicate",
            Self::Throttled => "throttled",
        }
    }

    const fn index(self) -> usize {
        self as usize
    }
}

/// The state of a recipient in the spool, as `mailslotd_spool_messages` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SpoolState {
    /// To be delivered.
    Queued,
    /// Kept back by the operator.
    Held,
    /// Refused or expired; kept for the operator.
    Failed,
    /// Unreadable; kept for the operator.
    Corrupt,
}

impl SpoolState {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Queued, Self::Held, Self::Failed, Self::Corrupt];

    /// The label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Held => "held",
            Self::Failed => "failed",
            Self::Corrupt => "corrupt",
        }
    }
}

/// The state of the spool that several gateways share, as `mailslotd_spool_group` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GroupState {
    /// It takes and gives messages.
    Open,
    /// Its servers do not answer; the local spool takes messages.
    Unreachable,
}

impl GroupState {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Open, Self::Unreachable];

    /// The label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Unreachable => "unreachable",
        }
    }
}

/// The state of a destination, as `mailslotd_destination_state` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DestinationState {
    /// Answers.
    Up,
    /// Cannot be reached; probed.
    Down,
    /// Waits for the operator: a refused credential, a certificate that does not verify.
    OperatorFault,
    /// Asked us to wait.
    Throttled,
    /// Stopped by `mailslotd queue pause`.
    Paused,
}

impl DestinationState {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Up, Self::Down, Self::OperatorFault, Self::Throttled, Self::Paused];

    /// The label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::OperatorFault => "operator_fault",
            Self::Throttled => "throttled",
            Self::Paused => "paused",
        }
    }
}

/// How one recipient's attempt ended, as `mailslotd_deliveries_total` counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeliveryResult {
    /// The next hop took responsibility.
    Delivered,
    /// To be tried again.
    Delayed,
    /// Refused for good.
    Failed,
    /// Given up because its time ran out.
    Expired,
}

impl DeliveryResult {
    /// The label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Delayed => "delayed",
            Self::Failed => "failed",
            Self::Expired => "expired",
        }
    }
}

macro_rules! metrics {
    ($($field:ident: $kind:ident, $name:literal, [$($label:literal),*], $help:literal;)*) => {
        #[derive(Debug)]
        struct Declared {
            registry: Registry,
            $($field: $kind,)*
        }

        /// Name, labels and help of every metric, for the table in the README.
        pub const TABLE: &[(&str, &[&str], &str)] = &[$(($name, &[$($label),*], $help)),*];

        impl Declared {
            fn build() -> prometheus::Result<Self> {
                let registry = Registry::new();
                $(let $field = <$kind as Declare>::declare($name, $help, &[$($label),*])?;
                  registry.register(Box::new($field.clone()))?;)*
                Ok(Self { registry, $($field,)* })
            }
        }
    };
}

metrics! {
    datagrams_received: IntCounter, "mailslotd_datagrams_received_total", [],
        "Datagrams read from UDP 138.";
    datagrams_dropped: IntCounterVec, "mailslotd_datagrams_dropped_total", ["reason"],
        "Datagrams that did not become a message, by reason; each may be a message lost.";
    dgm_length_mismatches: IntCounter, "mailslotd_dgm_length_mismatches_total", [],
        "Datagrams whose DGM_LENGTH differs from their true length; decoded all the same.";
    notices: IntCounterVec, "mailslotd_notices_total", ["mailslot", "rule"],
        "Legacy messages decoded, by mailslot and by the rule that decided.";
    notices_discarded: IntCounterVec, "mailslotd_notices_discarded_total", ["reason"],
        "Legacy messages that a rule discarded, by its reason.";
    notices_withheld: IntCounterVec, "mailslotd_notices_withheld_total", ["listener", "reason"],
        "Legacy messages that were not taken though no rule discards them: their source is not heard, the switch is off, copies, too many.";
    mailslots_enabled: IntGaugeVec, "mailslotd_mailslots_enabled", ["direction"],
        "1 while mailslot messages pass, 0 while they are switched off.";
    mailslots_end: IntGaugeVec, "mailslotd_mailslots_exception_end_seconds", ["direction"],
        "When the exception ends by which mailslot messages pass, in seconds since 1970; 0 where none does.";
    mailslots_announcements: IntCounterVec, "mailslotd_mailslots_announcements_total", ["direction"],
        "Announcements, 14, 3 and 1 days before, that an exception ends.";
    netbios_packets_sent: IntCounter, "mailslotd_netbios_packets_sent_total", [],
        "NetBIOS packets this gateway sent; stays 0 in mode observe.";
    name_packets_received: IntCounter, "mailslotd_name_packets_received_total", [],
        "Packets read from UDP 137.";
    name_packets_ignored: IntCounterVec, "mailslotd_name_packets_ignored_total", ["reason"],
        "Packets of UDP 137 that nothing came of, by reason: malformed, a stranger, too many, a demand to give up a name and so on.";
    name_queries: IntCounterVec, "mailslotd_name_queries_total", ["answer"],
        "Name queries and node status requests heard, by what became of them; `observed` in mode observe.";
    netbios_names: IntGaugeVec, "mailslotd_netbios_names", ["name", "suffix", "state"],
        "1 for the state that a name of ours is in, 0 for the others; `conflict` is another host's.";
    name_conflicts: IntCounterVec, "mailslotd_name_conflicts_total", ["with"],
        "Names of ours that turned out to be another host's, as the host itself or a WINS server says.";
    name_claims_refused: IntCounter, "mailslotd_name_claims_refused_total", [],
        "Claims of other hosts to names of ours that were refused.";
    wins_silent: IntGauge, "mailslotd_wins_silent", [],
        "WINS servers that do not answer.";
    backlog_bytes: IntGauge, "mailslotd_backlog_bytes", [],
        "Bytes of messages between socket and spool; at most 32 MiB.";
    spool_messages: IntGaugeVec, "mailslotd_spool_messages", ["destination", "state"],
        "Copies in the spool, by destination and state.";
    spool_bytes: IntGauge, "mailslotd_spool_bytes", [],
        "Bytes of messages in the spool.";
    spool_accepting: IntGaugeVec, "mailslotd_spool_accepting", ["class"],
        "1 while the spool accepts messages of this class, 0 while a limit, a full disk or a fault forbids it.";
    spool_refused: IntCounterVec, "mailslotd_spool_refused_total", ["reason"],
        "Messages that the spool refused, by reason.";
    spool_corrupt: IntCounter, "mailslotd_spool_corrupt_total", [],
        "Messages set aside because they could not be read back.";
    spool_commit_seconds: Histogram, "mailslotd_spool_commit_seconds", [],
        "Time of one commit with its fsync; many messages share one.";
    spool_accepted: IntCounterVec, "mailslotd_spool_accepted_total", ["class"],
        "Messages that became durable.";
    spool_gathered: IntCounter, "mailslotd_spool_gathered_total", [],
        "Messages that were counted into an earlier one of their group.";
    spool_group: IntGaugeVec, "mailslotd_spool_group", ["state"],
        "1 for the state that the spool of the group is in, 0 for the others; none where there is no group.";
    spool_fallback: IntGauge, "mailslotd_spool_fallback_messages", [],
        "Messages that the local spool took while that of the group did not answer, and that are not there yet.";
    deliveries: IntCounterVec, "mailslotd_deliveries_total", ["destination", "outcome"],
        "Attempts for one recipient, by destination and outcome.";
    reports: IntCounterVec, "mailslotd_reports_total", ["kind", "outcome"],
        "Reports to senders about their mail, by what they tell, and to the operator about legacy messages that failed; kept ones are on their way, for the others there was no route, or one like it had just gone.";
    destination_state: IntGaugeVec, "mailslotd_destination_state", ["destination", "state"],
        "1 for the state that a destination is in, 0 for the others.";
    maildir_removed: IntCounterVec, "mailslotd_maildir_removed_total", ["destination"],
        "Mail removed from a Maildir because of its size or age limit.";
    messenger_connections: IntGauge, "mailslotd_messenger_connections", [],
        "Connections for sessions of `net send`, TCP 139, that are open now.";
    messenger_connections_refused: IntCounterVec, "mailslotd_messenger_connections_refused_total", ["reason"],
        "Connections to TCP 139 that were turned away before their session began, by reason.";
    messenger_sessions_ended: IntCounterVec, "mailslotd_messenger_sessions_ended_total", ["ending"],
        "Sessions on TCP 139 that ended, by how: `file_server`, `name_not_present` and `not_listening` were refused.";
    messenger_messages: IntCounterVec, "mailslotd_messenger_messages_total", ["outcome"],
        "Messages that senders began on TCP 139, by what became of them; `durable` and `duplicate` were answered with success.";
    smtp_connections: IntGaugeVec, "mailslotd_smtp_connections", ["listener"],
        "SMTP connections that are open now.";
    smtp_connections_refused: IntCounterVec, "mailslotd_smtp_connections_refused_total", ["listener", "reason"],
        "SMTP connections that were turned away before their session began, by reason.";
    smtp_sessions_ended: IntCounterVec, "mailslotd_smtp_sessions_ended_total", ["listener", "ending"],
        "SMTP sessions that ended, by how.";
    smtp_replies: IntCounterVec, "mailslotd_smtp_replies_total", ["listener", "class"],
        "Replies to SMTP clients, by the first digit of their code.";
    smtp_messages: IntCounterVec, "mailslotd_smtp_messages_total", ["listener", "outcome"],
        "Messages whose content SMTP clients began to send, by what became of them; `refused` ones were too large or malformed, of `abandoned` ones the end did not come.";
    smtp_denied: IntCounterVec, "mailslotd_smtp_denied_total", ["listener", "reason"],
        "Senders and recipients of SMTP clients that the policy refused, by reason: `relay_access_denied`, `unknown_recipient` and so on.";
    smtp_auth: IntCounterVec, "mailslotd_smtp_auth_total", ["listener", "mechanism", "outcome"],
        "AUTH of SMTP clients that was decided, by mechanism and outcome.";
    smtp_tls_handshakes: IntCounterVec, "mailslotd_smtp_tls_handshakes_total", ["listener", "outcome"],
        "TLS handshakes with SMTP clients: the version agreed on, or why there was none; the log says what the client offered.";
    tarpit_delayed: IntGauge, "mailslotd_tarpit_delayed", [],
        "SMTP sessions that the tar pit makes wait now.";
    tarpit_replies: IntCounter, "mailslotd_tarpit_replies_total", [],
        "Replies that the tar pit held back.";
    tarpit_seconds: Counter, "mailslotd_tarpit_seconds_total", [],
        "Seconds for which the tar pit held replies back, in all.";
    tarpit_turns_waited: IntCounter, "mailslotd_tarpit_turns_waited_total", [],
        "RCPTs that waited for their turn.";
    tarpit_turned_away: IntCounterVec, "mailslotd_tarpit_turned_away_total", ["reason"],
        "Commands that got 421, by reason: their network owed more than `max_line`, or `max_delayed` sessions waited already.";
    tarpit_gave_up: IntCounter, "mailslotd_tarpit_gave_up_total", [],
        "Clients that hung up while they waited.";
    tarpit_proved_good: IntCounter, "mailslotd_tarpit_proved_good_total", [],
        "Clients that had to wait and then authenticated or had mail accepted: each was an honest one.";
    directory_lookups: IntCounterVec, "mailslotd_directory_lookups_total", ["source", "answer"],
        "Questions whether a recipient exists, by the source that answered.";
    directory_lookup_seconds: Histogram, "mailslotd_directory_lookup_seconds", [],
        "Time until it was known whether a recipient exists.";
    directory_remembered: IntGauge, "mailslotd_directory_remembered", [],
        "Answers of LDAP directories and next hops that are remembered.";
    dnsbl_lookups: IntCounterVec, "mailslotd_dnsbl_lookups_total", ["list", "outcome"],
        "Questions to DNS block lists about clients; only listed refuses mail.";
    pickup_files: IntCounterVec, "mailslotd_pickup_files_total", ["outcome"],
        "Files of the pickup directory, by what became of them; each attempt of one that has to wait counts as deferred.";
    inventory_sightings_dropped: IntCounter, "mailslotd_inventory_sightings_dropped_total", [],
        "Sightings of hosts and SMTP clients that the inventory could not take note of: a flood, or a disk that does not keep up.";
    inventory_hosts: IntGauge, "mailslotd_inventory_hosts", [],
        "Hosts of the legacy protocols that the inventory knows; at most 10000.";
    credential_end: IntGaugeVec, "mailslotd_credential_expiry_timestamp_seconds", ["kind", "name"],
        "When a certificate of a listener or destination, or a client secret whose day was written down, ends, in seconds since 1970.";
    panics: IntCounter, "mailslotd_panics_total", [],
        "Tasks that ended by a defect in this program; please report it.";
}

/// The handles of all metrics; made once and shared.
#[derive(Debug)]
pub struct Metrics {
    declared: Declared,
    /// Those of `mailslotd_datagrams_dropped_total`, on the path of every datagram.
    dropped: [IntCounter; DropReason::ALL.len()],
    /// Those of `mailslotd_notices_withheld_total`, by listener.
    withheld: [[IntCounter; Withheld::ALL.len()]; 2],
}

impl Metrics {
    /// A registry with everything declared.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "the declarations above are constants; a test builds them")]
    pub fn new() -> Self {
        let declared = Declared::build().expect("metric declarations are valid and distinct");
        let process = prometheus::process_collector::ProcessCollector::for_self();
        let registered = declared.registry.register(Box::new(process));
        debug_assert!(registered.is_ok(), "process metrics clash with ours");
        let counter = |reason: DropReason| declared.datagrams_dropped.with_label_values(&[reason.as_str()]);
        let dropped = DropReason::ALL.map(counter);
        let withheld = [Listener::Datagram, Listener::Messenger].map(|listener| {
            Withheld::ALL.map(|reason| {
                declared.notices_withheld.with_label_values(&[listener.as_str(), reason.as_str()])
            })
        });
        Self { declared, dropped, withheld }
    }

    /// One or more datagrams were read from UDP 138.
    pub fn datagrams_received(&self, count: u64) {
        self.declared.datagrams_received.inc_by(count);
    }

    /// One or more datagrams did not become a message.
    pub fn datagrams_dropped(&self, reason: DropReason, count: u64) {
        if let Some(counter) = self.dropped.get(reason.index()) {
            counter.inc_by(count);
        }
    }

    /// How many datagrams were dropped for this reason since start.
    #[must_use]
    pub fn dropped_so_far(&self, reason: DropReason) -> u64 {
        self.dropped.get(reason.index()).map_or(0, IntCounter::get)
    }

    /// A datagram's DGM_LENGTH lied.
    pub fn dgm_length_mismatch(&self) {
        self.declared.dgm_length_mismatches.inc();
    }

    /// The counter of messages of one mailslot under one rule; keep the handle. `mailslot` comes from
    /// [`mailslot_label`].
    #[must_use]
    pub fn notices(&self, mailslot: &'static str, rule: &RuleName) -> IntCounter {
        self.declared.notices.with_label_values(&[mailslot, rule.as_str()])
    }

    /// The counter of messages discarded for one reason of the configuration; keep the handle.
    #[must_use]
    pub fn notices_discarded(&self, reason: &str) -> IntCounter {
        self.declared.notices_discarded.with_label_values(&[reason])
    }

    /// A message was not taken.
    pub fn notice_withheld(&self, listener: Listener, reason: Withheld) {
        if let Some(counter) = self.withheld_counter(listener, reason) {
            counter.inc();
        }
    }

    /// How many messages were not taken for this reason since start.
    #[must_use]
    pub fn withheld_so_far(&self, listener: Listener, reason: Withheld) -> u64 {
        self.withheld_counter(listener, reason).map_or(0, IntCounter::get)
    }

    fn withheld_counter(&self, listener: Listener, reason: Withheld) -> Option<&IntCounter> {
        let of_listener = match listener {
            Listener::Datagram => self.withheld.first(),
            Listener::Messenger => self.withheld.last(),
        };
        of_listener.and_then(|counters| counters.get(reason.index()))
    }

    /// Whether messages of a direction pass, and when that ends by itself.
    pub fn set_mailslots(&self, direction: &'static str, enabled: bool, end: Option<Timestamp>) {
        self.declared.mailslots_enabled.with_label_values(&[direction]).set(enabled.into());
        let end = end.map_or(0, Timestamp::as_second);
        self.declared.mailslots_end.with_label_values(&[direction]).set(end);
        self.declared.mailslots_announcements.with_label_values(&[direction]);
    }

    /// It was announced that messages of a direction will be switched off.
    pub fn mailslots_end_announced(&self, direction: &'static str) {
        self.declared.mailslots_announcements.with_label_values(&[direction]).inc();
    }

    /// A NetBIOS packet left this host by our doing.
    pub fn netbios_packet_sent(&self) {
        self.declared.netbios_packets_sent.inc();
    }

    /// Bytes between socket and spool.
    pub fn set_backlog_bytes(&self, bytes: usize) {
        self.declared.backlog_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Copies for one destination in one state.
    pub fn set_spool_messages(&self, destination: &str, state: SpoolState, count: i64) {
        self.declared.spool_messages.with_label_values(&[destination, state.as_str()]).set(count);
    }

    /// Bytes of all messages in the spool.
    pub fn set_spool_bytes(&self, bytes: u64) {
        self.declared.spool_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// The spool of the group is in this state.
    pub fn set_spool_group(&self, state: GroupState) {
        for each in GroupState::ALL {
            self.declared.spool_group.with_label_values(&[each.as_str()]).set((each == state).into());
        }
    }

    /// So many messages wait in the local spool for the group's.
    pub fn set_spool_fallback(&self, messages: u64) {
        self.declared.spool_fallback.set(i64::try_from(messages).unwrap_or(i64::MAX));
    }

    /// Whether the spool accepts messages of a class.
    pub fn set_spool_accepting(&self, class: Class, accepting: bool) {
        self.declared.spool_accepting.with_label_values(&[class_label(class)]).set(accepting.into());
    }

    /// The spool refused messages, for a reason of `SpoolError`'s.
    pub fn spool_refused(&self, reason: &'static str, count: u64) {
        self.declared.spool_refused.with_label_values(&[reason]).inc_by(count);
    }

    /// A message could not be read back.
    pub fn spool_corrupt(&self) {
        self.declared.spool_corrupt.inc();
    }

    /// One commit took this long.
    pub fn spool_committed(&self, seconds: f64) {
        self.declared.spool_commit_seconds.observe(seconds);
    }

    /// Messages of a class became durable.
    pub fn spool_accepted(&self, class: Class, count: u64) {
        self.declared.spool_accepted.with_label_values(&[class_label(class)]).inc_by(count);
    }

    /// Messages were counted into an earlier one.
    pub fn spool_gathered(&self, count: u64) {
        self.declared.spool_gathered.inc_by(count);
    }

    /// One recipient's attempt ended.
    pub fn delivery(&self, destination: &DestinationName, result: DeliveryResult) {
        self.declared.deliveries.with_label_values(&[destination.as_str(), result.as_str()]).inc();
    }

    /// A destination is in this state now.
    pub fn set_destination_state(&self, destination: &DestinationName, state: DestinationState) {
        for each in DestinationState::ALL {
            let labels = [destination.as_str(), each.as_str()];
            self.declared.destination_state.with_label_values(&labels).set((each == state).into());
        }
    }

    /// Mail was removed from a Maildir by its limits.
    pub fn maildir_removed(&self, destination: &DestinationName, count: u64) {
        self.declared.maildir_removed.with_label_values(&[destination.as_str()]).inc_by(count);
    }

    /// So many hosts are known.
    pub fn set_inventory_hosts(&self, count: usize) {
        self.declared.inventory_hosts.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// A sighting of a host or of a client was dropped.
    pub fn inventory_sighting_dropped(&self) {
        self.declared.inventory_sightings_dropped.inc();
    }

    /// A task ended by a defect.
    pub fn panicked(&self) {
        self.declared.panics.inc();
    }

    /// All metrics in Prometheus' text form.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = Vec::new();
        let encoded = TextEncoder::new().encode(&self.declared.registry.gather(), &mut text);
        debug_assert!(encoded.is_ok(), "{encoded:?}");
        String::from_utf8(text).unwrap_or_default()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// The label of a mailslot: the known ones by their last word, any other `other`.
#[must_use]
pub fn mailslot_label(mailslot: &str) -> &'static str {
    match mailslot {
        r"\MAILSLOT\MESSNGR" => "messngr",
        r"\MAILSLOT\BROWSE" => "browse",
        r"\MAILSLOT\LANMAN" => "lanman",
        r"\MAILSLOT\NET\NETLOGON" => "netlogon",
        r"\MAILSLOT\NET\NTLOGON" => "ntlogon",
        _ => "other",
    }
}

const fn class_label(class: Class) -> &'static str {
    match class {
        Class::Notice => "notice",
        Class::Mail => "mail",
    }
}

/// How each kind of metric is made.
trait Declare: Sized {
    fn declare(name: &str, help: &str, labels: &[&str]) -> prometheus::Result<Self>;
}

impl Declare for IntCounter {
    fn declare(name: &str, help: &str, _: &[&str]) -> prometheus::Result<Self> {
        Self::new(name, help)
    }
}

impl Declare for Counter {
    fn declare(name: &str, help: &str, _: &[&str]) -> prometheus::Result<Self> {
        Self::new(name, help)
    }
}

impl Declare for IntGauge {
    fn declare(name: &str, help: &str, _: &[&str]) -> prometheus::Result<Self> {
        Self::new(name, help)
    }
}

impl Declare for IntCounterVec {
    fn declare(name: &str, help: &str, labels: &[&str]) -> prometheus::Result<Self> {
        Self::new(Opts::new(name, help), labels)
    }
}

impl Declare for IntGaugeVec {
    fn declare(name: &str, help: &str, labels: &[&str]) -> prometheus::Result<Self> {
        Self::new(Opts::new(name, help), labels)
    }
}

impl Declare for Histogram {
    fn declare(name: &str, help: &str, _: &[&str]) -> prometheus::Result<Self> {
        let seconds = prometheus::exponential_buckets(0.0005, 2.0, 14)?;
        Self::with_opts(HistogramOpts::new(name, help).buckets(seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_declared_metric_that_needs_no_label_is_in_the_text_from_the_start() {
        let text = Metrics::new().encode();
        for (name, labels, help) in TABLE {
            if labels.is_empty() {
                assert!(text.contains(&format!("# HELP {name} {help}")), "{name}");
            }
        }
        assert!(text.contains("mailslotd_netbios_packets_sent_total 0"));
    }

    #[test]
    fn every_reason_of_a_loss_is_in_the_text_before_the_first_loss() {
        let metrics = Metrics::new();
        metrics.datagrams_dropped(DropReason::Kernel, 3);
        let text = metrics.encode();
        for reason in DropReason::ALL {
            let count = if reason == DropReason::Kernel { 3 } else { 0 };
            let line = format!("mailslotd_datagrams_dropped_total{{reason=\"{}\"}} {count}", reason.as_str());
            assert!(text.contains(&line), "{line}");
        }
    }

    #[test]
    fn a_mailslot_that_a_peer_invents_makes_no_new_series() {
        assert_eq!(mailslot_label(r"\MAILSLOT\X"), "other");
        assert_eq!(mailslot_label(r"\MAILSLOT\MESSNGR"), "messngr");
    }
}
