// SPDX-License-Identifier: Apache-2.0
//! System calls that nix has no safe wrapper for, or whose wrapper needs more of nix or of libc than PID 1 has.
#![expect(unsafe_code, reason = "each with its SAFETY note")]

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::fcntl::OFlag;
use nix::poll::PollFlags;

use crate::poll::poll_one;

/// Fills `bytes` with random bytes without waiting for entropy, and returns true if there were
/// enough (getrandom(2), `GRND_NONBLOCK`).
pub fn getrandom_nonblocking(bytes: &mut [u8]) -> bool {
    // SAFETY: pointer and length of a live buffer. The system call is made directly,
    // because std declares libc's function as a weak symbol, which rust-lld resolves to null in a static program.
    let count = unsafe {
        libc::syscall(
            libc::SYS_getrandom,
            bytes.as_mut_ptr(),
            bytes.len(),
            libc::GRND_NONBLOCK,
        )
    };
    usize::try_from(count) == Ok(bytes.len())
}

/// Lets a process run only when no other process wants to (sched(7), SCHED_IDLE). A failure leaves the
/// ordinary policy.
pub fn set_sched_idle(pid: libc::pid_t) {
    // SAFETY: a valid structure. The system call is made directly, because musl's function refuses: POSIX
    // defines the call for processes, and Linux for threads.
    unsafe {
        let parameters: libc::sched_param = std::mem::zeroed();
        libc::syscall(
            libc::SYS_sched_setscheduler,
            pid,
            libc::SCHED_IDLE,
            &raw const parameters,
        );
    }
}

/// Returns the number of processors (sysconf(3)).
#[must_use]
pub fn online_processors() -> i64 {
    // SAFETY: an integer only.
    unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) }
}

/// Expedites RCU grace periods, at the price of interrupting every processor, or makes them normal
/// again (Documentation/RCU/checklist.rst; Android boots this way). Module loading, mounts and
/// cgroups each wait for one.
pub fn expedite_rcu(on: bool) {
    if !in_initial_namespaces() {
        return;
    }
    let _ = std::fs::write("/sys/kernel/rcu_expedited", if on { "1" } else { "0" });
}

/// Returns true in the initial user namespace, whose root may load modules (user_namespaces(7)).
/// Without a /proc, the answer is true.
#[must_use]
pub fn in_initial_user_namespace() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.is_empty() || map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// Returns true in the machine's own init, and false in the init of a namespace, which may have the
/// right to undo the machine's settings.
#[must_use]
pub fn in_initial_namespaces() -> bool {
    is_pid_namespace_initial() == Some(true) && in_initial_user_namespace()
}

/// Returns true if the pid namespace is known to be another than the machine's.
#[must_use]
pub fn in_other_pid_namespace() -> bool {
    is_pid_namespace_initial() == Some(false)
}

/// Compares the pid namespace with the initial one (include/linux/proc_ns.h, `PROC_PID_INIT_INO`); `None`
/// without /proc. Needs no memory.
fn is_pid_namespace_initial() -> Option<bool> {
    let mut name = [0u8; 32];
    let (path, buffer) = (c"/proc/self/ns/pid".as_ptr(), name.as_mut_ptr().cast());
    // SAFETY: a NUL-terminated path, and pointer and length of a live buffer.
    let length = unsafe { libc::readlink(path, buffer, name.len()) };
    let name = name.get(..usize::try_from(length).ok()?)?;
    Some(name == b"pid:[4026531836]")
}

/// Sends a signal to every process but PID 1 and the caller (kill(2), pid -1).
pub fn signal_all_processes(signal: libc::c_int) {
    // SAFETY: integers only.
    unsafe { libc::kill(-1, signal) };
}

/// Writes the file system of `file` to its disk, and waits until all data is written (syncfs(2)).
///
/// # Errors
/// A write failed, now or since the file was opened.
pub fn syncfs(file: &std::fs::File) -> std::io::Result<()> {
    // SAFETY: an open descriptor.
    match unsafe { libc::syncfs(file.as_raw_fd()) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// Ends this process, a child of PID 1, with `status`.
pub fn exit(status: i32) -> ! {
    // SAFETY: ends the process; no exit handler must run.
    unsafe { libc::_exit(status) }
}

/// Stops swapping to this file or device (swapoff(2)).
///
/// # Errors
/// The path is not in use as swap, or the memory does not suffice.
pub fn swapoff(path: &CStr) -> std::io::Result<()> {
    // SAFETY: a NUL-terminated string.
    match unsafe { libc::swapoff(path.as_ptr()) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// Swaps to this file or device (swapon(2)), before those of lower priority; without a priority,
/// after those that are in use.
///
/// # Errors
/// The path has no swap signature, or is in use.
pub fn swapon(path: &CStr, priority: Option<u8>) -> std::io::Result<()> {
    const PREFER: libc::c_int = 0x8000; // SWAP_FLAG_PREFER
    let flags = priority.map_or(0, |p| PREFER | libc::c_int::from(p));
    // SAFETY: a NUL-terminated string.
    match unsafe { libc::swapon(path.as_ptr(), flags) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// Detaches the file of a loop device (loop(4), LOOP_CLR_FD).
///
/// # Errors
/// The device has no file.
pub fn loop_clear_fd(device: &std::fs::File) -> std::io::Result<()> {
    const LOOP_CLR_FD: libc::c_ulong = 0x4C01;
    // SAFETY: the request takes no argument.
    match unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CLR_FD as _, 0) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// A process, identified by a pidfd: the number of a process that has ended may be another's.
#[derive(Debug)]
pub struct Process {
    pidfd: OwnedFd,
}

impl Process {
    /// Opens the process that has the number now (pidfd_open(2)); `None` if there is none, or no room for a
    /// descriptor.
    #[must_use]
    pub fn open(pid: libc::pid_t) -> Option<Process> {
        // SAFETY: integers only; the kernel returns a new descriptor, which nobody else owns.
        unsafe {
            let fd = libc::syscall(libc::SYS_pidfd_open, pid, 0);
            let fd = i32::try_from(fd).ok().filter(|fd| *fd >= 0)?;
            let pidfd = OwnedFd::from_raw_fd(fd);
            Some(Process { pidfd })
        }
    }

    /// Sends a signal; a process that has ended is no error.
    pub fn signal(&self, signal: libc::c_int) {
        signal_pidfd(self.pidfd.as_fd(), signal);
    }
}

fn signal_pidfd(pidfd: BorrowedFd<'_>, signal: libc::c_int) {
    let none = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a pidfd and integers; a process that has ended is no error.
    unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            none,
            0,
        )
    };
}

/// A child of this process, identified by a pidfd: a pid could be another process's once the child
/// is reaped (pidfd_open(2)).
#[derive(Debug)]
pub struct Child {
    pidfd: OwnedFd,
    pid: libc::pid_t,
}

impl Child {
    /// Waits for the child's end for at most `ms` milliseconds. The child is reaped where orphans
    /// are reaped.
    #[must_use]
    pub fn exited_within(&self, ms: i32) -> bool {
        poll_one(self.as_fd(), PollFlags::POLLIN, ms)
    }

    /// Returns the pid, which is the child's until the child is reaped.
    #[must_use]
    pub fn pid(&self) -> libc::pid_t {
        self.pid
    }

    /// Sends the child SIGKILL.
    pub fn kill(&self) {
        signal_pidfd(self.pidfd.as_fd(), libc::SIGKILL);
    }

    /// Returns the exit status once the child has ended, for a caller that reaps no other children;
    /// PID 1 has one waiter, which reaps all. `None` if a signal killed the child.
    #[must_use]
    pub fn exit_status(&self) -> Option<i32> {
        // SAFETY: siginfo_t is plain data; the descriptor is a pidfd.
        unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            let id = self.pidfd.as_raw_fd().unsigned_abs();
            let got = libc::waitid(
                libc::P_PIDFD,
                id,
                &raw mut info,
                libc::WEXITED | libc::WNOHANG,
            );
            (got == 0 && info.si_code == libc::CLD_EXITED).then(|| info.si_status())
        }
    }
}

impl AsFd for Child {
    /// Readable once the child has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

/// Runs `work` in a child that has only the standard descriptors and the log's; `None` if there
/// could be none. For calls that may take long or never return, which PID 1 must not wait for.
///
/// The child may outlive descriptors that its parent closes: with a copy of a listening socket,
/// clients of a service that is gone would connect and wait for ever.
pub fn in_child(work: impl FnOnce()) -> Option<Child> {
    in_child_with(&[], work)
}

/// Runs `work` as [`in_child`] does, with these descriptors besides.
pub fn in_child_with(descriptors: &[BorrowedFd<'_>], work: impl FnOnce()) -> Option<Child> {
    let kept = descriptors.iter().copied().chain(crate::kmsg::descriptor());
    let closed = ranges_without(kept.map(|fd| fd.as_raw_fd().unsigned_abs()).collect());
    // SAFETY: PID 1 is single-threaded, so the child's copy of the heap and of every lock is
    // consistent; the child ends here in any case, and drops no owner of a closed descriptor but the
    // owners in `work` itself. The kernel has written the descriptor before the parent continues.
    unsafe {
        let (pid, pidfd) = fork_with_pidfd();
        if pid == 0 {
            // With PID 1's mask, the child would ignore SIGTERM.
            let mut none: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut none);
            libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
            for (first, last) in closed {
                libc::syscall(libc::SYS_close_range, first, last, 0);
            }
            work();
            libc::_exit(0)
        }
        if pid < 0 {
            log::error!("a child for slow work: {}", std::io::Error::last_os_error());
            return None;
        }
        let pidfd = OwnedFd::from_raw_fd(pidfd);
        Some(Child { pidfd, pid })
    }
}

/// Closes sockets, of which a child is the last owner. Descriptors that clients have sent, and that were not
/// received, are closed with a socket, and such an end may wait for ever: for a peer that reads nothing
/// (SO_LINGER, socket(7)), or for a server of FUSE. A process that ends lingers for none.
pub fn close_in_child(sockets: Vec<OwnedFd>) {
    if sockets.is_empty() {
        return;
    }
    let Ok((closed, open)) = nix::unistd::pipe2(OFlag::O_CLOEXEC) else {
        return;
    };
    let kept = sockets.iter().map(AsFd::as_fd).chain([closed.as_fd()]);
    let wait_for_parent = || {
        let _ = nix::unistd::read(&closed, &mut [0]);
    };
    in_child_with(&kept.collect::<Vec<_>>(), wait_for_parent);
    drop(sockets);
    // The end of the pipe: the child is the last owner now.
    drop(open);
}

/// Forks, and returns the pid and the child's pidfd by one call (clone(2), `CLONE_PIDFD`): after fork(2), a
/// pidfd_open(2) that fails would leave a child at work that the caller takes for none. In the child the pid is 0;
/// on an error the pid is -1. The call is clone(2), because a container's seccomp filter may refuse clone3(2),
/// whose flags it cannot see.
///
/// # Safety
/// The process has one thread, as for fork(2).
unsafe fn fork_with_pidfd() -> (libc::pid_t, RawFd) {
    let mut pidfd: RawFd = -1;
    let (flags, none) = (libc::CLONE_PIDFD | libc::SIGCHLD, std::ptr::null::<u8>());
    // SAFETY: no separate stack, nothing else that a child may have, and a place for the descriptor that lives
    // until the call returns.
    let pid = unsafe {
        let flags = libc::c_long::from(flags);
        libc::syscall(libc::SYS_clone, flags, none, &raw mut pidfd, none, none)
    };
    (pid as libc::pid_t, pidfd)
}

/// Returns the ranges of descriptors above the standard ones without those in `kept`, first and last
/// of each (close_range(2)).
fn ranges_without(mut kept: Vec<u32>) -> Vec<(u32, u32)> {
    const FIRST: u32 = 3;
    kept.retain(|fd| *fd >= FIRST);
    crate::sort::sort(&mut kept);
    let firsts = std::iter::once(FIRST).chain(kept.iter().map(|fd| fd + 1));
    let lasts = kept.iter().map(|fd| fd - 1).chain([u32::MAX]);
    let ranges = firsts.zip(lasts);
    ranges.filter(|(first, last)| first <= last).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn ranges_leave_out_what_is_kept() {
        for (kept, ranges) in [
            (&[][..], &[(3, u32::MAX)][..]),
            (&[0, 2], &[(3, u32::MAX)]),
            (&[3], &[(4, u32::MAX)]),
            (&[9, 4], &[(3, 3), (5, 8), (10, u32::MAX)]),
            (&[5, 4, 4], &[(3, 3), (6, u32::MAX)]),
        ] {
            assert_eq!(ranges_without(kept.to_vec()), ranges, "{kept:?}");
        }
    }

    #[test]
    fn a_child_has_only_the_descriptors_that_are_named() {
        let (closed, closed_peer) = UnixStream::pair().unwrap();
        let (mut kept, kept_peer) = UnixStream::pair().unwrap();
        let child = in_child_with(&[kept_peer.as_fd()], || {
            let _ = (&kept_peer).read_exact(&mut [0]);
            exit(7)
        });
        let child = child.unwrap();
        drop(closed_peer);
        // End of file, although the child runs.
        assert!(poll_one(closed.as_fd(), PollFlags::POLLIN, 10_000));
        assert!(!child.exited_within(0));
        kept.write_all(b"x").unwrap();
        assert!(child.exited_within(10_000));
        assert_eq!(child.exit_status(), Some(7));
    }
}
