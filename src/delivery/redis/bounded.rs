//! How much a server may say. The client library keeps an answer in memory whole, however long the server says it will be,
//! so what comes in is counted before it gets there.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::net::tls::HandshakeFault;

/// What is allowed on one connection. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Allowance(Arc<Mutex<Octets>>);

#[derive(Debug)]
struct Octets {
    read: u64,
    most: u64,
    /// Answers that have not come.
    awaited: u64,
    /// What the server, or we, said of TLS after the handshake.
    tls: Option<rustls::Error>,
}

/// Answers that are awaited; no longer so when dropped.
pub(super) struct Awaited<'a> {
    allowance: &'a Allowance,
    answers: u64,
}

/// A connection that breaks where the server says more than was allowed.
#[derive(Debug)]
pub(super) struct Bounded<S> {
    stream: S,
    allowance: Allowance,
}

impl Allowance {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Octets { read: 0, most: SLACK, awaited: 0, tls: None })))
    }

    /// Allows so many answers more.
    pub(super) fn await_answers(&self, answers: usize) -> Awaited<'_> {
        let answers = u64::try_from(answers).unwrap_or(u64::MAX);
        let mut octets = self.octets();
        octets.awaited = octets.awaited.saturating_add(answers);
        octets.most = octets.most.saturating_add(answers.saturating_mul(MOST_ANSWER));
        Awaited { allowance: self, answers }
    }

    /// Why TLS ended the connection, if it did: under TLS 1.3 a server says only after the handshake that it wants a
    /// certificate of ours, or does not trust it. The client library keeps the text of an error alone.
    pub(super) fn tls_refusal(&self) -> Option<HandshakeFault> {
        self.octets().tls.clone().map(HandshakeFault::Incompatible)
    }

    fn octets(&self) -> MutexGuard<'_, Octets> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Awaited<'_> {
    /// What these answers did not use, no other may.
    fn drop(&mut self) {
        let mut octets = self.allowance.octets();
        octets.awaited = octets.awaited.saturating_sub(self.answers);
        let left = octets.awaited.saturating_mul(MOST_ANSWER).saturating_add(SLACK);
        octets.most = octets.read.saturating_add(left);
    }
}

impl<S> Bounded<S> {
    pub(super) const fn new(stream: S, allowance: Allowance) -> Self {
        Self { stream, allowance }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if let Err(error) = ready!(Pin::new(&mut self.stream).poll_read(context, buffer)) {
            let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
            self.allowance.octets().tls = tls.cloned();
            return Poll::Ready(Err(error));
        }
        let read = buffer.filled().len().saturating_sub(before);
        let mut octets = self.allowance.octets();
        octets.read = octets.read.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        if octets.read > octets.most {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, TOO_MUCH)));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, octets)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Octets of one answer: an entry's id, a number, or an error in words.
const MOST_ANSWER: u64 = 8 << 10;
/// For answers to commands that nobody waits for any more.
const SLACK: u64 = 64 << 10;
const TOO_MUCH: &str = "it says far more than such answers have; check the address in `url`";

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn a_long_connection_saves_nothing_up_for_one_long_answer() {
        let (mut server, client) = tokio::io::duplex(1 << 20);
        let allowance = Allowance::new();
        let mut client = Bounded::new(client, allowance.clone());
        let mut answer = [0; 25];
        for _ in 0..10_000 {
            let awaited = allowance.await_answers(1);
            server.write_all(&[b'x'; 25]).await.unwrap();
            client.read_exact(&mut answer).await.unwrap();
            drop(awaited);
        }
        let _awaited = allowance.await_answers(2);
        server.write_all(&vec![b'x'; 500 << 10]).await.unwrap();
        let mut much = vec![0; 500 << 10];
        let error = client.read_exact(&mut much).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(error.to_string().contains("far more than such answers"), "{error}");
    }

    #[tokio::test]
    async fn late_answers_of_commands_that_were_given_up_break_nothing() {
        let (mut server, client) = tokio::io::duplex(1 << 20);
        let allowance = Allowance::new();
        let mut client = Bounded::new(client, allowance.clone());
        drop(allowance.await_answers(1000));
        server.write_all(&[b'x'; 25_000]).await.unwrap();
        client.read_exact(&mut [0; 25_000]).await.unwrap();
    }
}
