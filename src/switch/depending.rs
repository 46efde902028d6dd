//! Who would fall silent.

use std::fmt::{self, Write as _};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::inventory::Host;

/// The hosts that sent messages in the last 30 days.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Depending {
    /// Some of them by name, the last heard first.
    pub names: Vec<String>,
    /// How many there are in all.
    pub count: usize,
}

impl Depending {
    /// Those among `hosts`. Announcements are no messages: nobody misses them.
    #[must_use]
    pub fn among(hosts: &[Host], now: Timestamp) -> Self {
        let since = now.checked_sub(LATELY).unwrap_or(Timestamp::MIN);
        let mut depending: Vec<(Timestamp, &str)> = hosts
            .iter()
            .filter_map(|host| {
                let last = host.messages.iter().map(|message| message.last_seen).max()?;
                (last >= since).then_some((last, host.name.as_str()))
            })
            .collect();
        depending.sort_unstable_by(|a, b| b.cmp(a));
        let names = depending.iter().take(MOST_NAMES).map(|(_, name)| (*name).to_owned()).collect();
        Self { names, count: depending.len() }
    }
}

/// `CNC-07, UPS-3 and 4 others`; names are bounded lines already, and shown with what is unprintable escaped, quotes and
/// backslashes as they are.
impl fmt::Display for Depending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.names.is_empty() {
            return f.write_str("nobody");
        }
        for (number, name) in self.names.iter().enumerate() {
            let joint = if number == 0 { "" } else { ", " };
            f.write_str(joint)?;
            for letter in name.chars() {
                match letter {
                    '"' | '\'' | '\\' => f.write_char(letter)?,
                    _ => write!(f, "{}", letter.escape_debug())?,
                }
            }
        }
        match self.count.saturating_sub(self.names.len()) {
            0 => Ok(()),
            1 => f.write_str(" and 1 other"),
            others => write!(f, " and {others} others"),
        }
    }
}

const LATELY: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// As many as fit into a line that somebody reads.
const MOST_NAMES: usize = 12;
