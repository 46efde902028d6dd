//! Destinations of kind `graph` as the operator would write them.

use serde::Serialize;

use super::super::settings::Graph;
use super::oauth::ShownOAuth;
use super::queue::{ShownBrokerTls, ShownQueueLimits};
use super::submission::From;

#[derive(Serialize)]
pub(super) struct ShownGraph<'s> {
    mailbox: &'s str,
    auth: Auth<'s>,
    url: String,
    from: From<'s>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<ShownBrokerTls<'s>>,
    limits: ShownQueueLimits,
}

#[derive(Serialize)]
struct Auth<'s> {
    oauth: ShownOAuth<'s>,
}

impl<'s> ShownGraph<'s> {
    pub(super) fn of(graph: &'s Graph) -> Self {
        Self {
            mailbox: graph.mailbox.as_str(),
            auth: Auth { oauth: ShownOAuth::of(&graph.oauth) },
            url: graph.url.absolute(),
            from: From::of(&graph.from),
            tls: ShownBrokerTls::of(&graph.tls),
            limits: ShownQueueLimits::of(&graph.limits),
        }
    }
}
