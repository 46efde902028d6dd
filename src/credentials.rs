//! When secrets and certificates end: looked at once an hour, told by metric, log and status 30, 7 and 1 days before.
//!
//! Certificates say it themselves, in files that may be replaced at any time. Of a client secret only the operator knows,
//! who writes it down as `client_secret_expires`.
#![expect(clippy::disallowed_methods, reason = "the edge where ends are held against now")]

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::config::settings::{
    Auth, Broker, CertificateFiles, ClientProof, Destination, DestinationKind, OAuth, Settings,
};
use crate::policy::expiry::{Stage, day_of, end_of};
use crate::telemetry::metrics::{CredentialKind, Metrics};
use crate::wire::x509;

/// Something that proves who we are, and when it ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// What it is.
    pub kind: CredentialKind,
    /// The listener or destination that it belongs to.
    pub name: String,
    /// When it ends.
    pub end: Timestamp,
}

impl Credential {
    /// "the client secret of smarthost".
    #[must_use]
    pub fn what(&self) -> String {
        format!("{} of {}", self.kind.words(), self.name)
    }
}

/// What is known of all of them. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Credentials(Arc<Mutex<Vec<Credential>>>);

impl Credentials {
    /// Those that end within 30 days or have ended, the first to end first.
    #[must_use]
    pub fn ending(&self, now: Timestamp) -> Vec<Credential> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter(|credential| Stage::at(credential.end, now).is_some()).cloned().collect()
    }

    fn set(&self, found: Vec<Credential>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = found;
    }
}

/// What to look at.
#[derive(Debug)]
struct Source {
    kind: CredentialKind,
    name: String,
    place: Place,
}

/// Where the end is written.
#[derive(Debug)]
enum Place {
    Certificate(PathBuf),
    Configuration(Timestamp),
}

impl Source {
    fn certificate(kind: CredentialKind, name: &str, files: &CertificateFiles) -> Self {
        Self { kind, name: name.to_owned(), place: Place::Certificate(files.certificate.clone()) }
    }

    /// `None`: it cannot be read now, which whoever uses it says, or it never ends.
    fn look(&self) -> Option<Credential> {
        let end = match &self.place {
            Place::Configuration(end) => *end,
            Place::Certificate(path) => x509::not_after(&CertificateDer::from_pem_file(path).ok()?)?,
        };
        Some(Credential { kind: self.kind, name: self.name.clone(), end })
    }
}

/// Looks at those of these settings once an hour until `stop`.
pub fn watch(
    settings: &Settings,
    found: Credentials,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) -> impl Future<Output = ()> + use<> {
    look_hourly(Arc::new(sources(settings)), found, metrics, stop)
}

async fn look_hourly(
    sources: Arc<Vec<Source>>,
    found: Credentials,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) {
    let mut told = HashMap::new();
    loop {
        let looked = Arc::clone(&sources);
        let look = move || looked.iter().filter_map(Source::look).collect::<Vec<_>>();
        if let Ok(mut all) = tokio::task::spawn_blocking(look).await {
            all.sort_by_key(|credential| credential.end);
            for credential in &all {
                metrics.credential_ends(credential.kind, &credential.name, credential.end);
                tell(credential, Timestamp::now(), &mut told);
            }
            found.set(all);
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

fn sources(settings: &Settings) -> Vec<Source> {
    let listeners = settings.smtp.listeners.iter().filter_map(|listener| {
        let files = &listener.tls.as_ref()?.files;
        Some(Source::certificate(CredentialKind::ServerCertificate, listener.policy.name.as_str(), files))
    });
    listeners.chain(settings.destinations.iter().flat_map(of_destination)).collect()
}

fn of_destination(destination: &Destination) -> Vec<Source> {
    let name = destination.name.as_str();
    let (client, oauth) = match &destination.kind {
        DestinationKind::Submission(submission) => {
            let oauth = match &submission.auth {
                Some(Auth::Bearer(bearer)) => Some(&bearer.oauth),
                Some(Auth::Password(_)) | None => None,
            };
            (submission.tls.client_certificate.as_ref(), oauth)
        }
        DestinationKind::Nats(nats) => {
            (nats.cluster.tls.as_ref().and_then(|tls| tls.client_certificate.as_ref()), None)
        }
        DestinationKind::Graph(graph) => (graph.tls.client_certificate.as_ref(), Some(&graph.oauth)),
        DestinationKind::Webhook(webhook) => (webhook.tls.client_certificate.as_ref(), None),
        DestinationKind::Amqp(amqp) => (shown_to(&amqp.broker), None),
        DestinationKind::Mqtt(mqtt) => (shown_to(&mqtt.broker), None),
        DestinationKind::Redis(redis) => (shown_to(&redis.broker), None),
        DestinationKind::Maildir(_) | DestinationKind::Netbios(_) => (None, None),
    };
    let client = client.map(|files| Source::certificate(CredentialKind::ClientCertificate, name, files));
    client.into_iter().chain(oauth.and_then(|oauth| of_oauth(name, oauth))).collect()
}

fn shown_to(broker: &Broker) -> Option<&CertificateFiles> {
    broker.tls.as_ref().and_then(|tls| tls.client_certificate.as_ref())
}

fn of_oauth(name: &str, oauth: &OAuth) -> Option<Source> {
    match oauth.grant.client()?.1? {
        ClientProof::Certificate { files, .. } => {
            Some(Source::certificate(CredentialKind::OauthCertificate, name, files))
        }
        ClientProof::Secret { expires, .. } => {
            let end = end_of((*expires)?)?;
            let place = Place::Configuration(end);
            Some(Source { kind: CredentialKind::ClientSecret, name: name.to_owned(), place })
        }
    }
}

/// Tells of each stage once; a renewed credential begins anew.
fn tell(credential: &Credential, now: Timestamp, told: &mut HashMap<(CredentialKind, String), Stage>) {
    let key = (credential.kind, credential.name.clone());
    let Some(stage) = Stage::at(credential.end, now) else {
        told.remove(&key);
        return;
    };
    let (what, day) = (credential.what(), day_of(credential.end));
    match told.insert(key, stage) {
        Some(before) if before >= stage => {}
        Some(_) | None if stage == Stage::Over => {
            tracing::error!(what, %day, "A secret or certificate has ended; make another and put it in its place.");
        }
        Some(_) | None => {
            tracing::warn!(what, %day, "A secret or certificate ends soon; make another and put it in its place.");
        }
    }
}

const INTERVAL: Duration = Duration::from_secs(60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    fn credential(end: &str) -> Credential {
        let name = "smarthost".to_owned();
        Credential { kind: CredentialKind::ClientSecret, name, end: end.parse().unwrap() }
    }

    #[test]
    fn each_stage_is_told_once_and_a_renewed_one_begins_anew() {
        let mut told = HashMap::new();
        let key = (CredentialKind::ClientSecret, "smarthost".to_owned());
        let secret = credential("2027-10-01T00:00:00Z");
        for (now, stage) in [
            ("2027-01-01T00:00:00Z", None),
            ("2027-09-10T00:00:00Z", Some(Stage::Month)),
            ("2027-09-11T00:00:00Z", Some(Stage::Month)),
            ("2027-09-30T12:00:00Z", Some(Stage::Day)),
            ("2027-10-02T00:00:00Z", Some(Stage::Over)),
        ] {
            tell(&secret, now.parse().unwrap(), &mut told);
            assert_eq!(told.get(&key).copied(), stage, "{now}");
        }
        tell(&credential("2029-10-01T00:00:00Z"), "2027-10-02T00:00:00Z".parse().unwrap(), &mut told);
        assert!(told.is_empty());
    }

    #[test]
    fn only_what_ends_within_a_month_is_shown() {
        let credentials = Credentials::default();
        credentials.set(vec![credential("2027-10-01T00:00:00Z"), credential("2029-10-01T00:00:00Z")]);
        let ending = credentials.ending("2027-09-20T00:00:00Z".parse().unwrap());
        assert_eq!(ending, [credential("2027-10-01T00:00:00Z")]);
        assert_eq!(ending[0].what(), "the client secret of smarthost");
    }

    #[test]
    fn a_certificate_says_its_own_end_and_a_file_that_is_gone_says_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let files =
            CertificateFiles { certificate: dir.path().join("a.pem"), key_file: dir.path().join("a.key") };
        let source = Source::certificate(CredentialKind::ServerCertificate, "mx", &files);
        assert_eq!(source.look(), None);
        let mut params = rcgen::CertificateParams::new(vec!["gw1.example".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(2031, 2, 3);
        let own = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        std::fs::write(&files.certificate, own.pem()).unwrap();
        assert_eq!(source.look().unwrap().end, "2031-02-03T00:00:00Z".parse().unwrap());
    }
}
