//! The transports, behind one enum.
