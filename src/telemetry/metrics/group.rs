//! Metrics of the spool that several gateways share.

use jiff::Timestamp;

use super::Metrics;

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

/// Who leads the group, as `mailslotd_spool_group_lead` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GroupLead {
    /// This gateway.
    Ours,
    /// This gateway did, and could not say so to the servers since.
    Lapsed,
    /// Another, or nobody.
    Another,
}

impl GroupLead {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ours, Self::Lapsed, Self::Another];

    /// The label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Lapsed => "lapsed",
            Self::Another => "another",
        }
    }
}

impl Metrics {
    /// The spool of the group is in this state.
    pub fn set_spool_group(&self, state: GroupState) {
        for each in GroupState::ALL {
            self.declared.spool_group.with_label_values(&[each.as_str()]).set((each == state).into());
        }
    }

    /// Since when the servers of the group's spool do not answer; `None` while they do.
    pub fn set_spool_group_silent_since(&self, since: Option<Timestamp>) {
        self.declared.spool_group_silent_since.set(since.map_or(0, Timestamp::as_second));
    }

    /// Who leads the group.
    pub fn set_spool_group_lead(&self, lead: GroupLead) {
        for each in GroupLead::ALL {
            self.declared.spool_group_lead.with_label_values(&[each.as_str()]).set((each == lead).into());
        }
    }

    /// So many gateways of the group live, this one included.
    pub fn set_spool_group_gateways(&self, gateways: usize) {
        self.declared.spool_group_gateways.set(i64::try_from(gateways).unwrap_or(i64::MAX));
    }

    /// On how many servers all of the group's messages are to be, and are.
    pub fn set_spool_group_replicas(&self, wanted: usize, current: usize) {
        for (state, count) in [("wanted", wanted), ("current", current)] {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.declared.spool_group_replicas.with_label_values(&[state]).set(count);
        }
    }

    /// So many messages wait in the local spool for the group's.
    pub fn set_spool_fallback(&self, messages: u64) {
        self.declared.spool_fallback.set(i64::try_from(messages).unwrap_or(i64::MAX));
    }
}
