//! Replies and EHLO responses (RFC 5321 §4.2).
