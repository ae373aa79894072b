// SPDX-License-Identifier: Apache-2.0
//! The step between podman and conmon (`conmon_path` in containers.conf).
//!
//! conmon warns of each line that it cannot add to a log on a full disk, by a message to `/dev/log`,
//! also of the lines that are left in the pipe of a killed container. podman waits five seconds for
//! conmon's end (libpod, `waitForExitFileAndSync`), and 65,536 empty lines take longer: `podman rm -f`
//! of the container that has filled the disk fails. The watch over the store reports a full store.
//! podman passes its own level on, and has no setting for conmon's.
//!
//! The output of a unit's container is added to the machine's log as well, by the path that journald would have,
//! and `journalctl -u` shows the output. podman's own log remains, from which `podman logs` reads.
//!
//! Connections to published ports that were made before the rules of the network are reset ([`reserved_ports`]).

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use super::conmon::CONMON;
use super::reserved_ports;
use crate::common::cgroups;
use crate::common::paths::DEFINITIONS;
use crate::common::unit_containers;

/// Option of conmon(8) for its level, podman's default, and the level instead.
const OPTION: &str = "--log-level";
const WARNING: &str = "warning";
const ERROR: &str = "error";
/// Option of conmon(8) for a log, which may occur more than once.
const LOG: &str = "-l";
/// Option of conmon(8) for the name of the container.
const NAME: &str = "-n";

/// Executes conmon with the arguments of this process, of which the last `count` are conmon's;
/// returns the exit status of a failure.
pub fn main(count: usize) -> i32 {
    let mut arguments: Vec<OsString> = std::env::args_os().collect();
    let mut arguments = arguments.split_off(arguments.len().saturating_sub(count));
    make_quiet(&mut arguments);
    reserved_ports::reset_connections();
    let cgroup = sys::files::read_text("/proc/self/cgroup").unwrap_or_default();
    let is_unit = |service: &&str| Path::new(&format!("{DEFINITIONS}/{service}.service")).exists();
    if let Some(service) = cgroups::service_in(&cgroup).filter(is_unit) {
        log_twice(&mut arguments);
        if let Some(name) = name(&arguments) {
            let uid = cgroups::user_in(&cgroup);
            unit_containers::note(&unit_containers::path(service, uid), name);
        }
    }
    let why = Command::new(CONMON).args(arguments).exec();
    eprintln!("{CONMON}: {why}");
    1
}

/// Replaces conmon's own level, and no level in arguments for another program (`--exit-command-arg
/// --log-level --exit-command-arg warning`).
fn make_quiet(arguments: &mut [OsString]) {
    for at in 1..arguments.len() {
        if arguments[at - 1] == OPTION && arguments[at] == WARNING {
            arguments[at] = ERROR.into();
        }
    }
}

/// Returns the name of the container.
fn name(arguments: &[OsString]) -> Option<&str> {
    let mut pairs = arguments.windows(2);
    let name = pairs.find_map(|pair| match pair {
        [option, name] if option == NAME => Some(name),
        _ => None,
    });
    name?.to_str()
}

/// Adds the journal to the logs of a container whose output is written to a file.
fn log_twice(arguments: &mut Vec<OsString>) {
    let is_file = |value: &OsString| value.to_string_lossy().starts_with("k8s-file:");
    let mut pairs = arguments.windows(2);
    let at =
        pairs.position(|pair| matches!(pair, [option, value] if option == LOG && is_file(value)));
    if let Some(at) = at {
        let further = [LOG.into(), OsString::from("journald")];
        arguments.splice(at + 2..at + 2, further);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conmon_reports_only_errors_unless_debugging_is_on() {
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

    #[test]
    fn the_name_of_the_container() {
        for (arguments, right) in [
            (
                "--api-version 1 -c 0 -u 0 -r /usr/bin/crun -n site-box -p x",
                Some("site-box"),
            ),
            ("-c 0 -n", None),
            ("--version", None),
        ] {
            let arguments: Vec<OsString> = arguments.split(' ').map(OsString::from).collect();
            assert_eq!(name(&arguments), right);
        }
    }

    #[test]
    fn output_goes_to_the_log_as_well() {
        for (arguments, wanted) in [
            (
                "-s -l k8s-file:/x -c 1",
                "-s -l k8s-file:/x -l journald -c 1",
            ),
            ("-l journald -c 1", "-l journald -c 1"),
            ("-l passthrough", "-l passthrough"),
            ("-l", "-l"),
            (
                "--exit-command-arg k8s-file:x",
                "--exit-command-arg k8s-file:x",
            ),
        ] {
            let mut arguments: Vec<OsString> = arguments.split(' ').map(OsString::from).collect();
            log_twice(&mut arguments);
            assert_eq!(arguments.join(" ".as_ref()), wanted);
        }
    }
}
