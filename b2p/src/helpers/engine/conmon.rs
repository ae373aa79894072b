// SPDX-License-Identifier: Apache-2.0
//! The machine's conmon, and other programs of its engine, distinguished from a program that only
//! has their name or their arguments.
//!
//! A process chooses its name and its arguments (proc_pid_comm(5), proc_pid_cmdline(5)), so a
//! container can have any number of processes that look like conmon. The file that a process
//! executes, and its namespaces, are known from the kernel.
#![expect(unsafe_code, reason = "nix has no wrapper for ioctl_nsfs(2)")]

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Path of conmon.
pub const CONMON: &str = "/usr/bin/conmon";
/// `NS_GET_PARENT` and `NS_GET_OWNER_UID` (linux/nsfs.h).
const NS_GET_PARENT: libc::c_ulong = 0xb702;
const NS_GET_OWNER_UID: libc::c_ulong = 0xb704;

/// Facts by which a process of the machine's engine is known.
#[derive(Debug)]
pub struct Machine {
    /// Device and inode of the program.
    program: (u64, u64),
    /// Mount namespace of the machine.
    mounts: PathBuf,
}

impl Machine {
    /// Reads the facts; `None` if there is no conmon.
    #[must_use]
    pub fn detect() -> Option<Machine> {
        Machine::of(Path::new(CONMON), Path::new("/proc/self/ns/mnt"))
    }

    /// Reads the facts of another program; `None` if there is none.
    #[must_use]
    pub fn running(program: &Path) -> Option<Machine> {
        Machine::of(program, Path::new("/proc/self/ns/mnt"))
    }

    pub(super) fn of(program: &Path, mounts: &Path) -> Option<Machine> {
        Some(Machine {
            program: file_id(program)?,
            mounts: fs::read_link(mounts).ok()?,
        })
    }

    /// Returns the user whose containers the process serves, if the process is a conmon of the
    /// machine: a conmon executes the machine's file, is in no pid namespace of a container's, and
    /// has the mounts of the machine or of a user's podman (podman-unshare(1)).
    #[must_use]
    pub fn conmon_of(&self, proc: &Path, pid: i32) -> Option<u32> {
        let dir = proc.join(pid.to_string());
        let uid = self.user_of(&dir)?;
        (self.has_mounts_of(&dir) || owns_namespace(&dir, uid)).then_some(uid)
    }

    /// Returns true if the process executes the machine's file in the machine's namespaces.
    #[must_use]
    pub fn is_machines(&self, proc: &Path, pid: i32) -> bool {
        let dir = proc.join(pid.to_string());
        self.user_of(&dir).is_some() && self.has_mounts_of(&dir)
    }

    /// Returns the user of a process that executes the machine's file, in no pid namespace of a
    /// container's.
    fn user_of(&self, dir: &Path) -> Option<u32> {
        if file_id(&dir.join("exe")) != Some(self.program) {
            return None;
        }
        let status = fs::read_to_string(dir.join("status")).ok()?;
        if field(&status, "NSpid:")?.count() != 1 {
            return None;
        }
        field(&status, "Uid:")?.next()?.parse().ok()
    }

    fn has_mounts_of(&self, dir: &Path) -> bool {
        fs::read_link(dir.join("ns/mnt")).is_ok_and(|mounts| mounts == self.mounts)
    }
}

fn file_id(path: &Path) -> Option<(u64, u64)> {
    let file = fs::metadata(path).ok()?;
    Some((file.dev(), file.ino()))
}

/// Returns the values of a line of proc_pid_status(5).
fn field<'a>(status: &'a str, name: &str) -> Option<std::str::SplitWhitespace<'a>> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.split_whitespace())
}

/// Returns true if the process is in a user namespace that the user, not root, has made in the
/// machine's.
fn owns_namespace(dir: &Path, uid: u32) -> bool {
    let Ok(namespace) = File::open(dir.join("ns/user")) else {
        return false;
    };
    let mut owner = 0u32;
    // SAFETY: an open descriptor and a valid place for the answer.
    let has_owner =
        unsafe { libc::ioctl(namespace.as_raw_fd(), NS_GET_OWNER_UID as _, &raw mut owner) == 0 };
    uid != 0 && has_owner && owner == uid && is_child_of_own(&namespace)
}

fn is_child_of_own(namespace: &File) -> bool {
    // SAFETY: an open descriptor; the answer is a descriptor without another owner.
    let parent = unsafe {
        let fd = libc::ioctl(namespace.as_raw_fd(), NS_GET_PARENT as _);
        (fd >= 0).then(|| <File as std::os::fd::FromRawFd>::from_raw_fd(fd))
    };
    let id = |file: std::io::Result<fs::Metadata>| file.ok().map(|f| (f.dev(), f.ino()));
    let parent = id(parent
        .ok_or(std::io::ErrorKind::NotFound.into())
        .and_then(|f| f.metadata()));
    parent.is_some() && parent == id(fs::metadata("/proc/self/ns/user"))
}
