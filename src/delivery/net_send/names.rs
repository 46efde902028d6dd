//! Who owns a name: the questions and answers of [`NameQuery`] over UDP.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant;

use tokio::net::UdpSocket;
use tokio::time::timeout_at;

use super::{NAME_PORT, Network, Traces};
use crate::session::name_query::{Answer, NameQuery, Output};
use crate::wire::netbios_name::NetbiosName;

/// Asks until somebody answers or nobody does, which takes 0.75 s for a broadcast and 3 s for each server that is silent.
pub(super) async fn owner_of(
    name: NetbiosName,
    network: &Network,
    broadcasts: &[Ipv4Addr],
    traces: Option<&Traces>,
) -> io::Result<Answer> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
    socket.set_broadcast(true)?;
    let [low, high, ..] = getrandom::u32().map_err(io::Error::other)?.to_be_bytes();
    let transaction = u16::from_be_bytes([low, high]);
    let asked = (name, network.scope.clone());
    let mut query = NameQuery::new(Instant::now(), asked, transaction, &network.servers, broadcasts);
    // As long as the longest packet that is read.
    let mut packet = [0; 1024];
    loop {
        while let Some(output) = query.poll_output() {
            match output {
                Output::Send { to, bytes } => {
                    if let Some(traces) = traces {
                        traces.packet_sent();
                    }
                    // By one interface it may fail, and the question be answered by another.
                    if let Err(error) = socket.send_to(&bytes, (to, NAME_PORT)).await {
                        tracing::debug!(%to, %error, "A name query could not be sent.");
                    }
                }
                Output::Done(answer) => return Ok(answer),
            }
        }
        let end = query.poll_timeout().unwrap_or_else(Instant::now);
        match timeout_at(end.into(), socket.recv_from(&mut packet)).await {
            Ok(Ok((length, SocketAddr::V4(source)))) => {
                let bytes = packet.get(..length).unwrap_or_default();
                query.handle_input(Instant::now(), *source.ip(), bytes);
            }
            // An error of an earlier packet: a host has no port 137.
            Ok(Ok((_, SocketAddr::V6(_))) | Err(_)) => {}
            Err(_) => query.handle_timeout(Instant::now()),
        }
    }
}

/// The address that packets to `target` leave from.
pub(super) fn source_address(target: std::net::SocketAddrV4) -> io::Result<Ipv4Addr> {
    let probe = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    probe.set_broadcast(true)?;
    probe.connect(target)?;
    Ok(match probe.local_addr()?.ip() {
        IpAddr::V4(address) => address,
        IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
    })
}
