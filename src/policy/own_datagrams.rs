//! Which datagrams this process itself sent.
