// SPDX-License-Identifier: Apache-2.0
//! Greeting of QEMU at the socket of its monitor: it has its locks by then.

use anyhow::{Context, Result};
use std::io::{ErrorKind, Read};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Time limit of the greeting. QEMU greets within milliseconds unless it is stopped.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Waits for the greeting of a QEMU that starts; returns false if it ends before that.
pub fn greets(socket: &Path) -> Result<bool> {
    let Ok(stream) = UnixStream::connect(socket) else {
        return Ok(false);
    };
    stream.set_read_timeout(Some(TIMEOUT))?;
    match stream.take(1).read(&mut [0]) {
        Ok(len) => Ok(len > 0),
        Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(false),
        Err(error) => Err(error).context("QEMU starts, and does not greet"),
    }
}
