//! Datagrams of UDP 138 (RFC 1002 §4.4).
