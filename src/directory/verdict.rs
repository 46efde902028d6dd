//! What the answers of several sources come to.

use crate::config::settings::OnFailure;
use crate::session::smtp_server::Existence;

/// For whom a recipient is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asker {
    /// A client that is neither in a trusted network of its listener nor authenticated.
    Stranger,
    /// One that is.
    OwnUser,
}

/// Any yes wins: whoever knows an address will take mail for it. Unknown only when every source said so: one that could
/// not be asked might have known it, and 550 tells the sender to give up for good.
pub(super) fn combined(answers: impl IntoIterator<Item = Existence>) -> Existence {
    answers.into_iter().fold(Existence::Unknown, |before, answer| match (before, answer) {
        (Existence::Known, _) | (_, Existence::Known) => Existence::Known,
        (Existence::Unavailable, _) | (_, Existence::Unavailable) => Existence::Unavailable,
        (Existence::Unknown, Existence::Unknown) => Existence::Unknown,
    })
}

/// What an answer is worth to this client.
///
/// `accept` believes our own users only, who get a report if the address is wrong after all. A stranger is told to try
/// again whatever is configured: an outage of a directory must not be the hour in which every address is taken, and then
/// bounced to forged senders.
pub(super) const fn judged(existence: Existence, on_failure: OnFailure, asker: Asker) -> Existence {
    match (existence, on_failure, asker) {
        (Existence::Unavailable, OnFailure::Accept, Asker::OwnUser) => Existence::Known,
        (existence, OnFailure::Accept | OnFailure::Defer, Asker::OwnUser | Asker::Stranger) => existence,
    }
}

#[cfg(test)]
mod tests {
    use super::Existence::{Known, Unavailable, Unknown};
    use super::*;

    #[test]
    fn any_yes_wins_and_unknown_needs_every_no() {
        for (answers, result) in [
            (&[Known][..], Known),
            (&[Unknown], Unknown),
            (&[Unavailable], Unavailable),
            (&[Unknown, Known], Known),
            (&[Unavailable, Known], Known),
            (&[Known, Unavailable, Unknown], Known),
            (&[Unknown, Unavailable], Unavailable),
            (&[Unavailable, Unknown, Unknown], Unavailable),
            (&[Unknown, Unknown, Unknown], Unknown),
        ] {
            assert_eq!(combined(answers.iter().copied()), result, "{answers:?}");
            assert_eq!(combined(answers.iter().rev().copied()), result, "{answers:?} backwards");
        }
    }

    #[test]
    fn only_our_own_users_are_believed_during_an_outage_and_only_if_so_configured() {
        for (existence, on_failure, asker, result) in [
            (Unavailable, OnFailure::Accept, Asker::OwnUser, Known),
            (Unavailable, OnFailure::Accept, Asker::Stranger, Unavailable),
            (Unavailable, OnFailure::Defer, Asker::OwnUser, Unavailable),
            (Unavailable, OnFailure::Defer, Asker::Stranger, Unavailable),
            (Unknown, OnFailure::Accept, Asker::OwnUser, Unknown),
            (Known, OnFailure::Defer, Asker::Stranger, Known),
        ] {
            assert_eq!(
                judged(existence, on_failure, asker),
                result,
                "{existence:?} {on_failure:?} {asker:?}"
            );
        }
    }
}
