//! The page: the gateway at a glance, in one HTML document that needs nothing else.
//!
//! It has no script, no form and no resource from anywhere, and its Content-Security-Policy forbids them all. To show
//! more, write a section and name it in `SECTIONS`.

mod group;
mod html;
mod netbios;
mod queue;
mod tarpit;

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use self::html::{Cell, Html, Tone};
use super::api::{Status, TarpitStatus, is_first_of_listener};
use super::readiness::Stage;
use super::words::spell_between;
use crate::policy::expiry::day_of;

/// What the page shows.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The gateway at a glance.
    pub status: &'a Status,
    /// The tar pit at a glance.
    pub tarpit: &'a TarpitStatus,
    /// When it is shown.
    pub now: Timestamp,
}

/// What stands below the headline, in this order.
const SECTIONS: &[fn(&Facts<'_>, &mut Html)] =
    &[queue::spool, group::group, queue::destinations, netbios::netbios, listeners, tarpit::tarpit];

/// The page as an answer to a browser.
#[must_use]
pub fn response(facts: &Facts<'_>) -> Response {
    let style = STANDARD.encode(Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
        (CONTENT_SECURITY_POLICY, policy),
        (X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (REFERRER_POLICY, "no-referrer".to_owned()),
        (CACHE_CONTROL, "no-store".to_owned()),
    ];
    (headers, render(facts)).into_response()
}

/// The document.
#[must_use]
pub fn render(facts: &Facts<'_>) -> String {
    let mut html = Html::default();
    html.markup(HEAD)
        .markup("<title>")
        .text(headline(facts.status))
        .markup("</title>\n<style>")
        .markup(STYLE);
    html.markup("</style>\n</head>\n<body>\n");
    readiness(facts, &mut html);
    html.markup("<main>\n");
    for section in SECTIONS {
        section(facts, &mut html);
    }
    html.markup("</main>\n<footer>").text(format_args!("As of {}. ", spelled(facts.now)));
    html.markup(FOOT);
    html.into_string()
}

/// What a browser's tab says.
fn headline(status: &Status) -> String {
    let name = status.hostname.as_deref().unwrap_or("mailslotd");
    format!("{name}: {}", stage(status).1)
}

fn stage(status: &Status) -> (Tone, &'static str) {
    match (status.stage, &status.spool.refuses, &status.spool.refuses_mail) {
        (Stage::Ready, None, None) => (Tone::Good, "ready"),
        (Stage::Ready, Some(_), _) => (Tone::Bad, "refuses messages"),
        (Stage::Ready, None, Some(_)) => (Tone::Bad, "refuses mail"),
        (Stage::Starting, ..) => (Tone::Warning, "starting"),
        (Stage::Stopping, ..) => (Tone::Warning, "stopping"),
    }
}

/// The headline: whether it does its job.
fn readiness(facts: &Facts<'_>, html: &mut Html) {
    let status = facts.status;
    let (tone, stage) = stage(status);
    html.markup("<header>\n<h1>mailslotd ");
    if let Some(hostname) = &status.hostname {
        html.markup("<small>").text(hostname).markup("</small> ");
    }
    html.mark(tone, stage).markup("</h1>\n");
    html.paragraph(format_args!(
        "Version {}, process {}, up for {}. UDP 138 on {}.",
        status.version,
        status.pid,
        spell_between(status.started_at, facts.now),
        status.datagram,
    ));
    for refuses in [&status.spool.refuses, &status.spool.refuses_mail].into_iter().flatten() {
        html.markup("<p>").mark(Tone::Bad, refuses).markup("</p>\n");
    }
    for credential in &status.credentials {
        let over = credential.end <= facts.now;
        let (tone, verb) = if over { (Tone::Bad, "ended") } else { (Tone::Warning, "ends") };
        let day = day_of(credential.end);
        html.markup("<p>").mark(tone, format_args!("{} {verb} on {day}", credential.what())).markup("</p>\n");
    }
    html.markup("</header>\n");
}

/// Where mail comes in.
fn listeners(facts: &Facts<'_>, html: &mut Html) {
    html.markup("<section>\n<h2>SMTP listeners</h2>\n");
    if facts.status.smtp.is_empty() {
        html.paragraph("None is configured.");
    } else {
        let rows = facts.status.smtp.iter().enumerate().map(|(place, listener)| {
            // Counts are those of a listener, over all its addresses.
            let count = |count: u64| match is_first_of_listener(&facts.status.smtp, place) {
                true => Cell::figure(count),
                false => Cell::Text(String::new()),
            };
            [
                Cell::text(&listener.listener),
                Cell::text(listener.address),
                count(listener.connections),
                count(listener.accepted),
            ]
        });
        html.table(["Listener", "Address", "Connections", "Messages accepted"], rows);
    }
    html.markup("</section>\n");
}

/// A time to the second, as UTC.
fn spelled(at: Timestamp) -> impl std::fmt::Display {
    at.strftime("%Y-%m-%d %H:%M:%SZ")
}

const HEAD: &str = "<!DOCTYPE html>
<html lang=\"en\">
<head>
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">
<meta http-equiv=\"refresh\" content=\"15\">
";

const FOOT: &str = "It is shown anew every 15 seconds; counts are since the start. \
    For programs: <a href=\"/metrics\">/metrics</a>, <a href=\"/readyz\">/readyz</a>, \
    <a href=\"/healthz\">/healthz</a>.</footer>\n</body>\n</html>\n";

const STYLE: &str = include_str!("page/style.css");

#[cfg(test)]
mod tests;
