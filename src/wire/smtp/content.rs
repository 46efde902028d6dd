//! Content framing: dot-stuffing and the end of data, only at CRLF.CRLF (RFC 5321 §4.5.2).
