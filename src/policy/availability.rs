//! Whether a destination is up, down, throttled or paused, and when it is probed.
