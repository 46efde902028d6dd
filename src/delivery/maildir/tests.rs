use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use bytes::Bytes;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, ToSpan as _};

use super::*;
use crate::message::id::QueueId;
use crate::message::mail::{Content, Gathered, Priority};
use crate::message::notice::{Arrival, Encoding, Kind, Listener, Name, Notice};
use crate::wire::netbios_name::NameType;
use crate::wire::oem_text::CodePage;

struct Inbox {
    scratch: tempfile::TempDir,
    settings: settings::Maildir,
    metrics: Arc<Metrics>,
    maildir: Maildir,
}

impl Inbox {
    fn new(max_size: Option<u64>, keep: Option<Duration>) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let settings = settings::Maildir { path: scratch.path().join("inbox"), max_size, keep };
        let metrics = Arc::new(Metrics::new());
        let maildir = open(&settings, &metrics);
        Self { scratch, settings, metrics, maildir }
    }

    /// As after a restart: nothing known but what is on disk.
    fn reopen(&mut self) {
        self.maildir = open(&self.settings, &self.metrics);
    }

    async fn deliver(&self, number: i64, to: &str) -> Report {
        self.maildir.deliver(attempt(message(number, now()), &[to])).await
    }

    fn files(&self, part: &str) -> Vec<String> {
        let entries = fs::read_dir(self.settings.path.join(part)).into_iter().flatten();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn removed(&self) -> u64 {
        let text = self.metrics.encode();
        let line = text.lines().find(|line| line.starts_with("mailslotd_maildir_removed_total{"));
        line.map_or(0, |line| line.rsplit_once(' ').unwrap().1.parse().unwrap())
    }
}

fn open(settings: &settings::Maildir, metrics: &Arc<Metrics>) -> Maildir {
    let identity = Identity::new(Some("gw1.plant.example"), "", None, TimeZone::UTC);
    Maildir::new(DestinationName::new("inbox").unwrap(), settings, identity, Arc::clone(metrics))
}

fn now() -> Timestamp {
    Timestamp::now()
}

fn message(number: i64, at: Timestamp) -> Spooled {
    let name = |text: &str| Name { text: text.to_owned().into(), name_type: NameType::MESSENGER };
    let notice = Notice {
        arrival: Arrival {
            at,
            source: "192.0.2.7:138".parse().unwrap(),
            destination: None,
            interface: None,
            listener: Listener::Datagram,
        },
        dgm_id: 1,
        source_name: name("UPS-07"),
        destination_name: name("ALERTS"),
        mailslot: r"\MAILSLOT\MESSNGR".into(),
        originator: "UPS-07".into(),
        to: "ALERTS".into(),
        text: format!("notice {number}").into(),
        encoding: Encoding { code_page: CodePage::Cp437, lossy: false },
        kind: Kind::Messenger,
        data: b"".as_slice().into(),
    };
    Spooled {
        id: QueueId::from_row(number).unwrap(),
        body: Body::Notice(Box::new(Gathered::one(notice))),
        accepted_at: at,
        expires_at: at + 5.hours(),
        priority: Priority::Normal,
        rule: None,
    }
}

fn attempt(message: Spooled, to: &[&str]) -> Attempt {
    let recipients = to.iter().zip(0..).map(|(to, number)| {
        let via = DestinationName::new("inbox").unwrap();
        let recipient = Recipient::new(via, *to);
        (RecipientNumber(number), recipient)
    });
    Attempt { message, recipients: recipients.collect() }
}

fn assert_delivered(report: &Report, count: usize) {
    assert_eq!(report.health, Health::Up);
    assert_eq!(report.outcomes.len(), count);
    for (_, outcome) in &report.outcomes {
        assert!(matches!(outcome, Outcome::Delivered { .. }), "{outcome}");
    }
}

#[tokio::test]
async fn a_mail_lies_complete_and_private_in_new() {
    let inbox = Inbox::new(None, None);
    assert_delivered(&inbox.deliver(1, "").await, 1);
    let names = inbox.files("new");
    let [name] = names.as_slice() else { panic!("{names:?}") };
    assert!(name.ends_with(".0000000000001.notice.gw1.plant.example"), "{name}");
    let path = inbox.settings.path.join("new").join(name);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains("Subject: UPS-07: notice 1\n") && !text.contains('\r'), "{text}");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(&inbox.settings.path).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(inbox.files("tmp"), [""; 0]);
}

#[tokio::test]
async fn each_folder_gets_one_copy_however_many_recipients_name_it() {
    let inbox = Inbox::new(None, None);
    let to = ["operator", "night", "operator", "../../escape"];
    assert_delivered(&inbox.maildir.deliver(attempt(message(1, now()), &to)).await, 4);
    assert_eq!(inbox.files("operator/new").len(), 1);
    assert_eq!(inbox.files("night/new").len(), 1);
    assert_eq!(inbox.files("_.._.._escape/new").len(), 1);
    let beside: Vec<_> =
        fs::read_dir(inbox.scratch.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(beside, ["inbox"], "nothing outside the Maildir");
}

#[tokio::test]
async fn a_repeat_after_a_crash_replaces_and_does_not_double() {
    let mut inbox = Inbox::new(None, None);
    let message = message(1, now());
    assert_delivered(&inbox.maildir.deliver(attempt(message.clone(), &[""])).await, 1);
    inbox.reopen();
    assert_delivered(&inbox.maildir.deliver(attempt(message.clone(), &[""])).await, 1);
    assert_eq!(inbox.files("new").len(), 1);
    // And when a reader has taken it up meanwhile.
    let name = inbox.files("new").remove(0);
    let root = &inbox.settings.path;
    fs::rename(root.join("new").join(&name), root.join("cur").join(format!("{name}:2,S"))).unwrap();
    inbox.reopen();
    assert_delivered(&inbox.maildir.deliver(attempt(message, &[""])).await, 1);
    assert_eq!((inbox.files("new").len(), inbox.files("cur").len()), (0, 1));
}

#[tokio::test]
async fn the_oldest_goes_when_it_grows_too_large_and_foreign_files_stay() {
    let inbox = Inbox::new(Some(4000), None);
    inbox.deliver(1, "").await;
    let foreign = inbox.settings.path.join("new").join("1.M1P1.elsewhere");
    fs::write(&foreign, vec![b'x'; 100_000]).unwrap();
    for number in 2..=20 {
        assert_delivered(&inbox.maildir.deliver(attempt(message(number, now()), &["", "night"])).await, 2);
    }
    let size = |part: &str| -> u64 {
        let of = |name: &String| fs::metadata(inbox.settings.path.join(part).join(name)).unwrap().len();
        inbox.files(part).iter().filter(|name| name.contains(".notice.")).map(of).sum()
    };
    assert!(size("new") + size("night/new") <= 4000);
    assert!(foreign.exists());
    let newest = inbox.files("new").into_iter().filter(|name| name.contains("000000000000M")).count();
    assert_eq!(newest, 1, "{:?}", inbox.files("new"));
    let kept = inbox.files("new").len() - 1 + inbox.files("night/new").len();
    assert_eq!(inbox.removed(), 39 - u64::try_from(kept).unwrap());
}

#[tokio::test]
async fn mail_that_readers_moved_is_still_removed_and_what_they_deleted_not_counted() {
    let inbox = Inbox::new(Some(3000), None);
    for number in 1..=3 {
        inbox.deliver(number, "").await;
    }
    let names = inbox.files("new");
    let root = inbox.settings.path.clone();
    // The oldest still there was read and moved, the next deleted.
    let moved = root.join("cur").join(format!("{}:2,S", names[0]));
    fs::rename(root.join("new").join(&names[0]), &moved).unwrap();
    fs::remove_file(root.join("new").join(&names[1])).unwrap();
    let before = inbox.removed();
    for number in 4..=9 {
        inbox.deliver(number, "").await;
    }
    assert!(!moved.exists(), "removed where the reader put it");
    let size: u64 =
        inbox.files("new").iter().map(|n| fs::metadata(root.join("new").join(n)).unwrap().len()).sum();
    assert!((1500..=3000).contains(&size), "{size}");
    let lying = inbox.files("new").len() + inbox.files("cur").len();
    assert_eq!(inbox.removed() - before + 1, 3 + 6 - u64::try_from(lying).unwrap());
}

#[tokio::test]
async fn mail_that_is_too_old_goes_even_when_nothing_new_comes() {
    let mut inbox = Inbox::new(None, Some(Duration::from_secs(3600)));
    let young = now() - SignedDuration::from_mins(30);
    inbox.maildir.deliver(attempt(message(1, young), &[""])).await;
    // Delivered late, accepted two hours ago: never removed by its own delivery.
    let old = now() - SignedDuration::from_hours(2);
    assert_delivered(&inbox.maildir.deliver(attempt(message(2, old), &[""])).await, 1);
    assert_eq!(inbox.files("new").len(), 2);
    inbox.reopen();
    inbox.maildir.tend().await;
    let names = inbox.files("new");
    assert!(names.len() == 1 && names[0].contains(".0000000000001."), "{names:?}");
}

#[tokio::test]
async fn a_full_disk_delays_and_says_which() {
    let inbox = Inbox::new(None, None);
    inbox.deliver(1, "").await;
    let two = message(2, now());
    let seconds = two.accepted_at.as_second();
    let tmp = inbox.settings.path.join("tmp");
    let name = format!("{seconds}.0000000000002.notice.gw1.plant.example.0");
    // Writing to /dev/full fails as on a full disk.
    symlink("/dev/full", tmp.join(name)).unwrap();
    let report = inbox.maildir.deliver(attempt(two.clone(), &[""])).await;
    assert_eq!(report.outcomes, [], "nobody is blamed");
    let Health::Down { reason } = report.health else { panic!("{:?}", report.health) };
    assert!(reason.contains("is full") && reason.contains("inbox"), "{reason}");
    // There is space again.
    assert_delivered(&inbox.maildir.deliver(attempt(two, &[""])).await, 1);
    assert_eq!(inbox.files("new").len(), 2);
}

#[tokio::test]
async fn a_path_that_cannot_be_a_maildir_waits_for_the_operator() {
    let inbox = Inbox::new(None, None);
    fs::write(&inbox.settings.path, "a file").unwrap();
    let report = inbox.deliver(1, "").await;
    let Health::OperatorFault { reason } = report.health else { panic!("{:?}", report.health) };
    assert!(reason.contains("inbox") && reason.contains("user that mailslotd runs as"), "{reason}");
}

#[tokio::test]
async fn a_sender_named_like_a_mail_servers_file_does_not_stop_the_destination() {
    let mut inbox = Inbox::new(None, None);
    inbox.deliver(1, "").await;
    let root = inbox.settings.path.clone();
    // A file, a link to nothing, and folders whose parts are files.
    fs::write(root.join("subscriptions"), "INBOX\n").unwrap();
    symlink("nowhere", root.join("dangling")).unwrap();
    symlink("loop", root.join("loop")).unwrap();
    for (folder, part) in [("half", "tmp"), ("halves", "new"), ("seen", "cur")] {
        fs::create_dir_all(root.join(folder).join("new")).unwrap();
        fs::remove_dir(root.join(folder).join("new")).unwrap();
        fs::write(root.join(folder).join(part), "a file").unwrap();
    }
    fs::create_dir(root.join("seen/new")).unwrap();
    let names = ["subscriptions", "dangling", "loop", "half", "halves"];
    for (name, number) in names.into_iter().zip(2..) {
        let report = inbox.deliver(number, name).await;
        assert_delivered(&report, 1);
        let told = report.outcomes[0].1.to_string();
        assert!(told.contains("as its folder is unusable") && told.contains(name), "{told}");
        assert_eq!(
            inbox.files("new").len(),
            usize::try_from(number).unwrap(),
            "{name} falls to the Maildir itself"
        );
    }
    assert_eq!(fs::read_to_string(root.join("subscriptions")).unwrap(), "INBOX\n");
    // Nor does a folder that cannot be counted after a restart.
    inbox.reopen();
    assert_delivered(&inbox.deliver(7, "seen").await, 1);
    // Two such recipients of one notice are one mail there.
    let two = attempt(message(8, now()), &["subscriptions", "dangling", "operator"]);
    assert_delivered(&inbox.maildir.deliver(two).await, 3);
    let of_eight = inbox.files("new").into_iter().filter(|name| name.contains(".0000000000008.")).count();
    assert_eq!((of_eight, inbox.files("operator/new").len()), (1, 1));
}

#[tokio::test]
async fn a_folder_that_someone_removed_is_made_again() {
    let inbox = Inbox::new(None, None);
    inbox.deliver(1, "operator").await;
    for (part, number) in [("operator", 2), ("operator/new", 3)] {
        fs::remove_dir_all(inbox.settings.path.join(part)).unwrap();
        assert_delivered(&inbox.deliver(number, "operator").await, 1);
    }
    assert_eq!(inbox.files("operator/new").len(), 1);
}

#[tokio::test]
async fn a_mail_gets_its_return_path_and_its_content_from_the_spools_file() {
    let inbox = Inbox::new(None, None);
    let file = inbox.scratch.path().join("content");
    fs::write(&file, "Subject: scan\r\n\r\n.\r\nbody\r\n".repeat(5000)).unwrap();
    let length = fs::metadata(&file).unwrap().len();
    let mut mail = message(7, now());
    let content = Content::File { path: file.clone(), length };
    mail.body = Body::Mail {
        reverse_path: Some("scanner@corp.example".to_owned()),
        content,
        submitted: Box::default(),
    };
    assert_delivered(&inbox.maildir.deliver(attempt(mail.clone(), &[""])).await, 1);
    let name = inbox.files("new").remove(0);
    let text = fs::read_to_string(inbox.settings.path.join("new").join(name)).unwrap();
    let expected = "Subject: scan\n\n.\nbody\n".repeat(5000);
    assert_eq!(text, format!("Return-Path: <scanner@corp.example>\n{expected}"));
    // A content that cannot be read is no fault of the Maildir.
    fs::remove_file(&file).unwrap();
    mail.id = QueueId::from_row(8).unwrap();
    let report = inbox.maildir.deliver(attempt(mail.clone(), &[""])).await;
    assert!(matches!(report.outcomes.as_slice(), [(_, Outcome::Delayed { .. })]), "{report:?}");
    assert_eq!((report.health, inbox.files("tmp")), (Health::Up, vec![]));
    mail.id = QueueId::from_row(9).unwrap();
    mail.body = Body::Mail {
        reverse_path: None,
        content: Content::Inline(Bytes::from_static(b"x\r\n")),
        submitted: Box::default(),
    };
    assert_delivered(&inbox.maildir.deliver(attempt(mail, &[""])).await, 1);
    let name = inbox.files("new").remove(1);
    let path: &Path = &inbox.settings.path.join("new").join(name);
    assert_eq!(fs::read_to_string(path).unwrap(), "Return-Path: <>\nx\n");
}
