// SPDX-License-Identifier: Apache-2.0
//! The service that every candidate runs, which reports the time of its first instruction, and
//! makes orphans on request.
#![expect(unsafe_code, reason = "fork, and orphans that are not copied")]

use std::arch::asm;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;

use crate::{namespaces, now};

/// File with the number of processes of this namespace, zombies included: the number falls when
/// zombies are reaped (kernel/cgroup/pids.c, pids_release).
const ALIVE: &str = "/sys/fs/cgroup/pids.current";

/// Reports its start, and obeys requests until a signal ends the process.
pub fn main(first: u64) -> i32 {
    match serve(first) {
        Ok(()) => 0,
        Err(why) => {
            eprintln!("work: {why}");
            1
        }
    }
}

fn serve(first: u64) -> std::io::Result<()> {
    let mut driver = UnixStream::connect(namespaces::SOCKET)?;
    writeln!(driver, "{first}")?;
    ready();
    for line in BufReader::new(driver.try_clone()?).lines() {
        let line = line?;
        let mut words = line.split(' ').map(|w| w.parse().unwrap_or(0));
        let (count, batch) = (words.next().unwrap_or(0), words.next().unwrap_or(0));
        writeln!(driver, "{}", storm(count, batch)?)?;
    }
    Ok(())
}

/// Reports readiness to s6, which starts services in their own directories (notifywhenup.html): the
/// file names descriptor 3.
fn ready() {
    if std::path::Path::new("notification-fd").exists() {
        // SAFETY: a live byte. Without a listener, the write fails and changes nothing.
        unsafe { libc::write(3, c"\n".as_ptr().cast(), 1) };
    }
}

/// Makes `count` orphans, `batch` per parent, and waits until all are reaped. Returns the duration
/// in nanoseconds.
fn storm(count: u64, batch: u64) -> std::io::Result<u64> {
    let file = File::open(ALIVE)?;
    let before = alive(&file)?;
    let from = now();
    for _ in 0..count / batch.max(1) {
        match batch {
            1 => wait(twice()),
            _ => wait(parent(batch)?),
        }
    }
    while alive(&file)? > before {
        // SAFETY: no arguments. PID 1 gets the processor until its next sleep.
        unsafe { libc::sched_yield() };
    }
    Ok(now() - from)
}

fn alive(file: &File) -> std::io::Result<u64> {
    let mut text = [0; 32];
    let length = file.read_at(&mut text, 0)?;
    let text = String::from_utf8_lossy(text.get(..length).unwrap_or_default()).into_owned();
    text.trim().parse().map_err(std::io::Error::other)
}

fn wait(pid: i32) {
    // SAFETY: a child of this process; its status is not needed.
    unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
}

/// Starts a child that leaves `orphans` zombies to PID 1.
fn parent(orphans: u64) -> std::io::Result<i32> {
    // SAFETY: a single-threaded process; the child ends here.
    match unsafe { libc::fork() } {
        -1 => Err(std::io::Error::last_os_error()),
        0 => {
            for _ in 0..orphans {
                once();
            }
            // SAFETY: ends the child.
            unsafe { libc::_exit(0) }
        }
        pid => Ok(pid),
    }
}

/// Flags of a clone as in vfork(2): the child shares this memory, which it does not touch, and the
/// parent waits.
const SHARED: i64 = (libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD) as i64;

/// Starts a child that ends with its first instruction; returns its pid.
fn once() -> i32 {
    let mut result = libc::SYS_clone;
    // SAFETY: the child uses neither stack nor memory, and makes one system call, exit.
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "mov eax, 60",
            "xor edi, edi",
            "syscall",
            "2:",
            inout("rax") result,
            inout("rdi") SHARED => _, in("rsi") 0, in("rdx") 0, in("r10") 0, in("r8") 0,
            out("rcx") _, out("r11") _,
        );
    }
    result as i32
}

/// Starts a child that starts another and ends, as a daemon does; returns the first one's pid.
fn twice() -> i32 {
    let mut result = libc::SYS_clone;
    // SAFETY: as in `once`; both children only make system calls.
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "mov eax, 56",
            "syscall",
            "mov eax, 60",
            "xor edi, edi",
            "syscall",
            "2:",
            inout("rax") result,
            inout("rdi") SHARED => _, in("rsi") 0, in("rdx") 0, in("r10") 0, in("r8") 0,
            out("rcx") _, out("r11") _,
        );
    }
    result as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_end_at_once_and_are_ours() {
        for child in [once(), twice(), parent(3).unwrap_or(-1)] {
            assert!(child > 0);
            let mut status = -1;
            // SAFETY: a child of this process, and a valid place for its status.
            let got = unsafe { libc::waitpid(child, &raw mut status, 0) };
            assert_eq!((got, status), (child, 0));
        }
    }
}
