//! Metrics of the name service, UDP 137.

use super::Metrics;

/// Where the claim of a name stands, as `mailslotd_netbios_names` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NameState {
    /// Not ours yet.
    Claiming,
    /// Ours.
    Claimed,
    /// Another host's.
    Conflict,
}

impl NameState {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Claiming, Self::Claimed, Self::Conflict];

    /// The label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Claiming => "claiming",
            Self::Claimed => "claimed",
            Self::Conflict => "conflict",
        }
    }
}

/// Who says that a name is another host's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConflictWith {
    /// The host itself.
    Host,
    /// A WINS server.
    Wins,
}

impl ConflictWith {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Host, Self::Wins];

    /// The label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Wins => "wins",
        }
    }
}

impl Metrics {
    /// One or more packets were read from UDP 137.
    pub fn name_packets_received(&self, count: u64) {
        self.declared.name_packets_received.inc_by(count);
    }

    /// A query or a node status request was heard; what became of it.
    pub fn name_query(&self, answer: &'static str) {
        self.declared.name_queries.with_label_values(&[answer]).inc();
    }

    /// Packets of UDP 137 were left aside though they should not have come, or not so many.
    pub fn name_packets_ignored(&self, reason: &'static str, count: u64) {
        self.declared.name_packets_ignored.with_label_values(&[reason]).inc_by(count);
    }

    /// A name is not ours to claim at this time.
    pub fn clear_name_state(&self, name: &str, suffix: &str) {
        for each in NameState::ALL {
            self.declared.netbios_names.with_label_values(&[name, suffix, each.as_str()]).set(0);
        }
    }

    /// A name of ours is in this state now. `name` comes from the configuration.
    pub fn set_name_state(&self, name: &str, suffix: &str, state: NameState) {
        for each in NameState::ALL {
            let labels = [name, suffix, each.as_str()];
            self.declared.netbios_names.with_label_values(&labels).set((each == state).into());
        }
    }

    /// A name of ours turned out to be another host's.
    pub fn name_conflict(&self, with: ConflictWith) {
        self.declared.name_conflicts.with_label_values(&[with.as_str()]).inc();
    }

    /// Another host wanted a name of ours and was refused.
    pub fn name_claim_refused(&self) {
        self.declared.name_claims_refused.inc();
    }

    /// So many WINS servers do not answer.
    pub fn set_wins_silent(&self, count: usize) {
        self.declared.wins_silent.set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}
