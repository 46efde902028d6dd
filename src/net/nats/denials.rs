//! What a server says that we may not do: it says so on the connection, beside what was asked.

use std::collections::VecDeque;

use tokio::sync::watch;

/// Something that the account may not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denial {
    /// Publish to this subject.
    Publish(String),
    /// Subscribe to this subject; where it is our inbox, no answer ever comes.
    Subscribe(String),
}

/// The latest denials of a connection. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Denials(watch::Sender<Latest>);

#[derive(Debug, Default)]
struct Latest {
    /// How many there were before those that are kept.
    before: u64,
    kept: VecDeque<Denial>,
}

/// Sees the denials of a connection from a point in time on.
#[derive(Debug)]
pub struct Watch {
    latest: watch::Receiver<Latest>,
    from: u64,
}

impl Denials {
    /// The server said this.
    pub(super) fn heard(&self, said: &str) {
        let Some(denial) = Denial::parse(said) else { return };
        self.0.send_modify(|latest| {
            if latest.kept.len() >= KEPT {
                latest.kept.pop_front();
                latest.before = latest.before.saturating_add(1);
            }
            latest.kept.push_back(denial);
        });
    }

    pub(super) fn watch(&self) -> Watch {
        let latest = self.0.subscribe();
        let from = latest.borrow().end();
        Watch { latest, from }
    }
}

impl Watch {
    /// Returns when something was denied that keeps a publisher to `subject` from its acknowledgement; never, when the
    /// connection has ended.
    pub async fn denied(&mut self, subject: &str) -> Denial {
        let from = self.from;
        let concerns = |latest: &Latest| latest.since(from).find(|denial| denial.concerns(subject)).cloned();
        loop {
            if let Some(denial) = concerns(&self.latest.borrow_and_update()) {
                return denial;
            }
            if self.latest.changed().await.is_err() {
                std::future::pending().await
            }
        }
    }
}

impl Latest {
    fn end(&self) -> u64 {
        self.before.saturating_add(u64::try_from(self.kept.len()).unwrap_or(u64::MAX))
    }

    fn since(&self, from: u64) -> impl Iterator<Item = &Denial> {
        let passed = usize::try_from(from.saturating_sub(self.before)).unwrap_or(usize::MAX);
        self.kept.iter().skip(passed)
    }
}

impl Denial {
    /// `Permissions Violation for Publish to "plant.ups"`, as the server has it.
    fn parse(said: &str) -> Option<Self> {
        let quoted = |rest: &str| rest.split('"').nth(1).map(str::to_owned);
        let rest = said.strip_prefix("Permissions Violation for ")?;
        match rest.split_once(' ')? {
            ("Publish", rest) => quoted(rest).map(Self::Publish),
            ("Subscription", rest) => quoted(rest).map(Self::Subscribe),
            _ => None,
        }
    }

    fn concerns(&self, subject: &str) -> bool {
        match self {
            Self::Publish(denied) => denied == subject,
            Self::Subscribe(denied) => denied.starts_with("_INBOX."),
        }
    }
}

/// More at once come only from a flood of the same.
const KEPT: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_denial_is_seen_by_those_who_watched_before_it_and_by_nobody_after() {
        let denials = Denials::default();
        let mut early = denials.watch();
        denials.heard(r#"Permissions Violation for Publish to "plant.ups""#);
        denials.heard("Slow Consumer Detected");
        assert_eq!(early.denied("plant.ups").await, Denial::Publish("plant.ups".to_owned()));
        let mut late = denials.watch();
        for number in 0..100 {
            denials.heard(&format!(r#"Permissions Violation for Publish to "plant.{number}""#));
        }
        denials.heard(r#"Permissions Violation for Subscription to "_INBOX.x.*""#);
        assert_eq!(late.denied("plant.ups").await, Denial::Subscribe("_INBOX.x.*".to_owned()));
    }
}
