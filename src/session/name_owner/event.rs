//! What happens to the names of a gateway.

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::wire::name_service::Rcode;
use crate::wire::netbios_name::NetbiosName;

/// Something that an operator may have to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A name is ours on a network.
    Claimed {
        /// The name.
        name: NetbiosName,
        /// Our address there.
        address: Ipv4Addr,
    },
    /// A name is another host's on a network; it is tried for again from time to time.
    Conflict {
        /// The name.
        name: NetbiosName,
        /// Our address there.
        address: Ipv4Addr,
        /// The host that has it.
        owner: Ipv4Addr,
    },
    /// Another host wanted a name of ours, and was refused.
    Defended {
        /// The name.
        name: NetbiosName,
        /// The host.
        claimant: Ipv4Addr,
    },
    /// Somebody demands that a name of ours be given up. It stays ours and is asserted again.
    Demanded {
        /// The name.
        name: NetbiosName,
        /// Where the demand came from; anyone can forge it.
        from: Ipv4Addr,
    },
    /// A WINS server has a name under our address.
    Registered {
        /// The name.
        name: NetbiosName,
        /// The server.
        server: Ipv4Addr,
        /// For how long, unless it is refreshed; zero is for ever.
        ttl: Duration,
    },
    /// A WINS server gives a name to somebody else.
    RefusedByWins {
        /// The name.
        name: NetbiosName,
        /// The server.
        server: Ipv4Addr,
        /// Its reason.
        rcode: Rcode,
        /// Who has the name, where that is known.
        owner: Option<Ipv4Addr>,
    },
    /// A WINS server does not answer; it is tried again from time to time.
    WinsSilent {
        /// The server.
        server: Ipv4Addr,
    },
    /// A WINS server answers again.
    WinsAnswers {
        /// The server.
        server: Ipv4Addr,
    },
    /// No link leads to a WINS server, so nothing is registered there.
    WinsOutOfReach {
        /// The server.
        server: Ipv4Addr,
    },
}
