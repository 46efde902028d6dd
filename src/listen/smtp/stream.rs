//! A connection with a client, in the clear or under TLS, that holds no buffer while it waits.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWriteExt as _, Interest, ReadBuf};
use tokio::net::TcpStream;

use super::tls::Secured;
use crate::session::smtp_server::Behind;

/// A connection with a client.
#[derive(Debug)]
pub(super) enum Stream {
    /// In the clear.
    Plain(TcpStream),
    /// Under TLS.
    Secured(Box<Secured>),
    /// Lost in a handshake that failed: nothing can be read or written any more.
    Lost,
}

/// Sets what every connection needs: small replies leave at once, and a client that vanished without a word is noticed
/// within minutes even while nobody waits for it.
///
/// # Errors
/// When the connection is gone already.
pub(super) fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(120))
        .with_interval(Duration::from_secs(30))
        .with_retries(4);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

impl Stream {
    /// Waits for octets and gives up to `limit` of them to `take`; `None` where the client has closed its side.
    ///
    /// They are read into a buffer of the thread, so that a connection that waits holds none.
    ///
    /// # Errors
    /// When the connection breaks.
    pub(super) async fn read<T>(
        &mut self,
        limit: usize,
        take: impl FnOnce(&[u8]) -> T,
    ) -> io::Result<Option<T>> {
        let mut take = Some(take);
        poll_fn(|cx| {
            PIECE.with_borrow_mut(|piece| {
                let room = limit.clamp(1, piece.len());
                let mut buffer = ReadBuf::new(piece.get_mut(..room).unwrap_or_default());
                ready!(self.poll_read(cx, &mut buffer))?;
                let octets = buffer.filled();
                let taken = if octets.is_empty() { None } else { take.take() };
                Poll::Ready(Ok(taken.map(|take| take(octets))))
            })
        })
        .await
    }

    /// Whether the client has said more already that was not read: in the kernel, or under TLS here. Neither waits nor
    /// takes anything away. Asks the kernel itself, since the runtime hears of new octets only when it next waits.
    pub(super) fn behind(&mut self) -> Behind {
        let has_more = match self {
            Self::Plain(stream) => {
                let peeked = SockRef::from(&*stream).peek(&mut [MaybeUninit::uninit()]);
                peeked.is_ok_and(|octets| octets > 0)
            }
            Self::Secured(stream) => has_plaintext(stream),
            Self::Lost => false,
        };
        if has_more { Behind::Input } else { Behind::Nothing }
    }

    /// Returns when the client has closed its side or the connection broke, whatever is still unread; reads nothing.
    pub(super) async fn hung_up(&self) {
        // Of the readiness for priority data only the end of the connection ever comes, since such data is not asked
        // for; readiness for reading would come for unread octets too. An error here is an end as well.
        if let Some(tcp) = self.tcp() {
            drop(tcp.ready(Interest::PRIORITY).await);
        }
    }

    /// Writes all of `octets` and empties it.
    ///
    /// # Errors
    /// When the connection breaks, or the client takes nothing for [`PATIENCE`].
    pub(super) async fn write(&mut self, octets: &mut Vec<u8>) -> io::Result<()> {
        if octets.is_empty() {
            return Ok(());
        }
        tokio::time::timeout(PATIENCE, self.write_all(octets)).await??;
        // Capacity too: a session that waits holds none.
        *octets = Vec::new();
        Ok(())
    }

    /// Says that nothing more comes, and takes what the client had sent already, so that the kernel does not answer it
    /// with a reset that would overtake our last reply.
    pub(super) async fn close(mut self) {
        let closing = async {
            match &mut self {
                Self::Plain(stream) => stream.shutdown().await,
                Self::Secured(stream) => stream.shutdown().await,
                Self::Lost => Err(lost()),
            }
        };
        if !matches!(tokio::time::timeout(CLOSING, closing).await, Ok(Ok(()))) {
            return;
        }
        PIECE.with_borrow_mut(|piece| {
            for _ in 0..UNREAD_PIECES {
                if !self.tcp().is_some_and(|tcp| matches!(tcp.try_read(piece), Ok(read) if read > 0)) {
                    break;
                }
            }
        });
    }

    /// Takes the connection out for a handshake; `None` where it is under TLS already. Put back what comes of it.
    pub(super) fn take_plain(&mut self) -> Option<TcpStream> {
        match std::mem::replace(self, Self::Lost) {
            Self::Plain(stream) => Some(stream),
            Self::Secured(stream) => {
                *self = Self::Secured(stream);
                None
            }
            Self::Lost => None,
        }
    }

    async fn write_all(&mut self, octets: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.write_all(octets).await,
            Self::Secured(stream) => {
                stream.write_all(octets).await?;
                stream.flush().await
            }
            Self::Lost => Err(lost()),
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Secured(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Lost => Poll::Ready(Err(lost())),
        }
    }

    fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Self::Plain(stream) => Some(stream),
            Self::Secured(stream) => Some(stream.get_ref().0.inner()),
            Self::Lost => None,
        }
    }
}

/// Decrypts what has come until there are octets of the client's; records that are part of the protocol alone are none.
/// Faults are left to the next read.
fn has_plaintext(stream: &mut Secured) -> bool {
    let (tap, connection) = stream.get_mut();
    let socket = SockRef::from(tap.inner());
    for _ in 0..RECORDS {
        match connection.process_new_packets() {
            Ok(state) if state.plaintext_bytes_to_read() > 0 => return true,
            Ok(_) => {}
            Err(_) => return false,
        }
        if !matches!(connection.read_tls(&mut &*socket), Ok(read) if read > 0) {
            return false;
        }
    }
    false
}

fn lost() -> io::Error {
    io::ErrorKind::NotConnected.into()
}

thread_local! {
    /// What is read lies here for as long as the machine takes it.
    static PIECE: RefCell<Vec<u8>> = RefCell::new(vec![0; 32 * 1024]);
}

/// How long a client may take nothing of a reply.
const PATIENCE: Duration = Duration::from_secs(300);
/// Records without octets of the client's that one look may go through.
const RECORDS: usize = 8;
/// How long the end of a connection may take.
const CLOSING: Duration = Duration::from_secs(5);
/// Pieces of unread input that are taken at the end.
const UNREAD_PIECES: usize = 32;

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;

    use super::*;

    async fn connected() -> (TcpStream, Stream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (client, accepted) = tokio::join!(client, listener.accept());
        let (server, _) = accepted.unwrap();
        prepare(&server).unwrap();
        (client.unwrap(), Stream::Plain(server))
    }

    #[tokio::test]
    async fn no_more_is_read_than_was_asked_for() {
        let (mut client, mut server) = connected().await;
        client.write_all(b"EHLO x\r\nMAIL").await.unwrap();
        let first = server.read(8, <[u8]>::to_vec).await.unwrap();
        assert_eq!(first.as_deref(), Some(&b"EHLO x\r\n"[..]));
        client.shutdown().await.unwrap();
        assert_eq!(server.read(100, <[u8]>::len).await.unwrap(), Some(4));
        assert_eq!(server.read(100, <[u8]>::len).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_client_that_hangs_up_is_noticed_behind_its_unread_octets_and_one_that_stays_is_not() {
        let (mut client, server) = connected().await;
        client.write_all(b"RCPT TO:<a@corp.example>\r\n").await.unwrap();
        let waiting = tokio::time::timeout(Duration::from_millis(50), server.hung_up()).await;
        assert!(waiting.is_err(), "unread octets are no end");
        drop(client);
        tokio::time::timeout(Duration::from_secs(10), server.hung_up()).await.unwrap();
    }

    #[tokio::test]
    async fn the_last_reply_arrives_though_the_client_had_sent_more() {
        let (mut client, mut server) = connected().await;
        client.write_all(&[b'x'; 5000]).await.unwrap();
        server.read(1, |_| ()).await.unwrap();
        server.write(&mut b"421 4.7.0 bye\r\n".to_vec()).await.unwrap();
        server.close().await;
        let mut said = String::new();
        client.read_to_string(&mut said).await.unwrap();
        assert_eq!(said, "421 4.7.0 bye\r\n");
    }
}
