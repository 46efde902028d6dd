//! The DNS resolver, as far as block lists need it.

use std::net::Ipv4Addr;
use std::sync::Arc;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType};

use super::{NameServers, SetupError, TIME_LIMIT};

/// Asks, and remembers nothing: what was asked is remembered by client.
#[derive(Debug, Clone)]
pub(super) struct Resolver(Arc<Inner>);

struct Inner(TokioResolver);

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Fault {
    /// No server answered in time.
    TimedOut,
    /// What the resolver says.
    Other(String),
}

impl Resolver {
    pub(super) fn new(servers: NameServers) -> Result<Self, SetupError> {
        let system = |error: NetError| SetupError::System(error.to_string());
        let mut builder = match servers {
            NameServers::System => TokioResolver::builder_tokio().map_err(system)?,
            NameServers::At(address) => {
                let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                    connection.port = address.port();
                    connection
                });
                let server = NameServerConfig::new(address.ip(), true, connections.into());
                let config = ResolverConfig::from_name_servers(vec![server]);
                TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            }
        };
        let options = builder.options_mut();
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        // One question may be lost on the way and asked again within the limit.
        options.timeout = TIME_LIMIT / 2;
        options.attempts = 2;
        options.max_active_requests = MAX_ACTIVE;
        Ok(Self(Arc::new(Inner(builder.build().map_err(system)?))))
    }

    /// The A records of a name; none if there is no such name.
    pub(super) async fn addresses(&self, name: &str) -> Result<Vec<Ipv4Addr>, Fault> {
        match self.0.0.lookup(name, RecordType::A).await {
            Ok(found) => Ok(found
                .answers()
                .iter()
                .filter_map(
                    |record| if let RData::A(address) = &record.data { Some(address.0) } else { None },
                )
                .collect()),
            Err(error) if error.is_no_records_found() => Ok(Vec::new()),
            Err(NetError::Timeout) => Err(Fault::TimedOut),
            Err(error) => Err(Fault::Other(error.to_string())),
        }
    }

    /// Its first TXT record, where it has one.
    pub(super) async fn text(&self, name: &str) -> Option<Vec<u8>> {
        let found = self.0.0.lookup(name, RecordType::TXT).await.ok()?;
        found.answers().iter().find_map(|record| {
            if let RData::TXT(text) = &record.data { Some(text.txt_data.concat()) } else { None }
        })
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Resolver")
    }
}

/// Questions under way at one server.
const MAX_ACTIVE: usize = 256;
