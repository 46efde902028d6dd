//! Rows and databases that are not what was written.

use super::*;

fn edit(bench: &Bench, sql: &str) {
    rusqlite::Connection::open(bench.dir().join("spool.db")).unwrap().execute_batch(sql).unwrap();
}

fn set_aside(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.to_string_lossy().contains("/damaged-")).collect()
}

#[tokio::test]
async fn a_row_that_differs_from_its_checksum_is_set_aside_and_the_others_go_on() {
    let bench = Bench::new();
    let bad = bench.spool.accept(alarm("spoilt", second(0))).await.unwrap();
    let good = bench.spool.accept(alarm("whole", second(0))).await.unwrap();
    edit(&bench, "UPDATE message SET body = replace(body, 'spoilt', 'forged')");
    let loaded = bench.spool.load(bad).await;
    assert!(matches!(loaded, Err(SpoolError::Corrupt { id }) if id == bad), "{loaded:?}");
    assert_eq!(bench.due_numbers("smarthost", second(1)).await, [(good, 0)]);
    assert_eq!(bench.metric("mailslotd_spool_corrupt_total").as_deref(), Some("1"));

    let bench = bench.reopened(|_| ()).await;
    assert_eq!(bench.states(bad).await, [SpoolState::Corrupt]);
    bench.spool.sweep(second(10_000_000)).await.unwrap();
    assert_eq!(bench.states(bad).await, [SpoolState::Corrupt], "kept until the operator deletes it");
}

#[tokio::test]
async fn a_row_with_numbers_that_mean_nothing_is_corrupt_not_fatal() {
    let bench = Bench::new();
    let id = bench.spool.accept(alarm("x", second(0))).await.unwrap();
    edit(&bench, "UPDATE message SET priority = 77");
    assert!(matches!(bench.spool.load(id).await, Err(SpoolError::Corrupt { .. })));
    assert_eq!(bench.due_numbers("smarthost", second(1)).await, []);
}

#[tokio::test]
async fn a_corrupt_message_that_was_mended_goes_on_by_retry() {
    let bench = Bench::new();
    let id = bench.spool.accept(alarm("spoilt", now())).await.unwrap();
    edit(&bench, "UPDATE message SET body = replace(body, 'spoilt', 'forged')");
    bench.spool.load(id).await.unwrap_err();
    edit(&bench, "UPDATE message SET body = replace(body, 'forged', 'spoilt')");
    assert_eq!(bench.spool.retry(Which::All).await.unwrap(), 0, "not without being named");
    assert_eq!(bench.spool.retry(Which::One(id)).await.unwrap(), 1);
    assert!(bench.spool.load(id).await.unwrap().is_some());
}

#[tokio::test]
async fn a_repeat_of_a_message_that_is_corrupt_is_kept_as_one_of_its_own() {
    let bench = Bench::new();
    let group = Group { key: [1; 16], wait: Duration::from_secs(60), repeat_after: Duration::ZERO };
    let grouped = |at| Message { group: Some(group.clone()), ..alarm("x", at) };
    let first = bench.spool.accept(grouped(second(0))).await.unwrap();
    edit(&bench, "UPDATE message SET body = '{}'");
    let next = bench.spool.accept(grouped(second(1))).await.unwrap();
    assert_ne!(first, next);
    assert_eq!(bench.states(first).await, [SpoolState::Corrupt]);
    assert!(bench.spool.load(next).await.unwrap().is_some());
}

#[tokio::test]
async fn a_file_that_is_no_database_is_set_aside_and_the_spool_begins_anew() {
    let bench = Bench::new();
    bench.spool.accept(alarm("x", second(0))).await.unwrap();
    let bench = bench.reopened(|dir| std::fs::write(dir.join("spool.db"), vec![0x55; 20_000]).unwrap()).await;
    let id = bench.spool.accept(alarm("y", second(1))).await.unwrap();
    assert_eq!(bench.due_numbers("smarthost", second(1)).await, [(id, 0)]);
    let aside = set_aside(&bench.dir());
    assert_eq!(aside.len(), 1);
    assert_eq!(std::fs::read(aside[0].join("spool.db")).unwrap(), vec![0x55; 20_000]);
}

#[tokio::test]
async fn of_a_damaged_database_everything_readable_is_taken_over_while_it_runs() {
    let bench = Bench::new();
    let messages = (0..400).map(|n| alarm(&format!("alarm {n}"), second(n))).collect();
    let ids: Vec<_> = bench.spool.accept_all(messages).await.into_iter().map(Result::unwrap).collect();
    let spoil = |dir: &Path| {
        let database = dir.join("spool.db");
        // A leaf of the table `message`, in its middle.
        let page: u64 = {
            let sql = "SELECT pageno FROM dbstat WHERE name = 'message' AND pagetype = 'leaf' ORDER BY path LIMIT 1 OFFSET 40";
            let connection = rusqlite::Connection::open(&database).unwrap();
            u64::try_from(connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap()).unwrap()
        };
        use std::os::unix::fs::FileExt as _;
        let file = std::fs::File::options().write(true).open(&database).unwrap();
        file.write_all_at(&[0xFF; 4096], (page - 1) * 4096).unwrap();
    };
    let bench = bench.reopened(spoil).await;

    let mut seen = 0;
    for &id in &ids {
        match bench.spool.load(id).await {
            Ok(Some(_)) => seen += 1,
            Ok(None) | Err(SpoolError::Io { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert!(seen > 0);
    // The damage was met; the rebuilt database takes what comes.
    let next = bench.spool.accept(alarm("after", second(999))).await.unwrap();
    let mut found = 0;
    for &id in &ids {
        found += usize::from(bench.spool.load(id).await.unwrap().is_some());
    }
    assert!((385..400).contains(&found), "all but those of one page: {found}");
    assert_eq!(bench.due_numbers("smarthost", second(999)).await.len(), found + 1);
    assert!(bench.spool.load(next).await.unwrap().is_some());
    assert_eq!(set_aside(&bench.dir()).len(), 1);
    let line = "mailslotd_spool_messages{destination=\"smarthost\",state=\"queued\"}";
    assert_eq!(bench.metric(line), Some((found + 1).to_string()));
}

#[tokio::test]
async fn content_of_messages_lost_with_the_database_is_kept_beside_it() {
    let bench = Bench::new();
    bench.spool.accept(mail(Content::Inline(vec![b'x'; 100_000].into()), second(0))).await.unwrap();
    let bench = bench.reopened(|dir| std::fs::write(dir.join("spool.db"), vec![0x55; 20_000]).unwrap()).await;
    let aside = set_aside(&bench.dir());
    assert_eq!(std::fs::read_dir(aside[0].join("content")).unwrap().count(), 1);
    assert_eq!(std::fs::read_dir(bench.dir().join("content")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_later_format_and_a_database_of_another_program_are_left_alone() {
    let bench = Bench::new();
    edit(&bench, "PRAGMA user_version = 99");
    bench.spool.clone().close().await;
    let open = || Spool::open(&bench.dir(), NO_LIMITS, EXPIRE, Arc::clone(&bench.metrics));
    let error = open().unwrap_err();
    assert!(matches!(error, SpoolError::NewerFormat { found: 99, .. }), "{error}");
    edit(&bench, "PRAGMA user_version = 0; PRAGMA application_id = 7");
    let error = open().unwrap_err();
    assert!(matches!(error, SpoolError::ForeignDatabase { .. }), "{error}");
    assert_eq!(set_aside(&bench.dir()), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn an_exchange_that_a_crash_cut_off_between_log_and_database_is_ended_at_the_next_start() {
    let bench = Bench::new();
    let id = bench.spool.accept(alarm("kept", now())).await.unwrap();
    let bench = bench
        .reopened(|dir| {
            // The rebuilt one is complete, the damaged one's log is set aside already, and then came the crash.
            std::fs::copy(dir.join("spool.db"), dir.join("complete.db")).unwrap();
            std::fs::write(dir.join("spool.db"), b"a database that has lost its log").unwrap();
        })
        .await;
    assert!(bench.spool.load(id).await.unwrap().is_some());
    let [aside] = &set_aside(&bench.dir())[..] else { panic!("the rest of the damaged one is set aside") };
    assert_eq!(std::fs::read(aside.join("spool.db")).unwrap(), b"a database that has lost its log");
    assert!(!bench.dir().join("complete.db").exists());
}
