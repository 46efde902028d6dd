//! The control socket: HTTP on `state_dir/control.sock`, for whoever may open that file (mode 0660).

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use axum::extract::{Path as Segment, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use tokio::net::UnixListener;

use super::api::{
    Acted, Before, ListQuery, MailslotsStatus, PauseRequest, Refusal, SOCKET, Status, TarpitStatus,
    nothing_to_do,
};
use super::glance::Glance;
use super::reload::{NotReloaded, ReloadDoor, Reloaded};
use crate::delivery::scheduler::Scheduler;
use crate::inventory::{Inventory, SmtpClient, Snapshot};
use crate::message::id::{DestinationName, NotAQueueId, QueueId};
use crate::message::recipient::RecipientNumber;
use crate::spool::{Copy, Filter, Shown, Spool, SpoolError, SpoolState, Which};
use crate::switch::Order;

/// What the routes work on.
#[derive(Clone)]
pub struct Control {
    /// The queue.
    pub spool: Spool,
    /// The deliveries.
    pub scheduler: Scheduler,
    /// How everything looks.
    pub glance: Glance,
    /// Who reads the configuration again.
    pub reload: ReloadDoor,
    /// Who came; `None` where its file cannot be had.
    pub inventory: Option<Inventory>,
}

impl Control {
    fn inventory(&self) -> Result<&Inventory, Refused> {
        self.inventory.as_ref().ok_or_else(|| Refused {
            status: StatusCode::SERVICE_UNAVAILABLE,
            text:
                "the gateway runs without an inventory, since its file could not be opened; its log says why"
                    .to_owned(),
        })
    }

    fn destination(&self, name: &str) -> Result<DestinationName, Refused> {
        let known = DestinationName::new(name).ok().filter(|name| self.scheduler.has(name));
        known.ok_or_else(|| Refused {
            status: StatusCode::NOT_FOUND,
            text: format!(
                "there is no destination `{}`; `mailslotd config show` lists them",
                name.escape_debug()
            ),
        })
    }
}

/// Why the control socket could not be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on the control socket {path}: {source}; {fix}", path = .path.display())]
pub struct SocketError {
    path: PathBuf,
    fix: &'static str,
    source: io::Error,
}

/// Binds the control socket. Only for the holder of the spool's lock: a socket found there is then nobody's.
///
/// # Errors
/// The folder does not allow it, or its path is too long for a socket.
pub fn bind(state_dir: &Path) -> Result<UnixListener, SocketError> {
    let path = state_dir.join(SOCKET);
    let failed = |source: io::Error| {
        let fix = if source.kind() == io::ErrorKind::InvalidInput {
            "a socket's path has at most 107 bytes: choose a shorter state_dir"
        } else {
            "the user that runs mailslotd must be able to write to state_dir"
        };
        SocketError { path: path.clone(), fix, source }
    };
    match std::fs::remove_file(&path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let listener = UnixListener::bind(&path).map_err(failed)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o660)).map_err(failed)?;
    Ok(listener)
}

/// The routes, which later form `/api/v1` for tokens too.
pub fn routes(control: Control) -> Router {
    Router::new()
        .route("/api/v1/status", get(status))
        .route("/api/v1/reload", post(reload))
        .route("/api/v1/tarpit", get(tarpit))
        .route("/api/v1/queue", get(list))
        .route("/api/v1/queue/retry", post(retry_all))
        .route("/api/v1/queue/{id}", get(show).delete(delete))
        .route("/api/v1/queue/{id}/retry", post(retry))
        .route("/api/v1/queue/{id}/hold", post(hold))
        .route("/api/v1/queue/{id}/release", post(release))
        .route("/api/v1/inventory/smtp", get(smtp_clients))
        .route("/api/v1/inventory/hosts", get(hosts))
        .route("/api/v1/mailslots", get(mailslots).post(order_mailslots))
        .route("/api/v1/destinations/{name}/pause", post(pause))
        .route("/api/v1/destinations/{name}/resume", post(resume))
        .with_state(control)
}

async fn status(State(control): State<Control>) -> Json<Status> {
    Json(control.glance.status().await)
}

async fn reload(State(control): State<Control>) -> Result<Json<Reloaded>, Refused> {
    Ok(Json(control.reload.ask().await?))
}

async fn tarpit(State(control): State<Control>) -> Json<TarpitStatus> {
    Json(control.glance.tarpit())
}

async fn smtp_clients(State(control): State<Control>) -> Result<Json<Vec<SmtpClient>>, Refused> {
    Ok(Json(control.inventory()?.smtp_clients().await))
}

async fn hosts(State(control): State<Control>) -> Result<Json<Snapshot>, Refused> {
    let (hosts, asked_names) = control.inventory()?.hosts().await;
    #[expect(clippy::disallowed_methods, reason = "the moment of an answer")]
    let taken_at = jiff::Timestamp::now();
    Ok(Json(Snapshot { taken_at, hosts, asked_names }))
}

async fn mailslots(State(control): State<Control>) -> Json<MailslotsStatus> {
    Json(control.glance.mailslots().await)
}

async fn order_mailslots(
    State(control): State<Control>,
    Json(order): Json<Order>,
) -> Result<Json<MailslotsStatus>, Refused> {
    let refused = |status, text| Refused { status, text };
    if order.directions.is_empty() {
        return Err(refused(StatusCode::BAD_REQUEST, "name inbound, outbound or both".to_owned()));
    }
    let ordered = control.glance.order_mailslots(&order);
    ordered.map_err(|error| refused(StatusCode::SERVICE_UNAVAILABLE, error.to_string()))?;
    // What waited for the switch goes at once.
    control.scheduler.poke_all();
    Ok(Json(control.glance.mailslots().await))
}

async fn list(
    State(control): State<Control>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Vec<Copy>>, Refused> {
    let filter = Filter {
        destination: query.destination,
        state: query.state,
        after: query.after.map(|id| (id, RecipientNumber(query.after_number))),
        limit: query.limit.unwrap_or(Filter::PAGE),
    };
    Ok(Json(control.spool.list(filter).await?))
}

async fn show(State(control): State<Control>, Segment(id): Segment<String>) -> Result<Json<Shown>, Refused> {
    let id = parse_id(&id)?;
    control.spool.show(id).await?.map(Json).ok_or_else(|| Refused::not_in_queue(id))
}

async fn retry_all(State(control): State<Control>) -> Result<Json<Acted>, Refused> {
    let copies = control.spool.retry(Which::All).await?;
    control.scheduler.poke_all();
    Ok(Json(Acted { copies }))
}

async fn retry(State(control): State<Control>, Segment(id): Segment<String>) -> Result<Json<Acted>, Refused> {
    let id = parse_id(&id)?;
    let copies = control.spool.retry(Which::One(id)).await?;
    control.scheduler.poke_all();
    let queued = |shown: Shown| shown.copies.iter().any(|copy| copy.state == SpoolState::Queued);
    if copies == 0 && control.spool.show(id).await?.is_some_and(queued) {
        // Due already: what it waited for is tried now.
        return Ok(Json(Acted { copies }));
    }
    acted(&control, id, copies).await
}

async fn hold(State(control): State<Control>, Segment(id): Segment<String>) -> Result<Json<Acted>, Refused> {
    let id = parse_id(&id)?;
    let copies = control.spool.hold(id).await?;
    acted(&control, id, copies).await
}

async fn release(
    State(control): State<Control>,
    Segment(id): Segment<String>,
) -> Result<Json<Acted>, Refused> {
    let id = parse_id(&id)?;
    let copies = control.spool.release(id).await?;
    acted(&control, id, copies).await
}

async fn delete(
    State(control): State<Control>,
    Segment(id): Segment<String>,
) -> Result<Json<Acted>, Refused> {
    let id = parse_id(&id)?;
    let copies = control.spool.delete(id).await?;
    acted(&control, id, copies).await
}

async fn pause(
    State(control): State<Control>,
    Segment(name): Segment<String>,
    Json(request): Json<PauseRequest>,
) -> Result<Json<Before>, Refused> {
    let name = control.destination(&name)?;
    let pause = control.spool.pause(name.clone(), request.by).await?;
    control.scheduler.poke(&name);
    Ok(Json(Before { pause }))
}

async fn resume(
    State(control): State<Control>,
    Segment(name): Segment<String>,
) -> Result<Json<Before>, Refused> {
    let name = control.destination(&name)?;
    let pause = control.spool.resume(name.clone()).await?;
    control.scheduler.poke(&name);
    Ok(Json(Before { pause }))
}

fn parse_id(id: &str) -> Result<QueueId, Refused> {
    id.parse()
        .map_err(|error: NotAQueueId| Refused { status: StatusCode::BAD_REQUEST, text: error.to_string() })
}

/// An action that was for none of its copies did nothing; the answer says what they are instead.
async fn acted(control: &Control, id: QueueId, copies: u64) -> Result<Json<Acted>, Refused> {
    if copies > 0 {
        return Ok(Json(Acted { copies }));
    }
    let shown = control.spool.show(id).await?.ok_or_else(|| Refused::not_in_queue(id))?;
    Err(Refused { status: StatusCode::CONFLICT, text: nothing_to_do(&shown) })
}

/// Why a request was not carried out.
struct Refused {
    status: StatusCode,
    text: String,
}

impl Refused {
    fn not_in_queue(id: QueueId) -> Self {
        let text = format!("{id} is not in the queue: it was delivered or deleted");
        Self { status: StatusCode::NOT_FOUND, text }
    }
}

impl From<SpoolError> for Refused {
    fn from(error: SpoolError) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, text: error.to_string() }
    }
}

impl From<NotReloaded> for Refused {
    fn from(error: NotReloaded) -> Self {
        let status = match error {
            NotReloaded::Faulty(_) => StatusCode::BAD_REQUEST,
            NotReloaded::NeedsRestart(_) => StatusCode::CONFLICT,
            NotReloaded::Busy => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self { status, text: error.to_string() }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.status, Json(Refusal { error: self.text })).into_response()
    }
}
