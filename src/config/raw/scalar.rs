//! How single values are written: numbers with their units, networks, socket addresses.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;

use super::super::document::{Node, Value};
use super::super::problem::{Place, Problem, Problems};
use super::read::{Read, shown};
use crate::policy::rate::Rate;

/// Bytes: `10MiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) struct Size(pub(in crate::config) u64);

/// A limit that may be `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum OrOff<T> {
    On(T),
    Off,
}

impl<T> OrOff<T> {
    /// The limit, where there is one.
    pub(in crate::config) fn limit(self) -> Option<T> {
        match self {
            Self::On(limit) => Some(limit),
            Self::Off => None,
        }
    }
}

/// IP network or address, without host bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) struct Network(pub(in crate::config) IpNet);

/// How many leading bits make a network: 1 to 128.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) struct PrefixLength(pub(in crate::config) u8);

/// A cause and a fix.
type Refusal = (String, String);

/// The value that `read` makes of a text.
pub(super) fn text_value<T>(
    node: &Node,
    place: &Place,
    problems: &mut Problems,
    read: impl FnOnce(&str) -> Result<T, Refusal>,
) -> Option<T> {
    let refusal = match &node.value {
        Value::Text(text) | Value::Number(text) => match read(text) {
            Ok(value) => return Some(value),
            Err(refusal) => refusal,
        },
        Value::Nothing => ("nothing stands behind it".into(), "write a value, or remove the key".into()),
        Value::List(_) if place.path.ends_with("].to") => (
            format!("{} where one text belongs", shown(node)),
            "write an entry of its own in `deliver` for each".into(),
        ),
        Value::Truth(_) | Value::List(_) | Value::Map(_) => {
            (format!("{} where one text belongs", shown(node)), "write one value behind the key".into())
        }
    };
    problems.push(Problem::new(place, refusal.0, refusal.1));
    None
}

impl Read for String {
    fn read(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
        if let Value::Number(number) = &node.value {
            let fix = format!("put it in quotes: '{number}'");
            problems.push(Problem::new(place, format!("{number} is a number where a text belongs"), fix));
            return None;
        }
        text_value(node, place, problems, |text| Ok(text.to_owned()))
    }
}

impl Read for u16 {
    fn read(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
        text_value(node, place, problems, |text| {
            text.parse()
                .ok()
                .filter(|port| *port > 0)
                .ok_or_else(|| (format!("{text} is no port"), "write a number from 1 to 65535".to_owned()))
        })
    }
}

impl Read for u32 {
    fn read(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
        text_value(node, place, problems, |text| {
            text.parse()
                .ok()
                .filter(|count| *count > 0)
                .ok_or_else(|| (format!("{text} is no count"), "write a whole number from 1 on".to_owned()))
        })
    }
}

impl Read for PrefixLength {
    fn read(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
        text_value(node, place, problems, |text| {
            let length = text.strip_prefix('/').unwrap_or(text).parse();
            length.ok().filter(|length| (1..=128).contains(length)).map(Self).ok_or_else(|| {
                (format!("{text} is no prefix length"), "write a number of bits, for example 24".to_owned())
            })
        })
    }
}

impl<T: Read> Read for OrOff<T> {
    fn read(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
        match &node.value {
            Value::Text(text) if text == "off" => Some(Self::Off),
            Value::Truth(false) => {
                problems.push(Problem::new(place, "false is no limit", "write `off`"));
                None
            }
            Value::Nothing
            | Value::Truth(true)
            | Value::Number(_)
            | Value::Text(_)
            | Value::List(_)
            | Value::Map(_) => T::read(node, place, problems).map(Self::On),
        }
    }
}

impl Read for Duration {
    fn read(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
        text_value(node, place, problems, duration)
    }
}

impl Read for Size {
    fn read(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
        text_value(node, place, problems, size)
    }
}

impl Read for Rate {
    fn read(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
        text_value(node, place, problems, rate)
    }
}

impl Read for Network {
    fn read(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
        text_value(node, place, problems, network)
    }
}

impl Read for SocketAddr {
    fn read(node: &Node, place: &Place, problems: &mut Problems) -> Option<Self> {
        text_value(node, place, problems, |text| {
            text.parse().map_err(|_| {
                let port = |text: &str| text.parse::<u16>().is_ok();
                let usual = match &*place.path {
                    "dns_server" => 53,
                    path if path.contains("smtp") => 25,
                    path if path.contains("name_service") => 137,
                    path if path.contains("messenger") => 139,
                    _ => 138,
                };
                let fix = match (text.parse::<IpAddr>(), text.rsplit_once(':')) {
                    (Ok(IpAddr::V4(address)), _) => format!("add the port, for example {address}:{usual}"),
                    (Ok(IpAddr::V6(address)), _) => {
                        format!("add brackets and the port, for example '[{address}]:{usual}'")
                    }
                    (_, Some(("localhost", number))) if port(number) => format!("write 127.0.0.1:{number}"),
                    (_, Some(("" | "*", number))) if port(number) => format!("write 0.0.0.0:{number}"),
                    _ if port(text) => format!("write 0.0.0.0:{text}"),
                    _ => format!("write an IP address and a port, for example 0.0.0.0:{usual}"),
                };
                (format!("{text:?} is no IP address with a port"), fix)
            })
        })
    }
}

/// A number and what stands behind it.
fn split_number(text: &str) -> (&str, &str) {
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

pub(in crate::config) fn duration(text: &str) -> Result<Duration, Refusal> {
    const EXAMPLE: &str = "write a whole number and its unit s, m, h or d, for example 30s";
    let (number, unit) = split_number(text);
    let Ok(count) = number.parse::<u64>() else {
        return Err((format!("{text:?} is no duration"), EXAMPLE.to_owned()));
    };
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        "" => {
            let fix = format!("write {number}s, {number}m, {number}h or {number}d");
            return Err((format!("{text} has no unit"), fix));
        }
        _ => {
            let days = |days: u64| format!("write {}d", count.saturating_mul(days));
            // A month taken for a minute would delete mail: only words that are known are read.
            let fix = match unit.trim().to_ascii_lowercase().as_str() {
                "s" | "sec" | "secs" | "second" | "seconds" => format!("write {number}s"),
                "m" | "min" | "mins" | "minute" | "minutes" => format!("write {number}m"),
                "h" | "hr" | "hrs" | "hour" | "hours" => format!("write {number}h"),
                "d" | "day" | "days" => format!("write {number}d"),
                "w" | "week" | "weeks" => days(7),
                "mo" | "month" | "months" => days(30),
                "y" | "year" | "years" => days(365),
                _ => EXAMPLE.to_owned(),
            };
            return Err((format!("{text:?} is no duration"), fix));
        }
    };
    count
        .checked_mul(seconds)
        .filter(|seconds| *seconds <= MAX_SECONDS)
        .map(Duration::from_secs)
        .ok_or_else(|| (format!("{text} is over 100 years"), "write a shorter time".to_owned()))
}

/// Added to any time of today it stays a time that can be written.
const MAX_SECONDS: u64 = 100 * 366 * 24 * 60 * 60;

fn size(text: &str) -> Result<Size, Refusal> {
    const EXAMPLE: &str =
        "write a whole number and its unit, for example 10MiB (1024² each) or 35MB (1000² each)";
    let (number, unit) = split_number(text);
    let Ok(count) = number.parse::<u64>() else {
        return Err((format!("{text:?} is no size"), EXAMPLE.to_owned()));
    };
    let factor: u64 = match unit {
        "B" => 1,
        "kB" | "KB" => 1000,
        "KiB" => 1 << 10,
        "MB" => 1_000_000,
        "MiB" => 1 << 20,
        "GB" => 1_000_000_000,
        "GiB" => 1 << 30,
        "TB" => 1_000_000_000_000,
        "TiB" => 1 << 40,
        "" if count >= 1 << 20 => {
            let fix = format!("write {number}B, or what that is in MiB or GiB");
            return Err((format!("{text} has no unit"), fix));
        }
        "" => {
            let fix = format!("write {number}MiB, {number}GiB or {number}B");
            return Err((format!("{text} has no unit"), fix));
        }
        _ if unit != unit.trim() && size(&format!("{number}{}", unit.trim())).is_ok() => {
            return Err((format!("{text:?} is no size"), format!("write {number}{}", unit.trim())));
        }
        _ => {
            let fix = match unit.trim().chars().next().map(|letter| letter.to_ascii_uppercase()) {
                Some(letter @ ('K' | 'M' | 'G' | 'T')) if unit.trim().len() <= 3 => {
                    format!("write {number}{letter}iB (powers of 1024) or {number}{letter}B (powers of 1000)")
                }
                _ => EXAMPLE.to_owned(),
            };
            return Err((format!("{text:?} is no size"), fix));
        }
    };
    count
        .checked_mul(factor)
        .filter(|bytes| *bytes <= i64::MAX.unsigned_abs())
        .map(Size)
        .ok_or_else(|| (format!("{text} is more than any disk has"), "write a smaller size".to_owned()))
}

pub(in crate::config) fn rate(text: &str) -> Result<Rate, Refusal> {
    const EXAMPLE: &str = "write a number and a period, for example 30/min; the periods are s, min, h and d";
    let (number, period) = split_number(text);
    let Some(count) = number.parse::<u32>().ok().filter(|count| *count > 0) else {
        return Err((format!("{text:?} is no rate"), EXAMPLE.to_owned()));
    };
    let seconds = match period {
        "/s" => 1,
        "/min" => 60,
        "/h" => 60 * 60,
        "/d" => 24 * 60 * 60,
        "" => {
            let fix = format!("write {number}/s, {number}/min, {number}/h or {number}/d");
            return Err((format!("{text} has no period"), fix));
        }
        _ => {
            let letter = period.trim_start_matches([' ', '/']).chars().next();
            let fix = match letter.map(|letter| letter.to_ascii_lowercase()) {
                Some('s') => format!("write {number}/s"),
                Some('m') => format!("write {number}/min"),
                Some('h') => format!("write {number}/h"),
                Some('d') => format!("write {number}/d"),
                _ => EXAMPLE.to_owned(),
            };
            return Err((format!("{text:?} is no rate"), fix));
        }
    };
    Ok(Rate { count, period: Duration::from_secs(seconds) })
}

pub(super) fn network(text: &str) -> Result<Network, Refusal> {
    let network: IpNet = match (text.parse::<IpNet>(), text.parse::<IpAddr>()) {
        (Ok(network), _) => network,
        (_, Ok(address)) => address.into(),
        _ => {
            let fix = "write an IP address or a network, for example 192.0.2.7 or 192.0.2.0/24".to_owned();
            return Err((format!("{text:?} is no IP network"), fix));
        }
    };
    if let IpNet::V6(v6) = network
        && let Some(address) = v6.addr().to_ipv4_mapped()
    {
        let length = v6.prefix_len().saturating_sub(96);
        return Err((format!("{text} is an IPv4 network in IPv6 form"), format!("write {address}/{length}")));
    }
    if network.addr() != network.network() {
        let cause = format!("{text} has bits set beyond its length of {}", network.prefix_len());
        return Err((
            cause,
            format!("write {} for the network, or {} for the one address", network.trunc(), network.addr()),
        ));
    }
    Ok(Network(network))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_their_unit_and_the_fix_names_the_one_meant() {
        let seconds = |text| duration(text).unwrap().as_secs();
        assert_eq!(["30s", "20m", "4h", "5d", "0s"].map(seconds), [30, 1200, 14_400, 432_000, 0]);
        let fix = |text| duration(text).unwrap_err().1;
        assert_eq!(fix("30"), "write 30s, 30m, 30h or 30d");
        assert_eq!(fix("30min"), "write 30m");
        assert_eq!(fix("2 hours"), "write 2h");
        assert!(fix("soon").contains("for example 30s"));
        assert!(fix("500ms").contains("for example 30s"));
        assert!(fix("99999999999999d").contains("shorter"));
    }

    #[test]
    fn sizes_are_of_1000_or_of_1024_and_say_which() {
        let bytes = |text| size(text).unwrap().0;
        assert_eq!(["10MiB", "35MB", "1GiB", "7B"].map(bytes), [10 << 20, 35_000_000, 1 << 30, 7]);
        let fix = |text| size(text).unwrap_err().1;
        assert_eq!(fix("10"), "write 10MiB, 10GiB or 10B");
        assert_eq!(fix("10485760"), "write 10485760B, or what that is in MiB or GiB");
        assert_eq!(fix("35 MB"), "write 35MB");
        assert_eq!(fix("10M"), "write 10MiB (powers of 1024) or 10MB (powers of 1000)");
        assert_eq!(fix("10mb"), "write 10MiB (powers of 1024) or 10MB (powers of 1000)");
        assert!(size("99999999TiB").is_err());
    }

    #[test]
    fn rates_have_a_period() {
        let minute = Duration::from_secs(60);
        assert_eq!(rate("30/min").unwrap(), Rate { count: 30, period: minute });
        let fix = |text| rate(text).unwrap_err().1;
        assert_eq!(fix("30"), "write 30/s, 30/min, 30/h or 30/d");
        assert_eq!(fix("30/minute"), "write 30/min");
        assert!(fix("0/min").contains("for example"));
    }

    #[test]
    fn a_network_with_host_bits_is_a_question_not_a_network() {
        assert!(network("192.0.2.7").is_ok() && network("2001:db8::/32").is_ok());
        let (cause, fix) = network("192.0.2.7/24").unwrap_err();
        assert_eq!(cause, "192.0.2.7/24 has bits set beyond its length of 24");
        assert_eq!(fix, "write 192.0.2.0/24 for the network, or 192.0.2.7 for the one address");
        assert_eq!(network("::ffff:192.0.2.0/120").unwrap_err().1, "write 192.0.2.0/24");
    }
}
