//! When PID 1 itself fails: say so, and go on as little more than a reaper.
//!
//! The kernel panics when PID 1 ends, so it must not: a Rust panic and a fault
//! signal both end in an exec of our own binary, which keeps the pid, the
//! children and every running service, and comes up with nothing but reaping,
//! signals, the API's socket and a rescue shell. Nothing here allocates or takes a lock: with
//! `panic=abort` and in a signal handler this is the last code of its program.
#![expect(unsafe_code, reason = "signal handlers, exec without allocation")]

use std::fmt::Write;
use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

/// The word that tells the new program how often this has happened.
pub const WORD: &str = "--after-crash";
/// So often a new start is tried; then PID 1 waits for a person's reset.
const MOST: u8 = 3;

/// How many crashes came before this program.
static BEFORE: AtomicU8 = AtomicU8::new(0);
/// When this program started, in seconds of `CLOCK_BOOTTIME`.
static SINCE: AtomicU32 = AtomicU32::new(0);
/// Having run so long, a program has not crashed because of how it started.
const HEALTHY_S: u32 = 600;

/// Installs hook and handlers. `before`: the crashes so far.
pub fn guard(before: u8) {
    BEFORE.store(before, Ordering::Relaxed);
    SINCE.store(seconds(), Ordering::Relaxed);
    std::panic::set_hook(Box::new(last_words));
    let action = handler();
    for signal in [
        libc::SIGSEGV,
        libc::SIGBUS,
        libc::SIGILL,
        libc::SIGFPE,
        libc::SIGABRT,
        libc::SIGTRAP,
        libc::SIGSYS,
    ] {
        // SAFETY: `action` is initialised; the alternate stack is std's own.
        unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) };
    }
}

fn handler() -> libc::sigaction {
    // SAFETY: plain data; zero is an empty mask and no flags.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = on_fault as *const () as libc::sighandler_t;
    // ONSTACK: the fault may be an overflow of the stack. RESETHAND: a second
    // fault inside the handler must not come back here.
    action.sa_flags = libc::SA_ONSTACK | libc::SA_RESETHAND;
    action
}

extern "C" fn on_fault(signal: libc::c_int) {
    let mut text = Text::new();
    let _ = write!(text, "<2>boot2podman: PID 1 got signal {signal}");
    go_on(&mut text);
}

fn last_words(info: &PanicHookInfo<'_>) {
    let mut text = Text::new();
    let _ = write!(text, "<2>boot2podman: PID 1 panicked: {info}");
    go_on(&mut text);
}

/// Writes the text and execs ourselves; returns only outside of PID 1.
fn go_on(text: &mut Text) {
    text.end();
    // SAFETY: live buffers, constant C strings, integers.
    unsafe {
        let kmsg = libc::open(c"/dev/kmsg".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        let fd = if kmsg >= 0 { kmsg } else { 2 };
        libc::write(fd, text.bytes.as_ptr().cast(), text.length);
        if libc::getpid() != 1 {
            return; // a child or a test: let it abort
        }
        // Crashes long apart are not a loop.
        let healthy = seconds().saturating_sub(SINCE.load(Ordering::Relaxed)) >= HEALTHY_S;
        let before = if healthy {
            0
        } else {
            BEFORE.load(Ordering::Relaxed)
        };
        let count = before.saturating_add(1);
        if count <= MOST {
            let digit = [b'0' + count, 0];
            let argv = [
                c"init".as_ptr(),
                c"--after-crash".as_ptr(),
                digit.as_ptr().cast(),
                std::ptr::null(),
            ];
            let envp = [std::ptr::null()];
            libc::execve(c"/proc/1/exe".as_ptr(), argv.as_ptr(), envp.as_ptr());
        }
        stay()
    }
}

/// Nothing left but to reap and to end the machine when asked: the services go
/// on without us.
///
/// # Safety
/// Only async-signal-safe calls: it runs in a signal handler.
unsafe fn stay() -> ! {
    // SAFETY: local buffers and integers only.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        for (signal, _) in ENDS {
            libc::sigaddset(&raw mut set, *signal);
        }
        loop {
            while libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) > 0 {}
            let second = libc::timespec {
                tv_sec: 1,
                tv_nsec: 0,
            };
            let got = libc::sigtimedwait(&raw const set, std::ptr::null_mut(), &raw const second);
            if let Some((_, how)) = ENDS.iter().find(|(signal, _)| *signal == got) {
                libc::sync();
                libc::reboot(*how);
            }
        }
    }
}

/// What ends the machine even then: signals::MEANING without its order.
const ENDS: &[(libc::c_int, libc::c_int)] = &[
    (libc::SIGINT, libc::RB_AUTOBOOT),
    (libc::SIGTERM, libc::RB_AUTOBOOT),
    (libc::SIGUSR1, libc::RB_HALT_SYSTEM),
    (libc::SIGUSR2, libc::RB_POWER_OFF),
    (libc::SIGPWR, libc::RB_POWER_OFF),
];

fn seconds() -> u32 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: a valid structure to write to.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut now) };
    u32::try_from(now.tv_sec).unwrap_or(0)
}

/// A message of bounded length, without allocation.
struct Text {
    bytes: [u8; 512],
    length: usize,
}

impl Text {
    fn new() -> Text {
        Text {
            bytes: [0; 512],
            length: 0,
        }
    }

    /// Ends in a newline: without one the kernel log holds the record back.
    fn end(&mut self) {
        let last = self.length.min(self.bytes.len() - 1);
        self.bytes[last] = b'\n';
        self.length = last + 1;
    }
}

impl Write for Text {
    fn write_str(&mut self, s: &str) -> std::fmt::Result {
        for byte in s.bytes() {
            let Some(place) = self.bytes.get_mut(self.length) else {
                return Ok(());
            };
            *place = if byte == b'\n' { b' ' } else { byte };
            self.length += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_is_one_bounded_line() {
        let mut text = Text::new();
        let _ = write!(text, "a\n{}", "x".repeat(5000));
        assert_eq!(text.length, 512);
        assert!(!text.bytes.contains(&b'\n'));
        text.end();
        assert!(text.bytes.ends_with(b"\n") && text.length == 512);
    }
}
