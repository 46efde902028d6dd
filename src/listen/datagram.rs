//! UDP 138: sockets to decoded, mapped messages.
