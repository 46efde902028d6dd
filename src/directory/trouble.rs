//! Tells the operator that a source is in trouble, and that it is well again, without filling the log.
#![expect(clippy::disallowed_methods, reason = "how often the log is told is measured here")]

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::SourceKind;
use crate::wire::smtp::reply::is_unprintable;

/// What is wrong with one source, and what the log was told of it.
#[derive(Debug)]
pub(super) struct Trouble {
    source: SourceKind,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    cause: Option<String>,
    /// What was told last of a trouble that is not over.
    told: Option<String>,
    told_at: Option<Instant>,
}

/// What to say.
#[derive(Debug, PartialEq, Eq)]
enum News {
    Nothing,
    Begun,
    Over,
}

impl Trouble {
    pub(super) fn new(source: SourceKind) -> Self {
        Self { source, state: Mutex::default() }
    }

    /// The source cannot answer. `cause` names it and says what to do; it may quote others, and is escaped here.
    pub(super) fn begun(&self, cause: &str) {
        let cause = escaped(cause);
        if self.state().begun(&cause, Instant::now()) == News::Begun {
            tracing::warn!(
                source = self.source.as_str(), %cause,
                "A recipient source cannot answer: recipients that no other source knows get 451."
            );
        }
    }

    /// The source answers.
    pub(super) fn over(&self) {
        if self.state().over() == News::Over {
            tracing::info!(source = self.source.as_str(), "A recipient source answers again.");
        }
    }

    /// What is wrong now.
    pub(super) fn cause(&self) -> Option<String> {
        self.state().cause.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn escaped(text: &str) -> String {
    let mut shown = String::new();
    for character in text.chars().take(MAX_CAUSE) {
        if is_unprintable(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

impl State {
    fn begun(&mut self, cause: &str, now: Instant) -> News {
        self.cause = Some(cause.to_owned());
        let is_told = self.told.as_deref() == Some(cause);
        if is_told || self.told_at.is_some_and(|told_at| now.duration_since(told_at) < PAUSE) {
            return News::Nothing;
        }
        self.told = Some(cause.to_owned());
        self.told_at = Some(now);
        News::Begun
    }

    fn over(&mut self) -> News {
        self.cause = None;
        if self.told.take().is_some() { News::Over } else { News::Nothing }
    }
}

/// Between two troubles that are told: one recipient among many that gets 4yz must not fill the log.
const PAUSE: Duration = Duration::from_secs(60);
const MAX_CAUSE: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_is_told_once_and_so_is_its_end() {
        let start = Instant::now();
        let mut state = State::default();
        assert_eq!(state.over(), News::Nothing);
        assert_eq!(state.begun("away", start), News::Begun);
        assert_eq!(state.begun("away", start + PAUSE * 3), News::Nothing);
        assert_eq!(state.over(), News::Over);
        assert_eq!((state.over(), &state.cause), (News::Nothing, &None));
    }

    #[test]
    fn a_trouble_that_comes_and_goes_or_changes_its_face_is_told_once_a_minute() {
        let start = Instant::now();
        let mut state = State::default();
        assert_eq!(state.begun("away", start), News::Begun);
        assert_eq!(state.begun("closed", start + PAUSE / 2), News::Nothing);
        assert_eq!(state.cause.as_deref(), Some("closed"));
        assert_eq!(state.over(), News::Over);
        assert_eq!((state.begun("away", start + PAUSE / 2), state.over()), (News::Nothing, News::Nothing));
        assert_eq!(state.begun("closed", start + PAUSE), News::Begun);
    }
}
