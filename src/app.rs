//! Wiring: settings become tasks; shutdown in order.
