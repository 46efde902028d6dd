//! Bytes ↔ values: NetBIOS (RFC 1001/1002), SMB and mailslots (MS-CIFS, MS-MAIL, MS-MSRP, MS-BRWS), SMTP (RFC 5321) and
//! what precedes it: PROXY headers, TLS hellos; URLs and times of HTTP, issuers of certificates (RFC 9110, RFC 5280).
//!
//! Nothing in here reads a clock, a file, a socket or a setting. Every parser takes a [`reader::Reader`] or a slice and
//! gives a value whose fields are all in range, or a [`reader::WireError`] that names the field, the offset and the
//! reason. NetBIOS headers are big-endian; everything from `FF 'SMB'` on is little-endian.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::as_conversions
    )
)]

pub mod amqp;
pub mod announcement;
pub mod browser;
pub mod client_hello;
pub mod datagram;
pub mod http_date;
pub mod lanman;
pub mod mailslot;
pub mod message_text;
pub mod messenger;
pub mod mqtt;
pub mod name_service;
pub mod negotiate;
pub mod netbios_name;
pub mod netlogon;
pub mod oauth;
pub mod oem_text;
pub mod proxy;
pub mod punycode;
pub mod reader;
pub mod session_service;
pub mod smb;
pub mod smtp;
pub mod url;
pub mod x509;

#[cfg(test)]
pub(crate) mod vectors;
