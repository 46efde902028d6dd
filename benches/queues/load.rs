//! What waits in the spool, and how fast it leaves.

use std::future::Future;
use std::time::Instant;

use tokio::runtime::Runtime;

use crate::support::queue_world::QueueWorld;

/// How much is sent each time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// Messages.
    pub(crate) messages: usize,
}

/// Both rates, one after the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Round {
    /// Events a second from the spool, recorded there as delivered.
    pub(crate) spool: f64,
    /// Events a second of a bare publisher.
    pub(crate) bare: f64,
}

impl Round {
    pub(crate) fn ratio(self) -> f64 {
        self.spool / self.bare
    }
}

impl Load {
    pub(crate) fn of_environment() -> Self {
        let messages = std::env::var("MESSAGES").ok().and_then(|text| text.parse().ok()).unwrap_or(60_000);
        Self { messages }
    }

    /// Fills a spool, and drains it into the destination `queue` of this YAML; events a second.
    pub(crate) async fn drain(self, destination: &str, to: &str) -> f64 {
        let world = QueueWorld::new(destination);
        let mut left = self.messages;
        while left > 0 {
            let some = left.min(5000);
            world.accept("queue", to, some).await;
            left -= some;
        }
        let started = Instant::now();
        let scheduler = world.start();
        world.drained("queue").await;
        let rate = self.rate(started);
        scheduler.shutdown(tokio::time::Instant::now() + std::time::Duration::from_secs(10)).await;
        world.spool.close().await;
        rate
    }

    /// Messages a second since then.
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    pub(crate) fn rate(self, started: Instant) -> f64 {
        self.messages as f64 / started.elapsed().as_secs_f64()
    }

    /// Turn about, bare publisher first: it warms what both use.
    pub(crate) fn turn_about<B, S>(
        self,
        mut bare: impl FnMut() -> B,
        mut spool: impl FnMut() -> S,
    ) -> Vec<Round>
    where
        B: Future<Output = f64>,
        S: Future<Output = f64>,
    {
        let runtime = runtime();
        (0..ROUNDS)
            .map(|_| {
                let bare = runtime.block_on(bare());
                let spool = runtime.block_on(spool());
                println!("  {spool:.0}/s from the spool, {bare:.0}/s bare");
                Round { spool, bare }
            })
            .collect()
    }
}

/// As `mailslotd run` has it.
pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
}

const ROUNDS: usize = 3;
