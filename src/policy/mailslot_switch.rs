//! Whether mailslot messages pass: the gateway's counterpart of `EnableMailslots` of `Set-SmbServerConfiguration`
//! (inbound) and `Set-SmbClientConfiguration` (outbound).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What the configuration says of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "switch")]
pub enum Configured {
    /// Messages pass.
    On,
    /// They do not, except for a time that ends by itself.
    Off {
        /// The first moment at which they no longer pass; `None`: they do not pass at all.
        exception_until: Option<Timestamp>,
    },
}
