// SPDX-License-Identifier: Apache-2.0
//! `b2p template`: waits until this memory is that of another machine.
//!
//! Before that the programs that a first client needs are read into memory, and podman has answered.
//! The kernel reports the copy: a virtual machine that continues from a memory has another generation
//! in its vmgenid device, by which the kernel seeds its random numbers anew
//! (`drivers/virt/vmgenid.c`, and `add_vmfork_randomness` in `drivers/char/random.c`).

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;
use std::{fs, io, thread};

use log::warn;
use nix::poll::PollFlags;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_settime};
use sys::error::{Doing, Error, Result};
use sys::kmsg;
use sys::paths::PODMAN_SOCKET;
use sys::poll::poll_one;

use crate::common::log::record::{KERNEL, Record};
use crate::common::log::ring::{self, Next, Ring};

/// Line for the host: memory and disk can be copied from now on.
const LINE: &str = "boot2podman: template: waits until a host has copied this memory";
/// Message of the kernel after a new seed of its random numbers.
const FORKED: &[u8] = b"random: crng reseeded due to virtual machine fork";
/// Hardware clock in seconds since 1970, read as UTC (Documentation/ABI/testing/sysfs-class-rtc).
const RTC: &str = "/sys/class/rtc/rtc0/since_epoch";
/// Programs of the first client, besides podman.
const PROGRAMS: [&str; 3] = [
    "/usr/sbin/sshd",
    "/usr/lib/openssh/sshd-session",
    "/usr/lib/openssh/sshd-auth",
];
/// Time limit of podman's first answer.
const PODMAN_LIMIT: Duration = Duration::from_secs(300);

/// `b2p template`; returns the exit status.
pub fn main() -> i32 {
    match wait() {
        Ok(()) => {
            set_clock().unwrap_or_else(|error| warn!("template: {error}"));
            0
        }
        Err(error) => {
            warn!("template: {error}");
            1
        }
    }
}

/// Prepares the memory, reports to the host, and waits for the copy. An error means that the host has no
/// report.
fn wait() -> Result<()> {
    for program in PROGRAMS {
        // Another version of OpenSSH has other programs.
        let _ = fs::read(program);
    }
    let _client = ping().on(PODMAN_SOCKET)?;
    let mut ring = Ring::open().on(ring::PATH)?;
    // Messages of the past are of no interest.
    while !matches!(ring.read(), Next::Nothing | Next::End) {}
    let mut writer = ring::writer().on(ring::PATH)?;
    let priority = kmsg::ensure_console_priority(kmsg::NOTICE);
    let line = format!("<{priority}>{LINE}\n");
    writer.write_all(line.as_bytes()).on(ring::PATH)?;
    while !is_forked(&mut ring) {}
    Ok(())
}

/// Asks podman for a sign of life. Returns a client that asks nothing yet: podman, which ends without
/// clients after some seconds, is there for the first one of the copy.
fn ping() -> io::Result<UnixStream> {
    let mut podman = UnixStream::connect(PODMAN_SOCKET)?;
    podman.set_read_timeout(Some(PODMAN_LIMIT))?;
    podman.write_all(b"GET /_ping HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n")?;
    let mut status = [0; 12];
    podman.read_exact(&mut status)?;
    match &status {
        b"HTTP/1.1 200" => UnixStream::connect(PODMAN_SOCKET),
        _ => Err(io::Error::other("podman's answer is not 200")),
    }
}

/// Waits for a record of the kernel log; returns true if the record reports the copy.
fn is_forked(ring: &mut Ring) -> bool {
    match ring.read() {
        Next::Record(record) => is_of_fork(&record),
        Next::Again => false,
        Next::Nothing => {
            poll_one(ring.as_fd(), PollFlags::POLLIN, i32::MAX);
            false
        }
        // The host may be copying the memory: nothing unique may be in the memory.
        Next::End => loop {
            thread::park();
        },
    }
}

/// Returns true for the kernel's message. Records of programs have another facility.
fn is_of_fork(record: &Record<'_>) -> bool {
    record.priority.facility() == KERNEL && record.text == FORKED
}

/// Sets the system clock, which has stood still since the copy of the memory, to the hardware
/// clock.
fn set_clock() -> Result<()> {
    let text = fs::read_to_string(RTC).on(RTC)?;
    let seconds = text.trim().parse().map_err(|_| Error::invalid("no time"));
    let now = TimeSpec::new(seconds.on(RTC)?, 0);
    clock_settime(ClockId::CLOCK_REALTIME, now).doing("clock_settime")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_alone_tells_of_a_copy() {
        let of_fork = |bytes: &[u8]| Record::parse(bytes).is_some_and(|record| is_of_fork(&record));
        assert!(of_fork(
            b"5,812,9120000,-;random: crng reseeded due to virtual machine fork\n"
        ));
        for other in [
            // A program's: its facility is 1 at least (devkmsg_write).
            &b"13,812,9120000,-;random: crng reseeded due to virtual machine fork\n"[..],
            b"5,812,9120000,-;x random: crng reseeded due to virtual machine fork\n",
            b"5,812,9120000,-;crng init done\n",
            b"",
        ] {
            assert!(!of_fork(other));
        }
    }
}
