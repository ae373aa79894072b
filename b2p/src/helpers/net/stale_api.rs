// SPDX-License-Identifier: Apache-2.0
//! podman's API process, which has read podman's configuration at its start: after a change of the
//! default network the process would still make the former one.
//!
//! A process without clients is restarted. A process that serves a client is left alone, and a
//! degraded line reports the process until its end.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use control::{Name, Report, Request};
use log::{info, warn};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sys::paths::PODMAN_SOCKET;

use super::lease::Network;
use crate::common::control_client::ControlClient;
use crate::common::pidfd;

/// Service of the API.
const SERVICE: &str = "podman";
/// Time between two checks of its clients: the kernel does not report the end of a connection of
/// others.
pub const LOOK: Duration = Duration::from_secs(5);
/// State of a connected socket in /proc/net/unix (`SS_CONNECTED`, linux/net.h).
const CONNECTED: &str = "03";

/// A process that began before a change.
pub struct StaleApi(OwnedFd);

impl StaleApi {
    /// Returns the API's process; `None` if none runs.
    pub fn detect() -> Option<StaleApi> {
        let answer = ControlClient::default().ask(&Request::Status).ok()?;
        let report = Report::parse(&answer);
        let service = report.services.iter().find(|s| s.name == SERVICE)?;
        pidfd::open(i32::try_from(service.pid?).ok()?).map(StaleApi)
    }

    /// Returns a descriptor that is readable when the process has ended.
    pub fn end(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Returns true if the process has ended, or has no client and ends now.
    pub fn is_gone(&self) -> bool {
        let mut fds = [PollFd::new(self.end(), PollFlags::POLLIN)];
        if poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0) {
            return true;
        }
        let sockets = fs::read_to_string("/proc/net/unix").unwrap_or_default();
        clients(&sockets) == 0 && restart()
    }
}

fn restart() -> bool {
    let Some(name) = Name::new(SERVICE) else {
        return false;
    };
    match ControlClient::default().ask(&Request::Restart(name)) {
        Ok(_) => info!("network: podman's API restarts: its default network has changed"),
        Err(ref e) => {
            warn!("network: podman's API: {e}");
            return false;
        }
    }
    true
}

/// Returns the reason of the degraded line.
pub fn line(next: Network) -> String {
    format!(
        "podman's API serves a client since before podman's default network became {next}: \
         containers that it starts have the former one; `b2p restart podman`"
    )
}

/// Counts the connections to the API in /proc/net/unix (proc_pid_net(5)): an accepted socket has the
/// path of the one that listens.
fn clients(sockets: &str) -> usize {
    let is_client = |line: &&str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.get(5) == Some(&CONNECTED) && words.get(7) == Some(&PODMAN_SOCKET)
    };
    sockets.lines().filter(is_client).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted_connections_count_and_the_listener_does_not() {
        let line = |flags: &str, state: &str, path: &str| {
            format!("00000000348f17e2: 00000003 00000000 {flags} 0001 {state} 3312095 {path}\n")
        };
        let head = "Num       RefCount Protocol Flags    Type St Inode Path\n";
        let listener = line("00010000", "01", PODMAN_SOCKET);
        let other = line("00000000", "03", "/run/dbus") + &line("00000000", "03", "");
        let client = line("00000000", "03", PODMAN_SOCKET);
        assert_eq!(clients(&format!("{head}{listener}{other}")), 0);
        assert_eq!(
            clients(&format!("{head}{client}{listener}{client}{other}")),
            2
        );
    }
}
