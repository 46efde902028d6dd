//! A write to the mailslot of everybody at some addresses. Nothing tells whether anybody has it.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::sync::PoisonError;
use std::time::Instant;

use super::names::source_address;
use super::{MAILSLOT_PORT, Traces};
use crate::message::net_send::NetSend;
use crate::wire::datagram::Datagram;

/// Sends one datagram to each target, all under one DGM_ID, by which who hears several knows them for the same. Where it
/// went, and where not and why.
#[expect(clippy::type_complexity, reason = "two lists that are used as they come")]
pub(super) fn write(
    message: &NetSend,
    targets: &[SocketAddrV4],
    traces: Option<&Traces>,
) -> io::Result<(Vec<SocketAddrV4>, Vec<(SocketAddrV4, String)>)> {
    let socket = open()?;
    let [low, high, ..] = getrandom::u32().map_err(io::Error::other)?.to_be_bytes();
    let dgm_id = u16::from_be_bytes([low, high]);
    let (mut sent, mut left_out) = (Vec::new(), Vec::new());
    for target in targets {
        match write_to(&socket, message, dgm_id, *target, traces) {
            Ok(()) => sent.push(*target),
            Err(error) => left_out.push((*target, error.to_string())),
        }
    }
    Ok((sent, left_out))
}

fn write_to(
    socket: &UdpSocket,
    message: &NetSend,
    dgm_id: u16,
    target: SocketAddrV4,
    traces: Option<&Traces>,
) -> io::Result<()> {
    let source = SocketAddrV4::new(source_address(target)?, socket.local_addr()?.port());
    let bytes = message.datagram(dgm_id, source).map_err(io::Error::other)?;
    if let Some(traces) = traces {
        if let Ok(Datagram::Direct(direct)) = Datagram::parse(&bytes) {
            let mut own = traces.own.lock().unwrap_or_else(PoisonError::into_inner);
            own.record(dgm_id, direct.user_data, Instant::now());
        }
        traces.packet_sent();
    }
    socket.send_to(&bytes, target).map(drop)
}

/// A socket from port 138, as senders have it, where that is permitted and free; else from any.
fn open() -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, MAILSLOT_PORT))
        .or_else(|_| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)))?;
    socket.set_broadcast(true)?;
    Ok(socket)
}
