//! Spools that an earlier version wrote.

use crate::message::id::ListenerName;
use crate::message::mail::{Client, Reports, Ret};
use crate::message::recipient::RecipientDsn;
use crate::spool::rows::checksum;
use crate::spool::schema::tests::make_format;
use crate::wire::smtp::dsn::Notify;

use super::*;

const BODY: &str = r#"{"mail":{"reverse_path":"scanner@corp.example","length":3}}"#;
const CONTENT: &[u8] = b"x\r\n";

/// A spool of format 1 with one mail in it.
fn format_1(path: &Path) {
    let database = make_format(path, 1);
    database
        .execute(
            "INSERT INTO message VALUES (7, ?1, 1, 1, NULL, NULL, 99, NULL, ?2, ?3, ?4)",
            rusqlite::params![second(0).as_microsecond(), checksum(BODY, Some(CONTENT)), BODY, CONTENT],
        )
        .unwrap();
    database
        .execute(
            "INSERT INTO recipient VALUES (7, 0, 'smarthost', 'a@corp.example', NULL, 'queued', 3, ?1, ?2, 0,
                                           NULL, NULL, NULL, NULL)",
            [second(0).as_microsecond(), second(3600).as_microsecond()],
        )
        .unwrap();
    database
        .execute_batch(
            "INSERT INTO tally VALUES ('queued', 'smarthost', 1), ('messages', '', 1), ('bytes', '', 99),
                                      ('last_id', '', 7)",
        )
        .unwrap();
}

async fn delivers(bench: &Bench) {
    let smarthost = destination("smarthost");
    let due = bench.spool.due(&smarthost, second(0), 10, &HashSet::new()).await.unwrap();
    let [due] = &due[..] else { panic!("{due:?}") };
    assert_eq!(due.recipient, recipient("smarthost", "a@corp.example"));
    let loaded = bench.spool.load(due.id).await.unwrap().unwrap();
    let Body::Mail { reverse_path, content, submitted } = loaded.body else { panic!("{loaded:?}") };
    assert_eq!(reverse_path.as_deref(), Some("scanner@corp.example"));
    assert_eq!((content, submitted), (Content::Inline(CONTENT.into()), Box::default()));
    bench.settle(due.id, 0, Fate::Delivered, second(1)).await;
    assert!(bench.spool.load(due.id).await.unwrap().is_none());
}

#[tokio::test]
async fn a_spool_of_format_1_opens_and_delivers() {
    let replaced = |dir: &Path| {
        std::fs::remove_file(dir.join("spool.db")).unwrap();
        format_1(&dir.join("spool.db"));
    };
    let bench = Bench::new().reopened(replaced).await;
    delivers(&bench).await;
}

#[tokio::test]
async fn of_a_damaged_spool_of_format_1_the_rows_are_taken_over_too() {
    let folder = tempfile::tempdir().unwrap();
    let old = folder.path().join("old.db");
    format_1(&old);
    let bench = Bench::new();
    let new = folder.path().join("new.db");
    let rebuilt = schema::open_writer(&new, schema::Readers::Foreign).unwrap();
    salvage::copy_all(&rusqlite::Connection::open(&old).unwrap(), &rebuilt).unwrap();
    drop(rebuilt);
    let replaced = |dir: &Path| {
        std::fs::copy(&new, dir.join("spool.db")).unwrap();
    };
    let bench = bench.reopened(replaced).await;
    delivers(&bench).await;
}

#[tokio::test]
async fn what_a_submission_said_of_reports_is_there_after_a_restart_and_shown() {
    let bench = Bench::new();
    let submitted = Box::new(Submitted {
        ret: Some(Ret::Headers),
        envid: Some("QQ+2B314159".to_owned()),
        smtputf8: true,
        reports: Reports::Owed,
        client: Some(Client {
            listener: ListenerName::new("devices").unwrap(),
            address: "192.0.2.31".parse().unwrap(),
            principal: Some("scanner".to_owned()),
        }),
    });
    let dsn = RecipientDsn {
        notify: Some(Notify::On { success: false, failure: true, delay: true }),
        orcpt: Some("rfc822;a+2Bb@corp.example".to_owned()),
    };
    let mailbox = Some("a@corp.example".to_owned());
    let to = Recipient { dsn: dsn.clone(), mailbox: mailbox.clone(), ..recipient("smarthost", "mail.corp") };
    let content = Content::Inline(CONTENT.into());
    let body =
        Body::Mail { reverse_path: Some("b@corp.example".to_owned()), content, submitted: submitted.clone() };
    let id =
        bench.spool.accept(Message { body, recipients: vec![to], ..alarm("", second(0)) }).await.unwrap();
    let bench = bench.reopened(|_| ()).await;

    let loaded = bench.spool.load(id).await.unwrap().unwrap();
    assert!(matches!(loaded.body, Body::Mail { submitted: found, .. } if found == submitted));
    let due = bench.spool.due(&destination("smarthost"), second(0), 1, &HashSet::new()).await.unwrap();
    assert_eq!((&due[0].recipient.dsn, &due[0].recipient.mailbox), (&dsn, &mailbox));
    let shown = bench.spool.show(id).await.unwrap().unwrap();
    assert_eq!(shown.copies[0].dsn, dsn);
    assert!(shown.body.contains(r#""principal":"scanner""#), "{}", shown.body);
    let exported = bench.spool.export(id).await.unwrap().unwrap().recipients[0].1.clone();
    assert_eq!((exported.dsn, exported.mailbox), (dsn, mailbox));
}

#[tokio::test]
async fn the_operator_is_told_of_notices_too_that_an_earlier_version_accepted() {
    let told = Limits { notice_failures: NoticeFailures::Told, ..NO_LIMITS };
    let bench = Bench::new();
    bench.spool.accept(alarm("on battery", second(0))).await.unwrap();
    let as_of_format_4 = |dir: &Path| {
        let database = rusqlite::Connection::open(dir.join("spool.db")).unwrap();
        let earlier = "DROP INDEX recipient_undecided; PRAGMA user_version = 4;";
        database.execute_batch(earlier).unwrap();
    };
    let bench = bench.reopened_with(told, as_of_format_4).await;
    assert_eq!(bench.spool.overdue(second(4 * 3600)).await.unwrap().len(), 1);
    assert_eq!(bench.spool.sweep(second(4 * 3600)).await.unwrap().expired.len(), 0);
}
