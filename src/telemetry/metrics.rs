//! Every metric, declared once. Labels are enums of this program or names from the configuration, never from a peer.

mod credentials;
mod datagrams;
mod declare;
mod deliveries;
mod group;
mod lookups;
pub mod messenger;
mod names;
mod pickup;
mod reports;
pub mod smtp;
mod spool;

use jiff::Timestamp;
use prometheus::{
    Counter, Encoder as _, Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry, TextEncoder,
};

use crate::message::id::RuleName;
use crate::message::notice::Listener;
pub use credentials::CredentialKind;
pub use datagrams::{DropReason, Withheld};
use declare::Declare;
pub use deliveries::{DeliveryResult, DestinationState};
pub use group::{GroupLead, GroupState};
pub use lookups::{DirectoryAnswer, DnsblOutcome, SourceKind};
pub use names::{ConflictWith, NameState};
pub use pickup::PickupOutcome;
pub use reports::{ReportKind, ReportOutcome};
pub use spool::SpoolState;

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
    spool_doubled: IntCounter, "mailslotd_spool_doubled_total", [],
        "Messages that two gateways heard and the stream of the group's spool took twice: dropped before delivery.";
    spool_group: IntGaugeVec, "mailslotd_spool_group", ["state"],
        "1 for the state that the spool of the group is in, 0 for the others; none where there is no group.";
    spool_group_silent_since: IntGauge, "mailslotd_spool_group_silent_since_seconds", [],
        "Since when the servers of the group's spool do not answer, in seconds since 1970; 0 while they do.";
    spool_group_lead: IntGaugeVec, "mailslotd_spool_group_lead", ["state"],
        "1 for what is true of this gateway, 0 for the others: the lead of the group, with its names on UDP 137, is `ours`, `another` gateway's, or `lapsed` because no server hears that it is ours.";
    spool_group_gateways: IntGauge, "mailslotd_spool_group_gateways", [],
        "Gateways of the group that lived when its servers last answered, this one included.";
    spool_group_replicas: IntGaugeVec, "mailslotd_spool_group_replicas", ["state"],
        "Servers that the spool of the group is to lie on (`wanted`), and those that had all of it when they last answered (`current`).";
    spool_fallback: IntGauge, "mailslotd_spool_fallback_messages", [],
        "Messages that the local spool took while that of the group did not answer, and that are not there yet.";
    deliveries: IntCounterVec, "mailslotd_deliveries_total", ["destination", "outcome"],
        "Attempts for one recipient, by destination and outcome.";
    reports: IntCounterVec, "mailslotd_reports_total", ["kind", "outcome"],
        "Reports to senders about their mail, by what they tell, and to the operator about legacy messages that failed and secrets that end; kept ones are on their way, for the others there was no route, or one like it had just gone.";
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
