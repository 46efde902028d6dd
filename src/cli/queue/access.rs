//! The queue of a running gateway, or of one that is stopped.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::admin::api::{Acted, Before, ListQuery, PauseRequest, Status, nothing_to_do};
use crate::admin::client::{Client, ClientError};
use crate::app::{Opening, open_spool};
use crate::cli::exit::Exit;
use crate::cli::table::plain;
use crate::cli::user_name;
use crate::config::settings::Settings;
use crate::message::id::{DestinationName, QueueId};
use crate::message::recipient::RecipientNumber;
use crate::spool::{Contact, Copy, Filter, Pause, Shown, Spool, SpoolError, Which};
use crate::telemetry::metrics::Metrics;

/// How the queue is reached.
pub(super) enum Access {
    /// Through the gateway that runs.
    Running(Client),
    /// Directly: none runs, and its lock is ours. The names are those of the configured destinations.
    Stopped(Spool, Vec<DestinationName>),
}

/// Why the queue did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Spool(#[from] SpoolError),
    #[error("{0}")]
    NothingToDo(String),
    #[error("there is no spool in {path}: no gateway ever ran with this configuration", path = .0.display())]
    NoSpool(PathBuf),
    #[error("there is no destination `{0}`; `mailslotd config show` lists them")]
    NoDestination(DestinationName),
    #[error("cannot write {path}: {source}", path = .path.display())]
    Export { path: PathBuf, source: io::Error },
}

impl Failure {
    pub(super) const fn exit(&self) -> Exit {
        match self {
            Self::NothingToDo(_) | Self::NoDestination(_) | Self::Client(ClientError::NotFound(_)) => {
                Exit::No
            }
            Self::Client(ClientError::BadRequest(_)) => Exit::Usage,
            Self::Client(ClientError::NotNow(_)) | Self::Spool(SpoolError::Locked { .. }) => Exit::TryLater,
            Self::Export { .. } => Exit::BadInput,
            Self::NoSpool(_) | Self::Client(_) | Self::Spool(_) => Exit::Unavailable,
        }
    }
}

impl Access {
    pub(super) async fn open(settings: &Settings) -> Result<Self, Failure> {
        match Client::connect(&settings.state_dir).await {
            Ok(client) => return Ok(Self::Running(client)),
            Err(ClientError::NotRunning { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let dir = settings.spool_dir();
        if !dir.exists() {
            return Err(Failure::NoSpool(dir));
        }
        let names = settings.destinations.iter().map(|destination| destination.name.clone()).collect();
        let spool = open_spool(settings, Arc::new(Metrics::new()), Opening::ToLook)?;
        // While the servers of a group do not answer, there is what waits for them.
        tokio::time::timeout(TO_OPEN, spool.tried()).await.unwrap_or_default();
        Ok(Self::Stopped(spool, names))
    }

    pub(super) async fn close(self) {
        if let Self::Stopped(spool, _) = self {
            spool.close().await;
        }
    }

    pub(super) async fn list(&self, query: &ListQuery) -> Result<Vec<Copy>, Failure> {
        match self {
            Self::Running(client) => Ok(client.get(&format!("/api/v1/queue?{}", encode(query))).await?),
            Self::Stopped(spool, _) => {
                let filter = Filter {
                    destination: query.destination.clone(),
                    state: query.state,
                    after: query.after.map(|id| (id, RecipientNumber(query.after_number))),
                    limit: query.limit.unwrap_or(Filter::PAGE),
                };
                Ok(spool.list(filter).await?)
            }
        }
    }

    /// What a list of the queue leaves out, in a sentence.
    pub(super) async fn unseen(&self) -> Result<Option<String>, Failure> {
        let group = match self {
            Self::Running(client) => client.get::<Status>("/api/v1/status").await?.group,
            Self::Stopped(spool, _) => spool.group().await?,
        };
        Ok(group.and_then(|group| match group.contact {
            Contact::Open => None,
            Contact::Silent(why) => Some(format!(
                "What lies in the spool of the group cannot be seen, as NATS ({}) has not answered since {}: {}. This is \
                 what waits for it in the own spool of this gateway.",
                group.servers,
                group.since.strftime("%Y-%m-%d %H:%M:%SZ"),
                plain(&why)
            )),
        }))
    }

    /// Why each destination that does not deliver does not, as far as it is known.
    pub(super) async fn troubles(&self) -> Result<BTreeMap<DestinationName, String>, Failure> {
        match self {
            Self::Running(client) => {
                let status: Status = client.get("/api/v1/status").await?;
                let troubled =
                    status.destinations.into_iter().filter(|destination| destination.state != "up");
                Ok(troubled
                    .map(|it| {
                        (
                            it.name,
                            [Some(it.state), it.reason].into_iter().flatten().collect::<Vec<_>>().join(": "),
                        )
                    })
                    .collect())
            }
            Self::Stopped(spool, names) => {
                let mut troubles: BTreeMap<_, _> =
                    names.iter().map(|name| (name.clone(), "no gateway runs".to_owned())).collect();
                for pause in spool.paused().await? {
                    troubles
                        .insert(pause.destination, format!("paused since {} by {}", pause.since, pause.by));
                }
                Ok(troubles)
            }
        }
    }

    pub(super) async fn show(&self, id: QueueId) -> Result<Option<Shown>, Failure> {
        match self {
            Self::Running(client) => match client.get(&format!("/api/v1/queue/{id}")).await {
                Ok(shown) => Ok(Some(shown)),
                Err(ClientError::NotFound(_)) => Ok(None),
                Err(error) => Err(error.into()),
            },
            Self::Stopped(spool, _) => Ok(spool.show(id).await?),
        }
    }

    pub(super) async fn retry_all(&self) -> Result<u64, Failure> {
        match self {
            Self::Running(client) => Ok(client.post::<Acted>("/api/v1/queue/retry", &()).await?.copies),
            Self::Stopped(spool, _) => Ok(spool.retry(Which::All).await?),
        }
    }

    pub(super) async fn retry(&self, id: QueueId) -> Result<u64, Failure> {
        match self {
            Self::Running(client) => act(client, id, "retry").await,
            Self::Stopped(spool, _) => some(spool, id, spool.retry(Which::One(id)).await?).await,
        }
    }

    pub(super) async fn hold(&self, id: QueueId) -> Result<u64, Failure> {
        match self {
            Self::Running(client) => act(client, id, "hold").await,
            Self::Stopped(spool, _) => some(spool, id, spool.hold(id).await?).await,
        }
    }

    pub(super) async fn release(&self, id: QueueId) -> Result<u64, Failure> {
        match self {
            Self::Running(client) => act(client, id, "release").await,
            Self::Stopped(spool, _) => some(spool, id, spool.release(id).await?).await,
        }
    }

    pub(super) async fn delete(&self, id: QueueId) -> Result<u64, Failure> {
        match self {
            Self::Running(client) => Ok(client.delete::<Acted>(&format!("/api/v1/queue/{id}")).await?.copies),
            Self::Stopped(spool, _) => some(spool, id, spool.delete(id).await?).await,
        }
    }

    pub(super) async fn pause(&self, destination: &DestinationName) -> Result<Option<Pause>, Failure> {
        let by = user_name();
        match self {
            Self::Running(client) => {
                let path = format!("/api/v1/destinations/{destination}/pause");
                Ok(client.post::<Before>(&path, &PauseRequest { by }).await?.pause)
            }
            Self::Stopped(spool, names) if names.contains(destination) => {
                Ok(spool.pause(destination.clone(), by).await?)
            }
            Self::Stopped(..) => Err(Failure::NoDestination(destination.clone())),
        }
    }

    pub(super) async fn resume(&self, destination: &DestinationName) -> Result<Option<Pause>, Failure> {
        match self {
            Self::Running(client) => {
                let path = format!("/api/v1/destinations/{destination}/resume");
                Ok(client.post::<Before>(&path, &()).await?.pause)
            }
            Self::Stopped(spool, _) => Ok(spool.resume(destination.clone()).await?),
        }
    }
}

async fn act(client: &Client, id: QueueId, verb: &str) -> Result<u64, Failure> {
    Ok(client.post::<Acted>(&format!("/api/v1/queue/{id}/{verb}"), &()).await?.copies)
}

async fn some(spool: &Spool, id: QueueId, copies: u64) -> Result<u64, Failure> {
    if copies > 0 {
        return Ok(copies);
    }
    let gone = || format!("{id} is not in the queue: it was delivered or deleted");
    let text = spool.show(id).await?.map_or_else(gone, |shown| nothing_to_do(&shown));
    Err(Failure::NothingToDo(text))
}

/// Its values are names and numbers that need no escaping.
fn encode(query: &ListQuery) -> String {
    let mut pairs = vec![format!("after_number={}", query.after_number)];
    pairs.extend(query.destination.as_ref().map(|name| format!("destination={name}")));
    pairs.extend(query.state.map(|state| format!("state={}", state.as_str())));
    pairs.extend(query.after.map(|id| format!("after={id}")));
    pairs.extend(query.limit.map(|limit| format!("limit={limit}")));
    pairs.join("&")
}

/// For the servers of a shared spool to answer.
const TO_OPEN: Duration = Duration::from_secs(10);
