// SPDX-License-Identifier: Apache-2.0
//! Messages of the host with the time, on a virtio port: the keeper of `podman-machine` writes
//! `time <milliseconds since 1970>` when the keeper resumes a machine that stood still.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::drift::Ms;

/// Name of the port.
const NAME: &str = "org.boot2podman.host.0";
/// Longest line that is kept, in bytes.
const LONGEST: usize = 64;
/// Largest difference between the host's word and the hardware clock, which QEMU starts at a whole
/// second and which is read in whole seconds, in milliseconds.
const TOLERANCE: Ms = 3_000;

/// Port of the host.
pub struct VirtioPort {
    file: File,
    /// The port is watched for edges, because the port reports a hang-up as long as the host has not
    /// opened its end (drivers/char/virtio_console.c, `port_fops_poll`).
    epoll: Epoll,
    unread: Vec<u8>,
}

impl VirtioPort {
    /// Opens the port, if the directory `class` has one.
    #[must_use]
    pub fn find(class: &Path, dev: &Path) -> Option<VirtioPort> {
        let is_ours = |entry: &fs::DirEntry| {
            fs::read_to_string(entry.path().join("name")).is_ok_and(|name| name.trim_end() == NAME)
        };
        let mut ports = fs::read_dir(class).ok()?.flatten();
        let port = ports.find(is_ours)?.file_name();
        let mut options = File::options();
        options.read(true).custom_flags(libc::O_NONBLOCK);
        let file = options.open(dev.join(port)).ok()?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).ok()?;
        let edges = EpollFlags::EPOLLIN | EpollFlags::EPOLLET;
        epoll.add(&file, EpollEvent::new(edges, 0)).ok()?;
        Some(VirtioPort {
            file,
            epoll,
            unread: Vec::new(),
        })
    }

    /// Returns the descriptor that is readable after an edge.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }

    /// Reads the lines of the host, and returns the last time in them.
    pub fn read(&mut self) -> Option<Ms> {
        let mut edge = [EpollEvent::empty()];
        let _ = self.epoll.wait(&mut edge, EpollTimeout::ZERO);
        let mut last = None;
        let mut part = [0; 256];
        loop {
            match self.file.read(&mut part) {
                Ok(0) => return last,
                Ok(len) => last = self.take(part.get(..len).unwrap_or_default()).or(last),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return last,
            }
        }
    }

    /// Takes bytes, and returns the time of the last whole line.
    fn take(&mut self, bytes: &[u8]) -> Option<Ms> {
        let mut last = None;
        for &byte in bytes {
            if byte == b'\n' {
                last = parse(&self.unread).or(last);
                self.unread.clear();
            } else if self.unread.len() < LONGEST {
                self.unread.push(byte);
            }
        }
        last
    }
}

/// Parses a line.
fn parse(line: &[u8]) -> Option<Ms> {
    let text = std::str::from_utf8(line).ok()?;
    text.strip_prefix("time ")?.trim_end().parse().ok()
}

/// Returns by how much the system clock is to go forward. A machine that stood still is behind, never
/// ahead; a line that waited for a reader is older than the hardware clock, and is no time any more.
#[must_use]
pub fn lead(host: Ms, realtime: Ms, rtc: Option<Ms>) -> Option<Ms> {
    let fresh = rtc.is_some_and(|rtc| host.saturating_sub(rtc).saturating_abs() < TOLERANCE);
    let lead = host.saturating_sub(realtime);
    (fresh && lead > 0).then_some(lead)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::Write;

    #[test]
    fn a_line_counts_while_it_is_fresh_and_forward() {
        let rtc = Some(1_800_000_000_000);
        let at = |host: Ms, realtime: Ms| {
            lead(1_800_000_000_000 + host, 1_800_000_000_000 + realtime, rtc)
        };
        assert_eq!(at(900, -400_000), Some(400_900));
        assert_eq!(at(900, 500), Some(400));
        assert_eq!(at(900, 900), None, "the clock is right");
        assert_eq!(at(900, 5_000), None, "a clock never goes back");
        assert_eq!(at(-40_000, -80_000), None, "an old line");
        assert_eq!(
            at(40_000, 0),
            None,
            "a time that the hardware does not have"
        );
        assert_eq!(lead(5, 1, None), None);
        assert_eq!(lead(Ms::MAX, Ms::MIN, Some(Ms::MIN)), None);
    }

    #[test]
    fn the_port_of_the_name_is_read_in_whole_lines() {
        let dir = std::env::temp_dir().join(format!("b2p-host-port-{}", std::process::id()));
        for (port, name) in [
            ("vport1p1", "other.0\n"),
            ("vport1p2", "org.boot2podman.host.0\n"),
        ] {
            fs::create_dir_all(dir.join(port)).unwrap();
            fs::write(dir.join(port).join("name"), name).unwrap();
        }
        let dev = dir.join("dev");
        assert!(VirtioPort::find(&dir, &dev).is_none(), "no device");
        fs::create_dir_all(&dev).unwrap();
        nix::unistd::mkfifo(&dev.join("vport1p2"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let mut port = VirtioPort::find(&dir, &dev).unwrap();
        assert_eq!(port.read(), None);
        let mut host = File::options()
            .write(true)
            .open(dev.join("vport1p2"))
            .unwrap();
        host.write_all(b"time 12").unwrap();
        assert_eq!(port.read(), None, "half a line");
        host.write_all(b"34\ntime x\ntime 99\nhello\ntime -")
            .unwrap();
        assert_eq!(port.read(), Some(99));
        host.write_all(&[b'x'; 300]).unwrap();
        host.write_all(b"\n\xff\ntime 7\n").unwrap();
        assert_eq!(port.read(), Some(7));
        fs::remove_dir_all(&dir).unwrap();
    }
}
