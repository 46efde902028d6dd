//! A datagram to a [`crate::message::notice::Notice`].
