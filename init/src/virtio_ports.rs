// SPDX-License-Identifier: Apache-2.0
//! Virtio ports of the machine, by their names.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use log::warn;

use crate::context::Context;
use crate::event_sources::Event;

/// Directory of the ports (drivers/char/virtio_console.c).
const PORTS: &str = "/sys/class/virtio-ports";
/// Directory of links with the names of the ports.
const LINKS: &str = "/dev/virtio-ports";

/// Makes the links from the names of ports to their devices, as udev does (systemd's rules.d/50-udev-default.rules):
/// guest agents open `/dev/virtio-ports/NAME`.
pub fn link(_: &mut Context<'_>, _: &Event) {
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

/// Returns the names of the devices of all ports of this name.
#[must_use]
pub fn devices(name: &str) -> Vec<String> {
    devices_in(Path::new(PORTS), name)
}

fn devices_in(class: &Path, wanted: &str) -> Vec<String> {
    let entries = fs::read_dir(class).into_iter().flatten().flatten();
    let has_name = |entry: &fs::DirEntry| {
        let name = fs::read_to_string(entry.path().join("name"));
        name.is_ok_and(|name| name.trim_end() == wanted)
    };
    let named = entries.filter(has_name);
    named
        .filter_map(|e| e.file_name().into_string().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const NAME: &str = "org.fedoraproject.port.0";

    #[test]
    fn ports_are_found_by_name_and_all_have_links() {
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
        assert_eq!(devices_in(&dir, NAME), ["vport1p1"]);
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
        assert_eq!(devices_in(&dir, NAME), ["vport5p1"]);
        fs::remove_dir_all(&dir).unwrap();
        assert!(devices_in(&dir, NAME).is_empty());
    }
}
