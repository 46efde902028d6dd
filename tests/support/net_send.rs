//! A sender of `net send` over TCP 139, of the test's own: one packet after the other, each as the test wants it.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use mailslotd::wire::messenger::{MessageGroupId, Request, Response, Text};
use mailslotd::wire::netbios_name::{NameType, NetbiosName};
use mailslotd::wire::session_service::{Endpoint, Packet, Received};
use mailslotd::wire::smb::{Command as SmbCommand, Header};
use socket2::{Domain, Socket, Type};

use super::namespace::Host;
use super::{Missing, has_program};

/// A connection to TCP 139.
pub(crate) struct Sender {
    pub(crate) stream: TcpStream,
    received: Vec<u8>,
}

impl Sender {
    /// Connects from this address of loopback.
    pub(crate) fn connect(source: Ipv4Addr, target: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::new(IpAddr::V4(source), 0).into())?;
        socket.connect(&target.into())?;
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: Vec::new() })
    }

    /// Connects, and opens a session to a name.
    pub(crate) fn open(target: SocketAddr, called: &str) -> Self {
        let mut sender = Self::connect(Ipv4Addr::LOCALHOST, target).unwrap();
        sender.send(&request(called, NameType::MESSENGER));
        assert_eq!(sender.answer(), Some([0x82, 0, 0, 0].to_vec()), "the session is opened");
        sender
    }

    /// Sends octets.
    pub(crate) fn send(&mut self, octets: &[u8]) {
        self.stream.write_all(octets).unwrap();
    }

    /// Sends an SMB and gives what is said to it.
    pub(crate) fn ask(&mut self, request: &Request<'_>) -> Response {
        self.send(&message(request));
        let answer = self.answer().expect("an answer");
        Response::parse(&answer[4..]).unwrap().1
    }

    /// A message of one block.
    pub(crate) fn single(&mut self, from: &str, text: &str) -> Response {
        self.ask(&Request::Single(Text { from: from.as_bytes(), to: b"ALERTS", text: text.as_bytes() }))
    }

    /// The next packet whole; `None` where the connection ends.
    pub(crate) fn answer(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Received::Complete { consumed, .. } = Packet::parse(&self.received).unwrap() {
                return Some(self.received.drain(..consumed).collect());
            }
            let mut piece = [0; 4096];
            match self.stream.read(&mut piece) {
                Ok(0) => return None,
                Ok(count) => self.received.extend(&piece[..count]),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// A session request to a name from `TESTER<00>`.
pub(crate) fn request(called: &str, kind: NameType) -> Vec<u8> {
    let endpoint = |text: &str, kind| Endpoint::new(NetbiosName::new(text.as_bytes(), kind).unwrap());
    let calling = endpoint("TESTER", NameType::WORKSTATION);
    packet(&Packet::Request { called: endpoint(called, kind), calling })
}

/// A session message with an SMB.
pub(crate) fn message(request: &Request<'_>) -> Vec<u8> {
    let mut smb = Vec::new();
    request.emit(Header::new(SmbCommand(0)), &mut smb).unwrap();
    packet(&Packet::Message(&smb))
}

/// The start of a message in blocks, and one block.
pub(crate) fn begun(from: &str, text: &str) -> Vec<u8> {
    let start = message(&Request::Start { from: from.as_bytes(), to: b"ALERTS" });
    let block = message(&Request::Block { group: MessageGroupId(1), text: text.as_bytes() });
    [start, block].concat()
}

fn packet(packet: &Packet<'_>) -> Vec<u8> {
    let mut octets = Vec::new();
    packet.emit(&mut octets).unwrap();
    octets
}

/// Samba's client, which sends what is on its standard input.
pub(crate) struct Smbclient(());

impl Smbclient {
    /// Looks for it.
    pub(crate) fn find() -> Result<Self, Missing> {
        if has_program("smbclient") {
            Ok(Self(()))
        } else {
            Err(Missing("smbclient is missing: apt-get install smbclient".to_owned()))
        }
    }

    /// `smbclient -M NAME` on `host`, with a configuration of its own in `folder`.
    pub(crate) fn command(&self, host: &Host, folder: &Path, name: &str) -> Command {
        let configuration = folder.join("smb.conf");
        let path = |name: &str| {
            let path = folder.join(name);
            std::fs::create_dir_all(&path).unwrap();
            path.display().to_string()
        };
        let text = format!(
            "[global]\nnetbios name = WINCLIENT\nworkgroup = NBLAB\ndos charset = CP850\nunix charset = UTF-8\n\
             client min protocol = CORE\nprivate dir = {}\nlock directory = {}\nstate directory = {}\n\
             cache directory = {}\npid directory = {}\nlog file = {}/log\n",
            path("private"),
            path("lock"),
            path("state"),
            path("cache"),
            path("pid"),
            folder.display()
        );
        std::fs::write(&configuration, text).unwrap();
        let mut command = host.command("smbclient");
        command.arg("-s").arg(configuration).args(["-U", "karl%", "-M", name]);
        command
    }
}
