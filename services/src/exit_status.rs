// SPDX-License-Identifier: Apache-2.0
//! Exit statuses and the names of signals.
//!
//! nix's `WaitStatus` cannot represent real-time signals and loses such a status (waitid(2) appears
//! to fail with EINVAL, and then with ECHILD), so the two numbers are kept unchanged.

use std::fmt;

/// Exit status of a process (`si_code` and `si_status` of waitid(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// The process called _exit(2) with this status.
    Exited(i32),
    /// The process was killed by this signal, which may be a real-time one.
    Killed(i32),
}

impl ExitStatus {
    /// Returns true for exit status 0.
    #[must_use]
    pub fn success(self) -> bool {
        self == ExitStatus::Exited(0)
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            ExitStatus::Exited(code) => write!(f, "exited with status {code}"),
            ExitStatus::Killed(sig) => match signal_name(sig) {
                Some(name) => write!(f, "killed by {name}"),
                None => write!(f, "killed by signal {sig}"),
            },
        }
    }
}

/// Names of the standard signals (signal(7), x86 and arm numbering).
const NAMES: [&str; 32] = [
    "",
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGILL",
    "SIGTRAP",
    "SIGABRT",
    "SIGBUS",
    "SIGFPE",
    "SIGKILL",
    "SIGUSR1",
    "SIGSEGV",
    "SIGUSR2",
    "SIGPIPE",
    "SIGALRM",
    "SIGTERM",
    "SIGSTKFLT",
    "SIGCHLD",
    "SIGCONT",
    "SIGSTOP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGVTALRM",
    "SIGPROF",
    "SIGWINCH",
    "SIGIO",
    "SIGPWR",
    "SIGSYS",
];

/// Returns the number of a standard signal from its name, with or without `SIG`.
#[must_use]
pub fn signal_number(name: &str) -> Option<i32> {
    let bare = name.strip_prefix("SIG").unwrap_or(name);
    let number = NAMES
        .iter()
        .position(|n| n.strip_prefix("SIG") == Some(bare))?;
    i32::try_from(number).ok()
}

/// Returns the name of a standard signal.
#[must_use]
pub fn signal_name(sig: i32) -> Option<&'static str> {
    usize::try_from(sig)
        .ok()
        .filter(|&n| n > 0)
        .and_then(|n| NAMES.get(n).copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_status_is_printed_in_words() {
        assert_eq!(ExitStatus::Exited(3).to_string(), "exited with status 3");
        assert_eq!(ExitStatus::Killed(9).to_string(), "killed by SIGKILL");
        assert_eq!(ExitStatus::Killed(64).to_string(), "killed by signal 64");
        assert_eq!(ExitStatus::Killed(-1).to_string(), "killed by signal -1");
    }

    #[test]
    fn signals_have_numbers() {
        assert_eq!(signal_number("SIGTERM"), Some(libc::SIGTERM));
        assert_eq!(signal_number("INT"), Some(libc::SIGINT));
        assert_eq!(signal_number("SIGSYS"), Some(libc::SIGSYS));
        for none in ["", "SIG", "SIGSIGTERM", "term", "15"] {
            assert_eq!(signal_number(none), None, "{none}");
        }
    }

    #[test]
    fn only_zero_is_success() {
        assert!(ExitStatus::Exited(0).success());
        assert!(!ExitStatus::Exited(1).success());
        assert!(!ExitStatus::Killed(15).success());
    }
}
