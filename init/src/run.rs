// SPDX-License-Identifier: Apache-2.0
//! `init run`: an init for one command, as tini, dumb-init and catatonit are.
//!
//! The command runs in a process group of its own (or a session, as with dumb-init) and gets every
//! signal that this process gets; orphans are reaped, and the command's exit status becomes this
//! process's. Only the name selects this mode for a process with pid 1, because the kernel passes
//! words of its command line to the PID 1 of a machine. The READMEs of tini and of dumb-init and
//! catatonit(1) define the options.
//!
//! podman 5.4 executes this program in three ways: `/run/podman-init -- COMMAND` in a container
//! with `--init` (specgen/generate/oci.go), `/catatonit -P` in the infra container of a pod, whose
//! image has a copy of the file (specgen/generate/pause_image.go), and `catatonit -P` for the
//! process that holds a user's namespaces (pkg/rootless/rootless_linux.c).
#![expect(unsafe_code, reason = "signal masks, fork and exec of one command")]

use std::ffi::{CStr, c_char, c_int};

use nix::errno::Errno;
use services::{ExitStatus, Pid, reap};
use sys::signals::FAULT_SIGNALS;

use options::{Dialect, JOB, Options, Stop, environment, parse};

mod options;

/// Names that select this mode, also for a process with pid 1.
pub const NAMES: &[&[u8]] = &[b"tini", b"dumb-init", b"catatonit", b"podman-init"];

/// Runs the command in `argv` and returns the exit status. `argv[0]` is the name that selects the
/// dialect of options.
///
/// # Safety
/// `argv` is the argument of a program's `main`: `argc` C strings and a NULL, which live as long as
/// the program.
pub unsafe fn main(argc: usize, argv: *const *const c_char) -> i32 {
    // SAFETY: the caller guarantees `argc` strings.
    let word = |i| unsafe { CStr::from_ptr(*argv.add(i)) };
    let words: Vec<&[u8]> = (0..argc).map(|i| word(i).to_bytes()).collect();
    let name = base(words.first().unwrap_or(&&b""[..]));
    let name = String::from_utf8_lossy(name);
    let mut options = match parse(&name, words.get(1..).unwrap_or(&[])) {
        Ok(options) => options,
        Err(stop) => return print_stop(&name, &stop),
    };
    environment(&mut options, |name| std::env::var(name).ok());
    // SAFETY: `parse` found the command below argc; a NULL ends it.
    let command = unsafe { argv.add(1 + options.command) };
    let name = &*name;
    run(name, &options, command).unwrap_or_else(|(what, e)| {
        write_message(2, &["[", name, "] ", &what, ": ", e.desc(), "\n"]);
        1
    })
}

/// Returns the last part of a path.
#[must_use]
pub fn base(path: &[u8]) -> &[u8] {
    path.rsplit(|b| *b == b'/').next().unwrap_or(path)
}

/// Writes a message in one piece. The buffers of the standard library's streams would be the larger
/// half of this mode.
fn write_message(fd: c_int, parts: &[&str]) {
    let text = parts.concat();
    // SAFETY: a live buffer. An error cannot be reported anywhere.
    unsafe { libc::write(fd, text.as_ptr().cast(), text.len()) };
}

const VERSION: &str = env!("CARGO_PKG_VERSION");
const HELP: &str =
    " [-s] [-g] [-w] [-v] [-c] [-p SIGNAL] [-e STATUS]… [-r FROM:TO]… [--] command [word]…
Runs a command, hands signals on, reaps orphans, ends as the command does.
-s be a subreaper   -g signals go to its process group   -c to it alone
-w say what is reaped   -e a status that counts as 0   -p when our parent ends
-r hand on another signal (0: none)
-P (catatonit) no command: wait, reap, end at SIGTERM or SIGINT   -L licence
";

fn print_stop(name: &str, stop: &Stop) -> i32 {
    match stop {
        Stop::Help => write_message(1, &[name, HELP]),
        // docker reads this form of an init's version, with any name.
        Stop::Version => write_message(1, &["tini version ", VERSION, "_", name, "\n"]),
        Stop::Licence => write_message(1, &["Apache-2.0\n"]),
        Stop::Usage => write_message(
            2,
            &[
                "Usage: ",
                name,
                " [option] program [args]\nTry ",
                name,
                " --help for full usage.\n",
            ],
        ),
        Stop::Bad(why) => write_message(2, &[name, ": ", why, "\n"]),
    }
    i32::from(matches!(stop, Stop::Usage | Stop::Bad(_)))
}

fn run(
    name: &str,
    options: &Options,
    command: *const *const c_char,
) -> Result<i32, (String, Errno)> {
    let fail = |what: &str| (what.to_owned(), Errno::last());
    set_process_flags(options).map_err(fail)?;
    if options.verbosity > 0 && options.dialect == Dialect::Tini && !reaps() {
        let why = "] neither pid 1 nor a subreaper (-s): orphans go elsewhere, and zombie reaping won't work\n";
        write_message(2, &["[", name, why]);
    }
    let signals = WaitedSignals::block(options);
    if options.pause {
        release_resources();
        return Ok(pause(&signals));
    }
    // If the session leader gives up its terminal, its process group gets SIGHUP and SIGCONT (tty_ioctl(4),
    // TIOCNOTTY), which are not for the command.
    let mut skip = leave_terminal(options);
    // SAFETY: a single thread; the child only execs.
    let child = match unsafe { libc::fork() } {
        -1 => return Err(fail("fork")),
        0 => become_command(name, options, &signals, command),
        pid => pid,
    };
    release_resources();
    loop {
        let got = signals.wait();
        match got {
            libc::SIGCHLD => {
                if let Some(status) = collect(name, options, child) {
                    return Ok(status);
                }
            }
            _ if skip.contains(&got) => skip = &skip[1..],
            _ => forward(options, child, got),
        }
    }
}

/// Sets the signal at the parent's death, and the process as a subreaper (prctl(2)), as the options ask. The error
/// names the step that failed.
fn set_process_flags(options: &Options) -> Result<(), &'static str> {
    // SAFETY: integers.
    unsafe {
        if options.parent != 0 && libc::prctl(libc::PR_SET_PDEATHSIG, options.parent) != 0 {
            return Err("parent's death");
        }
        if options.subreaper && libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) != 0 {
            return Err("subreaper");
        }
    }
    Ok(())
}

/// Releases the working directory, so that its file system can be unmounted, and descriptors that
/// are for the command alone: the other end of a pipe sees its end, and a socket its close.
fn release_resources() {
    let _ = nix::unistd::chdir("/");
    // SAFETY: integers. Before Linux 5.9 the descriptors stay open.
    unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) };
}

/// Reaps until SIGTERM or SIGINT; returns the exit status.
fn pause(signals: &WaitedSignals) -> i32 {
    loop {
        match signals.wait() {
            libc::SIGTERM | libc::SIGINT => return 0,
            libc::SIGCHLD => while reap::drain(|_, _| ()) {},
            _ => {}
        }
    }
}

/// Returns true if orphans below this process become its children.
fn reaps() -> bool {
    let mut on: c_int = 0;
    // SAFETY: a valid place for the answer.
    unsafe { libc::prctl(libc::PR_GET_CHILD_SUBREAPER, &raw mut on) };
    on != 0 || std::process::id() == 1
}

/// The inherited signal mask, and the signals that this process waits for.
struct WaitedSignals {
    /// Mask of blocked signals that this process has inherited.
    inherited: libc::sigset_t,
    /// Signals that are blocked and waited for.
    waited: libc::sigset_t,
    /// Disposition of SIGCHLD that this process has inherited.
    on_child: libc::sighandler_t,
}

impl WaitedSignals {
    /// Blocks all signals, so that [`WaitedSignals::wait`] returns each. dumb-init passes on even signals that faults
    /// raise; tini and catatonit do not. Dispositions stay, because a blocked signal is never discarded as ignored;
    /// only an ignored SIGCHLD would lose the exit status of the command.
    fn block(options: &Options) -> WaitedSignals {
        // SAFETY: sets that live here; SIG_DFL is no function.
        unsafe {
            let mut inherited = std::mem::zeroed();
            let mut waited = std::mem::zeroed();
            libc::sigfillset(&raw mut waited);
            let dumb = options.dialect == Dialect::DumbInit;
            for fault in FAULT_SIGNALS.iter().filter(|_| !dumb) {
                libc::sigdelset(&raw mut waited, *fault as c_int);
            }
            libc::sigprocmask(libc::SIG_SETMASK, &raw const waited, &raw mut inherited);
            let on_child = libc::signal(libc::SIGCHLD, libc::SIG_DFL);
            WaitedSignals {
                inherited,
                waited,
                on_child,
            }
        }
    }

    /// Sleeps until the next signal.
    fn wait(&self) -> c_int {
        loop {
            // SAFETY: a live set; no details are asked for.
            let got = unsafe { libc::sigwaitinfo(&raw const self.waited, std::ptr::null_mut()) };
            if got > 0 {
                return got;
            }
        }
    }

    /// Restores the mask for the command: the inherited mask, or an empty one, as dumb-init does.
    fn restore(&self, clean: bool) {
        // SAFETY: live sets; a disposition that was there before.
        unsafe {
            libc::signal(libc::SIGCHLD, self.on_child);
            let mut set = self.inherited;
            if clean {
                libc::sigemptyset(&raw mut set);
            }
            libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
        }
    }
}

/// Gives up the terminal if the command gets a session. Returns the signals that follow.
fn leave_terminal(options: &Options) -> &'static [c_int] {
    if !options.session {
        return &[];
    }
    // SAFETY: integers.
    let led = unsafe { libc::ioctl(0, libc::TIOCNOTTY) == 0 && libc::getsid(0) == libc::getpid() };
    if led {
        &[libc::SIGHUP, libc::SIGCONT]
    } else {
        &[]
    }
}

/// Sets group or session, terminal and signals, and executes the program. The program also runs if
/// this process may not pass on its terminal.
fn become_command(
    name: &str,
    options: &Options,
    signals: &WaitedSignals,
    command: *const *const c_char,
) -> ! {
    // SAFETY: integers, and the arguments that `main` was given.
    unsafe {
        if options.session {
            libc::setsid();
            libc::ioctl(0, libc::TIOCSCTTY, 0);
        } else {
            libc::setpgid(0, 0);
            libc::tcsetpgrp(0, libc::getpgrp()); // SIGTTOU is blocked
        }
        signals.restore(options.dialect == Dialect::DumbInit);
        pass_sockets();
        libc::execvp(*command, command);
        let why = Errno::last();
        let what = CStr::from_ptr(*command).to_string_lossy();
        write_message(2, &["[", name, "] ", &what, ": ", why.desc(), "\n"]);
        // The exit statuses are those of a shell.
        libc::_exit(match why {
            Errno::ENOENT => 127,
            Errno::EACCES => 126,
            _ => 1,
        })
    }
}

/// Passes on to the command the sockets that were passed to this process (sd_listen_fds(3)).
fn pass_sockets() {
    const PID: &str = "LISTEN_PID";
    let parent = std::os::unix::process::parent_id().to_string();
    if std::env::var(PID).is_ok_and(|pid| pid == parent) {
        // SAFETY: the child of fork has one thread.
        unsafe { std::env::set_var(PID, std::process::id().to_string()) };
    }
}

/// Reaps all ended children; returns the exit status if the command is one of them.
fn collect(name: &str, options: &Options, child: Pid) -> Option<i32> {
    let mut end = None;
    let mut each = |pid: Pid, status: ExitStatus| {
        if pid == child {
            end = Some(match status {
                ExitStatus::Exited(code) => code,
                ExitStatus::Killed(signal) => 128 + signal,
            });
        } else if options.warn {
            let pid = pid.to_string();
            write_message(
                2,
                &["[", name, "] Reaped zombie process with pid=", &pid, "\n"],
            );
        }
    };
    while reap::drain(&mut each) {}
    let status = end?;
    if options.session {
        send(options, child, libc::SIGTERM); // the other processes of the session
    }
    let good = usize::try_from(status).is_ok_and(|s| options.good.get(s) == Some(&true));
    Some(if good { 0 } else { status })
}

fn forward(options: &Options, child: Pid, signal: c_int) {
    send(options, child, signal);
    if options.dialect == Dialect::DumbInit && JOB.contains(&signal) {
        // SAFETY: integers. The shell that stopped this process sees it stopped.
        unsafe { libc::kill(libc::getpid(), libc::SIGSTOP) };
    }
}

fn send(options: &Options, child: Pid, signal: c_int) {
    let to = match usize::try_from(signal)
        .ok()
        .and_then(|s| options.rewrite.get(s))
    {
        Some(-1) | None => signal,
        Some(other) => c_int::from(*other),
    };
    if to != 0 {
        let receiver = if options.group { -child } else { child };
        // SAFETY: integers. The child is not reaped yet, so the pid is its own.
        unsafe { libc::kill(receiver, to) };
    }
}
