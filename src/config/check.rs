//! Raw configuration → settings.
