#![expect(clippy::disallowed_methods, reason = "what another task does is awaited on the wall clock")]

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use jiff::tz::TimeZone;
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::arrivals::Standing;
use super::folder::{BADMAIL, MOST};
use super::*;
use crate::config::settings;
use crate::message::id::{DestinationName, ListenerName};
use crate::message::mail::{Body, Content};
use crate::policy::rate::Rate;
use crate::policy::relay::{
    AcceptedDomains, Authentication, DomainPattern, ListenerPolicy, RelayPolicy, RelayTo, TrustedNetwork,
};
use crate::policy::route::{Route, RouteDomain, RouteTo};
use crate::spool::{Filter, Limits, NoticeFailures};

/// A pickup directory in front of a real spool.
struct Fixture {
    scratch: TempDir,
    spool: Spool,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
    running: Option<JoinHandle<()>>,
}

fn limits(max_size: Option<u64>) -> Limits {
    Limits {
        max_size,
        min_free: 0,
        reserved_for_notices: 0,
        failed_keep: Duration::from_secs(3600),
        delay_report: None,
        notice_failures: NoticeFailures::Kept,
    }
}

impl Fixture {
    fn new(max_size: Option<u64>) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let metrics = Arc::new(Metrics::new());
        let folder = scratch.path().join("spool");
        let spool =
            Spool::open(&folder, limits(max_size), Duration::from_secs(3600), Arc::clone(&metrics)).unwrap();
        Self { scratch, spool, metrics, stop: CancellationToken::new(), running: None }
    }

    fn start(mut self) -> Self {
        let settings = settings(&self.path());
        let pickup = Pickup::prepare(
            &settings,
            directory(&settings, &self.metrics),
            self.spool.clone(),
            Arc::clone(&self.metrics),
        );
        let pickup = pickup.unwrap().unwrap();
        self.running = Some(tokio::spawn(
            pickup.run(tokio::sync::watch::channel(Arc::new(settings)).1, self.stop.clone()),
        ));
        self
    }

    fn path(&self) -> PathBuf {
        self.scratch.path().join("pickup")
    }

    /// Drops a file as a careful program does.
    fn drop_renamed(&self, name: &str, text: &str) {
        let hidden = self.path().join(".hidden");
        fs::write(&hidden, text).unwrap();
        fs::rename(hidden, self.path().join(name)).unwrap();
    }

    async fn until_gone(&self, name: &str) {
        let end = Instant::now() + PATIENCE;
        while self.path().join(name).symlink_metadata().is_ok() {
            assert!(Instant::now() < end, "{name} stays");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Everything in the spool: sender, recipients, content.
    async fn mail(&self) -> Vec<(Option<String>, Vec<String>, String)> {
        let mut all: Vec<(Option<String>, Vec<String>, String)> = Vec::new();
        let mut last = None;
        for copy in
            self.spool.list(Filter { destination: None, state: None, after: None, limit: 100 }).await.unwrap()
        {
            if last == Some(copy.id) {
                all.last_mut().unwrap().1.push(copy.address);
                continue;
            }
            last = Some(copy.id);
            let Body::Mail { reverse_path, content, .. } =
                self.spool.load(copy.id).await.unwrap().unwrap().body
            else {
                panic!("no notice was dropped")
            };
            let octets = match content {
                Content::Inline(octets) => octets.to_vec(),
                Content::File { path, .. } => fs::read(path).unwrap(),
            };
            all.push((reverse_path, vec![copy.address], String::from_utf8(octets).unwrap()));
        }
        all
    }

    fn reason(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(BADMAIL).join(format!("{name}.reason.txt"))).unwrap()
    }

    fn counted(&self, outcome: PickupOutcome) -> bool {
        let series = format!("mailslotd_pickup_files_total{{outcome=\"{}\"}}", outcome.as_str());
        self.metrics.encode().contains(&series)
    }

    async fn stop(mut self) {
        self.stop.cancel();
        self.running.take().unwrap().await.unwrap();
        self.spool.clone().close().await;
    }
}

fn directory(settings: &Settings, metrics: &Arc<Metrics>) -> Arc<Directory> {
    let smtp = &settings.smtp;
    let made =
        Directory::new(&smtp.recipients, smtp.on_directory_failure, "gw1.plant.example", Arc::clone(metrics));
    Arc::new(made.unwrap())
}

fn settings(path: &Path) -> Settings {
    let mut settings = Settings::built_in(path.parent().unwrap(), TimeZone::UTC);
    settings.hostname = Some("gw1.plant.example".to_owned());
    settings.smtp.relay = Arc::new(RelayPolicy {
        accepted_domains: AcceptedDomains::new(vec![DomainPattern::parse("corp.example").unwrap()]),
        routes: vec![Route {
            domain: RouteDomain::Any,
            via: DestinationName::new("onprem").unwrap(),
            to: RouteTo::Recipient,
        }],
        hostname: None,
    });
    settings.smtp.limits.message_size = Some(200_000);
    let known = ["ops", "boss"].map(|name| format!("{name}@corp.example"));
    settings.smtp.recipients = vec![settings::RecipientSource::List(known.to_vec())];
    let network: IpNet = "127.0.0.0/8".parse().unwrap();
    let trusted = TrustedNetwork { network, relay_to: RelayTo::AcceptedDomains, from: None, rate: None };
    let policy = ListenerPolicy {
        name: ListenerName::new("pickup").unwrap(),
        trusted_networks: vec![trusted],
        authentication: Authentication::Optional,
    };
    settings.smtp.pickup = Some(settings::Pickup {
        path: path.to_owned(),
        policy: Arc::new(policy),
        badmail_keep: Some(Duration::from_secs(3600)),
    });
    settings
}

const PATIENCE: Duration = Duration::from_secs(60);
const MAIL: &str = "From: App <app@corp.example>\nTo: ops@corp.example\nBcc: boss@corp.example\nSubject: done\n\nAll of it.\n";

#[tokio::test]
async fn a_dropped_file_is_in_the_spool_before_it_is_gone() {
    let fixture = Fixture::new(None).start();
    fixture.drop_renamed("report.EML", MAIL);
    fixture.until_gone("report.EML").await;
    let mail = fixture.mail().await;
    let [(reverse_path, recipients, content)] = mail.as_slice() else { panic!("{mail:?}") };
    assert_eq!(reverse_path.as_deref(), Some("app@corp.example"));
    assert_eq!(recipients, &["ops@corp.example", "boss@corp.example"]);
    assert!(content.starts_with("Received: by gw1.plant.example (from user "), "{content}");
    for part in ["\r\nSubject: done\r\n", "\r\nDate: ", "\r\nMessage-ID: <", "\r\n\r\nAll of it.\r\n"] {
        assert!(content.contains(part), "{part:?} in {content}");
    }
    assert!(!content.contains("boss"), "{content}");
    assert!(fixture.counted(PickupOutcome::Accepted));
    fixture.stop().await;
}

#[tokio::test]
async fn a_file_that_is_written_in_place_is_taken_when_it_is_whole_and_what_is_no_mail_is_left_alone() {
    let fixture = Fixture::new(None).start();
    let path = fixture.path();
    fs::write(fixture.scratch.path().join("secret.eml"), MAIL).unwrap();
    symlink(fixture.scratch.path().join("secret.eml"), path.join("link.eml")).unwrap();
    fs::create_dir(path.join("folder.eml")).unwrap();
    fs::write(path.join("notes.txt"), "no mail").unwrap();
    fs::write(path.join("slow.eml"), "X-Sender:\nX-Receiver: ops@corp.example\n\nfirst\n").unwrap();
    fs::OpenOptions::new().append(true).open(path.join("slow.eml")).unwrap();
    fixture.until_gone("slow.eml").await;
    let mail = fixture.mail().await;
    assert_eq!(mail.len(), 1);
    assert_eq!(mail[0].0, None);
    assert!(mail[0].2.ends_with("\r\n\r\nfirst\r\n") && !mail[0].2.contains("X-Receiver"), "{}", mail[0].2);
    for left in ["link.eml", "folder.eml", "notes.txt"] {
        assert!(path.join(left).symlink_metadata().is_ok(), "{left}");
    }
    fixture.stop().await;
}

#[tokio::test]
async fn a_recipient_in_several_spellings_gets_one_copy() {
    let fixture = Fixture::new(None).start();
    let receivers =
        "X-Receiver: ops@corp.example\nX-Receiver: ops@CORP.example\nX-Receiver: \"ops\"@corp.example\n";
    fixture.drop_renamed("twice.eml", &format!("X-Sender:\n{receivers}\nhello\n"));
    fixture.until_gone("twice.eml").await;
    let mail = fixture.mail().await;
    assert_eq!(mail.len(), 1);
    assert_eq!(mail[0].1, ["ops@corp.example"]);
    fixture.stop().await;
}

#[tokio::test]
async fn what_was_refused_long_ago_goes_with_its_reason_and_everything_else_in_badmail_stays() {
    let fixture = Fixture::new(None);
    let badmail = fixture.path().join(BADMAIL);
    fs::create_dir_all(&badmail).unwrap();
    let long_ago = fs::metadata(&badmail).unwrap().modified().unwrap() - Duration::from_secs(2 * 3600);
    for (name, modified) in [
        ("old.eml", Some(long_ago)),
        ("old.eml.reason.txt", Some(long_ago)),
        ("mended-and-gone.eml.reason.txt", Some(long_ago)),
        ("young.eml", Some(long_ago)),
        ("young.eml.reason.txt", None),
        ("being-mended.eml", None),
        ("being-mended.eml.reason.txt", Some(long_ago)),
        ("notes.txt", Some(long_ago)),
        ("alone.eml", Some(long_ago)),
    ] {
        let file = fs::File::create(badmail.join(name)).unwrap();
        if let Some(modified) = modified {
            file.set_modified(modified).unwrap();
        }
    }
    let fixture = fixture.start();
    fixture.drop_renamed("report.eml", MAIL);
    fixture.until_gone("report.eml").await;
    let mut left: Vec<_> = fs::read_dir(&badmail)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    let kept = [
        "alone.eml",
        "being-mended.eml",
        "being-mended.eml.reason.txt",
        "notes.txt",
        "young.eml",
        "young.eml.reason.txt",
    ];
    assert_eq!(left, kept);
    fixture.stop().await;
}

#[test]
fn what_lies_in_badmail_gets_no_note_of_another_file_and_a_move_that_fails_leaves_none() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = Folder::prepare(&scratch.path().join("pickup")).unwrap();
    let badmail = folder.path().join(BADMAIL);
    fs::write(badmail.join("x.eml"), "the operator's").unwrap();
    fs::write(folder.path().join("x.eml"), "refused").unwrap();
    assert_eq!(folder.set_aside("x.eml".as_ref(), "why").unwrap(), badmail.join("x-1.eml"));
    folder.set_aside("gone.eml".as_ref(), "why").unwrap_err();
    let names = fs::read_dir(&badmail).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names.collect();
    names.sort();
    assert_eq!(names, ["x-1.eml", "x-1.eml.reason.txt", "x.eml"]);
}

#[tokio::test]
async fn what_may_not_be_sent_lies_in_badmail_with_cause_and_fix() {
    let fixture = Fixture::new(None).start();
    fixture.drop_renamed("out.eml", &MAIL.replace("Bcc: boss@corp.example", "Cc: someone@elsewhere.example"));
    fixture.until_gone("out.eml").await;
    let reason = fixture.reason("out.eml");
    assert_eq!(
        reason,
        "recipient <someone@elsewhere.example>: Relay access denied; fix: set `pickup.relay_to: any`, or add the domain \
         to `relay.accepted_domains`\n"
    );
    assert!(fixture.counted(PickupOutcome::Refused));
    fixture.drop_renamed("typo.eml", &MAIL.replace("boss@", "bsos@"));
    fixture.until_gone("typo.eml").await;
    assert!(
        fixture.reason("typo.eml").starts_with("recipient <bsos@corp.example>: no such recipient; fix: ")
    );
    let crowd: Vec<String> = (0..1001).map(|number| format!("X-Receiver: {number}@corp.example\n")).collect();
    fixture.drop_renamed("crowd.eml", &format!("{}{MAIL}", crowd.concat()));
    fixture.until_gone("crowd.eml").await;
    assert!(fixture.reason("crowd.eml").starts_with("more than 1000 recipients"));
    // Another one of the same name does not take its place.
    fixture.drop_renamed("out.eml", "Subject: to nobody\n\n");
    fixture.until_gone("out.eml").await;
    assert!(fixture.reason("out-1.eml").starts_with("the message names no sender\nfix: "));
    fixture.drop_renamed("big.eml", &format!("{MAIL}{}", "long\n".repeat(50_000)));
    fixture.until_gone("big.eml").await;
    assert!(fixture.reason("big.eml").contains("larger than 200000 octets"));
    assert!(fixture.path().join(BADMAIL).join("out.eml").exists());
    assert!(fixture.counted(PickupOutcome::Unusable));
    assert_eq!(fixture.mail().await, []);
    fixture.stop().await;
}

#[tokio::test]
async fn a_file_that_another_name_leads_to_is_not_read_for_whoever_linked_it() {
    let fixture = Fixture::new(None).start();
    let secret = fixture.scratch.path().join("secret");
    fs::write(&secret, MAIL).unwrap();
    fs::hard_link(&secret, fixture.path().join("mine.eml")).unwrap();
    fixture.until_gone("mine.eml").await;
    assert!(fixture.reason("mine.eml").contains("hard links"));
    assert_eq!(fixture.mail().await, []);
    fixture.stop().await;
}

#[tokio::test]
async fn while_the_spool_is_full_the_file_stays() {
    let fixture = Fixture::new(Some(1)).start();
    fixture.drop_renamed("report.eml", MAIL);
    let end = Instant::now() + PATIENCE;
    while !fixture.counted(PickupOutcome::Deferred) && fixture.spool.accepting(Class::Mail).is_ok() {
        assert!(Instant::now() < end);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(fixture.path().join("report.eml").exists());
    assert!(!fixture.counted(PickupOutcome::Accepted));
    fixture.stop().await;
}

#[tokio::test]
async fn files_that_wait_for_a_directory_do_not_keep_it_busy_and_hide_nothing() {
    let fixture = Fixture::new(None);
    let mut settings = settings(&fixture.path());
    settings.smtp.recipients = vec![settings::RecipientSource::File(fixture.scratch.path().join("absent"))];
    let made = Pickup::prepare(
        &settings,
        directory(&settings, &fixture.metrics),
        fixture.spool.clone(),
        Arc::clone(&fixture.metrics),
    );
    let mut pickup = made.unwrap().unwrap();
    for number in 0..=MOST {
        fixture.drop_renamed(&format!("{number}.eml"), MAIL);
    }
    while pickup.watch.renamed().len() <= MOST {
        pickup.watch.changed().await;
    }
    assert_eq!(pickup.round(&fixture.stop).await, LOOK, "nothing was taken, so nothing is to be hurried");
    assert_eq!(pickup.watch.renamed().len(), MOST + 1, "none is taken");
    let seen = pickup.folder.look(&pickup.arrivals.left(), now()).unwrap();
    assert_eq!((seen.files.len(), seen.passed_over.len(), seen.rest), (1, MOST, Rest::None));
    let later = now() + RETRY;
    let seen = pickup.folder.look(&pickup.arrivals.left(), later).unwrap();
    assert_eq!((seen.files.len(), seen.rest), (MOST, Rest::Some), "their time has come");
    let untried =
        |(name, look): &(OsString, _)| pickup.arrivals.left().standing(name, *look, later) == Standing::Fresh;
    assert!(seen.files.iter().any(untried), "what was not tried yet comes first");
    fixture.spool.clone().close().await;
}

#[tokio::test]
async fn what_is_not_sent_counts_against_no_rate() {
    let fixture = Fixture::new(None);
    let mut settings = settings(&fixture.path());
    let pickup = settings.smtp.pickup.as_mut().unwrap();
    let rate = Rate { count: 1, period: Duration::from_secs(24 * 60 * 60) };
    Arc::make_mut(&mut pickup.policy).trusted_networks[0].rate = Some(rate);
    let made = Pickup::prepare(
        &settings,
        directory(&settings, &fixture.metrics),
        fixture.spool.clone(),
        Arc::clone(&fixture.metrics),
    );
    let mut pickup = made.unwrap().unwrap();
    for (name, text) in [("bad.eml", "Subject: to nobody\n\n"), ("good.eml", MAIL)] {
        fixture.drop_renamed(name, text);
        assert_ne!(pickup.file(&name.into()).await, Next::Round, "{name}");
    }
    assert_eq!(fixture.mail().await.len(), 1);
    fixture.drop_renamed("more.eml", MAIL);
    assert_eq!(pickup.file(&"more.eml".into()).await, Next::Round, "the rate counts what was sent");
    fixture.spool.clone().close().await;
}

#[tokio::test]
async fn a_file_that_is_taken_twice_has_the_same_message_id() {
    let fixture = Fixture::new(None);
    let settings = settings(&fixture.path());
    let folder = Folder::prepare(&fixture.path()).unwrap();
    fixture.drop_renamed("report.eml", MAIL);
    let pickup = settings.smtp.pickup.clone().unwrap();
    let directory = directory(&settings, &fixture.metrics);
    let taker = Taker::new(&settings, &pickup, directory, folder, fixture.spool.clone());
    for _ in 0..2 {
        assert!(matches!(taker.take("report.eml".as_ref()).await, Taking::Taken(_)));
    }
    let ids: Vec<String> = fixture
        .mail()
        .await
        .iter()
        .map(|(.., content)| content.lines().find(|line| line.starts_with("Message-ID")).unwrap().to_owned())
        .collect();
    assert_eq!((ids.len(), &ids[0]), (2, &ids[1]));
    assert!(matches!(taker.take("gone.eml".as_ref()).await, Taking::Gone));
    fixture.spool.clone().close().await;
}

#[test]
fn the_directory_is_made_so_that_a_group_may_drop_and_nothing_else() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("a/pickup");
    Folder::prepare(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o3730);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    let old = fs::File::create(path.join(".killed.tmp")).unwrap();
    old.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    fs::write(path.join(".running.tmp"), "").unwrap();
    Folder::prepare(&path).unwrap();
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o7777,
        0o700,
        "the operator's choice stays"
    );
    fs::write(scratch.path().join("file"), "").unwrap();
    assert!(Folder::prepare(&scratch.path().join("file")).is_err());
}
