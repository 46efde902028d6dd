//! Who holds a port that cannot be had: found in `/proc`, said with what to do about it.

use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

/// A port that somebody else has. Its text says who and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    protocol: Protocol,
    port: u16,
    owner: Owner,
    setting: String,
}

/// Of which transport the port is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
}

/// Who holds a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// This process.
    Process {
        /// Its name, as the kernel keeps it: at most 15 bytes.
        name: String,
        /// Its id.
        pid: u32,
    },
    /// A process of another user, or of another container.
    Hidden,
}

impl Taken {
    /// Looks for the process that keeps `wanted` from being bound; `setting` is where the operator may choose another
    /// address, as it stands in a sentence.
    #[must_use]
    pub fn find(protocol: Protocol, wanted: SocketAddr, setting: String) -> Self {
        Self {
            protocol,
            port: wanted.port(),
            owner: Owner::find(Path::new("/proc"), protocol, wanted),
            setting,
        }
    }

    /// Who holds it.
    #[must_use]
    pub const fn owner(&self) -> &Owner {
        &self.owner
    }
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { port, setting, .. } = self;
        let (name, pid) = match &self.owner {
            Owner::Process { name, pid } => (name.as_str(), pid),
            Owner::Hidden => {
                let flag = match self.protocol {
                    Protocol::Udp => 'u',
                    Protocol::Tcp => 't',
                };
                return write!(
                    f,
                    "another process holds it; `ss -{flag}lpn sport = :{port}` as root names it: stop that one, or set \
                     {setting} to another port"
                );
            }
        };
        write!(f, "{} (pid {pid}) holds it; ", name.escape_debug())?;
        match name {
            "nmbd" => f.write_str(
                "stop it with `systemctl disable --now nmbd`, or set `disable netbios = yes` in smb.conf and restart Samba",
            ),
            "samba" => f.write_str("remove `nbt` from `server services` in smb.conf and restart Samba"),
            "smbd" => f.write_str(
                "set `smb ports = 445` in smb.conf and restart Samba, or stop it with `systemctl disable --now smbd`",
            ),
            "mailslotd" => f.write_str("one gateway is enough for a host: stop that one first"),
            "master" => write!(
                f,
                "it is Postfix's: stop it with `systemctl disable --now postfix`, or keep it to itself with \
                 `inet_interfaces = loopback-only` in main.cf and set {setting} to addresses of this host's network"
            ),
            "exim4" | "exim" => write!(
                f,
                "stop it with `systemctl disable --now exim4`, or set {setting} to addresses that it does not use"
            ),
            "sendmail-mta" | "sendmail" => write!(
                f,
                "stop it with `systemctl disable --now sendmail`, or set {setting} to addresses that it does not use"
            ),
            _ => write!(f, "stop it, or set {setting} to another port"),
        }
    }
}

impl Owner {
    /// Looks through the sockets and processes under `proc`, which is `/proc` outside tests.
    fn find(proc: &Path, protocol: Protocol, wanted: SocketAddr) -> Self {
        let tables = match protocol {
            Protocol::Udp => ["net/udp", "net/udp6"],
            Protocol::Tcp => ["net/tcp", "net/tcp6"],
        };
        let inodes: Vec<u64> = tables
            .iter()
            .filter_map(|table| fs::read_to_string(proc.join(table)).ok())
            .flat_map(|table| inodes_in_conflict(&table, protocol, wanted))
            .collect();
        process_with_socket(proc, &inodes).unwrap_or(Self::Hidden)
    }
}

/// The inodes of the sockets in a table like `/proc/net/udp` that keep `wanted` from being bound.
fn inodes_in_conflict(table: &str, protocol: Protocol, wanted: SocketAddr) -> Vec<u64> {
    let row = |line: &str| {
        let mut columns = line.split_ascii_whitespace().skip(1);
        let (address, port) = columns.next()?.split_once(':')?;
        let state = columns.nth(1)?;
        let inode = columns.nth(5)?.parse().ok()?;
        let bound = (address_of(address)?, u16::from_str_radix(port, 16).ok()?);
        let idle = protocol == Protocol::Tcp && state != TCP_LISTEN;
        (!idle && bound.1 == wanted.port() && addresses_collide(bound.0, wanted.ip())).then_some(inode)
    };
    table.lines().skip(1).filter_map(row).collect()
}

/// Whether a socket bound to `bound` gets what `wanted` would get.
fn addresses_collide(bound: IpAddr, wanted: IpAddr) -> bool {
    // An IPv6 socket on `::` may take IPv4 too; one on a mapped address is one on that address.
    let bound = bound.to_canonical();
    match (bound, wanted) {
        (IpAddr::V6(bound), IpAddr::V4(_)) => bound.is_unspecified(),
        (IpAddr::V4(_), IpAddr::V6(_)) => false,
        (IpAddr::V4(_), IpAddr::V4(_)) | (IpAddr::V6(_), IpAddr::V6(_)) => {
            bound.is_unspecified() || wanted.is_unspecified() || bound == wanted
        }
    }
}

/// An address as the kernel prints it: words in network order in memory, each printed as one number of this machine.
fn address_of(digits: &str) -> Option<IpAddr> {
    let (words, rest) = digits.as_bytes().as_chunks::<8>();
    let word =
        |word: &[u8; 8]| u32::from_str_radix(str::from_utf8(word).ok()?, 16).ok().map(u32::to_ne_bytes);
    match (words, rest) {
        ([one], []) => word(one).map(|octets| Ipv4Addr::from(octets).into()),
        ([_, _, _, _], []) => {
            let octets: Vec<u8> = words.iter().filter_map(word).flatten().collect();
            <[u8; 16]>::try_from(octets).ok().map(|octets| Ipv6Addr::from(octets).into())
        }
        _ => None,
    }
}

/// The first process that has one of these sockets open, as far as this user may see.
fn process_with_socket(proc: &Path, inodes: &[u64]) -> Option<Owner> {
    let links: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    for process in fs::read_dir(proc).ok()?.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(open) = fs::read_dir(process.path().join("fd")) else {
            continue;
        };
        let holds = open.flatten().any(|file| {
            fs::read_link(file.path())
                .is_ok_and(|target| links.iter().any(|link| target.as_os_str() == link.as_str()))
        });
        if holds {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            let name = if name.trim_end().is_empty() { "a process" } else { name.trim_end() };
            return Some(Owner::Process { name: name.to_owned(), pid });
        }
    }
    None
}

/// The state of a socket that listens, as `/proc/net/tcp` prints it.
const TCP_LISTEN: &str = "0A";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const UDP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  231: 00000000:008A 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 15701 2 0000000000000000 0
  232: 0A0200C0:008A 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 15702 2 0000000000000000 0
  233: 0100007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000   101        0 15703 2 0000000000000000 0
";
    const UDP6: &str = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  231: 00000000000000000000000000000000:008A 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 15801 2 0000000000000000 0
  232: 000080FE00000000FF005450B6AD1DFE:008A 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 15802 2 0000000000000000 0
  233: 0000000000000000FFFF00000A0200C0:008A 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 15803 2 0000000000000000 0
";
    const TCP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:0019 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1 0000000000000000 100 0 0 10 0
   1: 0A0200C0:0019 070200C0:D431 01 00000000:00000000 00:00000000 00000000     0        0 4243 1 0000000000000000 20 4 30 10 -1
";

    fn any(port: u16) -> SocketAddr {
        (Ipv4Addr::UNSPECIFIED, port).into()
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn sockets_on_the_same_port_and_an_overlapping_address_are_in_conflict() {
        let in_conflict = |table, wanted| inodes_in_conflict(table, Protocol::Udp, wanted);
        let one = "192.0.2.11:138".parse().unwrap();
        assert_eq!(in_conflict(UDP, any(138)), [15701, 15702]);
        assert_eq!(in_conflict(UDP, one), [15701], "192.0.2.10 is another's");
        assert!(in_conflict(UDP, any(139)).is_empty());
        assert_eq!(in_conflict(UDP6, any(138)), [15801, 15803], "a link-local IPv6 socket takes no IPv4");
        assert_eq!(in_conflict(UDP6, "[::]:138".parse().unwrap()), [15801, 15802]);
        assert_eq!(in_conflict(UDP6, "[2001:db8::1]:138".parse().unwrap()), [15801]);
        assert!(in_conflict(UDP, "[::]:138".parse().unwrap()).is_empty(), "ours takes no IPv4");
        assert!(in_conflict("no table at all", any(138)).is_empty());
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn an_established_connection_is_nobody_in_the_way() {
        assert_eq!(inodes_in_conflict(TCP, Protocol::Tcp, any(25)), [4242]);
    }

    fn proc_with(table: &str, text: &str, process: &str, inode: u64) -> tempfile::TempDir {
        let proc = tempfile::tempdir().unwrap();
        fs::create_dir_all(proc.path().join("net")).unwrap();
        fs::create_dir_all(proc.path().join("123/fd")).unwrap();
        fs::write(proc.path().join("net").join(table), text).unwrap();
        fs::write(proc.path().join("123/comm"), format!("{process}\n")).unwrap();
        symlink(format!("socket:[{inode}]"), proc.path().join("123/fd/9")).unwrap();
        proc
    }

    fn taken(protocol: Protocol, port: u16, owner: Owner) -> String {
        Taken { protocol, port, owner, setting: "`the setting`".to_owned() }.to_string()
    }

    #[test]
    fn nmbd_is_named_with_the_ways_to_stop_it() {
        let proc = proc_with("udp", UDP, "nmbd", 15701);
        let owner = Owner::find(proc.path(), Protocol::Udp, any(138));
        assert_eq!(
            taken(Protocol::Udp, 138, owner),
            "nmbd (pid 123) holds it; stop it with `systemctl disable --now nmbd`, or set \
             `disable netbios = yes` in smb.conf and restart Samba"
        );
    }

    #[test]
    fn postfix_is_known_by_its_master() {
        let proc = proc_with("tcp", TCP, "master", 4242);
        let owner = Owner::find(proc.path(), Protocol::Tcp, any(25));
        assert_eq!(
            taken(Protocol::Tcp, 25, owner),
            "master (pid 123) holds it; it is Postfix's: stop it with `systemctl disable --now postfix`, or keep it to \
             itself with `inet_interfaces = loopback-only` in main.cf and set `the setting` to addresses of this host's \
             network"
        );
    }

    #[test]
    fn an_owner_that_may_not_be_seen_is_told_how_to_find() {
        let proc = tempfile::tempdir().unwrap();
        let owner = Owner::find(proc.path(), Protocol::Udp, any(138));
        assert_eq!(owner, Owner::Hidden);
        assert!(
            taken(Protocol::Udp, 138, owner.clone()).contains("`ss -ulpn sport = :138` as root names it")
        );
        assert!(taken(Protocol::Tcp, 25, owner).contains("`ss -tlpn sport = :25` as root names it"));
    }

    #[test]
    fn a_process_cannot_write_control_characters_into_the_message() {
        let owner = Owner::Process { name: "a\u{1b}[2Jb".to_owned(), pid: 7 };
        assert!(taken(Protocol::Udp, 138, owner).starts_with(r"a\u{1b}[2Jb (pid 7) holds it; "));
    }
}
