//! Tokens for destinations: asked for when they are needed, kept while they are good, renewed before they end.
//!
//! All users of one source share its token, and one request for it is under way at most: whoever comes meanwhile gets its
//! result. What is asked and what answers mean, [`crate::session::oauth`] says. Secrets are read from their files for each
//! request, so that what the operator mends counts at once.
#![expect(
    clippy::disallowed_methods,
    reason = "how old tokens are is measured here, and assertions carry the time"
)]

mod exchange;
mod files;
mod form;
mod signing;
mod turn;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::SignedDuration;
use tokio::sync::Mutex;
use tokio_util::task::TaskTracker;
use zeroize::Zeroizing;

use super::outcome::Health;
use crate::config::settings::{Grant, OAuth, OutboundProxy};
use crate::message::id::DestinationName;
use crate::net::http::{self, Client, HeaderMap, Method, Request, Response, header};
use crate::net::tls::TlsSetupError;
use crate::policy::reach::Reach;
use crate::session::oauth::AccessToken;
use crate::session::oauth::cache::{CachedToken, Freshness};
use crate::session::oauth::refusal::Refusal;
use crate::session::oauth::response::{Granted, Head, parse};
use crate::wire::url::HttpUrl;
pub use exchange::{Missed, Traced};
pub use files::FileError;
pub use form::{OwnedProof, client_proof};
pub use signing::SigningError;
use turn::Turn;

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
    state: Arc<Mutex<State>>,
    /// Requests under way. They come to their end although nobody waits for them any more.
    exchanges: TaskTracker,
}

#[derive(Debug, Default)]
struct State {
    cached: Option<CachedToken>,
    /// A refresh token that the provider gave and no file has yet. It may be the only one that is still good.
    unsaved: Option<Rotated>,
    /// Why the last request brought none.
    fault: Option<TokenFault>,
    /// How far the provider's clock is ahead of ours.
    skew: SignedDuration,
}

/// A refresh token that takes the place of another; shows nothing of either.
struct Rotated {
    spent: Zeroizing<String>,
    next: Zeroizing<String>,
}

impl std::fmt::Debug for Rotated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rotated")
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
            state: Arc::default(),
            exchanges: TaskTracker::new(),
        })))
    }

    /// A token that is good now. A request for one that has begun is brought to its end even if nobody waits for this any
    /// more: a refresh token that the provider has rotated must get into its file.
    ///
    /// # Errors
    /// [`TokenFault`].
    pub async fn token(&self) -> Result<AccessToken, TokenFault> {
        let seen = self.0.ended.load(Ordering::Acquire);
        let mut state = Arc::clone(&self.0.state).lock_owned().await;
        if let Some(token) = state.usable(Instant::now()) {
            return Ok(token);
        }
        let shared = Arc::clone(&self.0);
        self.to_its_end(async move { shared.current(&mut state, seen).await }).await
    }

    /// Another token than this one, which a server has just refused.
    ///
    /// # Errors
    /// [`TokenFault`].
    pub async fn after_refusal(&self, refused: &AccessToken) -> Result<AccessToken, TokenFault> {
        let seen = self.0.ended.load(Ordering::Acquire);
        let mut state = Arc::clone(&self.0.state).lock_owned().await;
        let (shared, refused) = (Arc::clone(&self.0), refused.clone());
        self.to_its_end(async move { shared.another(&mut state, &refused, seen).await }).await
    }

    /// Forgets the token, after a server refused the one that [`Self::after_refusal`] gave: the next attempt must not begin
    /// with it.
    pub async fn forget(&self) {
        self.0.state.lock().await.cached = None;
    }

    /// Asks for a token on a fresh connection, whatever is there, and tells of every stage on the way. It comes to its end
    /// as [`Self::token`] does.
    pub async fn traced(&self) -> Traced {
        let mut state = Arc::clone(&self.0.state).lock_owned().await;
        let shared = Arc::clone(&self.0);
        let traced = self.0.exchanges.spawn(async move { shared.traced(&mut state).await });
        traced.await.unwrap_or_else(|_| Traced::never(self.0.broke_off()))
    }

    /// Waits for requests that are under way although nobody may wait for their tokens any more, where a refresh token may
    /// come with the answer. Bounded by their time limits, which are long: wrap it in a shorter one.
    pub async fn settled(&self) {
        if !matches!(self.0.settings.grant, Grant::RefreshToken { .. }) {
            return;
        }
        self.0.exchanges.close();
        self.0.exchanges.wait().await;
    }

    async fn to_its_end(
        &self,
        exchange: impl Future<Output = Result<AccessToken, TokenFault>> + Send + 'static,
    ) -> Result<AccessToken, TokenFault> {
        self.0.exchanges.spawn(exchange).await.unwrap_or_else(|_| Err(self.0.broke_off()))
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

impl State {
    /// The token, where nothing is to be done before it is used.
    fn usable(&self, now: Instant) -> Option<AccessToken> {
        let cached = self.cached.as_ref().filter(|_| self.unsaved.is_none())?;
        (cached.freshness(now) == Freshness::Fresh).then(|| cached.token().clone())
    }
}

/// Puts the refresh token of a login where the service finds it, in the place of whatever was there. Whoever is spending that
/// is waited for, but not for ever.
///
/// # Errors
/// [`FileError::Unwritable`], in a sentence for the operator.
pub async fn keep_login(path: &Path, refresh_token: Zeroizing<String>) -> Result<(), String> {
    let _turn = Turn::of(path, PATIENCE).await.ok();
    let path = path.to_owned();
    blocking(move || files::replace(&path, &refresh_token)).await
}

/// What an endpoint is sent, by POST; the form is wiped with the last of it.
#[must_use]
pub fn post(url: &HttpUrl, form: Zeroizing<String>) -> Request {
    let mut headers = HeaderMap::new();
    let form_type = header::HeaderValue::from_static("application/x-www-form-urlencoded");
    headers.insert(header::CONTENT_TYPE, form_type);
    headers.insert(header::ACCEPT, header::HeaderValue::from_static("application/json"));
    Request { method: Method::POST, url: url.clone(), headers, body: Bytes::from_owner(form) }
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
/// Who spends a refresh token has it as long as a request takes, and a moment to write the next.
const PATIENCE: Duration = Duration::from_secs(45);

#[cfg(test)]
pub(super) mod tests;
