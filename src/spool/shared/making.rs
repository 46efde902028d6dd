//! The stream and the buckets: made where they are absent.

use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::kv;
use async_nats::jetstream::object_store::ObjectStore;
use async_nats::jetstream::stream::{self, DiscardPolicy, RetentionPolicy, StorageType, Stream};

use super::GroupPlan;
use super::fault::Fault;
use super::link::SHORTEST_WINDOW;
use super::position::Life;
use super::subject;

/// The stream as a gateway's configuration says.
pub(super) fn spool_config(plan: &GroupPlan) -> stream::Config {
    stream::Config {
        name: subject::STREAM.to_owned(),
        description: Some("mailslotd: accepted messages that are not delivered yet".to_owned()),
        subjects: vec![subject::ALL.to_owned()],
        retention: RetentionPolicy::WorkQueue,
        discard: DiscardPolicy::New,
        storage: StorageType::File,
        num_replicas: plan.replicas,
        duplicate_window: plan.dedup_window.max(SHORTEST_WINDOW),
        max_bytes: plan.max_bytes.map_or(-1, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX)),
        ..stream::Config::default()
    }
}

/// The stream as it is, and which it is; made where there is none.
pub(super) async fn spool_stream(context: &Context, plan: &GroupPlan) -> Result<(Stream<()>, Life), Fault> {
    // Another gateway may make it at the same moment, with other settings.
    let there = match context.get_or_create_stream(spool_config(plan)).await {
        Ok(there) => there,
        Err(_) => context.get_stream(subject::STREAM).await.map_err(Fault::lost)?,
    };
    let info = there.cached_info();
    if info.config.retention != RetentionPolicy::WorkQueue {
        let what =
            format!("the stream {} is another program's: it has no work-queue retention", subject::STREAM);
        return Err(Fault::Lost(what));
    }
    let life = Life::since(info.created.unix_timestamp_nanos());
    let stream = context.get_stream_no_info(subject::STREAM).await.map_err(Fault::lost)?;
    Ok((stream, life))
}

/// A bucket as the client makes it, but that all reads go to its leader: what was just written is found, over whichever
/// server one asks. (The client's own way asks older servers for what they do not say.)
pub(super) async fn key_value(
    context: &Context,
    name: &str,
    max_age: Duration,
    num_replicas: usize,
) -> Result<kv::Store, Fault> {
    let config = key_value_config(name, max_age, num_replicas);
    context.get_or_create_stream(config).await.map_err(Fault::lost)?;
    context.get_key_value(name).await.map_err(Fault::lost)
}

/// The bucket of keys and arrival times, where the oldest go when there is no room for more. It gets as much as the
/// servers have to give; a limit that it has is left.
pub(super) async fn ids(context: &Context, num_replicas: usize) -> Result<kv::Store, Fault> {
    let mut tried = Ok(());
    for max_bytes in IDS_BYTES {
        tried = bounded_ids(context, num_replicas, max_bytes).await;
        match &tried {
            Err(Fault::Full(_)) => {}
            Ok(()) | Err(_) => break,
        }
    }
    tried?;
    context.get_key_value(subject::IDS).await.map_err(Fault::lost)
}

async fn bounded_ids(context: &Context, num_replicas: usize, max_bytes: i64) -> Result<(), Fault> {
    let limits = |config| stream::Config { max_bytes, discard: DiscardPolicy::Old, ..config };
    let wanted = limits(key_value_config(subject::IDS, IDS_KEPT, num_replicas));
    let there = context.get_or_create_stream(wanted).await.map_err(Fault::of_write)?;
    let config = &there.cached_info().config;
    if config.max_bytes < 0 {
        context.update_stream(limits(config.clone())).await.map_err(Fault::of_write)?;
    }
    Ok(())
}

fn key_value_config(name: &str, max_age: Duration, num_replicas: usize) -> stream::Config {
    let window = if max_age.is_zero() { BUCKET_WINDOW } else { BUCKET_WINDOW.min(max_age) };
    stream::Config {
        subjects: vec![format!("$KV.{name}.>")],
        max_messages_per_subject: 1,
        max_age,
        duplicate_window: window,
        deny_delete: true,
        ..bucket(format!("KV_{name}"), num_replicas)
    }
}

pub(super) async fn content(context: &Context, num_replicas: usize) -> Result<ObjectStore, Fault> {
    let name = subject::CONTENT;
    let config = stream::Config {
        subjects: vec![format!("$O.{name}.C.>"), format!("$O.{name}.M.>")],
        ..bucket(format!("OBJ_{name}"), num_replicas)
    };
    context.get_or_create_stream(config).await.map_err(Fault::lost)?;
    context.get_object_store(name).await.map_err(Fault::lost)
}

fn bucket(name: String, num_replicas: usize) -> stream::Config {
    stream::Config {
        name,
        description: Some("mailslotd: the spool that several gateways share".to_owned()),
        max_bytes: -1,
        storage: StorageType::File,
        discard: DiscardPolicy::New,
        allow_rollup: true,
        num_replicas,
        ..stream::Config::default()
    }
}

/// How long it is known that a message was heard: no gateway may be cut off for longer and then empty its own spool.
const IDS_KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How long a bucket knows what was written to it; the servers' own choice.
const BUCKET_WINDOW: Duration = Duration::from_secs(120);
/// Bytes of the bucket of ids, about 250 for each mail and 450 for each notice: the most that the servers can set aside.
const IDS_BYTES: [i64; 5] = [256 << 20, 64 << 20, 16 << 20, 4 << 20, 1 << 20];
