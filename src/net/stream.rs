//! A connection to a next hop, in clear text or under TLS.

use std::future::{Future as _, poll_fn};
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use rustls::ProtocolVersion;
use rustls::pki_types::ServerName;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::unconstrained;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::tls::HandshakeFault;
use crate::wire::x509;

/// A connection to a next hop.
#[derive(Debug)]
pub enum Stream {
    /// In clear text.
    Clear(TcpStream),
    /// Under TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

/// What protects a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protection {
    /// "TLS 1.3".
    pub version: &'static str,
    /// Who issued the server's certificate.
    pub issuer: String,
}

impl Stream {
    /// Begins TLS on a connection. Takes as long as the server does: wrap it in a time limit.
    ///
    /// # Errors
    /// [`HandshakeFault`].
    pub async fn handshake(
        stream: TcpStream,
        (connector, name): &(TlsConnector, ServerName<'static>),
    ) -> Result<Self, HandshakeFault> {
        let established = connector.connect(name.clone(), stream).await.map_err(HandshakeFault::of)?;
        Ok(Self::Tls(Box::new(established)))
    }

    /// What protects it; `None` in clear text.
    #[must_use]
    pub fn protection(&self) -> Option<Protection> {
        let Self::Tls(stream) = self else { return None };
        let (_, session) = stream.get_ref();
        let version = match session.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
            Some(_) | None => "TLS 1.3",
        };
        let own = session.peer_certificates().and_then(<[_]>::first);
        let issuer = own.and_then(|certificate| x509::issuer(certificate));
        Some(Protection { version, issuer: issuer.unwrap_or_else(|| "(unknown)".to_owned()) })
    }

    /// Waits for input. May be dropped; nothing is lost.
    ///
    /// # Errors
    /// Those of the connection.
    pub async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Clear(stream) => stream.read(buffer).await,
            Self::Tls(stream) => stream.read(buffer).await,
        }
    }

    /// Writes all of it, down to the socket.
    ///
    /// # Errors
    /// Those of the connection.
    pub async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Clear(stream) => write_all(stream, bytes).await,
            Self::Tls(stream) => write_all(&mut **stream, bytes).await,
        }
    }

    /// Reads what is there already; `None`: there is nothing now.
    pub async fn read_ready(&mut self, buffer: &mut [u8]) -> Option<io::Result<usize>> {
        match self {
            Self::Clear(stream) => {
                notice_input(stream).await;
                read_ready(stream, buffer).await
            }
            Self::Tls(stream) => {
                notice_input(stream.get_ref().0).await;
                read_ready(&mut **stream, buffer).await
            }
        }
    }
}

/// For clients of protocols that bring their own reading and writing.
impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_shutdown(context),
        }
    }
}

/// The runtime hears of input a moment after it came, and takes the socket for empty until then: asks the kernel.
async fn notice_input(stream: &TcpStream) {
    let mut octet = [MaybeUninit::uninit()];
    let nothing = |error: &io::Error| error.kind() == io::ErrorKind::WouldBlock;
    if !SockRef::from(stream).peek(&mut octet).as_ref().is_err_and(nothing) {
        // What it cannot wait for, reading will tell.
        stream.readable().await.unwrap_or_default();
    }
}

async fn read_ready<S: AsyncRead + Unpin>(stream: &mut S, buffer: &mut [u8]) -> Option<io::Result<usize>> {
    // Otherwise a task that has done much may be told that there is nothing.
    let mut read = pin!(unconstrained(stream.read(buffer)));
    poll_fn(|context| match read.as_mut().poll(context) {
        Poll::Ready(read) => Poll::Ready(Some(read)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

async fn write_all<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}
