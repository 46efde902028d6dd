//! Templates of rules: `UPS {originator}: {first_line}`.
