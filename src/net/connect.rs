//! Name and address to a TCP connection: all addresses of a host have their chance (RFC 8305).

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Why there is no connection.
#[derive(Debug)]
pub enum ConnectFault {
    /// The name has no address.
    Resolve(io::Error),
    /// No address answered; the last address and what it said.
    Refused(SocketAddr, io::Error),
    /// No address answered in time.
    TimedOut,
}

/// A connection to whichever address of `host` answers first. Each has a little start over the next; IPv6 and IPv4
/// take turns.
pub async fn connect(host: &str, port: u16, within: Duration) -> Result<TcpStream, ConnectFault> {
    timeout(within, resolve_and_race(host, port)).await.unwrap_or(Err(ConnectFault::TimedOut))
}

async fn resolve_and_race(host: &str, port: u16) -> Result<TcpStream, ConnectFault> {
    race(resolve(host, port).await?).await
}

/// The addresses of `host`, as the system knows them. Takes as long as the resolver does: wrap it in a time limit.
///
/// # Errors
/// [`ConnectFault::Resolve`].
pub async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, ConnectFault> {
    Ok(lookup_host((host, port)).await.map_err(ConnectFault::Resolve)?.collect())
}

/// A connection to whichever of these addresses answers first, as [`connect`]. Takes as long as the network does: wrap
/// it in a time limit.
///
/// # Errors
/// [`ConnectFault`].
pub async fn race(addresses: Vec<SocketAddr>) -> Result<TcpStream, ConnectFault> {
    let mut attempts = JoinSet::new();
    let mut head_start = Duration::ZERO;
    for address in take_turns(addresses) {
        attempts.spawn(async move {
            sleep(head_start).await;
            TcpStream::connect(address).await.map_err(|error| (address, error))
        });
        head_start = head_start.saturating_add(HEAD_START);
    }
    let mut fault = ConnectFault::Resolve(io::Error::new(io::ErrorKind::NotFound, "it has no address"));
    while let Some(attempt) = attempts.join_next().await {
        match attempt {
            Ok(Ok(stream)) => {
                // Commands are small and wait for their replies; Nagle's delay would add to each.
                match stream.set_nodelay(true) {
                    Ok(()) | Err(_) => return Ok(stream),
                }
            }
            Ok(Err((address, error))) => fault = ConnectFault::Refused(address, error),
            Err(_) => fault = ConnectFault::TimedOut,
        }
    }
    Err(fault)
}

fn take_turns(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut ordered = Vec::new();
    loop {
        let pair = [first.next(), second.next()];
        if pair == [None, None] || ordered.len() >= MAX_ADDRESSES {
            return ordered;
        }
        ordered.extend(pair.into_iter().flatten());
    }
}

/// RFC 8305 §5 recommends it.
const HEAD_START: Duration = Duration::from_millis(250);
/// More addresses than this are not tried in one attempt.
const MAX_ADDRESSES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_take_turns_and_the_resolvers_first_choice_begins() {
        let parse =
            |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<SocketAddr>>();
        let found = parse(&["[2001:db8::1]:587", "[2001:db8::2]:587", "192.0.2.1:587", "192.0.2.2:587"]);
        let expected = parse(&["[2001:db8::1]:587", "192.0.2.1:587", "[2001:db8::2]:587", "192.0.2.2:587"]);
        assert_eq!(take_turns(found), expected);
    }
}
