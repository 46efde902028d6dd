//! Limits, and disks that are full.

use std::io::Write as _;

use super::*;

fn letter(length: usize) -> Message {
    mail(Content::Inline(vec![b'x'; length].into()), second(0))
}

#[tokio::test]
async fn past_max_size_mail_is_refused_first_then_notices_and_both_recover_when_room_is_made() {
    let limits = Limits { max_size: Some(20_000), reserved_for_notices: 10_000, ..NO_LIMITS };
    let bench = Bench::limited(limits);
    let first = bench.spool.accept(letter(9_000)).await.unwrap();
    let refused = bench.spool.accept(letter(9_000)).await.unwrap_err();
    assert!(refused.to_string().contains("spool.max_size"), "{refused}");
    assert_eq!(refused.as_str(), "max_size");
    bench.spool.accept(alarm(&"a".repeat(3_000), second(0))).await.unwrap();
    bench.spool.accepting(Class::Notice).unwrap();
    bench.spool.accepting(Class::Mail).unwrap_err();
    assert_eq!(bench.metric("mailslotd_spool_accepting{class=\"notice\"}").as_deref(), Some("1"));
    assert_eq!(bench.metric("mailslotd_spool_accepting{class=\"mail\"}").as_deref(), Some("0"));
    let refused = bench.spool.accept(alarm(&"a".repeat(9_000), second(0))).await.unwrap_err();
    assert_eq!(refused.as_str(), "max_size");
    assert_eq!(bench.metric("mailslotd_spool_refused_total{reason=\"max_size\"}").as_deref(), Some("2"));

    bench.settle(first, 0, Fate::Delivered, second(1)).await;
    bench.spool.accepting(Class::Mail).unwrap();
    bench.spool.accept(alarm(&"a".repeat(4_000), second(0))).await.unwrap();
}

#[tokio::test]
async fn less_than_min_free_on_the_file_system_refuses_with_its_figures() {
    let bench = Bench::limited(Limits { min_free: u64::MAX / 2, ..NO_LIMITS });
    let refused = bench.spool.accept(alarm("x", second(0))).await.unwrap_err();
    assert_eq!(refused.as_str(), "min_free");
    assert!(refused.to_string().contains("spool.min_free"), "{refused}");
    assert!(bench.spool.accepting(Class::Notice).is_err());
}

#[tokio::test]
async fn drafts_that_many_clients_write_at_once_leave_the_reserve_to_notices() {
    let limits = Limits { max_size: Some(1_000_000), reserved_for_notices: 400_000, ..NO_LIMITS };
    let bench = Bench::limited(limits);
    let (mut first, mut second_one) = (bench.spool.draft(), bench.spool.draft());
    first.write(&[b'x'; 350_000]).await.unwrap();
    let refused = second_one.write(&[b'x'; 350_000]).await.unwrap_err();
    assert_eq!(refused.as_str(), "max_size");
    let files = || std::fs::read_dir(bench.dir().join("content")).unwrap().count();
    assert_eq!(files(), 1, "the refused one takes no room however long its client goes on");
    second_one.write(b"more").await.unwrap_err();
    assert_eq!(bench.metric("mailslotd_spool_refused_total{reason=\"max_size\"}").as_deref(), Some("1"));
    bench.spool.accept(alarm(&"a".repeat(9_000), second(0))).await.unwrap();

    let content = first.finish().await.unwrap();
    let id = bench.spool.accept(mail(content, second(0))).await.unwrap();
    drop(first);
    let mut third = bench.spool.draft();
    third.write(&[b'x'; 200_000]).await.unwrap();
    third.write(&[b'x'; 100_000]).await.unwrap_err();
    bench.settle(id, 0, Fate::Delivered, second(1)).await;
    let mut fourth = bench.spool.draft();
    fourth
        .write(&[b'x'; 500_000])
        .await
        .expect("what was refused, dropped or delivered is under way no longer");
}

#[tokio::test]
async fn a_draft_ends_where_the_file_system_has_only_the_reserve_left() {
    let bench = Bench::limited(Limits { reserved_for_notices: u64::MAX / 2, ..NO_LIMITS });
    let mut draft = bench.spool.draft();
    draft.write(&[b'x'; 60_000]).await.expect("what is in memory takes no room");
    let refused = draft.write(&[b'x'; 60_000]).await.unwrap_err();
    assert_eq!(refused.as_str(), "min_free");
    bench.spool.accept(alarm("x", second(0))).await.unwrap();
}

/// A file system of a few dozen megabytes; unmounted when dropped.
struct SmallDisk(TempDir);

impl SmallDisk {
    /// `None` where this process may not mount.
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mount = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=32m", "mailslotd-test"])
            .arg(folder.path())
            .status();
        mount.is_ok_and(|status| status.success()).then_some(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = std::process::Command::new("umount").arg(self.0.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "the test's own file system is left mounted");
    }
}

#[tokio::test]
async fn on_a_full_disk_nothing_is_half_accepted_deliveries_are_recorded_and_it_recovers() {
    let Some(disk) = SmallDisk::mount() else {
        writeln!(std::io::stderr(), "skipped: mounting a small file system needs root").unwrap();
        return;
    };
    let dir = disk.0.path().join("spool");
    let spool = Spool::open(&dir, NO_LIMITS, EXPIRE, Arc::new(Metrics::new())).unwrap();
    let mut accepted = Vec::new();
    let refused = loop {
        match spool.accept(letter(60_000)).await {
            Ok(id) => accepted.push(id),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, SpoolError::Full { reason: FullReason::Disk { .. } }), "{refused}");
    assert!(accepted.len() > 50, "{}", accepted.len());

    for &id in &accepted {
        let settled = Settled { id, number: RecipientNumber(0), fate: Fate::Delivered, at: second(1) };
        spool.record(vec![settled], Vec::new()).await.unwrap();
    }
    let due = spool.due(&destination("smarthost"), second(9), 1000, &HashSet::new()).await.unwrap();
    assert_eq!(due, [], "every message that was refused is absent");
    // The pages of the delivered ones are free again; the spool notices within its own second.
    let recovered = async {
        while spool.accepting(Class::Mail).is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), recovered).await.expect("accepts again");
    spool.accept(letter(60_000)).await.unwrap();
    spool.close().await;
}
