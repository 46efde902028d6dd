//! Tokens for destinations: asked for when they are needed, kept while they are good, renewed before they end.
//!
//! All users of one source share its token, and one request for it is under way at most: whoever comes meanwhile gets its
//! result. What is asked and what answers mean, [`crate::session::oauth`] says. Secrets are read from their files for each
//! request, so that what the operator mends counts at once.
#![expect(
    clippy::disallowed_methods,
    reason = "how old tokens are is measured here, and assertions carry the time"
)]

mod files;
mod form;
mod signing;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use super::outcome::Health;
use crate::config::settings::{Grant, OAuth, OutboundProxy};
use crate::message::id::DestinationName;
use crate::net::http::{self, Client, HeaderMap, Method, Request, Response, header};
use crate::net::tls::TlsSetupError;
use crate::policy::reach::Reach;
use crate::session::oauth::AccessToken;
use crate::session::oauth::cache::{CachedToken, Freshness};
use crate::session::oauth::refusal::{Refusal, Remedy};
use crate::session::oauth::response::{Granted, Head, parse};
use crate::wire::url::HttpUrl;
pub use files::{FileError, replace};
pub use form::{OwnedProof, client_proof};
pub use signing::SigningError;

/// Where the tokens of one destination come from. Clones share them.
#[derive(Debug, Clone)]
pub struct TokenSource(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    name: DestinationName,
    settings: OAuth,
    client: Client,
    /// How many requests have ended: whoever waited while one did takes its result.
    ended: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    cached: Option<CachedToken>,
    /// A refresh token that the provider gave and no file has yet. It may be the only one that is still good.
    unsaved: Option<Refresh>,
    /// Why the last request brought none.
    fault: Option<TokenFault>,
    /// How far the provider's clock is ahead of ours.
    skew: SignedDuration,
}

/// A refresh token; shows nothing of it.
struct Refresh(Zeroizing<String>);

impl std::fmt::Debug for Refresh {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Refresh")
    }
}

/// Why there is no token; each reason a sentence for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenFault {
    /// The provider cannot be reached, or is not well.
    Down(String),
    /// It wants no requests for a while.
    Wait(Option<Duration>, String),
    /// Someone must act.
    Operator(String),
}

impl TokenFault {
    /// What that means for a destination.
    #[must_use]
    pub fn health(self) -> Health {
        match self {
            Self::Down(reason) => Health::Down { reason },
            Self::Wait(retry_after, reason) => Health::Throttled { retry_after, reason },
            Self::Operator(reason) => Health::OperatorFault { reason },
        }
    }

    /// The sentence.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Self::Down(reason) | Self::Wait(_, reason) | Self::Operator(reason) => reason,
        }
    }
}

impl TokenSource {
    /// A source that has asked for nothing yet. Reads the trusted roots, so call it at start.
    ///
    /// # Errors
    /// [`TlsSetupError`], for a `ca_file` that cannot be used.
    pub fn new(
        name: DestinationName,
        settings: &OAuth,
        proxy: Option<&OutboundProxy>,
    ) -> Result<Self, TlsSetupError> {
        let limits = http::Limits { connections: 1, timeout: TIMEOUT, body: MAX_ANSWER };
        let client =
            Client::new(http::Options { tls: &settings.tls, proxy, reach: Reach::Anywhere, limits })?;
        Ok(Self(Arc::new(Shared {
            name,
            settings: settings.clone(),
            client,
            ended: AtomicU64::new(0),
            state: Mutex::new(State::default()),
        })))
    }

    /// A token that is good now.
    ///
    /// # Errors
    /// [`TokenFault`].
    pub async fn token(&self) -> Result<AccessToken, TokenFault> {
        let seen = self.0.ended.load(Ordering::Acquire);
        let mut state = self.0.state.lock().await;
        self.0.save(&mut state).await?;
        let (token, freshness) = match &state.cached {
            Some(cached) => (Some(cached.token().clone()), cached.freshness(Instant::now())),
            None => (None, Freshness::Ended),
        };
        match (token, freshness) {
            (Some(token), Freshness::Fresh) => return Ok(token),
            (Some(token), Freshness::Due) => return Ok(self.0.renew_early(&mut state, token).await),
            (Some(_), Freshness::Ended) | (None, _) => {}
        }
        self.0.settle(&mut state, seen).await
    }

    /// Another token than this one, which a server has just refused.
    ///
    /// # Errors
    /// [`TokenFault`].
    pub async fn after_refusal(&self, refused: &AccessToken) -> Result<AccessToken, TokenFault> {
        let seen = self.0.ended.load(Ordering::Acquire);
        let mut state = self.0.state.lock().await;
        // What is in the file is spent while its successor is not there.
        self.0.save(&mut state).await?;
        match &state.cached {
            // Another session had it refused before, and has renewed it.
            Some(cached) if cached.token() != refused => return Ok(cached.token().clone()),
            Some(_) | None => state.cached = None,
        }
        self.0.settle(&mut state, seen).await
    }

    /// Forgets the token, after a server refused the one that [`Self::after_refusal`] gave: the next attempt must not begin
    /// with it.
    pub async fn forget(&self) {
        self.0.state.lock().await.cached = None;
    }

    /// The form that is sent, made anew, for whoever sends it on its own.
    ///
    /// # Errors
    /// [`TokenFault`], for files that cannot be read, and keys that cannot sign.
    pub async fn request(&self) -> Result<Request, TokenFault> {
        let skew = self.0.state.lock().await.skew;
        self.0.request(skew).await.map_err(|reason| self.0.operator(&reason))
    }

    /// What an answer to [`Self::request`] brings; a refresh token in it is kept.
    ///
    /// # Errors
    /// [`TokenFault`].
    pub async fn take(&self, response: &Response, asked_at: Instant) -> Result<Granted, TokenFault> {
        let mut state = self.0.state.lock().await;
        let granted = read(response).map_err(|refusal| self.0.refused(&state, refusal))?;
        self.0.keep(&mut state, &granted, asked_at);
        self.0.save(&mut state).await?;
        Ok(granted)
    }

    /// What sends its requests.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.0.client
    }

    /// What it was made of.
    #[must_use]
    pub fn settings(&self) -> &OAuth {
        &self.0.settings
    }
}

impl Shared {
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
        let renewed = match self.ask(state).await {
            Ok(granted) => self.save(state).await.map(|()| granted.token),
            Err(fault) => Err(fault),
        };
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
        let request = self.request(state.skew).await.map_err(|reason| self.operator(&reason))?;
        let asked_at = Instant::now();
        let response = self.client.send(&request).await;
        // The next one is due in an hour or so: no connection lasts that long.
        self.client.close();
        let response = response.map_err(|fault| self.unreachable(&fault))?;
        state.skew = skew(&response);
        let granted = read(&response);
        if let Ok(granted) = &granted {
            self.keep(state, granted, asked_at);
        }
        Ok(granted)
    }

    fn keep(&self, state: &mut State, granted: &Granted, asked_at: Instant) {
        state.cached = Some(CachedToken::new(granted, asked_at));
        if matches!(self.settings.grant, Grant::RefreshToken { .. })
            && let Some(next) = &granted.refresh_token
        {
            state.unsaved = Some(Refresh(next.clone()));
        }
    }

    /// Puts a new refresh token where the next start finds it, before anything is done with what came along with it.
    async fn save(&self, state: &mut State) -> Result<(), TokenFault> {
        let Grant::RefreshToken { file, .. } = &self.settings.grant else { return Ok(()) };
        let Some(Refresh(next)) = &state.unsaved else { return Ok(()) };
        let (path, line) = (file.clone(), next.clone());
        let same = move || match files::one_line(&path) {
            Ok(old) if *old == *line => Ok(()),
            Ok(_) | Err(_) => replace(&path, &line),
        };
        blocking(same).await.map_err(|reason| self.operator(&reason))?;
        state.unsaved = None;
        Ok(())
    }

    async fn request(&self, skew: SignedDuration) -> Result<Request, String> {
        let settings = self.settings.clone();
        let form = blocking(move || form::of(&settings, provider_time(skew))).await?;
        Ok(post(&self.settings.token_url, &form))
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

    fn operator(&self, reason: &str) -> TokenFault {
        TokenFault::Operator(format!("no token for {}: {reason}", self.name))
    }
}

/// What an endpoint is sent, by POST.
#[must_use]
pub fn post(url: &HttpUrl, form: &str) -> Request {
    let mut headers = HeaderMap::new();
    let form_type = header::HeaderValue::from_static("application/x-www-form-urlencoded");
    headers.insert(header::CONTENT_TYPE, form_type);
    headers.insert(header::ACCEPT, header::HeaderValue::from_static("application/json"));
    Request { method: Method::POST, url: url.clone(), headers, body: Bytes::copy_from_slice(form.as_bytes()) }
}

/// What a token endpoint answered.
///
/// # Errors
/// [`Refusal`] when it brings no token.
pub fn read(response: &Response) -> Result<Granted, Refusal> {
    parse(head(response), &response.body)
}

/// Status and Retry-After of an answer.
#[must_use]
pub fn head(response: &Response) -> Head {
    let seconds = response.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after = seconds.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
    Head { status: response.status.as_u16(), retry_after }
}

/// Does what waits for the disk, or computes a signature, where no other task waits for it.
async fn blocking<T: Send + 'static, E: ToString + Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, String> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err("a task broke off; look into the log".to_owned()),
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

/// "this machine's clock is 312 s behind the provider's".
#[must_use]
pub fn spell_skew(skew: SignedDuration) -> String {
    let seconds = skew.as_secs();
    let way = if seconds >= 0 { "behind" } else { "ahead of" };
    format!("this machine's clock is {} s {way} the provider's", seconds.unsigned_abs())
}

/// A token endpoint that takes longer is not well.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Octets of an answer; a token with all around it has at most a few thousand.
const MAX_ANSWER: usize = 64 * 1024;
/// The field `Date` has whole seconds, and is as old as the answer's way.
const TOLERATED_SKEW: SignedDuration = SignedDuration::from_secs(30);

#[cfg(test)]
mod tests;
