// SPDX-License-Identifier: Apache-2.0
//! System calls that PID 1 makes, and the errnos with which the kernel may answer.
//!
//! The errnos are those that man pages and the kernel's source give for a call with PID 1's
//! arguments. A call that is not listed cannot fail in this way.

use std::ffi::c_int;

use libc::{
    E2BIG, EACCES, EAGAIN, EBADF, EBUSY, EEXIST, EINTR, EINVAL, EIO, ELOOP, EMFILE, ENFILE,
    ENOBUFS, ENODEV, ENOENT, ENOEXEC, ENOMEM, ENOSPC, ENOSYS, ENOTDIR, EPERM, EROFS,
};

/// Name, number, errnos, and the reason why the errnos are plausible.
type Row = (&'static str, i64, &'static [c_int], &'static str);

macro_rules! rows {
    ($($name:ident: [$($errno:ident),*] $why:literal,)*) => {
        &[$((stringify!($name), libc::$name, &[$($errno),*], $why),)*]
    };
}

/// Every listed call. arm64 has no `open`, `fork`, `poll` and the like.
#[rustfmt::skip]
const ROWS: &[Row] = rows! {
    SYS_openat: [ENOENT, EACCES, EMFILE, ENFILE, ENOMEM, EIO, ELOOP, ENODEV] "not there, not allowed, too many, no memory, a bad disk, a device without a driver",
    SYS_openat2: [ENOENT, ENOSYS, EMFILE] "as openat; older than 5.6",
    SYS_read: [EIO, EINTR, EAGAIN, ENOMEM] "a bad disk; a /proc file without memory",
    SYS_pread64: [EIO, EINTR] "a bad disk",
    SYS_write: [ENOSPC, EIO, EAGAIN, EINVAL, EPERM] "a full disk, a full pipe; a setting that the kernel refuses",
    SYS_writev: [ENOSPC, EIO, EAGAIN] "as write",
    SYS_close: [EIO, EINTR] "what was written late",
    SYS_statx: [ENOENT, EACCES, ENOMEM, ELOOP, EIO, ENOSYS] "not there; older than 4.11, or a sandbox",
    SYS_newfstatat: [ENOENT, EACCES, ENOMEM, EIO] "not there",
    SYS_fstat: [EIO, ENOMEM] "a bad disk",
    SYS_statfs: [ENOENT, EIO, ENOMEM, ENOSYS] "not there, a dead mount",
    SYS_fstatfs: [EIO, ENOMEM] "a dead mount",
    SYS_getdents64: [EIO, ENOMEM, ENOENT] "a bad disk; the directory has gone",
    SYS_readlinkat: [ENOENT, EACCES, EINVAL, ENOMEM] "not there, no link",
    SYS_mkdirat: [EEXIST, ENOSPC, EROFS, EACCES, ENOMEM, ENOTDIR] "full, read-only",
    SYS_unlinkat: [ENOENT, EBUSY, EROFS, EACCES, EIO] "a mount point, read-only",
    SYS_symlinkat: [EEXIST, ENOSPC, EROFS, EACCES] "full, read-only",
    SYS_renameat: [ENOSPC, EROFS, EIO, ENOMEM] "full, read-only",
    SYS_renameat2: [ENOSPC, EROFS, EINVAL] "full, read-only",
    SYS_mknodat: [EPERM, EEXIST, ENOSPC, EROFS] "a namespace may not",
    SYS_fchmodat: [EPERM, EROFS, ENOENT] "read-only",
    SYS_fchmod: [EPERM, EROFS] "read-only",
    SYS_fchownat: [EPERM, EROFS, EINVAL] "a user that this namespace has not",
    SYS_ftruncate: [EIO, ENOSPC, EINVAL] "full",
    SYS_fsync: [EIO, ENOSPC] "a bad disk",
    SYS_mount: [EPERM, EBUSY, EINVAL, ENODEV, ENOMEM, ENOSPC, ENOENT] "not allowed, there already, unknown, too many mounts",
    SYS_umount2: [EBUSY, EINVAL, EPERM] "in use",
    SYS_chdir: [ENOENT, EACCES, ENOMEM] "not there",
    SYS_clone: [EAGAIN, ENOMEM, ENOSPC, EPERM] "too many processes",
    SYS_clone3: [ENOSYS, EAGAIN, ENOMEM] "too many processes; older than 5.3",
    SYS_execve: [ENOENT, EACCES, ENOMEM, E2BIG, EIO] "no such program",
    SYS_wait4: [EINTR, EINVAL] "a signal",
    SYS_waitid: [EINTR, EINVAL] "a signal",
    SYS_kill: [EPERM, EINVAL] "not allowed",
    SYS_pidfd_open: [EMFILE, ENFILE, ENOMEM, ENOSYS, EINVAL] "too many; older than 5.3",
    SYS_pidfd_send_signal: [EPERM, ENOSYS] "older than 5.1",
    SYS_mmap: [ENOMEM, EAGAIN] "no memory",
    SYS_brk: [ENOMEM] "no memory",
    SYS_mremap: [ENOMEM] "no memory",
    SYS_madvise: [EINVAL, EAGAIN] "advice is not taken",
    SYS_sigaltstack: [ENOMEM, EPERM] "too small for this processor's registers",
    SYS_signalfd4: [EMFILE, ENFILE, ENOMEM, ENODEV] "too many, no memory",
    SYS_timerfd_create: [EMFILE, ENFILE, ENOMEM] "too many, no memory",
    SYS_timerfd_settime: [EINVAL] "a time that cannot be",
    SYS_epoll_create1: [EMFILE, ENFILE, ENOMEM] "too many, no memory",
    SYS_epoll_ctl: [ENOMEM, ENOSPC] "no memory",
    SYS_epoll_pwait: [EINTR] "a signal",
    SYS_eventfd2: [EMFILE, ENOMEM] "too many, no memory",
    SYS_memfd_create: [EMFILE, ENOMEM, ENOSYS] "too many, no memory",
    SYS_ppoll: [EINTR, ENOMEM, EINVAL] "a signal, no memory, more than RLIMIT_NOFILE",
    SYS_socket: [EMFILE, ENFILE, ENOBUFS, ENOMEM, EACCES, EINVAL] "too many, a family that this kernel has not",
    SYS_bind: [EACCES, ENOENT, EROFS, ENOSPC, EINVAL, EPERM] "a read-only or full file system",
    SYS_listen: [EINVAL] "not bound",
    SYS_accept4: [EAGAIN, EMFILE, ENFILE, ENOMEM, EINTR] "gone again, too many",
    SYS_setsockopt: [ENOMEM, EPERM] "no memory",
    SYS_getsockopt: [ENOBUFS] "no memory",
    SYS_getsockname: [ENOBUFS] "no memory",
    SYS_sendto: [EAGAIN, ENOBUFS, ENOMEM] "full",
    SYS_sendmsg: [EAGAIN, ENOBUFS] "full",
    SYS_recvfrom: [EAGAIN, ENOBUFS, EINTR] "nothing there; messages were lost",
    SYS_recvmsg: [EAGAIN, ENOBUFS, EINTR] "nothing there",
    SYS_pipe2: [EMFILE, ENFILE, ENOMEM] "too many",
    SYS_dup: [EMFILE] "too many",
    SYS_dup3: [EMFILE, EBUSY] "too many",
    SYS_fcntl: [EMFILE, EINVAL, EBADF] "too many",
    SYS_ioctl: [ENODEV, EPERM, EINVAL, EIO] "a device without such a thing",
    SYS_getrandom: [EAGAIN, ENOSYS, EINTR] "not seeded yet; older than 3.17",
    SYS_clock_gettime: [EINVAL] "a clock that this kernel has not",
    SYS_clock_settime: [EPERM, EINVAL] "not allowed",
    SYS_clock_nanosleep: [EINTR] "a signal",
    SYS_nanosleep: [EINTR] "a signal",
    SYS_rt_sigtimedwait: [EAGAIN, EINTR] "nothing there",
    SYS_sethostname: [EPERM, EINVAL] "not allowed",
    SYS_uname: [EIO] "a sandbox",
    SYS_sysinfo: [EIO] "a sandbox",
    SYS_prctl: [EINVAL, EPERM] "older than the option",
    SYS_prlimit64: [EPERM, EINVAL] "not allowed",
    SYS_sched_setscheduler: [EPERM, EINVAL] "not allowed",
    SYS_setpriority: [EACCES, EPERM] "not allowed",
    SYS_setns: [EPERM, EINVAL] "not allowed",
    SYS_unshare: [EPERM, ENOSPC] "not allowed",
    SYS_chroot: [EPERM] "not allowed",
    SYS_pivot_root: [EINVAL, EPERM] "the rootfs",
    SYS_finit_module: [EPERM, ENOENT, ENOMEM] "not allowed",
    SYS_init_module: [EPERM, ENOEXEC, ENOMEM] "not allowed, not of this kernel",
    SYS_swapon: [EPERM] "not allowed",
    SYS_swapoff: [EPERM, EINVAL] "not swap",
    SYS_reboot: [EPERM, EINVAL] "not allowed, not known",
    SYS_utimensat: [EPERM, EROFS] "read-only",
    SYS_fallocate: [ENOSPC, EINVAL] "full",
};

/// Calls of x86-64 that newer architectures lack.
#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
const OLD: &[Row] = rows! {
    SYS_open: [ENOENT, EACCES, EMFILE, ENFILE, ENOMEM, EIO, ELOOP, ENODEV] "as openat",
    SYS_stat: [ENOENT, EACCES, ENOMEM, EIO] "not there",
    SYS_lstat: [ENOENT, EACCES, ENOMEM, EIO] "not there",
    SYS_readlink: [ENOENT, EACCES, EINVAL, ENOMEM] "not there, no link",
    SYS_mkdir: [EEXIST, ENOSPC, EROFS, EACCES, ENOMEM, ENOTDIR] "full, read-only",
    SYS_rmdir: [ENOENT, EBUSY, EROFS] "in use",
    SYS_unlink: [ENOENT, EBUSY, EROFS, EACCES, EIO] "a mount point, read-only",
    SYS_symlink: [EEXIST, ENOSPC, EROFS, EACCES] "full, read-only",
    SYS_rename: [ENOSPC, EROFS, EIO, ENOMEM] "full, read-only",
    SYS_mknod: [EPERM, EEXIST, ENOSPC, EROFS] "a namespace may not",
    SYS_chmod: [EPERM, EROFS, ENOENT] "read-only",
    SYS_chown: [EPERM, EROFS, EINVAL] "a user that this namespace has not",
    SYS_access: [ENOENT, EACCES] "not there",
    SYS_fork: [EAGAIN, ENOMEM] "too many processes",
    SYS_vfork: [EAGAIN, ENOMEM] "too many processes",
    SYS_poll: [EINTR, ENOMEM, EINVAL] "a signal, no memory, more than RLIMIT_NOFILE",
    SYS_dup2: [EMFILE, EBUSY] "too many",
    SYS_pause: [EINTR] "a signal",
};
#[cfg(not(target_arch = "x86_64"))]
const OLD: &[Row] = &[];

fn row(number: i64) -> Option<&'static Row> {
    ROWS.iter().chain(OLD).find(|r| r.1 == number)
}

/// Returns the name of a call, or the number of a call that is not listed.
pub fn name(number: i64) -> String {
    let name = row(number).map(|r| r.0.trim_start_matches("SYS_"));
    name.map_or_else(|| format!("#{number}"), str::to_owned)
}

/// Returns the errnos of a call; empty for a call that cannot fail.
pub fn errnos(number: i64) -> &'static [c_int] {
    row(number).map_or(&[], |r| r.2)
}

/// Calls that need a resource that can run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Memory: heap, mappings, processes.
    Memory,
    /// Descriptors.
    Descriptors,
    /// Processes.
    Processes,
    /// Space on file systems.
    Room,
}

impl Class {
    /// Every class.
    pub const ALL: [Class; 4] = [
        Class::Memory,
        Class::Descriptors,
        Class::Processes,
        Class::Room,
    ];

    /// Returns the errno of the class.
    pub fn errno(self) -> c_int {
        match self {
            Class::Memory => ENOMEM,
            Class::Descriptors => EMFILE,
            Class::Processes => EAGAIN,
            Class::Room => ENOSPC,
        }
    }

    /// Returns true if a call belongs to the class. PID 1 can log as long as it has a descriptor
    /// for the log, so `write` does not.
    pub fn has(self, number: i64) -> bool {
        let name = name(number);
        let names: &[&str] = match self {
            Class::Memory => &["mmap", "brk", "mremap", "clone", "clone3", "fork", "vfork"],
            Class::Descriptors => &[
                "open",
                "openat",
                "openat2",
                "socket",
                "accept4",
                "pipe2",
                "dup",
                "signalfd4",
                "timerfd_create",
                "epoll_create1",
                "eventfd2",
                "memfd_create",
                "pidfd_open",
            ],
            Class::Processes => &["clone", "clone3", "fork", "vfork"],
            Class::Room => &[
                "mkdir",
                "mkdirat",
                "symlink",
                "symlinkat",
                "rename",
                "renameat",
                "renameat2",
                "mknod",
                "mknodat",
                "bind",
                "ftruncate",
                "fallocate",
            ],
        };
        names.contains(&name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_errnos_and_a_reason_and_is_unique() {
        let mut numbers: Vec<i64> = ROWS.iter().chain(OLD).map(|r| r.1).collect();
        for (name, _, errnos, why) in ROWS.iter().chain(OLD) {
            assert!(!errnos.is_empty() && !why.is_empty(), "{name}");
        }
        let count = numbers.len();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), count);
    }

    #[test]
    fn calls_that_can_run_out_of_resources_are_in_the_table() {
        assert!(Class::Memory.has(libc::SYS_mmap) && !Class::Memory.has(libc::SYS_read));
        assert!(errnos(libc::SYS_exit_group).is_empty());
        assert_eq!(name(libc::SYS_mount), "mount");
    }
}
