//! Requests for tokens, from what is asked to the successor of a refresh token in its file.
#![expect(
    clippy::disallowed_methods,
    reason = "how old tokens are is measured here, and assertions carry the time"
)]

use std::sync::atomic::Ordering;
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use zeroize::Zeroizing;

use super::files::{FileError, succeed};
use super::form::{self, Form};
use super::turn::Turn;
use super::{PATIENCE, Rotated, Shared, State, TokenFault, blocking, post, read, spell_skew};
use crate::config::settings::Grant;
use crate::net::http::{self, Request, Response, Step, Trace, header};
use crate::session::oauth::AccessToken;
use crate::session::oauth::cache::{CachedToken, Freshness};
use crate::session::oauth::refusal::{Refusal, Remedy};
use crate::session::oauth::response::Granted;

/// A request for a token and all that happened to it.
#[derive(Debug)]
pub struct Traced {
    /// The stages that went well, in their order.
    pub steps: Vec<Step>,
    /// The token, which is kept besides, or why there is none.
    pub result: Result<Granted, Missed>,
}

/// Where a request for a token came to its end.
#[derive(Debug)]
pub enum Missed {
    /// It could not be made.
    Request(TokenFault),
    /// There was no answer.
    Answer(http::Fault),
    /// The answer brought none, or what came with it could not be kept.
    Token(TokenFault),
}

impl Traced {
    pub(super) const fn never(fault: TokenFault) -> Self {
        Self { steps: Vec::new(), result: Err(Missed::Request(fault)) }
    }
}

/// What is sent, in its turn.
struct Exchange {
    request: Request,
    spends: Option<Zeroizing<String>>,
    turn: Option<Turn>,
}

impl Shared {
    /// A token that is good now.
    pub(super) async fn current(&self, state: &mut State, seen: u64) -> Result<AccessToken, TokenFault> {
        self.save(state, None).await?;
        let (token, freshness) = match &state.cached {
            Some(cached) => (Some(cached.token().clone()), cached.freshness(Instant::now())),
            None => (None, Freshness::Ended),
        };
        match (token, freshness) {
            (Some(token), Freshness::Fresh) => return Ok(token),
            (Some(token), Freshness::Due) => return Ok(self.renew_early(state, token).await),
            (Some(_), Freshness::Ended) | (None, _) => {}
        }
        self.settle(state, seen).await
    }

    /// Another token than this one.
    pub(super) async fn another(
        &self,
        state: &mut State,
        refused: &AccessToken,
        seen: u64,
    ) -> Result<AccessToken, TokenFault> {
        // What is in the file is spent while its successor is not there.
        self.save(state, None).await?;
        match &state.cached {
            // Another session had it refused before, and has renewed it.
            Some(cached) if cached.token() != refused => return Ok(cached.token().clone()),
            Some(_) | None => state.cached = None,
        }
        self.settle(state, seen).await
    }

    pub(super) async fn traced(&self, state: &mut State) -> Traced {
        if let Err(fault) = self.save(state, None).await {
            return Traced::never(fault);
        }
        let exchange = match self.begin(state.skew).await {
            Ok(exchange) => exchange,
            Err(fault) => return Traced::never(fault),
        };
        let asked_at = Instant::now();
        let Trace { steps, result } = self.client.traced(&exchange.request).await;
        let result = match result {
            Err(fault) => Err(Missed::Answer(fault)),
            Ok(response) => match self.take(state, exchange, &response, asked_at).await {
                Ok(Ok(granted)) => Ok(granted),
                Ok(Err(refusal)) => Err(Missed::Token(self.refused(state, refusal))),
                Err(fault) => Err(Missed::Token(fault)),
            },
        };
        Traced { steps, result }
    }

    /// A new token, or the result of the request that ended while this one waited for its turn.
    async fn settle(&self, state: &mut State, seen: u64) -> Result<AccessToken, TokenFault> {
        if self.ended.load(Ordering::Acquire) != seen
            && let Some(fault) = &state.fault
        {
            return Err(fault.clone());
        }
        self.renew(state).await
    }

    /// A new token; while none can be had, the old one, which is still good, and the provider is left alone for a while.
    async fn renew_early(&self, state: &mut State, token: AccessToken) -> AccessToken {
        let renewed = self.renew(state).await;
        if renewed.is_err()
            && let Some(cached) = &mut state.cached
        {
            cached.postpone(Instant::now());
        }
        renewed.unwrap_or(token)
    }

    async fn renew(&self, state: &mut State) -> Result<AccessToken, TokenFault> {
        let renewed = self.ask(state).await.map(|granted| granted.token);
        state.fault = renewed.as_ref().err().cloned();
        self.ended.fetch_add(1, Ordering::Release);
        match &renewed {
            Ok(_) => tracing::debug!(destination = %self.name, "The provider gave a token."),
            Err(fault) => {
                tracing::debug!(destination = %self.name, reason = fault.reason(), "There is no token.");
            }
        }
        renewed
    }

    async fn ask(&self, state: &mut State) -> Result<Granted, TokenFault> {
        let before = state.skew;
        match self.ask_once(state).await? {
            Ok(granted) => Ok(granted),
            // The answer said what time it is there: signed with that time it may do.
            Err(refusal) if refusal.remedy == Remedy::Clock && is_news(before, state.skew) => {
                self.ask_once(state).await?.map_err(|refusal| self.refused(state, refusal))
            }
            Err(refusal) => Err(self.refused(state, refusal)),
        }
    }

    async fn ask_once(&self, state: &mut State) -> Result<Result<Granted, Refusal>, TokenFault> {
        let exchange = self.begin(state.skew).await?;
        let asked_at = Instant::now();
        let response = self.client.send(&exchange.request).await;
        // The next one is due in an hour or so: no connection lasts that long.
        self.client.close();
        let response = response.map_err(|fault| self.unreachable(&fault))?;
        self.take(state, exchange, &response, asked_at).await
    }

    /// What is sent, made of what the files say once it is our turn.
    async fn begin(&self, skew: SignedDuration) -> Result<Exchange, TokenFault> {
        let turn = match &self.settings.grant {
            Grant::RefreshToken { file, .. } => {
                Some(Turn::of(file, PATIENCE).await.map_err(|error| self.no_turn(&error))?)
            }
            Grant::ClientCredentials { .. } | Grant::JwtBearer { .. } => None,
        };
        let settings = self.settings.clone();
        let form = blocking(move || form::of(&settings, provider_time(skew))).await;
        let Form { text, spends } = form.map_err(|reason| self.operator(&reason))?;
        Ok(Exchange { request: post(&self.settings.token_url, text), spends, turn })
    }

    /// What an answer brings; a refresh token in it is in its file when this returns.
    async fn take(
        &self,
        state: &mut State,
        exchange: Exchange,
        response: &Response,
        asked_at: Instant,
    ) -> Result<Result<Granted, Refusal>, TokenFault> {
        let Exchange { spends, turn, .. } = exchange;
        state.skew = skew(response);
        let granted = read(response);
        if let Ok(granted) = &granted {
            state.cached = Some(CachedToken::new(granted, asked_at));
            if let (Some(spent), Some(next)) = (spends, granted.refresh_token.clone()) {
                state.unsaved = Some(Rotated { spent, next });
            }
            self.save(state, turn).await?;
        }
        Ok(granted)
    }

    /// Puts a new refresh token where the next start finds it, before anything is done with what came along with it.
    async fn save(&self, state: &mut State, turn: Option<Turn>) -> Result<(), TokenFault> {
        let Grant::RefreshToken { file, .. } = &self.settings.grant else { return Ok(()) };
        let Some(Rotated { spent, next }) = &state.unsaved else { return Ok(()) };
        let turn = match turn {
            Some(turn) => Some(turn),
            None => match Turn::of(file, PATIENCE).await {
                Ok(turn) => Some(turn),
                // What is not there, nobody spends.
                Err(FileError::Unreadable { .. }) => None,
                Err(error) => return Err(self.no_turn(&error)),
            },
        };
        let (path, spent, next) = (file.clone(), spent.clone(), next.clone());
        let saved = blocking(move || succeed(&path, &spent, &next)).await;
        drop(turn);
        saved.map_err(|reason| self.operator(&reason))?;
        state.unsaved = None;
        Ok(())
    }

    fn refused(&self, state: &State, refusal: Refusal) -> TokenFault {
        let at = self.settings.token_url.authority();
        let reason = match refusal.remedy {
            Remedy::Clock => {
                format!("no token from {at}: {}, {}", refusal, spell_skew(state.skew))
            }
            Remedy::Later | Remedy::Wait(_) | Remedy::Operator | Remedy::Pending | Remedy::SlowDown => {
                format!("no token from {at}: {refusal}").replace("DESTINATION", self.name.as_str())
            }
        };
        match refusal.remedy {
            Remedy::Later => TokenFault::Down(reason),
            Remedy::Wait(wait) => TokenFault::Wait(wait, reason),
            Remedy::Operator | Remedy::Clock | Remedy::Pending | Remedy::SlowDown => {
                TokenFault::Operator(reason)
            }
        }
    }

    fn unreachable(&self, fault: &http::Fault) -> TokenFault {
        let reason = format!("no token: {fault}");
        match fault.remedy() {
            http::Remedy::Wait => TokenFault::Down(reason),
            http::Remedy::Operator => TokenFault::Operator(reason),
        }
    }

    fn no_turn(&self, error: &FileError) -> TokenFault {
        match error {
            FileError::Busy { .. } => TokenFault::Down(format!("no token for {}: {error}", self.name)),
            FileError::Unlockable { .. } => self.operator(&error.to_string()),
            FileError::Unreadable { .. } | FileError::NotOneLine { .. } | FileError::Unwritable { .. } => {
                self.operator(&form::without_login(error))
            }
        }
    }

    fn operator(&self, reason: &str) -> TokenFault {
        TokenFault::Operator(format!("no token for {}: {reason}", self.name))
    }

    pub(super) fn broke_off(&self) -> TokenFault {
        TokenFault::Down(format!("no token for {}: a task broke off; look into the log", self.name))
    }
}

/// How far the clock of who answered is ahead of ours, where it says what time it is.
fn skew(response: &Response) -> SignedDuration {
    let date = response.headers.get(header::DATE).and_then(|value| value.to_str().ok());
    let theirs = date.and_then(crate::wire::http_date::parse);
    theirs.map(|theirs| theirs.duration_since(Timestamp::now())).unwrap_or_default()
}

/// Assertions carry the time, and a provider takes its own: a clock here that is clearly wrong is made up for.
fn provider_time(skew: SignedDuration) -> Timestamp {
    let now = Timestamp::now();
    if skew.abs() > TOLERATED_SKEW { now.checked_add(skew).unwrap_or(now) } else { now }
}

fn is_news(before: SignedDuration, now: SignedDuration) -> bool {
    now.saturating_sub(before).abs() > TOLERATED_SKEW
}

/// The field `Date` has whole seconds, and is as old as the answer's way.
const TOLERATED_SKEW: SignedDuration = SignedDuration::from_secs(30);
