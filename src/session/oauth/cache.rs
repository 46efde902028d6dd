//! How long a token is used, and when it is renewed.

use std::time::{Duration, Instant};

use super::AccessToken;
use super::response::Granted;

/// A token with its times. They are counted from its arrival on this machine's own steady clock, so that a wall clock
/// that is wrong, or set in between, makes no token too old or too young.
#[derive(Debug, Clone)]
pub struct CachedToken {
    token: AccessToken,
    renew_at: Option<Instant>,
    ends_at: Option<Instant>,
}

/// What a token is worth now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// Use it.
    Fresh,
    /// Renew it; should that fail for the moment, it is still good.
    Due,
    /// It is over.
    Ended,
}

impl CachedToken {
    /// A token that has just arrived. `asked_at` is when it was asked for: its life began at some time since.
    #[must_use]
    pub fn new(granted: &Granted, asked_at: Instant) -> Self {
        let lifetime = granted.lifetime;
        let margin = MARGIN.min(lifetime.checked_div(5).unwrap_or_default());
        Self {
            token: granted.token.clone(),
            renew_at: asked_at.checked_add(lifetime.saturating_sub(margin)),
            ends_at: asked_at.checked_add(lifetime.saturating_sub(ON_ITS_WAY)),
        }
    }

    /// The token.
    #[must_use]
    pub const fn token(&self) -> &AccessToken {
        &self.token
    }

    /// It could not be renewed: it is left alone for a minute.
    pub fn postpone(&mut self, now: Instant) {
        self.renew_at = now.checked_add(Duration::from_secs(60));
    }

    /// What it is worth at `now`.
    #[must_use]
    pub fn freshness(&self, now: Instant) -> Freshness {
        let passed = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if passed(self.ends_at) {
            Freshness::Ended
        } else if passed(self.renew_at) {
            Freshness::Due
        } else {
            Freshness::Fresh
        }
    }
}

/// So long before its end a token is renewed: the provider may be away for as long and nobody notices. At most a fifth of
/// its life.
const MARGIN: Duration = Duration::from_secs(5 * 60);
/// A token that ends sooner may be over when the server reads it.
const ON_ITS_WAY: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn cached(seconds: u64) -> (CachedToken, Instant) {
        #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
        let now = Instant::now();
        let granted = Granted {
            token: AccessToken::new("t").unwrap(),
            lifetime: Duration::from_secs(seconds),
            refresh_token: None,
            scope: None,
        };
        (CachedToken::new(&granted, now), now)
    }

    #[test]
    fn a_token_is_renewed_minutes_before_its_end_and_used_nearly_to_it() {
        let (token, start) = cached(3600);
        let at = |second| token.freshness(start + Duration::from_secs(second));
        assert_eq!([at(0), at(3299), at(3300), at(3589), at(3590)], {
            use Freshness::{Due, Ended, Fresh};
            [Fresh, Fresh, Due, Due, Ended]
        });
    }

    #[test]
    fn a_short_life_is_used_for_four_fifths() {
        let (token, start) = cached(60);
        let at = |second| token.freshness(start + Duration::from_secs(second));
        assert_eq!([at(47), at(48), at(50)], [Freshness::Fresh, Freshness::Due, Freshness::Ended]);
        let (token, start) = cached(5);
        assert_eq!(token.freshness(start), Freshness::Ended, "it cannot arrive in time");
    }
}
