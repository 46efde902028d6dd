//! How forgiving the server's side of the grammar is.

/// How forgiving the grammar is. Neither loosens what ends data: CRLF.CRLF alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tolerance {
    /// As RFC 5321 says: a bare CR or LF is refused.
    Strict,
    /// As old devices need it: in content bare CR and LF become CRLF, lines over 1000 octets are folded, raw 8-bit header
    /// octets pass; HELO may be odd or empty, a path may lack its brackets.
    Device,
}
