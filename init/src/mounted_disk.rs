// SPDX-License-Identifier: Apache-2.0
//! The disk that containers are on, by the kernel's list of mounts.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;

use nix::poll::PollFlags;
use sys::mountinfo;
use sys::poll::poll_one;

/// Usual length of the list of mounts.
const USUAL_LIST_BYTES: usize = 8 * 1024;
/// Mount point of the part of the disk that containers are on.
const CONTAINERS: &[u8] = b"/var/lib/containers";

/// Device of the mount with the containers, from the kernel's list of mounts. The list is long, and is read
/// only after a change.
#[derive(Debug, Default)]
pub struct MountedDisk {
    list: Option<File>,
    device: Option<String>,
}

impl MountedDisk {
    /// Returns the device; `None` while containers are in RAM.
    pub fn device(&mut self) -> Option<String> {
        if !self.list.as_ref().is_some_and(is_unchanged) {
            self.read();
        }
        self.device.clone()
    }

    fn read(&mut self) {
        let mut text = Vec::with_capacity(USUAL_LIST_BYTES);
        let read = File::open(mountinfo::PATH).and_then(|mut list| {
            list.read_to_end(&mut text)?;
            Ok(list)
        });
        // A list of which a read fails is read again the next time.
        self.list = read.ok();
        self.device = device_in(&text);
    }
}

/// Returns true if no mount was made, changed or removed since the list was opened or looked at the last time:
/// the kernel reports a change as an exceptional condition, once (proc_pid_mounts(5)).
fn is_unchanged(list: &File) -> bool {
    !poll_one(list.as_fd(), PollFlags::POLLPRI, 0)
}

/// Returns the device that containers are kept on (proc_pid_mountinfo(5)).
fn device_in(mountinfo: &[u8]) -> Option<String> {
    let source = mountinfo::source_at(mountinfo, CONTAINERS)?;
    let source = String::from_utf8(source).ok()?;
    source.starts_with("/dev/").then_some(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_topmost_mount_of_containers_gives_the_device() {
        let ram = "30 1 0:20 /containers /var/lib/containers rw,nodev shared:9 - tmpfs ram rw\n";
        let disk = "41 1 254:1 /containers /var/lib/containers rw - ext4 /dev/vda1 rw\n";
        let device = |text: &str| device_in(text.as_bytes());
        assert_eq!(device(ram), None);
        assert_eq!(device(&[ram, disk].concat()).as_deref(), Some("/dev/vda1"));
        assert_eq!(device(&[disk, ram].concat()), None, "the topmost counts");
        assert_eq!(device("garbage\n"), None);
    }
}
