//! MQTT 5.0 (OASIS standard, 2019), as far as a publisher with QoS 1 speaks it. Integers are big-endian.
//!
//! Which crates were tried in its stead, and at which packet they fail, `session::mqtt_publisher` says.

mod emit;
mod packet;
mod reason;
mod text;

pub use emit::{Connect, Publish, connect, disconnect, pingreq, publish};
pub use packet::{Acknowledgement, ConnAck, Disconnect, Packet};
pub use reason::ReasonCode;
pub use text::{LONGEST_STRING, MqttString, TopicFault, TopicName};
