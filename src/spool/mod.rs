//! The durable spool: the only code that writes it.
