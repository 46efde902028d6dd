//! Connections to NATS servers, for what delivers to JetStream and for a spool that lies there.
//!
//! The client crate would connect again by itself, for ever, and then send what it still holds. A [`Connection`] does
//! not: it ends when it breaks, and everything that waits on it fails at once. Who wants another makes one, at a pace
//! of its own.

mod denials;
mod fault;

use std::net::Ipv6Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::context::ContextBuilder;
use async_nats::{Client, ConnectOptions, Event, ServerAddr, ServerError, jetstream};
use tokio::time::timeout;

use super::tls::{TlsSetupError, client_config_with};
use crate::config::settings::{BrokerTls, CertificateFiles, NatsAuth, NatsCluster, NatsServer};
use denials::Denials;
pub use denials::{Denial, Watch};
pub use fault::{NatsFault, shown};

/// The servers of one cluster, and who we are there. Clones are cheap enough to be made for each user of it.
#[derive(Debug, Clone)]
pub struct Cluster {
    addresses: Vec<ServerAddr>,
    /// For sentences: `nats1.plant.example:4222, nats2.plant.example:4222`.
    named: Arc<str>,
    options: ConnectOptions,
}

/// Why a cluster can never be connected to with these settings.
#[derive(Debug, thiserror::Error)]
pub enum NatsSetupError {
    /// The files for TLS.
    #[error(transparent)]
    Tls(#[from] TlsSetupError),
    /// An address that the client does not take.
    #[error("the address {address} cannot be used: {source}")]
    Address {
        /// The address.
        address: String,
        /// Why.
        source: std::io::Error,
    },
    /// The credentials file is no such file.
    #[error("credentials_file cannot be used: {0}; write it anew with `nsc generate creds`")]
    Credentials(std::io::Error),
}

impl Cluster {
    /// What the settings say; `name` is what the servers' administrator sees of us. Reads files, connects to nothing.
    ///
    /// # Errors
    /// [`NatsSetupError`], each a sentence for the operator.
    pub fn new(settings: &NatsCluster, name: &str) -> Result<Self, NatsSetupError> {
        let addresses: Result<Vec<_>, _> = settings.servers.iter().map(address).collect();
        let named: Vec<String> = settings.servers.iter().map(ToString::to_string).collect();
        let options = ConnectOptions::new()
            .name(name)
            .ping_interval(PING_INTERVAL)
            .client_capacity(COMMANDS)
            .max_reconnects(settings.servers.len())
            .reconnect_delay_callback(|_| Duration::ZERO);
        let options = protected(options, settings.tls.as_ref())?;
        let options = authenticated(options, &settings.auth).map_err(NatsSetupError::Credentials)?;
        Ok(Self { addresses: addresses?, named: named.join(", ").into(), options })
    }

    /// The servers' addresses, for sentences.
    #[must_use]
    pub fn named(&self) -> &str {
        &self.named
    }

    /// A connection to one of the servers. Each has its part of the time, so that one that hangs keeps nobody from the
    /// others.
    ///
    /// # Errors
    /// [`NatsFault`]: what the last server said, a refused login before all else.
    pub async fn connect(&self, within: Duration) -> Result<Connection, NatsFault> {
        let denials = Denials::default();
        let heard = denials.clone();
        let servers = u32::try_from(self.addresses.len()).unwrap_or(u32::MAX);
        let options = self
            .options
            .clone()
            .connection_timeout(within.checked_div(servers).unwrap_or(within))
            .request_timeout(Some(within))
            .event_callback(move |event| {
                if let Event::ServerError(ServerError::Other(said)) = event {
                    heard.heard(&said);
                }
                std::future::ready(())
            });
        let connecting = timeout(within, options.connect(self.addresses.as_slice()));
        let client = match connecting.await {
            Ok(Ok(client)) => client,
            Ok(Err(error)) => return Err(NatsFault::of_connect(&self.named, &error)),
            Err(_) => return Err(NatsFault::silent(&self.named)),
        };
        // There is no switch against connecting again; where nobody listens it comes to its end at once.
        let ended = client.set_server_pool(NOWHERE).await;
        ended.map_err(|error| NatsFault::lost(&self.named, &error))?;
        Ok(Connection { client, denials, named: Arc::clone(&self.named) })
    }
}

/// A connection to one server, until it breaks. Clones share it.
#[derive(Debug, Clone)]
pub struct Connection {
    client: Client,
    denials: Denials,
    named: Arc<str>,
}

impl Connection {
    /// What talks to the server.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// The servers' addresses, for sentences.
    #[must_use]
    pub fn named(&self) -> &str {
        &self.named
    }

    /// JetStream over this connection, where each answer and each acknowledgement may take as long as `within`, and
    /// at most `in_flight` acknowledgements are awaited at once. Starts a task that lives as long as what it returns.
    #[must_use]
    pub fn jetstream(&self, within: Duration, in_flight: usize) -> jetstream::Context {
        ContextBuilder::new()
            .timeout(within)
            .ack_timeout(within)
            .max_ack_inflight(in_flight)
            .backpressure_on_inflight(true)
            .build(self.client.clone())
    }

    /// What the server denies from now on. It answers a publisher without permission nowhere but in the connection
    /// itself, so who waits for an acknowledgement watches this as well.
    #[must_use]
    pub fn watch(&self) -> Watch {
        self.denials.watch()
    }
}

fn address(server: &NatsServer) -> Result<ServerAddr, NatsSetupError> {
    let text = match server.host.parse::<Ipv6Addr>() {
        Ok(host) => format!("nats://[{host}]:{}", server.port),
        Err(_) => format!("nats://{}:{}", server.host, server.port),
    };
    text.parse().map_err(|source| NatsSetupError::Address { address: text, source })
}

/// With TLS required, or ready for a server that demands it.
fn protected(options: ConnectOptions, tls: Option<&BrokerTls>) -> Result<ConnectOptions, TlsSetupError> {
    let config = |ca_file: Option<&Path>, client: Option<&CertificateFiles>| {
        client_config_with(ca_file, client.map(|files| (&*files.certificate, &*files.key_file)))
    };
    match tls {
        Some(BrokerTls { ca_file, client_certificate }) => {
            let config = config(ca_file.as_deref(), client_certificate.as_ref())?;
            Ok(options.require_tls(true).tls_client_config((*config).clone()))
        }
        None => match config(None, None) {
            Ok(config) => Ok(options.tls_client_config((*config).clone())),
            // It may never be needed.
            Err(_) => Ok(options),
        },
    }
}

fn authenticated(options: ConnectOptions, auth: &NatsAuth) -> Result<ConnectOptions, std::io::Error> {
    Ok(match auth {
        NatsAuth::None => options,
        NatsAuth::Password { user, password } => {
            options.user_and_password(user.clone(), password.text.to_string())
        }
        NatsAuth::Token(token) => options.token(token.text.to_string()),
        NatsAuth::Nkey(seed) => options.nkey(seed.text.to_string()),
        NatsAuth::Credentials(file) => options.credentials(&file.text)?,
    })
}

/// After the third that is not answered, the connection is over.
const PING_INTERVAL: Duration = Duration::from_secs(10);
/// What may wait for the task that writes to the server.
const COMMANDS: usize = 2048;
/// Where the client connects after its connection broke; port 0 is nobody's.
const NOWHERE: &str = "nats://127.0.0.1:0";
