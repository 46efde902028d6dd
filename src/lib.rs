//! mailslotd keeps machines heard that still speak through NetBIOS mailslots.
//!
//! The path of a message, and the modules in its order:
//!
//! 1. [`wire`]: bytes become values once. No clock, no I/O, no settings.
//! 2. [`message`]: the product's nouns.
//! 3. [`decode`]: a datagram's payload, or a message of a session, becomes a [`message::notice::Notice`].
//! 4. [`policy`]: pure verdicts; [`policy::mapping`] is the rule set.
//! 5. [`session`]: sans-IO protocol machines: fragments, both sides of `net send` sessions and of SMTP.
//! 6. [`config`]: YAML becomes valid settings, or every problem at once.
//! 7. [`telemetry`]: metrics and logs.
//! 8. [`spool`]: a message becomes durable; accepted means after fsync. [`inventory`]: who still depends on all this. [`switch`]: whether it passes at all.
//! 9. [`net`]: how other hosts are reached. [`directory`]: does a recipient exist? [`delivery`]: a durable message
//!    becomes attempts.
//! 10. [`listen`]: sockets. [`admin`]: HTTP and the control socket.
//! 11. [`app`]: wiring. [`cli`]: the commands.
//!
//! Everything that decides is a plain function of its arguments, time included. Everything that touches the world is
//! a thin task that asks the deciding code what to do and does it. `tests/layering.rs` holds the modules to this order.

pub mod wire;

pub mod message;

pub mod decode;
pub mod policy;
pub mod session;

pub mod config;

pub mod telemetry;

pub mod net;

pub mod credentials;

pub mod spool;

pub mod inventory;

pub mod switch;

pub mod directory;

pub mod delivery;

pub mod listen;

pub mod admin;

pub mod app;

pub mod cli;
