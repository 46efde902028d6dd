//! What makes a message the same wherever it is heard: no clock in it, no random number.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use crate::message::id::QueueId;
use crate::message::mail::{Body, Gathered};
use crate::message::notice::{Listener, Notice};
use crate::message::recipient::Recipient;
use crate::spool::rows::Prepared;

/// Names a message within the group: two gateways that hear the same datagram give it the same key, and a message that
/// is offered again after an answer was lost has the key that it had before.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key([u8; 16]);

impl Key {
    /// Of what is about to be kept.
    ///
    /// A datagram's is made of its source address, its DGM_ID (RFC 1002 §4.4.1) and what it says. Any other message is
    /// heard once, by one gateway: its key is made of its bytes, of who gets it and of when it came.
    pub(super) fn of(heard: Option<Heard>, prepared: &Prepared) -> Self {
        let recipients = prepared.recipients.iter().map(|each| &each.recipient);
        Self::of_parts(heard, prepared.accepted_at, &prepared.checksum, recipients)
    }

    /// The same, of a message that was kept meanwhile.
    pub(super) fn of_parts<'r>(
        heard: Option<Heard>,
        accepted_at: Timestamp,
        checksum: &[u8],
        recipients: impl Iterator<Item = &'r Recipient>,
    ) -> Self {
        if let Some(Heard(key)) = heard {
            return key;
        }
        let mut sum = Sha256::new();
        sum.update(b"message\0");
        sum.update(accepted_at.as_microsecond().to_be_bytes());
        sum.update(checksum);
        for recipient in recipients {
            for part in [recipient.via.as_str(), &recipient.to] {
                sum.update(part.as_bytes());
                sum.update([0]);
            }
        }
        Self::cut(&sum.finalize().into())
    }

    fn cut(sum: &[u8; 32]) -> Self {
        let mut key = [0; 16];
        key.iter_mut().zip(sum).for_each(|(to, from)| *to = *from);
        Self(key)
    }

    /// A number for the message that came at `at`: it rises with the time, as the local spool's do.
    pub(super) fn queue_id(self, at: Timestamp) -> QueueId {
        let milliseconds =
            Some(at.as_millisecond()).filter(|number| (1..1 << 42).contains(number)).unwrap_or(1);
        let [a, b, c, ..] = self.0;
        let tail = i64::from(u32::from_be_bytes([0, a & 0x0f, b, c]));
        QueueId::from_row(milliseconds << 20 | tail).unwrap_or(FIRST)
    }
}

/// The key of a datagram, which others may have heard too.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heard(Key);

impl Heard {
    /// Of a body on its way into the spool; `None` where nobody else can have heard it.
    pub(super) fn of(body: &Body) -> Option<Self> {
        match body {
            Body::Notice(gathered) => Self::of_gathered(gathered),
            Body::Mail { .. } => None,
        }
    }

    /// Of a notice that was kept meanwhile, and of its repeats.
    pub(super) fn of_gathered(gathered: &Gathered) -> Option<Self> {
        match gathered.first.arrival.listener {
            Listener::Datagram => Some(Self::of_notice(&gathered.first)),
            Listener::Messenger => None,
        }
    }

    fn of_notice(notice: &Notice<'_>) -> Self {
        let mut sum = Sha256::new();
        sum.update(b"datagram\0");
        sum.update(notice.arrival.source.ip().to_canonical().to_string());
        sum.update([0]);
        sum.update(notice.dgm_id.to_be_bytes());
        sum.update(notice.mailslot.as_bytes());
        sum.update([0]);
        sum.update(&*notice.data);
        Self(Key::cut(&sum.finalize().into()))
    }
}

/// As it stands in subjects, keys and headers: 32 hexadecimal digits.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key has 32 hexadecimal digits")]
pub(super) struct NotAKey;

impl FromStr for Key {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, NotAKey> {
        if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(NotAKey);
        }
        u128::from_str_radix(text, 16).map(|number| Self(number.to_be_bytes())).map_err(|_| NotAKey)
    }
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

const FIRST: QueueId = match QueueId::from_row(1) {
    Some(id) => id,
    None => panic!("1 is positive"),
};

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::tests::{alarm, at, prepared};
    use super::*;
    use crate::message::mail::Message;

    fn key(message: Message) -> Key {
        let heard = Heard::of(&message.body);
        Key::of(heard, &prepared(message))
    }

    #[test]
    fn a_datagram_has_the_same_key_whoever_hears_it_and_whenever() {
        let one = alarm("on battery", at(0));
        let mut other = alarm("on battery", at(3));
        let Body::Notice(gathered) = &mut other.body else { unreachable!() };
        gathered.first.arrival.interface = Some(9);
        assert_eq!(key(one.clone()), key(other.clone()));
        let Body::Notice(gathered) = &mut other.body else { unreachable!() };
        gathered.first.dgm_id += 1;
        assert_ne!(key(one), key(other));
    }

    #[test]
    fn two_sessions_with_the_same_text_are_two_messages() {
        let session = |second| {
            let mut message = alarm("on battery", at(second));
            let Body::Notice(gathered) = &mut message.body else { unreachable!() };
            gathered.first.arrival.listener = Listener::Messenger;
            message
        };
        assert_ne!(key(session(0)), key(session(1)));
        assert_eq!(key(session(0)), key(session(0)));
    }

    #[test]
    fn a_key_reads_back_and_its_numbers_rise_with_the_time() {
        let key = key(alarm("on battery", at(0)));
        assert_eq!(key.to_string().parse(), Ok(key));
        assert!("00".parse::<Key>().is_err());
        let later = at(0).checked_add(Duration::from_millis(1)).unwrap();
        assert!(key.queue_id(at(0)) < key.queue_id(later));
    }
}
