//! The commands' side of the control socket.

use std::io;
use std::path::{Path, PathBuf};

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::api::{Refusal, SOCKET};

/// A gateway that runs, reached over its control socket.
#[derive(Debug, Clone)]
pub struct Client {
    path: PathBuf,
}

/// Why a running gateway did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No gateway runs on this state directory.
    #[error("no gateway runs on {path}", path = .path.display())]
    NotRunning {
        /// Its control socket.
        path: PathBuf,
    },
    /// The socket belongs to a user or group that this one is not of.
    #[error(
        "not permitted to use {path}: run this as the user of the gateway, or as a member of its group",
        path = .path.display()
    )]
    Forbidden {
        /// Its control socket.
        path: PathBuf,
    },
    /// The connection broke.
    #[error("the gateway on {path} does not answer: {text}", path = .path.display())]
    Broken {
        /// Its control socket.
        path: PathBuf,
        /// What broke.
        text: String,
    },
    /// It answered no: what was named is not there, or not in a state for this.
    #[error("{0}")]
    NotFound(String),
    /// It answered that the request makes no sense.
    #[error("{0}")]
    BadRequest(String),
    /// It cannot at present.
    #[error("{0}")]
    NotNow(String),
}

impl Client {
    /// The gateway on this state directory.
    ///
    /// # Errors
    /// [`ClientError::NotRunning`] when nobody listens there, [`ClientError::Forbidden`].
    pub async fn connect(state_dir: &Path) -> Result<Self, ClientError> {
        let client = Self { path: state_dir.join(SOCKET) };
        client.stream().await?;
        Ok(client)
    }

    /// Asks for something.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.request(Method::GET, path, Full::default()).await
    }

    /// Orders something.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let json = serde_json::to_vec(body).map_err(|error| self.broken(error))?;
        self.request(Method::POST, path, Full::from(json)).await
    }

    /// Removes something.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.request(Method::DELETE, path, Full::default()).await
    }

    async fn request<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Full<Bytes>,
    ) -> Result<T, ClientError> {
        let io = TokioIo::new(self.stream().await?);
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(io).await.map_err(|error| self.broken(error))?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "mailslotd")
            .header("content-type", "application/json")
            .body(body)
            .map_err(|error| self.broken(error))?;
        let exchange = async {
            let response = sender.send_request(request).await?;
            let status = response.status();
            Ok::<_, hyper::Error>((status, response.into_body().collect().await?.to_bytes()))
        };
        // The connection must be driven for the exchange to go on, and would stay open after it.
        let mut exchange = std::pin::pin!(exchange);
        let answered = tokio::select! {
            biased;
            answered = &mut exchange => answered,
            _ = connection => exchange.await,
        };
        let (status, body) = answered.map_err(|error| self.broken(error))?;
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|error| self.broken(error));
        }
        let text = serde_json::from_slice(&body)
            .map_or_else(|_| format!("it answered {status}"), |refusal: Refusal| refusal.error);
        Err(match status {
            StatusCode::NOT_FOUND | StatusCode::CONFLICT => ClientError::NotFound(text),
            StatusCode::BAD_REQUEST => ClientError::BadRequest(text),
            _ => ClientError::NotNow(text),
        })
    }

    async fn stream(&self) -> Result<UnixStream, ClientError> {
        let path = || self.path.clone();
        UnixStream::connect(&self.path).await.map_err(|error| {
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) {
                ClientError::NotRunning { path: path() }
            } else if error.kind() == io::ErrorKind::PermissionDenied {
                ClientError::Forbidden { path: path() }
            } else {
                self.broken(error)
            }
        })
    }

    fn broken(&self, error: impl std::fmt::Display) -> ClientError {
        ClientError::Broken { path: self.path.clone(), text: error.to_string() }
    }
}
