//! Client side of SASL mechanisms.
