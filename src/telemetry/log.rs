//! Logs through tracing: human or JSON.
