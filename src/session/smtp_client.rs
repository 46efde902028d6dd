//! RFC 5321 client.
