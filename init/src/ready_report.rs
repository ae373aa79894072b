// SPDX-License-Identifier: Apache-2.0
//! Report to the host that the machine is ready: a line on a virtio port or on vsock, for which podman machine
//! waits.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use log::{info, warn};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::alarm;
use sys::paths::READY_VSOCK;
use sys::syscall::in_child_with;
use sys::vsock;

use crate::context::Context;
use crate::event_sources::Event;
use crate::virtio_ports;

/// Name of the port, chosen by Fedora CoreOS.
const NAME: &str = "org.fedoraproject.port.0";
/// The line that podman machine waits for.
const LINE: &[u8] = b"Ready\n";
/// Time limit for the host to open its end, in seconds.
const HOST_LIMIT_SECONDS: u32 = 600;

/// Reports readiness to the host, once in a boot, as soon as a port called [`NAME`] exists.
pub fn report_on_virtio_port(context: &mut Context<'_>, _: &Event) {
    if context.state.ready_reported_on_virtio_port {
        return;
    }
    for device in virtio_ports::devices(NAME) {
        context.state.ready_reported_on_virtio_port |= write(&Path::new("/dev").join(&device));
    }
}

/// Reports to a host that waits on vsock, which a document of Ignition asks for, once in a boot.
pub fn report_on_vsock(context: &mut Context<'_>, _: &Event) {
    let text = fs::read_to_string(READY_VSOCK).unwrap_or_default();
    let Ok(port) = text.trim_end().parse() else {
        return;
    };
    if !context.state.ready_reported_on_vsock {
        context.state.ready_reported_on_vsock = true;
        // connect(2) may take two seconds.
        drop(in_child_with(&[], || connect_and_write(port)));
    }
}

fn connect_and_write(port: u32) {
    alarm::set(HOST_LIMIT_SECONDS);
    let connected = vsock::connect_to_host(port).map_err(std::io::Error::from);
    match connected.and_then(|mut host| host.write_all(LINE)) {
        Ok(()) => info!("port {port} of vsock: reported to the host that the machine is ready"),
        Err(e) => warn!("port {port} of vsock: {e}; readiness is not reported"),
    }
}

/// Writes the line without waiting; a child waits for a host that has not opened its end. Returns false if
/// neither is possible now, so that the next event of a port tries again.
fn write(device: &Path) -> bool {
    let mut options = OpenOptions::new();
    options
        .write(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    let mut port = match options.open(device) {
        Ok(port) => port,
        Err(e) => {
            warn!("{}: {e}; readiness is not reported", device.display());
            return false;
        }
    };
    match port.write_all(LINE) {
        Ok(()) => {
            info!(
                "{}: reported to the host that the machine is ready",
                device.display()
            );
            true
        }
        Err(e) if e.kind() == ErrorKind::WouldBlock => {
            in_child_with(&[port.as_fd()], || wait_and_write(&port)).is_some()
        }
        Err(e) => {
            warn!("{}: {e}; readiness is not reported", device.display());
            false
        }
    }
}

/// Writes the line once the host has opened its end. poll(2) is of no use for that: the port has
/// POLLHUP until then (drivers/char/virtio_console.c, `port_fops_poll`).
fn wait_and_write(port: &fs::File) {
    // The default action of SIGALRM ends this process.
    alarm::set(HOST_LIMIT_SECONDS);
    match fcntl(port, FcntlArg::F_SETFL(OFlag::O_WRONLY)) {
        Ok(_) => {
            let mut port = port;
            if port.write_all(LINE).is_ok() {
                info!(
                    "reported to the host, which has opened its port now, that the machine is ready"
                );
            }
        }
        Err(e) => warn!("a port that waits for its host: {e}"),
    }
}
