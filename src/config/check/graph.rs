//! Destinations of kind `graph`.

use std::time::Duration;

use super::super::presets;
use super::super::raw::{self, At, GrantWord};
use super::super::settings::{DisplayName, Graph, OAuth, QueueLimits, Sender};
use super::oauth::{TokenUse, is_safe};
use super::{Checking, Place};
use crate::config::raw::Lost;
use crate::message::id::DestinationName;
use crate::policy::rate::Rate;
use crate::wire::smtp::path::Mailbox;
use crate::wire::url::HttpUrl;

impl Checking<'_> {
    /// `None`: what it is cannot be told.
    pub(super) fn graph(&mut self, name: &DestinationName, graph: raw::Graph) -> Option<Graph> {
        let raw::Graph { place, lost, mailbox, auth, url, from, tls, limits } = graph;
        let mailbox = self.graph_mailbox(mailbox, (&place, &lost));
        let oauth = self.graph_tokens(name, auth, (&place, &lost));
        let url = match url {
            Some(url) => self.graph_url(&url),
            None => HttpUrl::parse(GRAPH).ok(),
        };
        let from = from.map(|from| self.sender(from.value));
        let tls = self.broker_tls(tls);
        let limits = self.graph_limits(limits);
        let mailbox = mailbox?;
        let from = match from {
            Some(written) => written?,
            None => Sender { address: mailbox.clone(), keep: Vec::new(), display: DisplayName::default() },
        };
        Some(Graph { mailbox, url: url?, oauth: oauth?, from, tls, limits })
    }

    fn graph_mailbox(
        &mut self,
        mailbox: Option<At<String>>,
        (place, lost): (&Place, &Lost),
    ) -> Option<Mailbox> {
        let Some(mailbox) = mailbox else {
            let fix = "add the mailbox that sends, for example `mailbox: alerts@example.com`";
            self.missing(place, lost, "mailbox", fix);
            return None;
        };
        Mailbox::parse_ascii(&mailbox.value)
            .map_err(|error| self.problem(mailbox.problem(error.to_string(), error.fix())))
            .ok()
    }

    fn graph_tokens(
        &mut self,
        name: &DestinationName,
        auth: Option<At<raw::Tokens>>,
        (place, lost): (&Place, &Lost),
    ) -> Option<OAuth> {
        let (place, lost, oauth) = match auth {
            Some(auth) => (auth.place, auth.value.lost, auth.value.oauth),
            None => {
                let fix = "add `auth: { oauth: { grant: client-credentials, tenant: …, client_id: …, client_secret_file: … } }`";
                self.missing(place, lost, "auth", fix);
                return None;
            }
        };
        let Some(oauth) = oauth else {
            self.missing(&place, &lost, "oauth", "add `oauth: { grant: client-credentials, tenant: …, … }`");
            return None;
        };
        let mut oauth = oauth.value;
        for (key, written) in [
            ("user", oauth.user.take().map(|user| user.place)),
            ("mechanisms", oauth.mechanisms.take().map(|list| list.place)),
        ] {
            if let Some(place) = written {
                let cause = "there is no login over SMTP here";
                let fix = format!("remove `{key}`; the mailbox stands in `mailbox`");
                self.problem(super::Problem::new(&place, cause, fix));
            }
        }
        let scope = match oauth.grant.as_ref().map(|grant| grant.value) {
            Some(GrantWord::RefreshToken) => USER_SCOPE,
            Some(GrantWord::ClientCredentials | GrantWord::JwtBearer) | None => SCOPE,
        };
        let tokens = Some(presets::Tokens::Microsoft);
        self.oauth(oauth, TokenUse { name, tokens, scope: Some(scope), user: None })
    }

    fn graph_url(&mut self, url: &At<String>) -> Option<HttpUrl> {
        let fix = "write for example https://graph.microsoft.us";
        match HttpUrl::parse(&url.value) {
            Ok(parsed) if !is_safe(&parsed) => {
                self.problem(
                    url.problem("tokens and mail would go over the network in clear", "write https://"),
                );
                None
            }
            Ok(parsed) if parsed.target() != "/" => {
                self.problem(url.problem("has a path; the version of Graph is added here", fix));
                None
            }
            Ok(parsed) => Some(parsed),
            Err(error) => {
                self.problem(url.problem(format!("it {error}"), fix));
                None
            }
        }
    }

    fn graph_limits(&mut self, limits: Option<At<raw::QueueLimits>>) -> QueueLimits {
        let written = |key: &str, is_there: fn(&raw::QueueLimits) -> bool| {
            limits.as_ref().is_some_and(|limits| is_there(&limits.value) || limits.value.lost.has(key))
        };
        let default_size =
            (!written("message_size", |limits| limits.message_size.is_some())).then_some(MESSAGE_SIZE);
        let minute = Rate { count: 30, period: Duration::from_secs(60) };
        let default_rate = (!written("rate", |limits| limits.rate.is_some())).then_some(minute);
        let limits = self.queue_limits(limits, IN_FLIGHT);
        QueueLimits {
            message_size: limits.message_size.or(default_size),
            rate: limits.rate.or(default_rate),
            ..limits
        }
    }
}

const GRAPH: &str = "https://graph.microsoft.com/";
const SCOPE: &str = "https://graph.microsoft.com/.default";
const USER_SCOPE: &str = "https://graph.microsoft.com/Mail.Send offline_access";
/// What Graph takes at once of one application for one mailbox.
const IN_FLIGHT: usize = 4;
/// A request may have 4 MB, and base64 makes a third more of a mail.
const MESSAGE_SIZE: u64 = 3_000_000;
