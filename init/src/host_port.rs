// SPDX-License-Identifier: Apache-2.0
//! The host's word that the machine is ready: podman machine waits for a line on a virtio port.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use log::{info, warn};
use nix::poll::PollFlags;
use sys::syscall::{in_child_with, poll_one};

use crate::context::Context;
use crate::event_sources::Event;

/// Directory of the ports (drivers/char/virtio_console.c).
const PORTS: &str = "/sys/class/virtio-ports";
/// Name of the port, which Fedora CoreOS gave it.
const NAME: &str = "org.fedoraproject.port.0";
/// The line that podman machine waits for.
const LINE: &[u8] = b"Ready\n";
/// Time for which a host that has not opened its end yet is waited for, in milliseconds.
const HOST_LIMIT: i32 = 600_000;

/// Tells the host, once in a boot, as soon as there is such a port.
pub fn tell_ready(context: &mut Context<'_>, _: &Event) {
    if context.state.host_told {
        return;
    }
    for device in devices(Path::new(PORTS)) {
        context.state.host_told = true;
        write(&Path::new("/dev").join(&device));
    }
}

/// Returns the names of the devices of all ports of that name.
fn devices(class: &Path) -> Vec<String> {
    let entries = fs::read_dir(class).into_iter().flatten().flatten();
    let has_name = |entry: &fs::DirEntry| {
        let name = fs::read_to_string(entry.path().join("name"));
        name.is_ok_and(|name| name.trim_end() == NAME)
    };
    let named = entries.filter(has_name);
    named
        .filter_map(|e| e.file_name().into_string().ok())
        .collect()
}

/// Writes the line without waiting; a child waits for a host that has not opened its end.
fn write(device: &Path) {
    let mut options = OpenOptions::new();
    options
        .write(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    let mut port = match options.open(device) {
        Ok(port) => port,
        Err(e) => return warn!("{}: {e}; the host is not told", device.display()),
    };
    match port.write_all(LINE) {
        Ok(()) => info!("{}: the host is told", device.display()),
        Err(e) if e.kind() == ErrorKind::WouldBlock => {
            let wait = || {
                if poll_one(port.as_fd(), PollFlags::POLLOUT, HOST_LIMIT) {
                    let _ = (&port).write_all(LINE);
                }
            };
            drop(in_child_with(&[port.as_fd()], wait));
        }
        Err(e) => warn!("{}: {e}; the host is not told", device.display()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_ports_of_the_name() {
        let dir = std::env::temp_dir().join(format!("b2p-ports-{}", std::process::id()));
        for (device, name) in [
            ("vport1p1", "org.fedoraproject.port.0\n"),
            ("vport1p2", "org.boot2podman.host.0\n"),
            ("vport2p1", "org.fedoraproject.port.01\n"),
        ] {
            fs::create_dir_all(dir.join(device)).unwrap();
            fs::write(dir.join(device).join("name"), name).unwrap();
        }
        fs::create_dir_all(dir.join("vport3p1")).unwrap();
        assert_eq!(devices(&dir), ["vport1p1"]);
        fs::remove_dir_all(&dir).unwrap();
        assert!(devices(&dir).is_empty());
    }
}
