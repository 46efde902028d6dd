//! A session with one host: [`NetbiosClient`] on a connection, and on the next one where its [`Course`] wants another.

use std::io;
use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{timeout, timeout_at};

use crate::message::net_send::NetSend;
use crate::session::netbios_client::{Course, Input, NetbiosClient, Outcome, Outgoing, Output, Timeouts};

/// Sends the message in a session with `host`. The error is that of the connection, which was never there.
pub(super) async fn converse(message: &NetSend, host: SocketAddrV4) -> io::Result<Outcome> {
    let fields = message.fields();
    let outgoing = Outgoing {
        called: message.destination_name(),
        calling: message.source_name(),
        from: fields.from.to_vec(),
        to: fields.to.to_vec(),
        text: fields.text.to_vec(),
    };
    let mut course = Course::new(host);
    loop {
        let outcome = connect_and_send(&outgoing, course).await?;
        match course.after(&outcome) {
            Some(next) => course = next,
            None => return Ok(outcome),
        }
    }
}

async fn connect_and_send(message: &Outgoing, course: Course) -> io::Result<Outcome> {
    let connecting = timeout(CONNECT_TIMEOUT, TcpStream::connect(course.target()));
    let mut stream = connecting.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
    stream.set_nodelay(true)?;
    let mut client =
        NetbiosClient::new(Instant::now(), message.clone(), course.framing(), Timeouts::default());
    let mut piece = [0; 512];
    loop {
        while let Some(output) = client.poll_output() {
            match output {
                // What cannot be written is read as the end of the connection.
                Output::Send(octets) => stream.write_all(&octets).await.unwrap_or_default(),
                Output::Closed(outcome) => return Ok(outcome),
            }
        }
        let end = client.poll_timeout().unwrap_or_else(Instant::now);
        match timeout_at(end.into(), stream.read(&mut piece)).await {
            Ok(Ok(0) | Err(_)) => client.handle_input(Instant::now(), Input::Disconnected),
            Ok(Ok(count)) => {
                let octets = piece.get(..count).unwrap_or_default();
                client.handle_input(Instant::now(), Input::Bytes(octets));
            }
            Err(_) => client.handle_timeout(Instant::now()),
        }
    }
}

/// A host on the same network answers in milliseconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
