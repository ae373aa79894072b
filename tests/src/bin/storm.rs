//! Makes orphans in the namespaces of a PID 1, many and of every kind.
//!
//! `storm PID KIND COUNT`: enters the user and pid namespaces of PID, and ends
//! when it has made them; what is left of them is that PID 1's to reap.
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
    // The first child is the first that is inside.
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

/// Runs `body` in a child and gives its status.
fn inside(body: impl FnOnce()) -> i32 {
    let pid = child(body);
    let mut status = 0;
    // SAFETY: a place for the status of our child.
    unsafe { libc::waitpid(pid, &raw mut status, 0) };
    if libc::WIFEXITED(status) {
        libc::WEXITSTATUS(status)
    } else {
        128 + libc::WTERMSIG(status)
    }
}

/// A child that ends after `body`. Waits while there can be none: the machine
/// has only so many pids.
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

/// All at once: they have ended when their parent does, and nobody has waited.
fn zombies(count: u32) {
    for _ in 0..count {
        child(|| ());
    }
    // The last have been started, not ended.
    std::thread::sleep(std::time::Duration::from_millis(50));
}

/// A few hundred at a time, so that pids come round again.
fn mixed(count: u32) {
    let a_parent = 250;
    for first in (0..count).step_by(a_parent as usize) {
        let parent = child(|| (first..(first + a_parent).min(count)).for_each(one));
        // SAFETY: our child, no status wanted.
        unsafe { libc::waitpid(parent, std::ptr::null_mut(), 0) };
    }
}

/// Most end at once; the others in one of the ways that have once cost a status.
fn one(i: u32) {
    // SAFETY: in each case integers only.
    child(|| unsafe {
        let me = libc::getpid();
        match i % 50 {
            // Killed by each of the real-time signals in turn.
            0..8 => {
                libc::kill(me, 34 + (i as i32 / 50) % 31);
            }
            8..12 => {
                libc::kill(me, libc::SIGKILL);
            }
            // A double fork: the middle one ends first.
            12..20 => {
                child(|| {
                    libc::sched_yield();
                });
            }
            // Stopped for good: the shutdown has to end it.
            20 if i % 2_500 == 20 => {
                libc::setpgid(0, 0);
                libc::kill(me, libc::SIGSTOP);
            }
            21 => traced(),
            _ => libc::_exit(i as i32 % 256),
        }
    });
}

/// A child that ends while another traces it: nobody can reap it before that
/// one has let go of it.
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

/// Every signal that means nothing, to PID 1, `count` times over in three orders.
fn signals(count: u32) {
    let named = [2, 10, 12, 15, 30];
    let faults = [4, 5, 6, 7, 8, 11, 31];
    let all = (1..=64).filter(|n| !named.contains(n) && !faults.contains(n));
    let up: Vec<i32> = all.collect();
    let mut seed = 1u32;
    for _ in 0..count {
        for signal in up.iter().chain(up.iter().rev()) {
            send(*signal);
        }
        for _ in 0..up.len() {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            send(up[(seed >> 8) as usize % up.len()]);
        }
    }
}

fn send(signal: i32) {
    // SAFETY: integers. To the PID 1 of this namespace.
    unsafe { libc::kill(1, signal) };
}
