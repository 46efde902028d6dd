//! The routers through which the Internet reaches this machine: the gateways of its default routes.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The gateways of the default routes; none where the system does not tell.
#[must_use]
pub fn of_this_machine() -> Vec<IpAddr> {
    let table = |path| fs::read_to_string(path).unwrap_or_default();
    let (v4, v6) = (table("/proc/net/route"), table("/proc/net/ipv6_route"));
    let mut routers: Vec<IpAddr> = v4.lines().filter_map(default_gateway).map(IpAddr::V4).collect();
    routers.extend(v6.lines().filter_map(default_gateway_v6).map(IpAddr::V6));
    routers.sort_unstable();
    routers.dedup();
    routers
}

/// Of one line of `/proc/net/route`: interface, destination, gateway, flags, three counts, mask, in hexadecimal and in
/// the byte order of this machine.
fn default_gateway(line: &str) -> Option<Ipv4Addr> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [_, destination, gateway, flags, _, _, _, mask, ..] = fields.as_slice() else { return None };
    let number = |text: &str| u32::from_str_radix(text, 16).ok();
    let is_default = number(destination)? == 0 && number(mask)? == 0 && number(flags)? & GATEWAY != 0;
    is_default.then_some(Ipv4Addr::from(number(gateway)?.to_ne_bytes()))
}

/// Of one line of `/proc/net/ipv6_route`: destination and its prefix, source and its prefix, next hop, three counts,
/// flags, interface, in hexadecimal.
fn default_gateway_v6(line: &str) -> Option<Ipv6Addr> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [destination, prefix, _, _, next_hop, _, _, _, flags, _] = fields.as_slice() else { return None };
    let number = |text: &str| u128::from_str_radix(text, 16).ok();
    let flags = u32::from_str_radix(flags, 16).ok()?;
    let is_default = number(destination)? == 0 && number(prefix)? == 0 && flags & GATEWAY != 0;
    is_default.then_some(Ipv6Addr::from(number(next_hop)?))
}

/// `RTF_GATEWAY` of `linux/route.h`.
const GATEWAY: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gateway_of_a_default_route_is_found_and_no_other_line_is_one() {
        // As a machine of little-endian order prints 192.0.2.1.
        let gateway = format!("{:08X}", u32::from_ne_bytes([192, 0, 2, 1]));
        let line = |destination: &str, flags: &str, mask: &str| {
            format!("eth0\t{destination}\t{gateway}\t{flags}\t0\t0\t100\t{mask}\t0\t0\t0   ")
        };
        assert_eq!(default_gateway(&line("00000000", "0003", "00000000")), "192.0.2.1".parse().ok());
        for line in [
            line("000200C0", "0003", "00FFFFFF"),
            line("00000000", "0003", "00000080"),
            line("00000000", "0001", "00000000"),
            "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT".to_owned(),
            String::new(),
        ] {
            assert_eq!(default_gateway(&line), None, "{line}");
        }
    }

    #[test]
    fn so_it_is_of_ipv6() {
        let line = |prefix: &str, flags: &str| {
            let none = "0".repeat(32);
            format!(
                "{none} {prefix} {none} 00 20010db8000700000000000000000001 00000400 00000001 00000000 {flags} eth0"
            )
        };
        assert_eq!(default_gateway_v6(&line("00", "00000003")), "2001:db8:7::1".parse().ok());
        assert_eq!(default_gateway_v6(&line("40", "00000003")), None);
        assert_eq!(default_gateway_v6(&line("00", "00200200")), None, "the entry that refuses everything");
        assert_eq!(default_gateway_v6("nonsense"), None);
    }
}
