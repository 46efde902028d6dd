//! A notice as a complete RFC 5322 message.
