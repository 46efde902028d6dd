//! What all players of transcripts read alike.
#![allow(dead_code, reason = "each player reads what its transcripts have")]

use std::time::Duration;

/// `5s`, `4m`.
pub(crate) fn duration(text: &str) -> Duration {
    let (number, unit) = text.split_at(text.len() - 1);
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        other => panic!("unit {other}"),
    };
    Duration::from_secs(number.parse::<u64>().unwrap() * unit)
}

/// `\r`, `\n`, `\t`, `\\` and `\xNN`.
pub(crate) fn unescape(text: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            octets.extend(character.to_string().bytes());
            continue;
        }
        match characters.next() {
            Some('r') => octets.push(b'\r'),
            Some('n') => octets.push(b'\n'),
            Some('t') => octets.push(b'\t'),
            Some('x') => {
                let digits: String = characters.by_ref().take(2).collect();
                octets.push(u8::from_str_radix(&digits, 16).unwrap());
            }
            other => octets.extend(other.unwrap().to_string().bytes()),
        }
    }
    octets
}
