// SPDX-License-Identifier: Apache-2.0
//! Makes orphans, many and of every kind, in the namespaces of a PID 1.
//!
//! `storm PID KIND COUNT` enters the user and pid namespaces of PID and ends after making COUNT
//! orphans, which that PID 1 must reap.
#![expect(unsafe_code, reason = "setns and fork")]

use std::process::exit;

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let number = |i: usize| words.get(i).and_then(|w| w.parse::<u32>().ok());
    let (Some(pid), Some(kind), Some(count)) = (number(1), words.get(2), number(3)) else {
        eprintln!("storm PID zombies|mixed|signals COUNT");
        exit(2);
    };
    enter(pid);
    // Only children of a process that called setns(2) are in the pid namespace.
    let status = inside(|| match kind.as_str() {
        "zombies" => zombies(count),
        "mixed" => mixed(count),
        "signals" => signals(count),
        _ => exit(2),
    });
    exit(status);
}

fn check(result: i64, what: &str) -> i32 {
    if result < 0 {
        eprintln!("storm: {what}: {}", std::io::Error::last_os_error());
        exit(1);
    }
    result as i32
}

fn enter(pid: u32) {
    // SAFETY: integers; a single thread.
    unsafe {
        let fd = check(libc::syscall(libc::SYS_pidfd_open, pid, 0), "pidfd_open");
        let what = libc::CLONE_NEWUSER | libc::CLONE_NEWPID;
        check(libc::setns(fd, what).into(), "setns");
        check(libc::syscall(libc::SYS_setresgid, 0, 0, 0), "setresgid");
        check(libc::syscall(libc::SYS_setresuid, 0, 0, 0), "setresuid");
    }
}

/// Runs `body` in a child and returns the child's exit status.
fn inside(body: impl FnOnce()) -> i32 {
    let pid = child(body);
    let mut status = 0;
    // SAFETY: a valid pointer for the status of a child of this process.
    unsafe { libc::waitpid(pid, &raw mut status, 0) };
    if libc::WIFEXITED(status) {
        libc::WEXITSTATUS(status)
    } else {
        128 + libc::WTERMSIG(status)
    }
}

/// Forks a child that ends after `body`. Retries while fork(2) fails, because the number of pids is
/// limited.
fn child(body: impl FnOnce()) -> i32 {
    for _ in 0..10_000 {
        // SAFETY: a single thread; the child ends here.
        match unsafe { libc::fork() } {
            -1 => std::thread::sleep(std::time::Duration::from_millis(1)),
            0 => {
                body();
                // SAFETY: ends the child.
                unsafe { libc::_exit(0) }
            }
            pid => return pid,
        }
    }
    check(-1, "fork");
    0
}

/// Leaves `count` zombies to PID 1 at the same moment: no process has waited for them when their
/// parent ends.
fn zombies(count: u32) {
    for _ in 0..count {
        child(|| ());
    }
    // The last children have been started and may not have ended yet.
    std::thread::sleep(std::time::Duration::from_millis(50));
}

/// Makes a few hundred orphans at a time, so that pids are reused.
fn mixed(count: u32) {
    let a_parent = 250;
    for first in (0..count).step_by(a_parent as usize) {
        let parent = child(|| (first..(first + a_parent).min(count)).for_each(one));
        // SAFETY: a child of this process; its status is not needed.
        unsafe { libc::waitpid(parent, std::ptr::null_mut(), 0) };
    }
}

/// Makes one orphan. Most end at once; the others end in ways that have lost a status in the past.
fn one(i: u32) {
    // SAFETY: each case passes integers only.
    child(|| unsafe {
        let me = libc::getpid();
        match i % 50 {
            // Each of the real-time signals kills one child.
            0..8 => {
                libc::kill(me, 34 + (i as i32 / 50) % 31);
            }
            8..12 => {
                libc::kill(me, libc::SIGKILL);
            }
            // The middle process of a double fork ends first.
            12..20 => {
                child(|| {
                    libc::sched_yield();
                });
            }
            // A stopped process never ends by itself; the shutdown has to end such a process.
            20 if i % 2_500 == 20 => {
                libc::setpgid(0, 0);
                libc::kill(me, libc::SIGSTOP);
            }
            21 => traced(),
            _ => libc::_exit(i as i32 % 256),
        }
    });
}

/// Makes a child that ends while another process traces it, so that it cannot be reaped before the
/// tracer detaches.
unsafe fn traced() {
    // SAFETY: integers only.
    unsafe {
        let other = child(|| {
            libc::usleep(500);
        });
        child(|| {
            libc::ptrace(libc::PTRACE_SEIZE, other, 0usize, 0usize);
            libc::usleep(1_500);
        });
    }
}

/// Sends PID 1 every signal that requests no shutdown, those of faults included, `count` times in
/// three orders.
fn signals(count: u32) {
    let named = [2, 10, 12, 15, 30];
    let up: Vec<i32> = (1..=64).filter(|n| !named.contains(n)).collect();
    let mut seed = 1u32;
    for _ in 0..count {
        for signal in up.iter().chain(up.iter().rev()) {
            send(*signal);
        }
        for _ in 0..up.len() {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let signal = up[(seed >> 8) as usize % up.len()];
            send(signal);
            queue(signal, CODES[(seed >> 16) as usize % CODES.len()]);
        }
    }
}

/// Values of `si_code` that a process may try. The kernel refuses those of faults, and `SI_TKILL`
/// (EPERM).
const CODES: [i32; 6] = [
    1,
    0x80, // SI_KERNEL
    libc::SI_TKILL,
    libc::SI_QUEUE,
    libc::SI_ASYNCIO,
    libc::SI_MESGQ,
];

fn send(signal: i32) {
    // SAFETY: integers. PID 1 of this namespace gets the signal.
    unsafe { libc::kill(1, signal) };
}

/// Sends the signal to the only thread of PID 1, and with a code of the sender's.
fn queue(signal: i32, code: i32) {
    // SAFETY: integers, and a structure that lives here.
    unsafe {
        libc::syscall(libc::SYS_tgkill, 1, 1, signal);
        let mut info: libc::siginfo_t = std::mem::zeroed();
        info.si_code = code;
        // The first word of the union is si_pid: the signal claims to be from PID 1 itself.
        (&raw mut info).cast::<i32>().add(4).write(1);
        libc::syscall(libc::SYS_rt_sigqueueinfo, 1, signal, &raw const info);
    }
}
