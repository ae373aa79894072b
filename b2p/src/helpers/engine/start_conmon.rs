// SPDX-License-Identifier: Apache-2.0
//! The step between podman and conmon (`conmon_path` in containers.conf).
//!
//! conmon warns of each line that it cannot add to a log on a full disk, by a message to
//! `/dev/log`, also of those that are left in the pipe of a container that was killed. podman waits five
//! seconds for conmon's end (libpod, `waitForExitFileAndSync`), and 65,536 empty lines take
//! longer: `podman rm -f` of the container that has filled the disk fails. The watch over the store says
//! that it is full. podman passes its own level on, and has no setting for conmon's.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use super::conmon::CONMON;

/// Option of conmon(8) for its level, podman's default, and the level instead.
const OPTION: &str = "--log-level";
const WARNING: &str = "warning";
const ERROR: &str = "error";

/// Executes conmon with the arguments of this process, of which the last `count` are conmon's;
/// returns the exit status if it cannot.
pub fn main(count: usize) -> i32 {
    let mut arguments: Vec<OsString> = std::env::args_os().collect();
    let mut arguments = arguments.split_off(arguments.len().saturating_sub(count));
    make_quiet(&mut arguments);
    let why = Command::new(CONMON).args(arguments).exec();
    eprintln!("{CONMON}: {why}");
    1
}

/// Replaces conmon's own level, and none that it passes to another program
/// (`--exit-command-arg --log-level --exit-command-arg warning`).
fn make_quiet(arguments: &mut [OsString]) {
    for at in 1..arguments.len() {
        if arguments[at - 1] == OPTION && arguments[at] == WARNING {
            arguments[at] = ERROR.into();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conmon_reports_errors_alone_unless_somebody_debugs() {
        for (arguments, wanted) in [
            ("", ""),
            ("--version", "--version"),
            (
                "-c 1 --log-level warning --syslog",
                "-c 1 --log-level error --syslog",
            ),
            ("--log-level debug -c 1", "--log-level debug -c 1"),
            ("-n warning --log-level", "-n warning --log-level"),
            (
                "--log-level warning --exit-command-arg --log-level --exit-command-arg warning",
                "--log-level error --exit-command-arg --log-level --exit-command-arg warning",
            ),
        ] {
            let mut arguments: Vec<OsString> = arguments.split(' ').map(OsString::from).collect();
            make_quiet(&mut arguments);
            assert_eq!(arguments.join(" ".as_ref()), wanted);
        }
    }
}
