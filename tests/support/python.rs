//! Python 3, whose standard library has a second opinion on mail.

use std::io::Write as _;
use std::process::{Command, Stdio};

use super::{Missing, has_program};

/// The interpreter is there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Python(());

impl Python {
    /// Looks for it.
    pub(crate) fn find() -> Result<Self, Missing> {
        if has_program("python3") {
            Ok(Self(()))
        } else {
            Err(Missing("python3 is not installed (Debian: python3)".to_owned()))
        }
    }

    /// What `script` writes as JSON when it reads `input`; it must succeed.
    pub(crate) fn json(self, script: &str, input: &str) -> serde_json::Value {
        let mut child = Command::new("python3")
            .args(["-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{input}");
        serde_json::from_slice(&output.stdout).unwrap()
    }
}
