//! AMQP 0-9-1, as far as a publisher speaks it: frames (specification §4.2), methods, content (§4.2.6), with RabbitMQ's
//! extensions: publisher confirms (`confirm` class), `basic.nack`, `connection.blocked`.
//!
//! Integers are big-endian. Tables of a peer are skipped whole: how deep they go does not matter.

mod emit;
mod frame;
mod method;
mod properties;

pub use emit::{
    Credentials, Unroutable, channel_close_ok, channel_open, confirm_select, connection_close,
    connection_close_ok, connection_open, declare_passive, flow_ok, publish, start_ok, tune_ok,
};
pub use frame::{FRAME_OVERHEAD, Frame, HEARTBEAT, LEAST_FRAME_MAX, PROTOCOL_HEADER, Payload};
pub use method::{Close, Extent, Method};
pub use properties::{DeliveryMode, LONGEST_SHORT_STRING, Properties, ShortString, TooLong, message_id};
