//! Metrics of questions to others: recipients, DNS block lists.

use super::Metrics;

/// Where the answer about a recipient came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SourceKind {
    /// A list in the configuration.
    List,
    /// A file.
    File,
    /// An LDAP directory.
    Ldap,
    /// The next hop.
    CallForward,
    /// What an LDAP directory or a next hop answered before.
    Memory,
}

impl SourceKind {
    /// The label, and the word in the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::File => "file",
            Self::Ldap => "ldap",
            Self::CallForward => "callforward",
            Self::Memory => "memory",
        }
    }
}

/// What a source said about a recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DirectoryAnswer {
    /// It exists.
    Known,
    /// It does not.
    Unknown,
    /// Nothing.
    Unavailable,
}

impl DirectoryAnswer {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Known => "known",
            Self::Unknown => "unknown",
            Self::Unavailable => "unavailable",
        }
    }
}

/// What a DNS block list said about a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DnsblOutcome {
    /// It is listed.
    Listed,
    /// It is not.
    NotListed,
    /// The list does not answer this resolver (127.255.255.x).
    Refused,
    /// An address that no list answers with: the resolver makes answers up.
    Foreign,
    /// Nothing in time.
    TimedOut,
    /// The resolver failed.
    Failed,
}

impl DnsblOutcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Listed => "listed",
            Self::NotListed => "not_listed",
            Self::Refused => "refused",
            Self::Foreign => "foreign",
            Self::TimedOut => "timed_out",
            Self::Failed => "failed",
        }
    }
}

impl Metrics {
    /// A source was asked for a recipient.
    pub fn directory_lookup(&self, source: SourceKind, answer: DirectoryAnswer) {
        self.declared.directory_lookups.with_label_values(&[source.as_str(), answer.as_str()]).inc();
    }

    /// A recipient was looked up in all sources, in so long.
    pub fn directory_answered(&self, seconds: f64) {
        self.declared.directory_lookup_seconds.observe(seconds);
    }

    /// So many answers are remembered.
    pub fn set_directory_remembered(&self, answers: usize) {
        self.declared.directory_remembered.set(i64::try_from(answers).unwrap_or(i64::MAX));
    }

    /// A DNS block list, named in the configuration, was asked about a client.
    pub fn dnsbl_lookup(&self, list: &str, outcome: DnsblOutcome) {
        self.declared.dnsbl_lookups.with_label_values(&[list, outcome.as_str()]).inc();
    }
}
