//! The sender's machine on a real connection.
#![expect(clippy::disallowed_methods, reason = "a real receiver lives on the real clock")]

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use mailslotd::session::netbios_client::{Course, Input, NetbiosClient, Outcome, Outgoing, Output, Timeouts};

/// Sends a message on one connection.
pub(crate) fn send_once(message: &Outgoing, course: Course) -> std::io::Result<Outcome> {
    let mut stream = TcpStream::connect(course.target())?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut client =
        NetbiosClient::new(Instant::now(), message.clone(), course.framing(), Timeouts::default());
    let mut piece = [0; 512];
    loop {
        while let Some(output) = client.poll_output() {
            match output {
                Output::Send(octets) => stream.write_all(&octets)?,
                Output::Closed(outcome) => {
                    stream.shutdown(Shutdown::Both).ok();
                    return Ok(outcome);
                }
            }
        }
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => client.handle_input(Instant::now(), Input::Disconnected),
            Ok(count) => client.handle_input(Instant::now(), Input::Bytes(&piece[..count])),
        }
    }
}

/// Sends a message on as many connections as its course wants; the last word, and where that left the course.
pub(crate) fn send(message: &Outgoing, mut course: Course) -> (Outcome, Course) {
    loop {
        let outcome = send_once(message, course).unwrap();
        match course.after(&outcome) {
            Some(next) => course = next,
            None => return (outcome, course),
        }
    }
}
