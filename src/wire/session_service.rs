//! Session service packets of TCP 139 (RFC 1002 §4.3).
