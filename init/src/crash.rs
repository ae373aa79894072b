//! When PID 1 itself fails: say so, and go on as little more than a reaper.
//!
//! The kernel panics when PID 1 ends, so it must not: a Rust panic and a fault
//! signal both end in an exec of our own binary, which keeps the pid, the
//! children and every running service, and comes up with nothing but reaping,
//! signals, the API's socket and a rescue shell. Nothing here allocates or takes a lock: with
//! `panic=abort` and in a signal handler this is the last code of its program.
#![expect(unsafe_code, reason = "signal handlers, exec without allocation")]

use std::cell::UnsafeCell;
use std::ffi::CStr;
use std::fmt::Write;
use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use control::ShutdownKind;
use sys::signals::{FAULT_SIGNALS, shutdown_signals};

/// The name that the new program is called by: the kernel calls PID 1 by its
/// path, so no word of the kernel's command line can be taken for ours.
const ARGV0: &CStr = c"init";
/// The word that tells it how often this has happened.
const CRASH_ARGUMENT: &CStr = c"--after-crash";
/// Where our own program is; the first also where it has been replaced.
const OWN_BINARY: [&CStr; 3] = [c"/proc/1/exe", c"/usr/lib/boot2podman/init", c"/init"];
/// What stands in for a standard descriptor that is closed, the best first. A
/// directory can always be opened, and reads and writes of it fail at once.
const STANDARD_FALLBACKS: [(&CStr, libc::c_int); 3] = [
    (
        c"/dev/console",
        libc::O_RDWR | libc::O_NOCTTY | libc::O_NONBLOCK,
    ),
    (c"/dev/null", libc::O_RDWR),
    (c"/", libc::O_RDONLY),
];
/// So often a new start is tried; then PID 1 waits for a person's reset.
const MAX_RESTARTS: u8 = 3;

/// How many crashes came before this program.
static CRASHES: AtomicU8 = AtomicU8::new(0);
/// When this program started, in seconds of `CLOCK_BOOTTIME`.
static STARTED_S: AtomicU32 = AtomicU32::new(0);
/// Having run so long, a program has not crashed because of how it started.
const HEALTHY_S: u32 = 600;

/// [`ShutdownKind::letter`] of the shutdown that has begun, or 0. The new program finds the
/// letter after the count in its argument.
static SHUTDOWN: AtomicU8 = AtomicU8::new(0);

/// The handlers' stack: a fault may be an overflow of the other one. Part of the
/// program, because memory may be what there is none of.
struct SignalStack(UnsafeCell<[u8; 32 * 1024]>);
// SAFETY: only the kernel uses it, and only for a handler.
unsafe impl Sync for SignalStack {}
static SIGNAL_STACK: SignalStack = SignalStack(UnsafeCell::new([0; 32 * 1024]));

/// How many crashes came before this program, and what the machine was going
/// down for when the last one came, by its first three words.
#[must_use]
pub fn before(words: [&[u8]; 3]) -> (u8, Option<ShutdownKind>) {
    match words {
        [name, word, [digit, rest @ ..]]
            if name == ARGV0.to_bytes() && word == CRASH_ARGUMENT.to_bytes() =>
        {
            let ending = match rest {
                [letter] => ShutdownKind::from_letter(*letter),
                _ => None,
            };
            (digit.saturating_sub(b'0'), ending)
        }
        _ => (0, None),
    }
}

/// The machine is going down: a crash from here on must not keep it.
pub fn set_shutdown(kind: ShutdownKind) {
    SHUTDOWN.store(kind.letter(), Ordering::Relaxed);
}

/// Opens what is closed of 0, 1 and 2, or the next file opened would be taken
/// for somebody's output (s6-linux-init does the same).
pub fn open_standard() {
    for fd in 0..3 {
        // SAFETY: constants. The lowest descriptor that is free is this one.
        unsafe {
            if libc::fcntl(fd, libc::F_GETFD) >= 0 {
                continue;
            }
            let mut all = STANDARD_FALLBACKS.iter();
            while let Some((path, flags)) = all.next()
                && libc::open(path.as_ptr(), *flags) < 0
            {}
        }
    }
}

/// Installs hook and handlers. `before`: the crashes so far.
pub fn install_handlers(before: u8) {
    CRASHES.store(before, Ordering::Relaxed);
    STARTED_S.store(seconds(), Ordering::Relaxed);
    std::panic::set_hook(Box::new(on_panic));
    let action = handler();
    // SAFETY: structures that live, and a stack that is nobody else's.
    unsafe {
        let stack = libc::stack_t {
            ss_sp: SIGNAL_STACK.0.get().cast(),
            ss_flags: 0,
            ss_size: size_of::<SignalStack>(),
        };
        libc::sigaltstack(&raw const stack, std::ptr::null_mut());
        // Whoever execs from a handler hands on that its signal is blocked, and a
        // fault whose signal is blocked kills at once.
        let mut set: libc::sigset_t = std::mem::zeroed();
        for signal in FAULT_SIGNALS.iter().map(|s| *s as libc::c_int) {
            libc::sigaction(signal, &raw const action, std::ptr::null_mut());
            libc::sigaddset(&raw mut set, signal);
        }
        libc::sigprocmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut());
    }
}

fn handler() -> libc::sigaction {
    // SAFETY: plain data; zero is an empty mask and no flags.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = on_fault as *const () as libc::sighandler_t;
    // RESETHAND: a second fault inside the handler must not come back here.
    action.sa_flags = libc::SA_ONSTACK | libc::SA_RESETHAND;
    action
}

extern "C" fn on_fault(signal: libc::c_int) {
    let mut text = Message::new();
    let _ = write!(text, "<2>boot2podman: PID 1 got signal {signal}");
    reexec(&mut text);
}

fn on_panic(info: &PanicHookInfo<'_>) {
    let mut text = Message::new();
    let _ = write!(text, "<2>boot2podman: PID 1 panicked: {info}");
    reexec(&mut text);
}

/// Writes the text and execs ourselves; returns only outside of PID 1.
fn reexec(text: &mut Message) {
    text.end();
    // SAFETY: live buffers, constant C strings, integers.
    unsafe {
        let kmsg = libc::open(c"/dev/kmsg".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        let fd = if kmsg >= 0 { kmsg } else { 2 };
        // A terminal or a pipe may take nothing: then it is not for us to wait.
        let mut room = libc::pollfd {
            fd,
            events: libc::POLLOUT,
            revents: 0,
        };
        if libc::poll(&raw mut room, 1, 0) == 1 {
            libc::write(fd, text.bytes.as_ptr().cast(), text.length);
        }
        if libc::getpid() != 1 {
            return; // a child or a test: let it abort
        }
        // Crashes long apart are not a loop.
        let healthy = seconds().saturating_sub(STARTED_S.load(Ordering::Relaxed)) >= HEALTHY_S;
        let before = if healthy {
            0
        } else {
            CRASHES.load(Ordering::Relaxed)
        };
        let count = before.saturating_add(1);
        if count <= MAX_RESTARTS {
            let digit = [b'0' + count, SHUTDOWN.load(Ordering::Relaxed), 0];
            let argv = [
                ARGV0.as_ptr(),
                CRASH_ARGUMENT.as_ptr(),
                digit.as_ptr().cast(),
                std::ptr::null(),
            ];
            let envp = [std::ptr::null()];
            for path in OWN_BINARY {
                libc::execve(path.as_ptr(), argv.as_ptr(), envp.as_ptr());
            }
        }
        reap_forever()
    }
}

/// Nothing left but to reap and to end the machine when asked: the services go
/// on without us.
fn reap_forever() -> ! {
    if let Some(kind) = ShutdownKind::from_letter(SHUTDOWN.load(Ordering::Relaxed)) {
        reboot_now(kind);
    }
    loop {
        reap_once();
    }
}

/// A second of that, with no memory and no descriptor. Only async-signal-safe
/// calls: a signal handler ends in it.
pub fn reap_once() {
    // SAFETY: local buffers and integers only.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigaddset(&raw mut set, libc::SIGCHLD);
        for (signal, _) in shutdown_signals() {
            libc::sigaddset(&raw mut set, signal as libc::c_int);
        }
        libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
        while libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) > 0 {}
        let second = libc::timespec {
            tv_sec: 1,
            tv_nsec: 0,
        };
        let got = libc::sigtimedwait(&raw const set, std::ptr::null_mut(), &raw const second);
        let asked = shutdown_signals().find(|(signal, _)| *signal as libc::c_int == got);
        if let Some((_, kind)) = asked {
            reboot_now(kind);
        }
    }
}

fn reboot_now(kind: ShutdownKind) {
    // SAFETY: integers.
    unsafe {
        libc::sync();
        libc::reboot(kind.reboot_mode() as libc::c_int);
    }
}

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
struct Message {
    bytes: [u8; 512],
    length: usize,
}

impl Message {
    fn new() -> Message {
        Message {
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

impl Write for Message {
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
    fn only_our_own_words_tell_of_a_crash() {
        assert_eq!(before([b"init", b"--after-crash", b"2"]), (2, None));
        assert_eq!(
            before([b"init", b"--after-crash", b"1r"]),
            (1, Some(ShutdownKind::Reboot))
        );
        assert_eq!(before([b"/init", b"--after-crash", b"2"]), (0, None));
        assert_eq!(before([b"init", b"--after-crash", b""]), (0, None));
        assert_eq!(before([b"init", b"quiet", b"2"]), (0, None));
    }

    #[test]
    fn the_message_is_one_bounded_line() {
        let mut text = Message::new();
        let _ = write!(text, "a\n{}", "x".repeat(5000));
        assert_eq!(text.length, 512);
        assert!(!text.bytes.contains(&b'\n'));
        text.end();
        assert!(text.bytes.ends_with(b"\n") && text.length == 512);
    }
}
