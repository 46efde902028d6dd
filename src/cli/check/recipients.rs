//! Whether those who know the recipients can be asked, and tell recipients apart.

use std::sync::Arc;
use std::time::Duration;

use crate::cli::Global;
use crate::cli::output::note;
use crate::config::check::Checked;
use crate::config::problem::{Place, Problem, Problems};
use crate::config::settings::RecipientSource;
use crate::directory::{Directory, Finding, FindingKind, SetupError, SourceKind};
use crate::policy::relay::DomainPattern;

/// What is wrong with the sources of recipients, found out by asking each of them for an address that nobody has. One
/// that cannot be asked is a warning, for it may come back; one that can never be is a problem.
pub(super) async fn examined(checked: &Checked, global: &Global) -> Problems {
    let mut found = Problems::default();
    let smtp = &checked.settings.smtp;
    for (source, place) in smtp.recipients.iter().zip(&checked.recipient_places) {
        if let Err(error) = directory(checked, std::slice::from_ref(source)) {
            let text = error.to_string();
            let (cause, fix) = parted(text.strip_prefix("relay.recipients: ").unwrap_or(&text));
            found.push(Problem::new(place, cause, fix));
        }
    }
    if !found.problems.is_empty() {
        return found;
    }
    let Ok(directory) = directory(checked, &smtp.recipients) else { return found };
    let is_asked = |source: &RecipientSource| {
        matches!(source, RecipientSource::Ldap(_) | RecipientSource::CallForward(_))
    };
    if smtp.recipients.iter().any(is_asked) && !global.quiet {
        note(format_args!("asking the sources of recipients, {WITHIN:?} at most; `--offline` asks nobody"));
    }
    // What is below a domain is not known by name.
    let domains: Vec<&str> = smtp
        .relay
        .accepted_domains
        .patterns()
        .iter()
        .filter_map(|pattern| match pattern {
            DomainPattern::Exact(domain) => Some(domain.as_str()),
            DomainPattern::Below(_) => None,
        })
        .collect();
    for finding in directory.examine(&domains, WITHIN).await {
        if let Some(place) = checked.recipient_places.get(finding.number) {
            found.warn(told(place, finding));
        }
    }
    directory.close().await;
    found
}

fn directory(checked: &Checked, sources: &[RecipientSource]) -> Result<Directory, SetupError> {
    let settings = &checked.settings;
    let hostname = settings.hostname.as_deref().unwrap_or("localhost.invalid");
    Directory::new(sources, settings.smtp.on_directory_failure, hostname, Arc::default())
}

fn told(place: &Place, finding: Finding) -> Problem {
    match finding.kind {
        FindingKind::Fault(fault) => {
            let (cause, fix) = parted(&fault);
            Problem::new(place, cause, fix)
        }
        FindingKind::AcceptsEverything(domain) => {
            let fix = if finding.source == SourceKind::Ldap {
                "have `filter` find nothing but entries that have {address}"
            } else {
                "switch on recipient filtering at that next hop, or use another source"
            };
            let cause = format!(
                "takes every address of {domain}, so that nobody is refused and the tar pit has no effect"
            );
            Problem::subject(place, cause, fix)
        }
    }
}

/// Cause and fix of a sentence that has both.
fn parted(text: &str) -> (String, String) {
    let (cause, fix) = text.split_once("; ").unwrap_or((
        text,
        "mend that there; until it answers, recipients that no other source knows get 451",
    ));
    (cause.to_owned(), fix.to_owned())
}

/// The operator waits.
const WITHIN: Duration = Duration::from_secs(10);
