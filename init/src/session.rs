// SPDX-License-Identifier: Apache-2.0
//! Link to podman's socket at the path at which docker's clients look for a socket.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use config::{Config, Rootless};
use log::warn;
use sys::paths::USER_PODMAN_SOCKET;

/// Path of the link.
const DOCKER_SOCKET: &str = "/run/docker.sock";
/// Socket of root's podman, in the same directory.
const ROOT_SOCKET: &str = "podman/podman.sock";

/// Makes the link to the socket of root's podman or of the user's podman, as flags request. If `before` had requested
/// the same, the link stays as it is: the host may have changed the link since.
pub fn link_docker_socket(config: &Config, before: Option<&Config>) {
    let target = docker_target(config);
    if before.is_some_and(|before| docker_target(before) == target)
        || fs::read_link(DOCKER_SOCKET).is_ok_and(|link| link == Path::new(&target))
    {
        return;
    }
    let _ = fs::remove_file(DOCKER_SOCKET);
    symlink(target, DOCKER_SOCKET).unwrap_or_else(|e| warn!("{DOCKER_SOCKET}: {e}"));
}

fn docker_target(config: &Config) -> String {
    match config.rootless {
        Rootless::Default => format!("user/{}/{USER_PODMAN_SOCKET}", config.uid),
        Rootless::On | Rootless::Off => ROOT_SOCKET.to_owned(),
    }
}
