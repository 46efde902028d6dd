//! What is due goes to its transport.
