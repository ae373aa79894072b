// SPDX-License-Identifier: Apache-2.0
//! Crash of PID 1: the handlers write a message and execute PID 1 again.
//!
//! The kernel panics when PID 1 ends. After a Rust panic or a fault signal the handlers therefore execute the program
//! again (execve(2)), which keeps the pid, the children and every running service; the next execution takes the
//! services over ([`crate::recovery`]). The handlers neither allocate nor take a lock, because the crash may have left
//! both the heap and the locks in any state.
#![expect(unsafe_code, reason = "signal handlers, exec without allocation")]

use std::cell::UnsafeCell;
use std::ffi::CStr;
use std::fmt::Write;
use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};

use control::ShutdownKind;
use sys::signals::{FAULT_SIGNALS, shutdown_signals};

mod argument;
mod descriptors;
mod message;
mod reboot;

pub use argument::Crashes;
use argument::{ARGV0, CRASH_ARGUMENT};
use descriptors::keep_descriptors;
pub use descriptors::{STATE_FD, inherited, keep_state, open_standard};
use message::Message;
use reboot::reboot_now;

/// Paths of the program of PID 1; the first works even if the file has been replaced.
const OWN_BINARY: [&CStr; 3] = [c"/proc/1/exe", c"/usr/lib/boot2podman/init", c"/init"];
/// Number of crashes during the shutdown after which the machine ends without its other phases.
const MAX_SHUTDOWN_CRASHES: u8 = 3;
/// Run time in seconds after which a crash no longer counts as one of a row.
const HEALTHY_S: u32 = 600;

/// `si_code` of a signal from the kernel that has no code of its own (asm-generic/siginfo.h).
const SI_KERNEL: libc::c_int = 0x80;

/// Crashes in a row of earlier executions of PID 1.
static CRASHES: AtomicU8 = AtomicU8::new(0);
/// Crashes since a shutdown began.
static SHUTDOWN_CRASHES: AtomicU8 = AtomicU8::new(0);
/// Start of this execution, in seconds of `CLOCK_BOOTTIME`.
static STARTED_S: AtomicU32 = AtomicU32::new(0);
/// [`ShutdownKind::letter`] of the shutdown that has begun, or 0. The next execution finds the
/// letter in its argument.
static SHUTDOWN: AtomicU8 = AtomicU8::new(0);

/// True once the pause after earlier crashes is over. After a crash before that, the handler waits for a second:
/// PID 1 then had no memory for the pause, most likely.
static HAS_PAUSED: AtomicBool = AtomicBool::new(false);

/// Stack of the signal handlers, since a fault may be an overflow of the usual stack. The stack is
/// part of the program, because there may be no memory to allocate.
struct SignalStack(UnsafeCell<[u8; 32 * 1024]>);
// SAFETY: only the kernel uses the stack, and only for a handler.
unsafe impl Sync for SignalStack {}
static SIGNAL_STACK: SignalStack = SignalStack(UnsafeCell::new([0; 32 * 1024]));

/// Records that a shutdown has begun; the shutdown continues after a crash.
pub fn set_shutdown(kind: ShutdownKind) {
    SHUTDOWN.store(kind.letter(), Ordering::Relaxed);
}

/// Records that the pause after earlier crashes is over.
pub fn set_paused() {
    HAS_PAUSED.store(true, Ordering::Relaxed);
}

/// Installs the panic hook and the handlers of fault signals; `before` is the record of earlier
/// crashes.
pub fn install_handlers(before: Crashes) {
    CRASHES.store(before.in_a_row, Ordering::Relaxed);
    SHUTDOWN_CRASHES.store(before.in_shutdown, Ordering::Relaxed);
    // Known before the handlers are installed: PID 1 may crash again before the shutdown continues.
    before.shutdown.into_iter().for_each(set_shutdown);
    STARTED_S.store(seconds(), Ordering::Relaxed);
    HAS_PAUSED.store(before.in_a_row == 0, Ordering::Relaxed);
    std::panic::set_hook(Box::new(on_panic));
    let action = handler();
    // SAFETY: live structures, and a stack that nothing else uses.
    unsafe {
        let stack = libc::stack_t {
            ss_sp: SIGNAL_STACK.0.get().cast(),
            ss_flags: 0,
            ss_size: size_of::<SignalStack>(),
        };
        libc::sigaltstack(&raw const stack, std::ptr::null_mut());
        // A program that was executed from a handler starts with the handler's signal blocked,
        // and a fault whose signal is blocked kills at once.
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
    // RESTART: a signal from outside interrupts no call that can be restarted (signal(7)). Without
    // RESETHAND the handler stays. A second fault inside the handler still ends the program: the
    // kernel restores the default for a fault whose signal is blocked (kernel/signal.c,
    // force_sig_info_to_task).
    action.sa_flags = libc::SA_ONSTACK | libc::SA_SIGINFO | libc::SA_RESTART;
    for signal in FAULT_SIGNALS {
        // SAFETY: a set that lives here. One handler at a time fits on the stack.
        unsafe { libc::sigaddset(&raw mut action.sa_mask, *signal as libc::c_int) };
    }
    action
}

extern "C" fn on_fault(signal: libc::c_int, info: *const libc::siginfo_t, _: *const libc::c_void) {
    // SAFETY: the kernel passes a complete siginfo_t (SA_SIGINFO, sigaction(2)).
    let (code, sender) = unsafe { ((*info).si_code, (*info).si_pid()) };
    let own_pid = std::process::id();
    let own = is_own_fault(signal, code, libc::pid_t::try_from(own_pid) == Ok(sender));
    if own_pid != 1 {
        return end_child(signal);
    }
    if own {
        let mut message = Message::new();
        let _ = write!(message, "<2>boot2podman: PID 1 got signal {signal}");
        reexec(&mut message);
    }
}

/// Returns true if a fault of this program raised the signal. Any other signal is from another
/// process, and has no effect.
///
/// Other processes can send no `si_code` of 0 or above, nor `SI_TKILL` (kernel/signal.c,
/// do_rt_sigqueueinfo), but the kernel sends some for them: fcntl(2) with `F_SETSIG` any signal
/// (fs/fcntl.c, send_sigio_to_task: with `POLL_IN` for SIGABRT), perf_event_open(2) SIGTRAP. SIGABRT
/// is never a fault but abort(3), which is tkill(2); SIGTRAP is one at a breakpoint instruction.
fn is_own_fault(signal: libc::c_int, code: libc::c_int, sent_by_itself: bool) -> bool {
    match signal {
        libc::SIGABRT => code == libc::SI_TKILL && sent_by_itself,
        libc::SIGTRAP => matches!(code, libc::TRAP_BRKPT | SI_KERNEL),
        _ => code > 0,
    }
}

/// Ends a child of PID 1, which has inherited the handler, by the default action of the signal.
fn end_child(signal: libc::c_int) {
    // SAFETY: integers. The signal is blocked until the handler returns.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
}

fn on_panic(info: &PanicHookInfo<'_>) {
    let mut message = Message::new();
    let _ = write!(message, "<2>boot2podman: PID 1 panicked: {info}");
    reexec(&mut message);
}

/// Writes the message and executes the program again. Returns only in other processes than PID 1,
/// a child or a test, which then abort.
fn reexec(message: &mut Message) {
    message.end_line();
    message.log();
    if std::process::id() != 1 {
        return;
    }
    // An execution that has not completed its pause has no memory, most likely.
    if !HAS_PAUSED.load(Ordering::Relaxed)
        && let Some(kind) = reap_for_a_second()
    {
        set_shutdown(kind);
    }
    let crashes = crashes_before().with_one_more();
    if crashes.in_shutdown > MAX_SHUTDOWN_CRASHES
        && let Some(kind) = crashes.shutdown
    {
        reboot_now(kind);
    }
    keep_descriptors();
    let third = crashes.argument();
    let argv = [
        ARGV0.as_ptr(),
        CRASH_ARGUMENT.as_ptr(),
        third.as_ptr().cast(),
        std::ptr::null(),
    ];
    let envp = [std::ptr::null()];
    loop {
        for path in OWN_BINARY {
            // SAFETY: live arrays of C strings, each ended by a null pointer.
            unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
        }
        // execve(2) failed, usually with ENOMEM; PID 1 tries again.
        reap_and_wait_a_second();
    }
}

/// Returns the crashes of earlier executions. A crash long after the start is not part of a loop.
fn crashes_before() -> Crashes {
    let is_healthy = seconds().saturating_sub(STARTED_S.load(Ordering::Relaxed)) >= HEALTHY_S;
    Crashes {
        in_a_row: match is_healthy {
            true => 0,
            false => CRASHES.load(Ordering::Relaxed),
        },
        shutdown: ShutdownKind::from_letter(SHUTDOWN.load(Ordering::Relaxed)),
        in_shutdown: SHUTDOWN_CRASHES.load(Ordering::Relaxed),
    }
}

/// Reaps children and waits one second for a signal; calls reboot(2) if the signal requests a shutdown. The function
/// uses no memory and no descriptor.
pub fn reap_and_wait_a_second() {
    if let Some(kind) = reap_for_a_second() {
        reboot_now(kind);
    }
}

/// Reaps, and waits for one second; returns the kind of shutdown that a signal requests. Makes only
/// async-signal-safe calls (signal-safety(7)), because signal handlers call it.
fn reap_for_a_second() -> Option<ShutdownKind> {
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
        let request = shutdown_signals().find(|(signal, _)| *signal as libc::c_int == got);
        request.map(|(_, kind)| kind)
    }
}

/// Returns the seconds of `CLOCK_BOOTTIME`.
fn seconds() -> u32 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: a valid structure to write to.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut now) };
    u32::try_from(now.tv_sec).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_kernel_and_abort_raise_a_fault_signal() {
        let faults = FAULT_SIGNALS.iter().map(|s| *s as libc::c_int);
        for signal in faults {
            let is_abort = signal == libc::SIGABRT;
            // SI_USER, SI_QUEUE, SI_TIMER, SI_MESGQ, SI_ASYNCIO, SI_SIGIO, SI_DETHREAD, SI_ASYNCNL.
            for code in [0, -1, -2, -3, -4, -5, -7, -60] {
                for by_itself in [false, true] {
                    assert!(!is_own_fault(signal, code, by_itself), "{signal} {code}");
                }
            }
            assert!(!is_own_fault(signal, libc::SI_TKILL, false), "{signal}");
            assert_eq!(is_own_fault(signal, libc::SI_TKILL, true), is_abort);
            // F_SETSIG sends POLL_IN to POLL_HUP, 1 to 6, for SIGABRT.
            for code in [1, SI_KERNEL] {
                assert_eq!(is_own_fault(signal, code, false), !is_abort, "{signal}");
            }
        }
        let perf = 6; // TRAP_PERF
        assert!(!is_own_fault(libc::SIGTRAP, perf, false));
    }
}
