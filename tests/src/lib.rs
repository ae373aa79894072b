// SPDX-License-Identifier: Apache-2.0
//! Boots the real machine in QEMU, and examines the machine from outside.
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! use tests::{Checks, Guest};
//! let guest = Guest::boot("example", |machine| machine.append("b2p.hostname=box"))?;
//! let mut checks = Checks::new("example");
//! checks.check("hostname", || {
//!     anyhow::ensure!(guest.sh("hostname")? == "box");
//!     Ok(())
//! });
//! checks.finish(&guest)
//! # }
//! ```
//!
//! A boot under TCG takes ten seconds and more, so one test is one boot, with
//! many named checks that all run and are reported together. `CHECK=name` or `CHECK="a|b"` runs
//! only the checks whose names contain that. The logs of each machine stay in
//! `out/vm/<name>/`.

mod checks;
pub mod checksum;
mod clients;
pub mod crowd;
pub mod devicetree;
pub mod disks;
pub mod emulator;
pub mod firmware;
pub mod flood;
pub mod folder;
mod guest;
pub mod guide;
pub mod http;
pub mod ignition;
pub mod image;
pub mod initrd;
pub mod lan;
pub mod lima;
pub mod neighbour;
pub mod ns;
pub mod ports;
mod random;
pub mod registry;
mod shell;
pub mod tls;

pub use checks::{Checks, eventually};
pub use guest::{
    BOOT_LIMIT, Guest, artifacts, await_late, keyless, machine, machine_of, machine_of_arch, text,
};
pub use random::Random;
pub use shell::Shell;

/// Number of bytes of PID 1's stack that a crash for a test clears: these include the return
/// addresses of the system call in which PID 1 sleeps.
pub const CRASH_BYTES: usize = 512;

/// Script for a guest: PID 1 crashes by a fault of its own, as [`ns::Running::crash`] makes it. PID 1 is frozen
/// meanwhile (cgroup-v2.rst, `cgroup.freeze`), in poll(2), where PID 1 waits for events: otherwise it may wake up after
/// the look at its stack pointer. busybox's dd repeats for ever a write that returns 0, as one to the memory of a program does that is gone.
pub const CRASH: &str = "cd /sys/fs/cgroup/init;
     until echo 1 > cgroup.freeze; until grep -q 'frozen 1' cgroup.events; do :; done;
         read -r all < /proc/1/syscall; case $all in 7\\ *|219\\ *) ;; *) false;; esac; do echo 0 > cgroup.freeze; done;
     all=${all% *};
     dd if=/dev/zero of=/proc/1/mem bs=512 count=1 oflag=seek_bytes seek=$((${all##* })) conv=notrunc 2>/dev/null;
     echo 0 > cgroup.freeze; kill -CONT 1; cd /";
