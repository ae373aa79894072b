// SPDX-License-Identifier: Apache-2.0
//! `b2p health`, the service that runs health checks: PID 1 starts the service when a container
//! starts, and the service ends when no container with a health check is left.
//!
//! podman leaves the clock to systemd's timers (libpod/healthcheck_linux.go) and does
//! everything else itself in `podman healthcheck run`: the result, how often a check may
//! fail, the action then. The service therefore calls that command on time. The runtime reports a
//! new container by a hook (oci-hooks(5)), `b2p health-hook`, which writes the id to the socket
//! that PID 1 holds. podman is asked for the check only if podman has recorded one in
//! `healthcheck.log`, right after the hook: the question costs as much as a quarter of a container
//! (docs/measured/boot-time.md).

mod clients;
mod kill;
mod new_containers;
mod queries;
mod schedule;
mod server;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::{is_id, reserved_ports};
use sys::paths::HEALTH_SOCKET;

/// Largest state of a container that the hook reads, in bytes.
const MAX_STATE_BYTES: u64 = 1 << 16;

/// Serves until no container with a check is left, and returns the exit status.
pub fn main() -> i32 {
    match server::run() {
        Ok(()) => 0,
        Err(e) => {
            log::warn!("health: {e}");
            1
        }
    }
}

/// Runs `b2p health-hook`, which the runtime calls with the container's state on standard input
/// (runtime-spec, "State"). The exit status is always 0, because a failure would fail the
/// container.
pub fn hook() -> i32 {
    let mut state = Vec::new();
    let _ = std::io::stdin()
        .take(MAX_STATE_BYTES)
        .read_to_end(&mut state);
    let state = String::from_utf8_lossy(&state);
    if let Some(pid) = pid(&state) {
        reserved_ports::reset_connections_of(pid);
    }
    if let Some(id) = id(&state)
        && let Ok(mut socket) = UnixStream::connect(HEALTH_SOCKET)
    {
        let _ = socket.set_write_timeout(Some(Duration::from_secs(1)));
        let _ = socket.write_all(id.as_bytes());
    }
    0
}

/// Returns the container's id. No more of the JSON is read: the id precedes the annotations,
/// which people can write.
fn id(state: &str) -> Option<&str> {
    let (_, rest) = state.split_once("\"id\"")?;
    let value = rest.trim_start().strip_prefix(':')?.trim_start();
    let id = value.strip_prefix('"')?.split('"').next()?;
    is_id(id).then_some(id)
}

/// Returns the number of the container's first process.
fn pid(state: &str) -> Option<&str> {
    let (_, rest) = state.split_once("\"pid\"")?;
    let value = rest.trim_start().strip_prefix(':')?.trim_start();
    let digits = value.bytes().take_while(u8::is_ascii_digit).count();
    value.get(..digits).filter(|digits| !digits.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pid_in_the_state() {
        assert_eq!(
            pid("{\"id\":\"5a\",\"pid\": 812,\"annotations\":{\"pid\":9}}"),
            Some("812")
        );
        for bad in ["", "{}", "{\"pid\":\"7\"}", "{\"pid\":"] {
            assert_eq!(pid(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_id_in_the_state() {
        let own = "5a".repeat(32);
        let state = format!(
            "{{\"ociVersion\":\"1.0\",\"id\": \"{own}\",\"annotations\":{{\"id\":\"x\"}}}}"
        );
        assert_eq!(id(&state), Some(own.as_str()));
        for bad in ["", "{}", "{\"id\":7}", "{\"id\":\"../..\"}", "\"id\":\""] {
            assert_eq!(id(bad), None, "{bad}");
        }
    }
}
