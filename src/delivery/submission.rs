//! SMTP submission over TCP and TLS.
