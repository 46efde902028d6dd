//! What became of a packet.

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// A question for a name of ours was answered.
    Positive,
    /// A question to us alone, for a name that is not ours, was answered.
    Negative,
    /// A node status request was answered.
    NodeStatus,
    /// A host wanted a name of ours and was refused.
    Objection,
    /// A host wants a name of ours that nothing defends any more: it is the other's, and all names are to be let go of.
    Yielded,
    /// It answers what we asked, or nothing is to be said to it.
    Taken,
    /// Nothing came of it.
    Ignored(Ignored),
}

/// Why nothing came of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ignored {
    /// It is about a name that is not ours, or not ours alone; end nodes are silent then.
    NotOurs,
    /// We sent it ourselves.
    Own,
    /// It came in by an interface on which we own no names.
    NoLink,
    /// Its source is neither on the link nor a WINS server nor allowed.
    Stranger,
    /// It is in another scope.
    ForeignScope,
    /// Its source, or all together, were answered as often as they may be.
    RateLimited,
    /// It demands that a name of ours be given up.
    Demand,
    /// It answers nothing that we asked.
    Unsolicited,
    /// It is no packet of RFC 1002.
    Unknown,
    /// The names are being released.
    Leaving,
}

impl Verdict {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Positive,
        Self::Negative,
        Self::NodeStatus,
        Self::Objection,
        Self::Yielded,
        Self::Taken,
        Self::Ignored(Ignored::NotOurs),
        Self::Ignored(Ignored::Own),
        Self::Ignored(Ignored::NoLink),
        Self::Ignored(Ignored::Stranger),
        Self::Ignored(Ignored::ForeignScope),
        Self::Ignored(Ignored::RateLimited),
        Self::Ignored(Ignored::Demand),
        Self::Ignored(Ignored::Unsolicited),
        Self::Ignored(Ignored::Unknown),
        Self::Ignored(Ignored::Leaving),
    ];

    /// The word for metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Positive => "positive",
            Self::Negative => "negative",
            Self::NodeStatus => "node_status",
            Self::Objection => "objection",
            Self::Yielded => "yielded",
            Self::Taken => "taken",
            Self::Ignored(Ignored::NotOurs) => "not_ours",
            Self::Ignored(Ignored::Own) => "own",
            Self::Ignored(Ignored::NoLink) => "no_link",
            Self::Ignored(Ignored::Stranger) => "stranger",
            Self::Ignored(Ignored::ForeignScope) => "foreign_scope",
            Self::Ignored(Ignored::RateLimited) => "rate_limited",
            Self::Ignored(Ignored::Demand) => "demand",
            Self::Ignored(Ignored::Unsolicited) => "unsolicited",
            Self::Ignored(Ignored::Unknown) => "unknown",
            Self::Ignored(Ignored::Leaving) => "leaving",
        }
    }
}
