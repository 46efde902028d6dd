//! What XADD puts into a stream.

use bytes::Bytes;

use crate::message::event::Event;

/// An entry: fields and values, for one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) stream: String,
    pub(super) fields: Vec<(&'static str, Bytes)>,
    /// How many the event has.
    pub(super) octets: usize,
}

impl Entry {
    /// The whole event in one field, and what tells a repeat beside it.
    pub(super) fn structured(stream: &str, event: &Event) -> Self {
        let (id, event) = (Bytes::from(event.id().to_owned()), event.structured());
        let octets = event.len();
        Self { stream: stream.to_owned(), fields: vec![("id", id), ("event", event)], octets }
    }

    /// A field for each attribute, and the data.
    pub(super) fn binary(stream: &str, event: &Event) -> Self {
        let attributes = event.attributes().into_iter();
        let mut fields: Vec<_> = attributes.map(|(name, value)| (name, Bytes::from(value))).collect();
        fields.push(("data", event.data()));
        let octets = fields.iter().map(|(_, value)| value.len()).sum();
        Self { stream: stream.to_owned(), fields, octets }
    }
}
