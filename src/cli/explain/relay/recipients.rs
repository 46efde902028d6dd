//! What the sources of recipients say of one.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::config::settings::{RecipientSource, Settings};
use crate::directory::{Asker, Directory, SetupError, Statement};
use crate::session::smtp_server::Existence;
use crate::wire::smtp::path::{ForwardPath, Mailbox};

/// Which sources are asked.
#[derive(Debug)]
pub(super) enum Reach {
    /// Lists and files.
    ThisHost {
        /// Why no others.
        why: String,
    },
    /// Directories and next hops too.
    Network,
}

/// What all of them say.
#[derive(Debug, Serialize)]
pub(super) struct Filter {
    verdict: Verdict,
    sources: Vec<Said>,
}

/// What it comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    NoFilter,
    Known,
    /// The postmaster of an accepted domain.
    Postmaster,
    /// No source said yes, and `on_directory_failure: accept` believes this client.
    Believed,
    Unknown,
    Unavailable,
    /// No source that was asked said yes, and others were not asked.
    Undecided,
}

/// What one source says.
#[derive(Debug, Serialize)]
struct Said {
    source: String,
    answer: Answer,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Known,
    Unknown,
    None,
    NotAsked,
}

impl Filter {
    /// Asks those in reach.
    pub(super) async fn ask(
        settings: &Settings,
        recipient: &Mailbox,
        asker: Asker,
        reach: &Reach,
    ) -> Result<Self, SetupError> {
        let smtp = &settings.smtp;
        let is_asked = |source: &RecipientSource| match (source, reach) {
            (RecipientSource::List(_) | RecipientSource::File(_), _) | (_, Reach::Network) => true,
            (RecipientSource::Ldap(_) | RecipientSource::CallForward(_), Reach::ThisHost { .. }) => false,
        };
        let asked: Vec<RecipientSource> =
            smtp.recipients.iter().filter(|source| is_asked(source)).cloned().collect();
        let hostname = settings.hostname.as_deref().unwrap_or("localhost.invalid");
        let directory = Directory::new(&asked, smtp.on_directory_failure, hostname, Arc::default())?;
        let (existence, statements) = directory.explain(recipient, asker, WITHIN).await;
        directory.close().await;
        let mut statements = statements.into_iter();
        let sources: Vec<Said> = smtp
            .recipients
            .iter()
            .map(|source| match (is_asked(source).then(|| statements.next()).flatten(), reach) {
                (Some(statement), _) => Said::of(source, statement),
                (None, reach) => Said::not_asked(source, reach),
            })
            .collect();
        Ok(Self { verdict: Verdict::of(existence, recipient, &sources), sources })
    }

    /// The reply at RCPT, if they do not let the recipient pass, and its reason.
    pub(super) fn refusal(&self, to: &ForwardPath) -> Option<(&'static str, String)> {
        match self.verdict {
            Verdict::Unknown => Some(("unknown_recipient", format!("550 5.1.1 <{to}>: Recipient unknown"))),
            Verdict::Unavailable => Some((
                "directory_unavailable",
                format!("451 4.3.0 <{to}>: Recipient cannot be looked up now"),
            )),
            Verdict::NoFilter
            | Verdict::Known
            | Verdict::Postmaster
            | Verdict::Believed
            | Verdict::Undecided => None,
        }
    }

    /// What it comes to, and what each says.
    pub(super) fn for_people(&self) -> Vec<String> {
        let verdict = match self.verdict {
            Verdict::NoFilter => "no filter: every address of the domain is taken",
            Verdict::Known => "known: any yes wins",
            Verdict::Postmaster => "the postmaster of an accepted domain always exists (RFC 5321 §4.5.1)",
            Verdict::Believed => {
                "no yes and no clear no; this client is believed, by on_directory_failure: accept"
            }
            Verdict::Unknown => "refuses: all say no",
            Verdict::Unavailable => "refuses for now: no yes, and not all could say no",
            Verdict::Undecided => "undecided: no yes, and not all were asked",
        };
        let said = self.sources.iter().map(|Said { source, answer, cause }| {
            let answer = match answer {
                Answer::Known => "says yes",
                Answer::Unknown => "says no",
                Answer::None => "gives no answer",
                Answer::NotAsked => "is not asked",
            };
            // Most causes begin with whose they are.
            let bare = |cause: &str| {
                cause.strip_prefix(source.as_str()).unwrap_or(cause).trim_start_matches([':', ' ']).to_owned()
            };
            let cause = cause.as_deref().map(|cause| format!(": {}", bare(cause))).unwrap_or_default();
            format!("{source} {answer}{cause}")
        });
        std::iter::once(verdict.to_owned()).chain(said).collect()
    }
}

impl Verdict {
    fn of(existence: Existence, recipient: &Mailbox, sources: &[Said]) -> Self {
        let says = |answer| sources.iter().any(|said| said.answer == answer);
        match existence {
            _ if sources.is_empty() => Self::NoFilter,
            _ if says(Answer::Known) => Self::Known,
            Existence::Known if recipient.local_part().eq_ignore_ascii_case("postmaster") => Self::Postmaster,
            _ if says(Answer::NotAsked) => Self::Undecided,
            Existence::Known => Self::Believed,
            Existence::Unknown => Self::Unknown,
            Existence::Unavailable => Self::Unavailable,
        }
    }
}

impl Said {
    fn of(source: &RecipientSource, statement: Statement) -> Self {
        let Statement { answer, cause, .. } = statement;
        let answer = match answer {
            Existence::Known => Answer::Known,
            Existence::Unknown => Answer::Unknown,
            Existence::Unavailable => Answer::None,
        };
        Self { source: named(source), answer, cause }
    }

    fn not_asked(source: &RecipientSource, reach: &Reach) -> Self {
        let cause = match reach {
            Reach::ThisHost { why } => Some(why.clone()),
            Reach::Network => None,
        };
        Self { source: named(source), answer: Answer::NotAsked, cause }
    }
}

fn named(source: &RecipientSource) -> String {
    match source {
        RecipientSource::List(_) => "the list in the configuration".to_owned(),
        RecipientSource::File(path) => path.display().to_string(),
        RecipientSource::Ldap(ldap) => ldap.url.clone(),
        RecipientSource::CallForward(next_hop) => format!("{}:{}", next_hop.host, next_hop.port),
    }
}

/// The operator waits.
const WITHIN: Duration = Duration::from_secs(10);
