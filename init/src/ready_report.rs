// SPDX-License-Identifier: Apache-2.0
//! Report to the host that the machine is ready: a line on a virtio port or on vsock, for which podman machine
//! waits.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::Path;

use log::{info, warn};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::alarm;
use sys::paths::READY_VSOCK;
use sys::syscall::in_child_with;
use sys::vsock;

use crate::context::Context;
use crate::event_sources::Event;

/// Directory of the ports (drivers/char/virtio_console.c).
const PORTS: &str = "/sys/class/virtio-ports";
/// Directory of links with the names of the ports.
const LINKS: &str = "/dev/virtio-ports";
/// Name of the port, chosen by Fedora CoreOS.
const NAME: &str = "org.fedoraproject.port.0";
/// The line that podman machine waits for.
const LINE: &[u8] = b"Ready\n";
/// Time limit for the host to open its end, in seconds.
const HOST_LIMIT_SECONDS: u32 = 600;

/// Reports readiness to the host, once in a boot, as soon as a port called [`NAME`] exists.
pub fn tell_by_virtio_port(context: &mut Context<'_>, _: &Event) {
    if context.state.told_by_virtio {
        return;
    }
    for device in devices(Path::new(PORTS)) {
        context.state.told_by_virtio |= write(&Path::new("/dev").join(&device));
    }
}

/// Reports to a host that waits on vsock, which a document of Ignition asks for, once in a boot.
pub fn tell_by_vsock(context: &mut Context<'_>, _: &Event) {
    let text = fs::read_to_string(READY_VSOCK).unwrap_or_default();
    let Ok(port) = text.trim_end().parse() else {
        return;
    };
    if !context.state.told_by_vsock {
        context.state.told_by_vsock = true;
        // connect(2) may take two seconds.
        drop(in_child_with(&[], || connect_and_write(port)));
    }
}

fn connect_and_write(port: u32) {
    alarm::set(HOST_LIMIT_SECONDS);
    let connected = vsock::connect_to_host(port).map_err(std::io::Error::from);
    match connected.and_then(|mut host| host.write_all(LINE)) {
        Ok(()) => info!("port {port} of vsock: the host is told"),
        Err(e) => warn!("port {port} of vsock: {e}; the host is not told"),
    }
}

/// Makes the links from the names of ports to their devices that udev makes (systemd's rules.d/50-udev-default.rules):
/// guest agents open `/dev/virtio-ports/NAME`.
pub fn link_virtio_ports(_: &mut Context<'_>, _: &Event) {
    if let Err(e) = link_ports(Path::new(PORTS), Path::new(LINKS)) {
        warn!("{LINKS}: {e}");
    }
}

fn link_ports(class: &Path, dir: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(class).into_iter().flatten().flatten() {
        let text = fs::read_to_string(entry.path().join("name")).unwrap_or_default();
        let name = text.trim_end();
        // The host chooses the name.
        if name.is_empty() || name.contains('/') || name.starts_with('.') {
            continue;
        }
        fs::create_dir_all(dir)?;
        let target = Path::new("..").join(entry.file_name());
        let link = dir.join(name);
        // A port that was plugged in again may have another device.
        if fs::read_link(&link).ok().as_deref() != Some(&target) {
            let _ = fs::remove_file(&link);
            symlink(target, link)?;
        }
    }
    Ok(())
}

/// Returns the names of the devices of all ports called [`NAME`].
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
            warn!("{}: {e}; the host is not told", device.display());
            return false;
        }
    };
    match port.write_all(LINE) {
        Ok(()) => {
            info!("{}: the host is told", device.display());
            true
        }
        Err(e) if e.kind() == ErrorKind::WouldBlock => {
            in_child_with(&[port.as_fd()], || wait_and_write(&port)).is_some()
        }
        Err(e) => {
            warn!("{}: {e}; the host is not told", device.display());
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
                info!("the host, which has opened its port now, is told");
            }
        }
        Err(e) => warn!("a port that waits for its host: {e}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_virtio_ports_of_the_name_are_told_and_all_have_links() {
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
        fs::create_dir_all(dir.join("vport4p1")).unwrap();
        fs::write(dir.join("vport4p1/name"), "../../etc/x\n").unwrap();
        let links = dir.join("links");
        for _ in 0..2 {
            link_ports(&dir, &links).unwrap();
        }
        let of_agent = links.join("org.boot2podman.host.0");
        assert_eq!(fs::read_link(of_agent).unwrap(), Path::new("../vport1p2"));
        assert_eq!(fs::read_dir(&links).unwrap().count(), 3);
        fs::rename(dir.join("vport1p1"), dir.join("vport5p1")).unwrap();
        link_ports(&dir, &links).unwrap();
        let ready = links.join(NAME);
        assert_eq!(fs::read_link(ready).unwrap(), Path::new("../vport5p1"));
        assert_eq!(devices(&dir), ["vport5p1"]);
        fs::remove_dir_all(&dir).unwrap();
        assert!(devices(&dir).is_empty());
    }
}
