//! JetStream as this spool uses it: one stream, three key-value buckets, one Object Store bucket, over one connection.
//!
//! Every question has a deadline; an answer that does not come is a [`Fault::Lost`], and whoever asked tries again over
//! the next connection. Nothing here decides what a message's fate is. What can be asked is in `stream.rs`, `bucket.rs`
//! and `objects.rs`.

use std::fmt;
use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::kv;
use async_nats::jetstream::object_store::ObjectStore;
use async_nats::jetstream::stream::{self, Stream};
use tokio::sync::Notify;

use super::fault::Fault;
use super::making;
use super::position::{Counted, Life};
use super::subject;
use super::{GroupPlan, Part};
use crate::net::nats::Connection;

/// One connection, with all that is asked over it.
pub(super) struct Session {
    pub(super) connection: Connection,
    pub(super) context: Context,
    pub(super) stream: Stream<()>,
    /// Which stream that is.
    pub(super) life: Life,
    /// How far the stream was seen to have counted.
    pub(super) counted: Counted,
    /// Rings when the stream turns out to be another one.
    pub(super) replaced: Notify,
    pub(super) queue: kv::Store,
    pub(super) ids: kv::Store,
    pub(super) group: kv::Store,
    pub(super) content: ObjectStore,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("servers", &self.connection.named()).finish_non_exhaustive()
    }
}

impl Session {
    /// Makes stream and buckets where they are absent.
    pub(super) async fn open(connection: Connection, plan: &GroupPlan) -> Result<Self, Fault> {
        let context = connection.jetstream(WITHIN, IN_FLIGHT);
        let (stream, life) = making::spool_stream(&context, plan).await?;
        let queue = making::key_value(&context, subject::QUEUE, Duration::ZERO, plan.replicas).await?;
        let ids = making::ids(&context, plan.replicas).await?;
        let group = making::key_value(&context, subject::GROUP, LEASE, plan.replicas).await?;
        let content = making::content(&context, plan.replicas).await?;
        let (counted, replaced) = (Counted::default(), Notify::new());
        let session =
            Self { connection, context, stream, life, counted, replaced, queue, ids, group, content };
        if plan.part == Part::Gateway {
            session.remove_strange_consumers().await?;
        }
        Ok(session)
    }

    /// On how many servers a bucket lies from now on.
    pub(super) async fn set_replicas(&self, name: &str, replicas: usize) -> Result<(), Fault> {
        let there = self.context.get_stream(name).await.map_err(Fault::lost)?.cached_info().config.clone();
        if there.num_replicas == replicas {
            return Ok(());
        }
        let config = stream::Config { num_replicas: replicas, ..there };
        self.context.update_stream(config).await.map(drop).map_err(Fault::of_write)
    }

    /// The most that one message of the stream may have, in bytes.
    pub(super) fn max_payload(&self) -> usize {
        self.connection.client().server_info().max_payload
    }
}

/// For one answer.
pub(super) const WITHIN: Duration = Duration::from_secs(3);
/// Acknowledgements that may be awaited at once.
const IN_FLIGHT: usize = 512;
/// After this a message that its gateway says nothing more about is another's.
pub(super) const ACK_WAIT: Duration = Duration::from_secs(30);
/// How long a gateway that says nothing is taken to live, and to lead.
pub(super) const LEASE: Duration = Duration::from_secs(8);
/// The server takes no shorter one.
pub(super) const SHORTEST_WINDOW: Duration = Duration::from_millis(100);
/// What a message has besides its payload.
pub(super) const HEADERS: usize = 512;
/// Of a change that others keep from happening.
pub(super) const TRIES: usize = 8;
