//! Programs of e2fsprogs, each with a time that it may take.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::memfd::{MFdFlags, memfd_create};

use super::pidfd;

/// How a program ended, and what it said.
pub struct Ended {
    /// Its exit status; `None` where it was killed.
    pub code: Option<i32>,
    /// The last of what it said, in one line.
    pub said: String,
    /// All of it, line by line.
    pub output: String,
}

/// More of what a program says is not kept.
const SAID: u64 = 64 * 1024;

/// Runs a program to its end, or for so long at the most; then it is killed.
///
/// # Errors
/// It could not be started, or was not done in time.
pub fn run(program: &str, words: &[&str], most: Duration) -> Result<Ended, String> {
    let mut command = Command::new(program);
    command
        .args(words)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LANG", "C.UTF-8");
    end(&mut command, most)
}

/// The same of a command with an environment and a user of its own.
///
/// # Errors
/// It could not be started, or was not done in time.
pub fn end(command: &mut Command, most: Duration) -> Result<Ended, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let fail = |e: std::io::Error| format!("{program}: {e}");
    // Into a file without a name, not a pipe that would have to be emptied.
    let mut output = memory_file().map_err(fail)?;
    let into = || output.try_clone().map(Stdio::from);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(into().map_err(fail)?)
        .stderr(into().map_err(fail)?)
        .spawn()
        .map_err(fail)?;
    let late = !pidfd::ended_within(child.id(), most);
    if late {
        let _ = child.kill();
        // A process that waits for a dead disk does not end by being killed.
        if !pidfd::ended_within(child.id(), Duration::from_secs(5)) {
            return Err(format!("{program}: does not end; its disk does not answer"));
        }
    }
    let status = child.wait().map_err(fail)?;
    if late {
        return Err(format!("{program}: not done after {} s", most.as_secs()));
    }
    let mut said = Vec::new();
    let _ = output.rewind();
    let _ = output.take(SAID).read_to_end(&mut said);
    let output = String::from_utf8_lossy(&said).into_owned();
    let lines: Vec<_> = output
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .collect();
    let last = lines
        .get(lines.len().saturating_sub(6)..)
        .unwrap_or_default()
        .join("; ");
    Ok(Ended {
        code: status.code(),
        said: last,
        output,
    })
}

/// Returns an empty file in memory, without a path (memfd_create(2)).
///
/// # Errors
/// There is no memory, or no descriptor is left.
pub fn memory_file() -> io::Result<File> {
    Ok(memfd_create(c"output", MFdFlags::MFD_CLOEXEC)?.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn status_output_and_time() {
        let ended = run(
            "/bin/sh",
            &["-c", "echo one; echo two >&2; exit 3"],
            Duration::from_secs(20),
        )
        .unwrap();
        assert_eq!((ended.code, ended.said.as_str()), (Some(3), "one; two"));
        assert_eq!(ended.output, "one\ntwo\n");
        let late = run("/bin/sleep", &["30"], Duration::from_millis(50));
        assert!(late.is_err_and(|e| e.contains("not done")));
        assert!(run("/nonexistent", &[], Duration::ZERO).is_err());
    }
}
