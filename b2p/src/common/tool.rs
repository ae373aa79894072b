// SPDX-License-Identifier: Apache-2.0
//! External programs with a time limit: e2fsprogs, podman, mount and others.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::memfd::{MFdFlags, memfd_create};
use sys::error::{Doing, Error, Result};

use super::pidfd;

/// Longest output of a program that is kept, in bytes.
const MAX_OUTPUT_BYTES: u64 = 64 * 1024;
/// Number of lines in [`Finished::last_lines`].
const LAST_LINES: usize = 6;
/// Time that a killed program may take to disappear.
const KILL_LIMIT: Duration = Duration::from_secs(5);

/// Exit status and output of a program.
pub struct Finished {
    /// Exit status, or `None` if a signal killed the program.
    pub code: Option<i32>,
    /// Last lines of the output that are not blank, joined by `; `.
    pub last_lines: String,
    /// Standard output and standard error.
    pub output: String,
}

/// Runs `program` with a fixed environment, and kills the program after `limit`.
///
/// # Errors
/// The program cannot be started, or has not ended after `limit`.
pub fn run(program: &str, arguments: &[&str], limit: Duration) -> Result<Finished> {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LANG", "C.UTF-8");
    run_command(&mut command, limit)
}

/// Runs `command` with its own environment and user, and kills the command after `limit`.
///
/// # Errors
/// The program cannot be started, or has not ended after `limit`.
pub fn run_command(command: &mut Command, limit: Duration) -> Result<Finished> {
    run_with_input(command, None, limit)
}

/// Runs `command` as [`run_command`] does, with the content of a file as its input.
///
/// # Errors
/// The program cannot be started, or has not ended after `limit`.
pub fn run_with_input(
    command: &mut Command,
    input: Option<File>,
    limit: Duration,
) -> Result<Finished> {
    let program = command.get_program().to_owned();
    let input = input.map_or_else(Stdio::null, Stdio::from);
    run_into_memory(command, input, limit).on(program)
}

fn run_into_memory(command: &mut Command, input: Stdio, limit: Duration) -> Result<Finished> {
    // A file without a name, unlike a pipe, takes all output without a reader.
    let mut output = memory_file()?;
    let mut child = command
        .stdin(input)
        .stdout(output.try_clone()?)
        .stderr(output.try_clone()?)
        .spawn()?;
    let late = !pidfd::ended_within(child.id(), limit);
    if late {
        let _ = child.kill();
        // SIGKILL does not end a process that waits for a disk that is gone.
        if !pidfd::ended_within(child.id(), KILL_LIMIT) {
            return Err(Error::invalid("does not end; its disk does not answer"));
        }
    }
    let status = child.wait()?;
    if late {
        let reason = format!("not done after {} s", limit.as_secs());
        return Err(Error::invalid(reason));
    }
    let mut bytes = Vec::new();
    let _ = output.rewind();
    let _ = output.take(MAX_OUTPUT_BYTES).read_to_end(&mut bytes);
    let output = String::from_utf8_lossy(&bytes).into_owned();
    Ok(Finished {
        code: status.code(),
        last_lines: last_lines(&output),
        output,
    })
}

fn last_lines(output: &str) -> String {
    let lines = output.lines().map(str::trim);
    let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    let first = lines.len().saturating_sub(LAST_LINES);
    lines.get(first..).unwrap_or_default().join("; ")
}

/// Returns an empty file in memory, without a path (memfd_create(2)).
///
/// # Errors
/// No memory or no descriptor is left.
pub fn memory_file() -> io::Result<File> {
    Ok(memfd_create(c"output", MFdFlags::MFD_CLOEXEC)?.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn status_output_and_time() {
        let limit = Duration::from_secs(20);
        let script = "echo one; echo two >&2; exit 3";
        let finished = run("/bin/sh", &["-c", script], limit).unwrap();
        assert_eq!(finished.code, Some(3));
        assert_eq!(finished.last_lines, "one; two");
        assert_eq!(finished.output, "one\ntwo\n");
        let late = run("/bin/sleep", &["30"], Duration::from_millis(50));
        let reason = late.err().unwrap().to_string();
        assert_eq!(reason, "/bin/sleep: not done after 0 s");
        assert!(run("/nonexistent", &[], Duration::ZERO).is_err());
    }
}
