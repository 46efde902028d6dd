//! Datagram fragments (RFC 1002 §5.3.3).
