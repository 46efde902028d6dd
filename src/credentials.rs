//! When secrets and certificates end: looked at once an hour, told by metric, log, status and mail to the operator 30, 7 and
//! 1 days before.
//!
//! Certificates say it themselves, in files that may be replaced at any time. Of a client secret only the operator knows,
//! who writes it down as `client_secret_expires`.
#![expect(clippy::disallowed_methods, reason = "the edge where ends are held against now")]

mod told;

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
use crate::delivery::reports::Reporter;
use crate::message::compose::ending::Ending;
use crate::policy::expiry::{Stage, day_of, end_of};
use crate::spool::{Spool, SpoolError};
use crate::telemetry::metrics::{CredentialKind, Metrics};
use crate::wire::x509;
use told::Told;

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

    /// What follows from its end, and what to do.
    fn advice(&self) -> String {
        let name = &self.name;
        match self.kind {
            CredentialKind::ServerCertificate => format!(
                "From its end on, clients that look at certificates send nothing to the listener {name}. Have its authority make \
                 another, and put it into the place of the old one."
            ),
            CredentialKind::ClientCertificate => format!(
                "From its end on, {name} lets nobody in, and messages for it wait in the spool until they expire. Have its authority \
                 make another, put it into the place of the old one, and start mailslotd again."
            ),
            CredentialKind::OauthCertificate => format!(
                "From its end on, the provider gives no tokens, and messages for {name} wait in the spool until they expire. Make \
                 another with its key, add the certificate to the application at the provider, put both into the place of the old \
                 ones, and see whether `mailslotd oauth test {name}` goes well."
            ),
            CredentialKind::ClientSecret => format!(
                "From its end on, the provider gives no tokens, and messages for {name} wait in the spool until they expire. Make \
                 another at the provider, put it into the file of the old one, write its end as `client_secret_expires`, and see \
                 whether `mailslotd oauth test {name}` goes well."
            ),
        }
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

/// By what the operator is told.
#[derive(Debug, Clone)]
pub struct Mailing {
    /// What makes the mail.
    pub reporter: Reporter,
    /// What takes it.
    pub spool: Spool,
}

/// Looks at those of these settings once an hour until `stop`.
pub fn watch(
    settings: &Settings,
    found: Credentials,
    metrics: Arc<Metrics>,
    mailing: Mailing,
    stop: CancellationToken,
) -> impl Future<Output = ()> + use<> {
    let watch = Watch {
        sources: Arc::new(sources(settings)),
        file: settings.state_dir.join(told::FILE),
        found,
        metrics,
        mailing,
        told: None,
        written: None,
        logged: HashMap::new(),
    };
    watch.run(stop)
}

/// The looks, and what came of those before.
struct Watch {
    sources: Arc<Vec<Source>>,
    /// Where it is written what the operator has been told.
    file: PathBuf,
    found: Credentials,
    metrics: Arc<Metrics>,
    mailing: Mailing,
    /// What the operator has been told; `None` before the first look.
    told: Option<Told>,
    /// What of it is in the file.
    written: Option<Told>,
    logged: HashMap<(CredentialKind, String), Stage>,
}

impl Watch {
    async fn run(mut self, stop: CancellationToken) {
        loop {
            self.look(Timestamp::now()).await;
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
    }

    async fn look(&mut self, now: Timestamp) {
        let (sources, file) = (Arc::clone(&self.sources), self.file.clone());
        let is_first = self.told.is_none();
        let look = move || {
            let all: Vec<_> = sources.iter().filter_map(Source::look).collect();
            (all, is_first.then(|| Told::read(&file)))
        };
        let Ok((mut all, read)) = tokio::task::spawn_blocking(look).await else { return };
        if read.is_some() {
            (self.told, self.written) = (read.clone(), read);
        }
        all.sort_by_key(|credential| credential.end);
        for credential in &all {
            self.metrics.credential_ends(credential.kind, &credential.name, credential.end);
            log(credential, now, &mut self.logged);
        }
        let told = self.mail(&all, now).await;
        self.write(told).await;
        self.found.set(all);
    }

    /// Tells the operator of each stage once; what the spool does not take now is told at the next look. What has been told
    /// by then.
    async fn mail(&mut self, all: &[Credential], now: Timestamp) -> Told {
        let told = self.told.get_or_insert_default();
        for (number, credential) in all.iter().enumerate() {
            let Some(stage) = told.due(credential, now) else { continue };
            match self.mailing.tell(number, credential, stage, now).await {
                Ok(()) => told.note(credential, stage),
                Err(error) => tracing::warn!(what = credential.what(), "The operator is told later: {error}"),
            }
        }
        told.clone()
    }

    /// Tries at each look until it is written.
    async fn write(&mut self, told: Told) {
        if self.written.as_ref() == Some(&told) {
            return;
        }
        let (file, draft) = (self.file.clone(), told.clone());
        match tokio::task::spawn_blocking(move || draft.write(&file)).await {
            Ok(Ok(())) => self.written = Some(told),
            Ok(Err(error)) => {
                let path = self.file.display();
                tracing::warn!(
                    "{path} cannot be written: {error}; the next start tells of the same ends again."
                );
            }
            Err(_) => {}
        }
    }
}

impl Mailing {
    /// The number is that of the credential among those of a look, whose mails have one time.
    async fn tell(
        &self,
        number: usize,
        credential: &Credential,
        stage: Stage,
        now: Timestamp,
    ) -> Result<(), SpoolError> {
        let ending = Ending {
            what: &credential.what(),
            when: &stage.told(day_of(credential.end)),
            advice: &credential.advice(),
            at: now,
            id: &format!("{}.{number}.{}.expiry", now.as_microsecond(), credential.kind.as_str()),
        };
        self.reporter.tell_of_end(&self.spool, &ending).await
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

/// Logs each stage once; a renewed credential begins anew.
fn log(credential: &Credential, now: Timestamp, logged: &mut HashMap<(CredentialKind, String), Stage>) {
    let key = (credential.kind, credential.name.clone());
    let Some(stage) = Stage::at(credential.end, now) else {
        logged.remove(&key);
        return;
    };
    let (what, day) = (credential.what(), day_of(credential.end));
    match logged.insert(key, stage) {
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
    use crate::message::id::DestinationName;
    use crate::policy::operator::{Notify, Way};
    use crate::spool::{Filter, NoticeFailures};

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
            log(&secret, now.parse().unwrap(), &mut told);
            assert_eq!(told.get(&key).copied(), stage, "{now}");
        }
        log(&credential("2029-10-01T00:00:00Z"), "2027-10-02T00:00:00Z".parse().unwrap(), &mut told);
        assert!(told.is_empty());
    }

    /// A gateway with a client secret that ends at `end`, and a spool from which nothing is delivered.
    fn watch_over(folder: &std::path::Path, spool: &Spool, end: &str) -> Watch {
        let metrics = Arc::new(Metrics::new());
        let mut settings = Settings::built_in(folder, jiff::tz::TimeZone::UTC);
        settings.hostname = Some("gw1.plant.example".to_owned());
        let inbox = Way { via: DestinationName::new("inbox").unwrap(), to: "operator".to_owned() };
        settings.operator.notify = Notify::These(vec![inbox]);
        let place = Place::Configuration(end.parse().unwrap());
        let secret = Source { kind: CredentialKind::ClientSecret, name: "smarthost".to_owned(), place };
        Watch {
            sources: Arc::new(vec![secret]),
            file: folder.join(told::FILE),
            found: Credentials::default(),
            mailing: Mailing { reporter: Reporter::of(&settings, &metrics), spool: spool.clone() },
            metrics,
            told: None,
            written: None,
            logged: HashMap::new(),
        }
    }

    fn spool(folder: &std::path::Path) -> Spool {
        let limits = crate::spool::Limits {
            max_size: None,
            min_free: 0,
            reserved_for_notices: 0,
            failed_keep: INTERVAL,
            delay_report: None,
            notice_failures: NoticeFailures::Told,
        };
        let dir = folder.join("spool");
        std::fs::create_dir(&dir).unwrap();
        Spool::open(&dir, limits, INTERVAL, Arc::new(Metrics::new())).unwrap()
    }

    async fn mails(spool: &Spool) -> Vec<crate::spool::Copy> {
        let filter = Filter { limit: Filter::PAGE, ..Filter::default() };
        spool.list(filter).await.unwrap()
    }

    async fn text(spool: &Spool, id: crate::message::id::QueueId) -> String {
        let crate::spool::Exported { message, .. } = spool.export(id).await.unwrap().unwrap();
        let crate::message::mail::Body::Mail { content, .. } = message.body else { panic!("a notice") };
        let crate::message::mail::Content::Inline(bytes) = content else { panic!("a file") };
        String::from_utf8(bytes.to_vec()).unwrap().replace("=\r\n", "")
    }

    #[tokio::test]
    async fn the_operator_has_one_mail_for_each_stage_whatever_restarts() {
        let dir = tempfile::tempdir().unwrap();
        let spool = spool(dir.path());
        for (now, told) in [
            ("2027-01-01T00:00:00Z", 0),
            ("2027-09-10T00:00:00Z", 1),
            ("2027-09-11T00:00:00Z", 1),
            ("2027-09-25T00:00:00Z", 2),
            ("2027-09-30T12:00:00Z", 3),
            ("2027-10-02T00:00:00Z", 4),
            ("2027-10-03T00:00:00Z", 4),
        ] {
            // Each look is that of a gateway that was started anew.
            watch_over(dir.path(), &spool, "2027-10-01T00:00:00Z").look(now.parse().unwrap()).await;
            assert_eq!(mails(&spool).await.len(), told, "{now}");
        }
        // It was renewed, and ends again.
        for (now, told) in [("2027-10-03T00:00:00Z", 4), ("2028-09-10T00:00:00Z", 5)] {
            watch_over(dir.path(), &spool, "2028-10-01T00:00:00Z").look(now.parse().unwrap()).await;
            assert_eq!(mails(&spool).await.len(), told, "{now}");
        }
        let first = &mails(&spool).await[0];
        assert_eq!((first.destination.as_str(), &*first.address), ("inbox", "operator"));
        let text = text(&spool, first.id).await;
        for part in [
            "Subject: The client secret of smarthost expires on 2027-10-01\r\n",
            "gw1.plant.example proves itself by the client secret of smarthost, which expires on 2027-10-01.",
            "`mailslotd oauth test smarthost`",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        spool.close().await;
    }

    #[tokio::test]
    async fn two_that_end_at_once_are_two_mails_that_no_reader_takes_for_one() {
        let dir = tempfile::tempdir().unwrap();
        let spool = spool(dir.path());
        let mut watch = watch_over(dir.path(), &spool, "2027-10-01T00:00:00Z");
        let place = Place::Configuration("2027-10-01T00:00:00Z".parse().unwrap());
        let other = Source { kind: CredentialKind::ClientSecret, name: "graph".to_owned(), place };
        Arc::get_mut(&mut watch.sources).unwrap().push(other);
        watch.look("2027-09-10T00:00:00Z".parse().unwrap()).await;
        let mut ids = std::collections::HashSet::new();
        for copy in mails(&spool).await {
            let text = text(&spool, copy.id).await;
            ids.insert(text.lines().find(|line| line.starts_with("Message-ID:")).unwrap().to_owned());
        }
        assert_eq!(ids.len(), 2, "{ids:?}");
        spool.close().await;
    }

    #[tokio::test]
    async fn where_nothing_can_be_written_a_running_gateway_still_tells_once() {
        let dir = tempfile::tempdir().unwrap();
        let spool = spool(dir.path());
        std::fs::create_dir(dir.path().join(told::FILE)).unwrap();
        let mut watch = watch_over(dir.path(), &spool, "2027-10-01T00:00:00Z");
        for now in ["2027-09-10T00:00:00Z", "2027-09-10T01:00:00Z"] {
            watch.look(now.parse().unwrap()).await;
        }
        assert_eq!(mails(&spool).await.len(), 1);
        std::fs::remove_dir(dir.path().join(told::FILE)).unwrap();
        watch.look("2027-09-10T02:00:00Z".parse().unwrap()).await;
        assert!(dir.path().join(told::FILE).is_file(), "it is written once it can be");
        spool.close().await;
    }

    #[tokio::test]
    async fn what_the_spool_does_not_take_is_told_later() {
        let dir = tempfile::tempdir().unwrap();
        let closed = spool(dir.path());
        closed.clone().close().await;
        let now = "2027-09-10T00:00:00Z".parse().unwrap();
        watch_over(dir.path(), &closed, "2027-10-01T00:00:00Z").look(now).await;
        std::fs::remove_dir_all(dir.path().join("spool")).unwrap();
        let open = spool(dir.path());
        watch_over(dir.path(), &open, "2027-10-01T00:00:00Z").look(now).await;
        assert_eq!(mails(&open).await.len(), 1);
        open.close().await;
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
