//! A listener that serves only so many connections at once and closes silent ones, so that a scraper gone mad costs
//! nobody else.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};

/// Accepts from `inner` while fewer than the limit are open; the kernel's backlog holds the rest.
#[derive(Debug)]
pub struct Limited<L> {
    inner: L,
    open: Arc<Semaphore>,
}

impl<L> Limited<L> {
    /// At most `connections` at once.
    pub fn new(inner: L, connections: usize) -> Self {
        Self { inner, open: Arc::new(Semaphore::new(connections)) }
    }
}

impl<L: Listener> Listener for Limited<L> {
    type Io = Counted<L::Io>;
    type Addr = L::Addr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        // The semaphore is never closed, so the permit is always there; without one the connection is merely uncounted.
        let permit = Arc::clone(&self.open).acquire_owned().await.ok();
        let (io, address) = self.inner.accept().await;
        (Counted::new(io, permit, SILENCE), address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.inner.local_addr()
    }
}

/// How long a client may say nothing, or read nothing of its answers.
const SILENCE: Duration = Duration::from_secs(30);

/// A connection that gives its place back when it ends, and ends when its client is silent for 30 seconds, or takes
/// nothing of an answer for as long.
#[derive(Debug)]
pub struct Counted<T> {
    io: T,
    patience: Duration,
    silence: Pin<Box<Sleep>>,
    /// While an answer does not get away.
    stuck: Option<Pin<Box<Sleep>>>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl<T> Counted<T> {
    fn new(io: T, permit: Option<OwnedSemaphorePermit>, patience: Duration) -> Self {
        Self { io, patience, silence: Box::pin(sleep(patience)), stuck: None, _permit: permit }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Counted<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.io).poll_read(cx, buffer);
        if read.is_ready() {
            let patience = self.patience;
            self.silence.set(sleep(patience));
            return read;
        }
        self.silence.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<T: Unpin> Counted<T> {
    /// Bounds how long nothing of what was written gets away.
    fn patiently<R>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut T>, &mut Context<'_>) -> Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        let written = write(Pin::new(&mut self.io), cx);
        if written.is_ready() {
            self.stuck = None;
            return written;
        }
        let patience = self.patience;
        let stuck = self.stuck.get_or_insert_with(|| Box::pin(sleep(patience)));
        stuck.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Counted<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.patiently(cx, |io, cx| io.poll_write(cx, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.patiently(cx, AsyncWrite::poll_flush)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    fn counted(io: DuplexStream) -> Counted<DuplexStream> {
        Counted::new(io, None, Duration::from_millis(50))
    }

    #[tokio::test]
    async fn a_client_that_says_nothing_is_given_up() {
        let (_client, server) = duplex(64);
        let error = counted(server).read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_client_that_never_reads_its_answers_is_given_up_though_it_goes_on_asking() {
        let (mut client, server) = duplex(64);
        let (mut reading, mut writing) = tokio::io::split(counted(server));
        let asking = async {
            loop {
                client.write_all(b"GET").await.unwrap();
                reading.read_exact(&mut [0; 3]).await.unwrap();
                sleep(Duration::from_millis(5)).await;
            }
        };
        let error = tokio::select! {
            written = writing.write_all(&[b'x'; 1000]) => written.unwrap_err(),
            () = asking => unreachable!("it asks for ever"),
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_client_that_reads_slowly_is_served_to_the_end() {
        let (mut client, server) = duplex(64);
        let mut server = counted(server);
        let serving = tokio::spawn(async move { server.write_all(&[b'x'; 640]).await });
        let mut seen = Vec::new();
        while seen.len() < 640 {
            sleep(Duration::from_millis(10)).await;
            client.read_buf(&mut seen).await.unwrap();
        }
        serving.await.unwrap().unwrap();
    }
}
