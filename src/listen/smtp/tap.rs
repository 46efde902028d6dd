//! Keeps the first octets that a client sends in a handshake, to tell from them why it failed.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection whose first octets are kept until [`Tap::close`].
#[derive(Debug)]
pub(super) struct Tap<T> {
    inner: T,
    heard: Option<Vec<u8>>,
}

impl<T> Tap<T> {
    /// Keeps from now on.
    pub(super) const fn new(inner: T) -> Self {
        Self { inner, heard: Some(Vec::new()) }
    }

    /// Keeps nothing any more.
    pub(super) fn close(&mut self) {
        self.heard = None;
    }

    /// What was kept.
    pub(super) fn heard(&self) -> &[u8] {
        self.heard.as_deref().unwrap_or_default()
    }

    /// The connection itself.
    pub(super) const fn inner(&self) -> &T {
        &self.inner
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Tap<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(cx, buffer);
        if let Some(heard) = &mut self.heard
            && read.is_ready()
        {
            let new = buffer.filled().get(before..).unwrap_or_default();
            let room = KEPT.saturating_sub(heard.len()).min(new.len());
            heard.extend_from_slice(new.get(..room).unwrap_or_default());
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Tap<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, octets)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// Octets that are kept: more than a ClientHello has before its key shares.
const KEPT: usize = 2048;
