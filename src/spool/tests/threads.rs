//! Threads that end by a defect.

use super::*;

async fn broke(spool: &Spool) {
    tokio::time::timeout(Duration::from_secs(20), spool.broke())
        .await
        .expect("it is said that the spool broke");
}

#[tokio::test]
async fn a_panic_of_the_writer_is_counted_said_and_nothing_is_accepted_any_more() {
    let bench = Bench::new();
    let panics = |_: &mut Transaction<'_>| -> rusqlite::Result<()> { panic!("a defect") };
    let answer = bench.local().change(Kind::Settle, panics).await;
    assert!(matches!(answer, Err(SpoolError::Closed)), "{answer:?}");
    broke(&bench.spool).await;
    assert_eq!(bench.metric("mailslotd_panics_total").as_deref(), Some("1"));
    let refused = bench.spool.accept(alarm("x", second(0))).await.unwrap_err();
    assert_eq!(refused.as_str(), "closed");
}

#[tokio::test]
async fn a_panic_of_the_reader_is_counted_and_said_while_the_writer_lives() {
    let bench = Bench::new();
    let answer = bench.local().ask(|_| -> rusqlite::Result<()> { panic!("a defect") }).await;
    assert!(matches!(answer, Err(SpoolError::Closed)), "{answer:?}");
    broke(&bench.spool).await;
    assert_eq!(bench.metric("mailslotd_panics_total").as_deref(), Some("1"));
    bench.spool.close().await;
}

#[tokio::test]
async fn a_spool_that_works_has_not_broken_and_one_that_was_closed_panicked_nowhere() {
    let bench = Bench::new();
    bench.spool.accept(alarm("x", second(0))).await.unwrap();
    let broke = bench.spool.broke();
    assert!(tokio::time::timeout(Duration::ZERO, broke).await.is_err());
    bench.spool.clone().close().await;
    bench.spool.broke().await;
    assert_eq!(bench.metric("mailslotd_panics_total").as_deref(), Some("0"));
}
