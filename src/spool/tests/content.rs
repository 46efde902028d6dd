//! Mail and its content, small and large.

use super::*;

const LARGE: usize = 300_000;

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|n| u8::try_from(n % 251).unwrap()).collect()
}

fn content_files(bench: &Bench) -> usize {
    std::fs::read_dir(bench.dir().join("content")).unwrap().count()
}

async fn drafted(bench: &Bench, length: usize) -> (Draft, Content) {
    let mut draft = bench.spool.draft();
    for chunk in bytes(length).chunks(10_000) {
        draft.write(chunk).await.unwrap();
    }
    let content = draft.finish().await.unwrap();
    (draft, content)
}

#[tokio::test]
async fn up_to_64_kib_stays_in_the_database_and_one_byte_more_goes_into_a_file() {
    let bench = Bench::new();
    let (small, inline) = drafted(&bench, Draft::INLINE).await;
    assert!(matches!(&inline, Content::Inline(found) if found[..] == bytes(Draft::INLINE)));
    assert_eq!(content_files(&bench), 0);
    let (large, file) = drafted(&bench, Draft::INLINE + 1).await;
    assert!(matches!(file, Content::File { length: 65_537, .. }));
    assert_eq!(content_files(&bench), 1);
    drop((small, large));
    assert_eq!(content_files(&bench), 0, "a dropped draft leaves nothing");
}

#[tokio::test]
async fn past_64_mib_of_drafts_in_memory_each_goes_into_its_file_until_some_are_gone() {
    let bench = Bench::new();
    let mut slow = Vec::new();
    for _ in 0..1024 {
        let mut draft = bench.spool.draft();
        draft.write(&[b'x'; Draft::INLINE]).await.unwrap();
        slow.push(draft);
    }
    assert_eq!(content_files(&bench), 0);
    let (_draft, content) = drafted(&bench, 1000).await;
    assert!(matches!(content, Content::File { length: 1000, .. }), "{content:?}");
    let id = bench.spool.accept(mail(content, second(0))).await.unwrap();
    assert!(bench.spool.load(id).await.unwrap().is_some());

    slow.pop().unwrap().finish().await.unwrap();
    slow.last_mut().unwrap().write(b"more than fits").await.unwrap();
    let (one, inline) = drafted(&bench, Draft::INLINE).await;
    assert!(matches!(inline, Content::Inline(_)), "of the one that went");
    let mut other = bench.spool.draft();
    other.write(&bytes(Draft::INLINE - b"more than fits".len())).await.unwrap();
    let inline = other.finish().await.unwrap();
    assert!(matches!(inline, Content::Inline(_)), "of the one that is in its file now");
    let (_third, file) = drafted(&bench, 1).await;
    assert!(matches!(file, Content::File { .. }));
    drop((one, other));
}

#[tokio::test]
async fn what_waits_to_be_written_to_a_file_counts_as_memory_and_without_any_goes_there_at_once() {
    let bench = Bench::new();
    let mut large = bench.spool.draft();
    large.write(&bytes(Draft::INLINE + 1)).await.unwrap();
    let in_file = || -> u64 {
        let files = std::fs::read_dir(bench.dir().join("content")).unwrap();
        files.map(|file| file.unwrap().metadata().unwrap().len()).sum()
    };
    let before = in_file();
    large.write(&[b'y'; 1000]).await.unwrap();
    assert_eq!(in_file(), before, "small pieces are gathered");

    let mut slow = Vec::new();
    for _ in 0..1023 {
        let mut draft = bench.spool.draft();
        draft.write(&[b'x'; Draft::INLINE]).await.unwrap();
        slow.push(draft);
    }
    let (_draft, last) = drafted(&bench, Draft::INLINE - 500).await;
    assert!(matches!(last, Content::File { .. }), "the thousand octets have taken its place");
    let mut rest = bench.spool.draft();
    rest.write(&[b'z'; Draft::INLINE - 1000]).await.unwrap();

    let before = in_file();
    for written in 1..=5 {
        large.write(&[b'y'; 1000]).await.unwrap();
        let waiting = before + 1000 + written * 1000 - in_file();
        assert!(waiting <= 1000, "{waiting} octets in memory");
    }
    let Content::File { path, length } = large.finish().await.unwrap() else { panic!() };
    let content = std::fs::read(path).unwrap();
    assert_eq!(length, content.len() as u64);
    assert_eq!(content, [bytes(Draft::INLINE + 1), vec![b'y'; 6000]].concat());
}

#[tokio::test]
async fn a_file_that_cannot_be_written_goes_at_once_though_its_client_goes_on_sending() {
    let bench = Bench::new();
    let mut draft = bench.spool.draft();
    draft.write(&bytes(Draft::INLINE + 1)).await.unwrap();
    draft.break_file();
    draft.write(&bytes(Draft::INLINE)).await.unwrap_err();
    assert_eq!(std::fs::read_dir(bench.dir().join("content")).unwrap().count(), 0);
    draft.write(b"more").await.unwrap_err();
    draft.finish().await.unwrap_err();
}

#[tokio::test]
async fn a_large_mail_comes_back_as_a_file_after_a_restart_and_its_file_goes_with_it() {
    let bench = Bench::new();
    let (draft, content) = drafted(&bench, LARGE).await;
    let id = bench.spool.accept(mail(content, second(0))).await.unwrap();
    drop(draft);
    let bench = bench.reopened(|_| ()).await;
    let Some(Spooled { body: Body::Mail { reverse_path, content, .. }, .. }) =
        bench.spool.load(id).await.unwrap()
    else {
        panic!("the mail is gone")
    };
    assert_eq!(reverse_path.as_deref(), Some("scanner@corp.example"));
    let Content::File { path, length } = content else { panic!("not in a file") };
    assert_eq!((length, std::fs::read(path).unwrap()), (300_000, bytes(LARGE)));
    bench.settle(id, 0, Fate::Delivered, second(1)).await;
    assert_eq!(content_files(&bench), 0);
}

#[tokio::test]
async fn large_content_given_in_memory_goes_into_a_file_by_itself() {
    let bench = Bench::new();
    let content = Content::Inline(bytes(LARGE).into());
    let id = bench.spool.accept(mail(content, second(0))).await.unwrap();
    assert_eq!(content_files(&bench), 1);
    assert!(bench.spool.load(id).await.unwrap().is_some());
    let held: u64 = bench.metric("mailslotd_spool_bytes").unwrap().parse().unwrap();
    assert!(held >= 300_000, "{held}");
}

#[tokio::test]
async fn a_refused_mail_leaves_its_draft_to_its_owner() {
    let bench = Bench::limited(Limits { max_size: Some(310_000), ..NO_LIMITS });
    let (draft, content) = drafted(&bench, LARGE).await;
    bench.spool.accept(mail(Content::Inline(bytes(20_000).into()), second(0))).await.unwrap();
    let refused = bench.spool.accept(mail(content.clone(), second(0))).await;
    assert!(matches!(refused, Err(SpoolError::Full { .. })), "{refused:?}");
    assert_eq!(content_files(&bench), 1, "still the draft's");
    drop(draft);
    assert_eq!(content_files(&bench), 0);
    let gone = bench.spool.accept(mail(content, second(0))).await;
    assert!(matches!(gone, Err(SpoolError::ForeignContent { .. })), "{gone:?}");
}

#[tokio::test]
async fn a_file_of_somebody_else_is_not_taken() {
    let bench = Bench::new();
    let path = bench.folder.path().join("passwords");
    std::fs::write(&path, "secret").unwrap();
    let answer = bench.spool.accept(mail(Content::File { path, length: 6 }, second(0))).await;
    assert!(matches!(answer, Err(SpoolError::ForeignContent { .. })), "{answer:?}");
}

#[tokio::test]
async fn files_that_a_crash_left_are_swept_and_those_of_messages_are_not() {
    let bench = Bench::new();
    let (_draft, content) = drafted(&bench, LARGE).await;
    let id = bench.spool.accept(mail(content, second(0))).await.unwrap();
    let leave = |dir: &Path| std::fs::write(dir.join("content/0123456789abcdef"), "half a scan").unwrap();
    let bench = bench.reopened(leave).await;
    // Closing waits for the sweep.
    let bench = bench.reopened(|_| ()).await;
    let bench = bench.reopened(|_| ()).await;
    assert_eq!(content_files(&bench), 1);
    assert!(bench.spool.load(id).await.unwrap().is_some());
}

#[tokio::test]
async fn a_content_file_cut_short_missing_or_changed_makes_the_message_corrupt() {
    for spoil in [
        |path: &Path| std::fs::File::options().write(true).open(path).unwrap().set_len(1000).unwrap(),
        |path: &Path| std::fs::remove_file(path).unwrap(),
        |path: &Path| std::fs::write(path, vec![0; LARGE]).unwrap(),
    ] {
        let bench = Bench::new();
        let id = bench.spool.accept(mail(Content::Inline(bytes(LARGE).into()), second(0))).await.unwrap();
        let Ok(Some(Spooled { body: Body::Mail { content: Content::File { path, .. }, .. }, .. })) =
            bench.spool.load(id).await
        else {
            panic!("not in a file")
        };
        spoil(&path);
        let loaded = bench.spool.load(id).await;
        assert!(matches!(loaded, Err(SpoolError::Corrupt { id: found }) if found == id), "{loaded:?}");
        assert_eq!(bench.states(id).await, [SpoolState::Corrupt]);
        assert_eq!(bench.due_numbers("smarthost", second(9)).await, []);
        let copy = bench.spool.show(id).await.unwrap().unwrap().copies.remove(0);
        assert!(copy.text.unwrap().contains("content file"));
    }
}
