//! Reads the PROXY header of a named load balancer.

use std::io;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::wire::proxy::{Progress, Proxied, parse};
use crate::wire::reader::WireError;

/// Why there is no header.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProxyFault {
    /// What came is none.
    #[error("{0}")]
    Malformed(#[from] WireError),
    /// The connection ended before it.
    #[error("the connection ended before it: {0}")]
    Io(#[from] io::Error),
    /// It did not come in time.
    #[error("it had not come after {} s", .0.as_secs())]
    TimedOut(Duration),
}

/// Reads the header and not one octet of what follows it.
///
/// # Errors
/// [`ProxyFault`]; the connection is of no use then, for nobody knows whose it is.
pub(super) async fn read(stream: &mut TcpStream, patience: Duration) -> Result<Proxied, ProxyFault> {
    timeout(patience, read_whole(stream)).await.unwrap_or(Err(ProxyFault::TimedOut(patience)))
}

async fn read_whole(stream: &mut TcpStream) -> Result<Proxied, ProxyFault> {
    let mut header = Vec::new();
    loop {
        match parse(&header)? {
            Progress::Complete(proxied) => return Ok(proxied),
            Progress::Needs(more) => {
                let length = header.len();
                header.resize(length.saturating_add(more), 0);
                stream.read_exact(header.get_mut(length..).unwrap_or_default()).await?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::*;

    async fn connected() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (client, accepted) = tokio::join!(client, listener.accept());
        (client.unwrap(), accepted.unwrap().0)
    }

    #[tokio::test]
    async fn what_follows_the_header_is_left_to_the_session() {
        let (mut balancer, mut server) = connected().await;
        balancer.write_all(b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 25\r\nEHLO x\r\n").await.unwrap();
        let proxied = read(&mut server, Duration::from_secs(30)).await.unwrap();
        assert_eq!(proxied, Proxied::Client("192.0.2.7:56324".parse().unwrap()));
        let mut rest = [0; 8];
        server.read_exact(&mut rest).await.unwrap();
        assert_eq!(&rest, b"EHLO x\r\n");
    }

    #[tokio::test]
    async fn a_balancer_that_says_nothing_or_stops_is_given_up() {
        let (mut balancer, mut server) = connected().await;
        balancer.write_all(b"PROXY TC").await.unwrap();
        let silent = read(&mut server, Duration::from_millis(20)).await.unwrap_err();
        assert!(matches!(silent, ProxyFault::TimedOut(_)), "{silent}");
        drop(balancer);
        let gone = read(&mut server, Duration::from_secs(30)).await.unwrap_err();
        assert!(matches!(gone, ProxyFault::Io(_)), "{gone}");
    }

    #[tokio::test]
    async fn a_client_that_speaks_smtp_at_once_is_refused_at_its_first_octets() {
        let (mut client, mut server) = connected().await;
        client.write_all(b"EHLO scanner\r\n\r\n").await.unwrap();
        let fault = read(&mut server, Duration::from_secs(30)).await.unwrap_err();
        assert!(matches!(fault, ProxyFault::Malformed(_)), "{fault}");
    }
}
