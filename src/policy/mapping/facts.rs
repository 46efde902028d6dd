//! A notice as the rules see it.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::net::IpAddr;

use super::rule::NameKey;
use super::text::normalized;
use crate::message::notice::{Listener, Notice};

/// A notice and what was computed of it for comparisons.
pub(super) struct Facts<'n> {
    notice: &'n Notice<'n>,
    source: IpAddr,
    names: [OnceCell<Option<String>>; 5],
    text: OnceCell<(Cow<'n, str>, Option<String>)>,
}

impl<'n> Facts<'n> {
    pub(super) fn new(notice: &'n Notice<'_>) -> Self {
        let source = notice.arrival.source.ip().to_canonical();
        Self { notice, source, names: Default::default(), text: OnceCell::new() }
    }

    /// A name as written and, where that is another one, in NFKC.
    pub(super) fn name(&self, key: NameKey) -> (&str, Option<&str>) {
        let [originator, to, source_name, destination_name, mailslot] = &self.names;
        let cell = match key {
            NameKey::Originator => originator,
            NameKey::To => to,
            NameKey::SourceName => source_name,
            NameKey::DestinationName => destination_name,
            NameKey::Mailslot => mailslot,
        };
        let written = key.value(self.notice);
        (written, cell.get_or_init(|| normalized(written)).as_deref())
    }

    /// The text as written and, where that is another one, in NFKC. Of an announcement it is made only now.
    pub(super) fn text(&self) -> (&str, Option<&str>) {
        let (written, normal) = self.text.get_or_init(|| {
            let written = self.notice.full_text();
            let normal = normalized(&written);
            (written, normal)
        });
        (written, normal.as_deref())
    }

    pub(super) const fn source(&self) -> IpAddr {
        self.source
    }

    pub(super) const fn listener(&self) -> Listener {
        self.notice.arrival.listener
    }
}
