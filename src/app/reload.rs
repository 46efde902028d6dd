//! What of a configuration comes into force while the gateway runs.

use std::sync::Arc;

use jiff::Timestamp;

use super::Gateway;
use crate::admin::reload::ReloadRequest;
use crate::config::settings::{Claims, DestinationKind, Mode, Settings};
use crate::listen::judge::Hearing;

impl Gateway {
    /// Returns when somebody asks over the control socket that the configuration be read again.
    pub async fn reload_asked(&self) -> ReloadRequest {
        match self.reloads.lock().await.recv().await {
            Some(request) => request,
            // The control socket is closed: nobody asks any more.
            None => std::future::pending().await,
        }
    }

    /// Goes by these settings from the next message and session on, in everything but what [`needs_restart`] names.
    #[expect(clippy::disallowed_methods, reason = "an order to the switch counts from now")]
    pub fn adopt(&self, settings: &Settings) {
        self.hearing.send_replace(Arc::new(Hearing::of(settings)));
        self.front_end.adopt(settings);
        self.settings.send_replace(Arc::new(settings.clone()));
        self.switches.configure(&settings.mailslots, Timestamp::now());
        // What waited for the switch goes at once.
        self.scheduler.poke_all();
    }
}

/// Those of the changed keys for which the gateway must be started again, from the settings in force to these.
#[must_use]
pub fn needs_restart(changed: &[String], before: &Settings, after: &Settings) -> Vec<String> {
    let mut keys: Vec<String> = changed.iter().filter(|key| !is_adopted(key)).cloned().collect();
    let page = |settings: &Settings| settings.decoding.code_page.code_page;
    if page(before) != page(after) {
        // The same letters are other bytes now.
        let claims =
            |settings| claims_of(settings).map(|claims| (claims.host_name, claims.workgroup, &claims.names));
        if claims(before) != claims(after) {
            keys.push("netbios.code_page, in which names are claimed".to_owned());
        }
        if after.destinations.iter().any(|destination| writes_in_the_page_of_all(&destination.kind)) {
            keys.push("netbios.code_page, in which messages go to displays".to_owned());
        }
    }
    keys
}

/// Whether a key comes into force while the gateway runs.
fn is_adopted(key: &str) -> bool {
    if let Some((_, part)) = key.strip_prefix(LISTENER).and_then(|rest| rest.split_once("\" ")) {
        let part = part.split(['.', ' ']).next().unwrap_or_default();
        return OF_LISTENERS.contains(&part);
    }
    ADOPTED.iter().any(|adopted| {
        let rest = key.strip_prefix(adopted);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', ' ']))
    })
}

fn claims_of(settings: &Settings) -> Option<&Claims> {
    match &settings.netbios.mode {
        Mode::Answer(claims) => Some(claims),
        Mode::Observe => None,
    }
}

fn writes_in_the_page_of_all(kind: &DestinationKind) -> bool {
    matches!(kind, DestinationKind::Netbios(displays) if displays.code_page.is_none())
}

/// Each with all that is below it.
const ADOPTED: &[&str] = &[
    "rules",
    "mailslots",
    "netbios.code_page",
    "netbios.utf8",
    "netbios.code_pages",
    "netbios.dedup_window",
    "netbios.rate",
    "relay.accepted_domains",
    "relay.limits",
    "relay.bounces",
    "tarpit",
    "pickup.from",
    "pickup.relay_to",
];

/// How the keys of an SMTP listener begin; its name and a quote follow.
const LISTENER: &str = "listeners.smtp \"";

/// What of an SMTP listener is adopted.
const OF_LISTENERS: &[&str] = &["trusted_networks", "profile", "clients", "auth", "proxy_protocol_from"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_listener_lets_through_is_adopted_and_where_it_listens_is_not() {
        for (key, adopted) in [
            ("rules", true),
            ("rules \"ups\" match.originator", true),
            ("rulesets", false),
            ("netbios.code_pages", true),
            ("netbios.names", false),
            ("listeners.smtp", false),
            ("listeners.smtp \"devices\"", false),
            ("listeners.smtp \"devices\" addresses", false),
            ("listeners.smtp \"devices\" tls.mode", false),
            ("listeners.smtp \"devices\" trusted_networks", true),
            ("listeners.smtp \"devices\" auth.required", true),
            ("relay.limits.messages", true),
            ("relay.routes", false),
        ] {
            assert_eq!(is_adopted(key), adopted, "{key}");
        }
    }
}
