//! Health checks: `b2p health`, a service that PID 1 starts when a container begins,
//! and that ends when no container with a health check is left.
//!
//! podman leaves the clock to systemd's timers (libpod/healthcheck_linux.go) and
//! does everything else itself in `podman healthcheck run`: what is healthy, how
//! often it may fail, what is done then. So this calls it on time. That a container
//! begins, its runtime says by a hook (oci-hooks(5)), which is `b2p health-hook`: it
//! writes the id to the socket that PID 1 holds. Whether there is a check, podman is
//! asked only where it has written down that there is one, in `healthcheck.log`, right
//! after the hook: asking costs as much as a quarter of a container (docs/measured/boot-time.md).

mod kill;
mod new_containers;
mod schedule;
mod server;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::is_id;

/// The socket that PID 1 holds.
const SOCKET: &str = sys::paths::HEALTH_SOCKET;

/// Serves until there is nothing left to do.
pub fn main() -> i32 {
    sys::kmsg::init_logger(log::LevelFilter::Info);
    match server::run() {
        Ok(()) => 0,
        Err(why) => {
            log::warn!("{why}");
            1
        }
    }
}

/// Called by the runtime with the container's state on standard input
/// (runtime-spec, "State"). It never fails: a container must not.
pub fn hook() -> i32 {
    let mut state = Vec::new();
    let _ = std::io::stdin().take(1 << 16).read_to_end(&mut state);
    if let Some(id) = id(&String::from_utf8_lossy(&state))
        && let Ok(mut socket) = UnixStream::connect(SOCKET)
    {
        let _ = socket.set_write_timeout(Some(Duration::from_secs(1)));
        let _ = socket.write_all(id.as_bytes());
    }
    0
}

/// The container's id, of which no more of the JSON is read: it comes before what
/// people can write into it, the annotations.
fn id(state: &str) -> Option<&str> {
    let (_, rest) = state.split_once("\"id\"")?;
    let value = rest.trim_start().strip_prefix(':')?.trim_start();
    let id = value.strip_prefix('"')?.split('"').next()?;
    is_id(id).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

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
