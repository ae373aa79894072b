// SPDX-License-Identifier: Apache-2.0
//! Limits of the listening process, which its sessions do not inherit, and a socket option.
#![expect(
    unsafe_code,
    reason = "nix has neither prlimit(2) nor TCP_INFO, SO_MEMINFO or FIONREAD"
)]

use std::fs;
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::sync::OnceLock;

use nix::errno::Errno;

/// Number of values of `SO_MEMINFO` (SK_MEMINFO_VARS); the first is SK_MEMINFO_RMEM_ALLOC.
const MEMINFO_VALUES: usize = 9;

/// Limit of open files before [`raise`].
static OPEN_FILES: OnceLock<libc::rlimit> = OnceLock::new();

/// Lets this process have `files` open files, and be the last that is killed where memory runs
/// out, as sshd does for its listener.
///
/// # Errors
/// The errno of prlimit(2).
pub fn raise(files: u64) -> nix::Result<()> {
    let mut old = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the kernel writes one rlimit to the address.
    Errno::result(unsafe {
        libc::prlimit(0, libc::RLIMIT_NOFILE, std::ptr::null(), &raw mut old)
    })?;
    let new = libc::rlimit {
        rlim_cur: files.min(old.rlim_max),
        ..old
    };
    set_open_files(0, &new)?;
    let _ = OPEN_FILES.set(old);
    let _ = fs::write("/proc/self/oom_score_adj", "-1000");
    Ok(())
}

/// Gives a session the limit from before [`raise`], because programs of its user inherit the limit.
pub fn restore(pid: i32) {
    if let Some(limit) = OPEN_FILES.get() {
        let _ = set_open_files(pid, limit);
    }
    let _ = fs::write(format!("/proc/{pid}/oom_score_adj"), "0");
}

fn set_open_files(pid: i32, limit: &libc::rlimit) -> nix::Result<()> {
    // SAFETY: the kernel reads one rlimit.
    Errno::result(unsafe { libc::prlimit(pid, libc::RLIMIT_NOFILE, limit, std::ptr::null_mut()) })
        .map(drop)
}

/// Returns the times and counters of a connection (tcp(7), TCP_INFO).
///
/// # Errors
/// The errno of getsockopt(2).
pub fn tcp_info(stream: &TcpStream) -> nix::Result<libc::tcp_info> {
    // SAFETY: all zero is a valid value of a struct of integers.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut length = size_of_val(&info) as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes to `info`.
    Errno::result(unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &raw mut length,
        )
    })
    .map(|_| info)
}

/// Returns the memory in bytes of data that has arrived and is unread (`SO_MEMINFO`,
/// linux/sock_diag.h). Packets that wait for an earlier one count, and their headers.
///
/// # Errors
/// The errno of getsockopt(2).
pub fn receive_memory(stream: &TcpStream) -> nix::Result<u32> {
    let mut info = [0_u32; MEMINFO_VALUES];
    let mut length = size_of_val(&info) as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes to `info`.
    Errno::result(unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        )
    })?;
    Ok(info[0])
}

/// Returns the number of bytes that have arrived and are unread (tcp(7), FIONREAD).
///
/// # Errors
/// The errno of ioctl(2).
pub fn unread(stream: &TcpStream) -> nix::Result<usize> {
    let mut count: libc::c_int = 0;
    // SAFETY: the kernel writes one int to the address.
    Errno::result(unsafe { libc::ioctl(stream.as_raw_fd(), libc::FIONREAD, &raw mut count) })?;
    Ok(usize::try_from(count).unwrap_or(0))
}
