// SPDX-License-Identifier: Apache-2.0
//! The boot scripts of boot2docker, `b2p boot-script bootsync` and `b2p boot-script bootlocal`:
//! `bootsync.sh` and `bootlocal.sh` on the data disk, which PID 1 runs as services
//! (`sys::service_names::start_of`).
//!
//! The output of a script is logged; a failure becomes a degraded line. A script cannot stop the
//! boot: services that wait for one wait only for a limited time.

use std::io::{self, PipeReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use log::warn;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::{prctl, signal::Signal};
use sys::error::{Error, Result};

use crate::common::degraded::Degraded;
use crate::common::paths::Paths;
use crate::common::terminal::print_error;
use crate::common::user_program;

/// Names of the scripts and of their services.
const NAMES: [&str; 2] = ["bootsync", "bootlocal"];
/// Longest part of the last line that is kept, in bytes.
const MAX_LINE: usize = 200;
/// Capacity of a pipe in bytes (pipe(7)).
const PIPE_CAPACITY: usize = 64 * 1024;

/// Returns the path of a script in the state directory.
pub fn path(state_dir: &Path, name: &str) -> PathBuf {
    state_dir.join(format!("{name}.sh"))
}

/// `b2p boot-script NAME`; returns the exit status.
pub fn main(args: &[String]) -> i32 {
    let Some(name) = args.first().filter(|name| NAMES.contains(&name.as_str())) else {
        print_error("usage: b2p boot-script bootsync|bootlocal");
        return 2;
    };
    let paths = Paths::default();
    let mut degraded = Degraded::of(name);
    if let Err(why) = run(
        &path(&paths.state_dir(), name),
        &paths.runtime(),
        &mut io::stdout(),
    ) {
        degraded.warn(format_args!("{name}.sh: {why}"));
    }
    degraded.report()
}

/// Runs a script to its end and copies its output. A script that Windows has saved runs as a copy
/// in the directory `copies`.
fn run(path: &Path, copies: &Path, output: &mut impl Write) -> Result<()> {
    let name = path.file_name().unwrap_or_default();
    let mut command = user_program::command(path, &copies.join(name))?;
    let (mut reader, writer) = io::pipe()?;
    let mut child = killed_with_us(&mut command)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .spawn()?;
    drop(command); // The command holds the writing ends of the pipe.
    let mut last_line = LastLine::default();
    // The script's own end counts, not that of the pipe: a process that the script left in the
    // background may hold the pipe open for as long as the machine runs.
    let (mut ended, end_signal) = io::pipe()?;
    let waiter = std::thread::spawn(move || {
        let status = child.wait();
        drop(end_signal);
        status
    });
    let still_open = copy(&mut reader, &mut ended, output, &mut last_line);
    let status = waiter
        .join()
        .map_err(|_| Error::invalid("its exit status is not known"))?;
    if still_open {
        relay_in_background(reader);
    }
    check(status?, &last_line)
}

/// Lets a SIGTERM that stops the service reach the script as well, by way of the end of this
/// process (PR_SET_PDEATHSIG(2const)).
fn killed_with_us(command: &mut Command) -> &mut Command {
    let set = || prctl::set_pdeathsig(Signal::SIGTERM).map_err(io::Error::from);
    #[expect(unsafe_code, reason = "a setting between fork and exec")]
    // SAFETY: one system call, which allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(set)
    }
}

/// Copies until no process holds the writing end, or until `ended` is closed and everything
/// that was written before that has been read. Returns true if a process still holds the
/// writing end.
fn copy(
    reader: &mut PipeReader,
    ended: &mut PipeReader,
    output: &mut impl Write,
    last_line: &mut LastLine,
) -> bool {
    let (mut buffer, mut read_after_end) = ([0; 4096], 0);
    loop {
        let mut fds = [&*reader, &*ended].map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN));
        if poll(&mut fds, PollTimeout::NONE).is_err() {
            continue; // EINTR
        }
        let [mut has_output, has_ended] = fds.map(|fd| fd.any() == Some(true));
        if has_ended {
            // The script may have written and ended between poll(2)'s checks of the two pipes.
            let mut again = [PollFd::new(reader.as_fd(), PollFlags::POLLIN)];
            has_output = poll(&mut again, PollTimeout::ZERO).is_ok_and(|ready| ready > 0);
        }
        if has_ended && (!has_output || read_after_end > PIPE_CAPACITY) {
            return true;
        }
        if !has_output {
            continue;
        }
        match reader.read(&mut buffer) {
            Ok(0) => return false,
            Ok(length) => {
                let bytes = buffer.get(..length).unwrap_or_default();
                last_line.add(bytes);
                read_after_end += if has_ended { length } else { 0 };
                let _ = output.write_all(bytes).and_then(|()| output.flush());
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
    }
}

/// Starts a process that continues to read the output of the script's background processes,
/// which SIGPIPE would end otherwise.
fn relay_in_background(reader: PipeReader) {
    let cat = Command::new("/usr/bin/cat").stdin(reader).spawn();
    cat.map(drop)
        .unwrap_or_else(|e| warn!("cat: {e}: background processes of the script have no log"));
}

/// The last line of an output that is not blank.
#[derive(Debug, Default)]
struct LastLine {
    complete: Vec<u8>,
    unfinished: Vec<u8>,
}

impl LastLine {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match byte {
                b'\n' => self.end_line(),
                byte if self.unfinished.len() < MAX_LINE => self.unfinished.push(*byte),
                _ => {}
            }
        }
    }

    fn end_line(&mut self) {
        if !self.unfinished.trim_ascii().is_empty() {
            self.complete = std::mem::take(&mut self.unfinished);
        }
        self.unfinished.clear();
    }

    fn text(&self) -> String {
        let bytes = match self.unfinished.trim_ascii() {
            [] => self.complete.trim_ascii(),
            unfinished => unfinished,
        };
        String::from_utf8_lossy(bytes).into_owned()
    }
}

fn check(status: ExitStatus, last_line: &LastLine) -> Result<()> {
    let how = match (status.code(), status.signal()) {
        (Some(0), _) => return Ok(()),
        (Some(code), _) => format!("exit status {code}"),
        (None, signal) => format!("killed by signal {}", signal.unwrap_or(0)),
    };
    Err(Error::invalid(match last_line.text() {
        line if line.is_empty() => format!("{how}; no output"),
        line => format!("{how}; last line of its output: {line}"),
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::{Temp, why};
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::time::{Duration, Instant};

    /// Runs a script; returns the result and the output.
    fn ran(text: &str, mode: u32) -> (Result<()>, String) {
        let temp = Temp::new();
        let path = temp.path("script");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let mut output = Vec::new();
        let result = run(&path, &temp.path("copies"), &mut output);
        (result, String::from_utf8(output).unwrap())
    }

    #[test]
    fn errors_of_a_boot_script_have_its_status_and_last_line() {
        let good = (Ok(()), "one\ntwo\n".into());
        assert_eq!(ran("echo one; echo two >&2\n", 0o644), good);
        let (result, output) = ran("echo begun\n\necho no disk >&2; echo; exit 3", 0o644);
        let last = "exit status 3; last line of its output: no disk";
        assert_eq!(why(result), last);
        assert_eq!(output, "begun\nno disk\n\n");
        let (result, _) = ran("kill -9 $$", 0o644);
        assert_eq!(why(result), "killed by signal 9; no output");
        let (result, _) = ran("if then", 0o644);
        assert!(why(result).starts_with("exit status 2; last line of its output: "));
    }

    #[test]
    fn the_first_line_of_a_boot_script_names_its_interpreter() {
        assert_eq!(ran("#!/bin/cat\n", 0o644).1, "#!/bin/cat\n");
        assert_eq!(ran("#!/bin/cat\n", 0o755).1, "#!/bin/cat\n");
    }

    #[test]
    fn a_script_that_windows_has_saved_runs_as_one_of_unix() {
        for mode in [0o644, 0o755] {
            for head in ["", "#!/bin/sh\r\n", "\u{feff}#!/bin/sh\r\n"] {
                let text = format!("{head}if true; then\r\n  echo a\r\nfi\r\n");
                assert_eq!(
                    ran(&text, mode),
                    (Ok(()), "a\n".into()),
                    "{head:?} {mode:o}"
                );
            }
        }
    }

    #[test]
    fn a_background_child_does_not_delay_the_end_of_a_boot_script() {
        let start = Instant::now();
        let (result, output) = ran("echo here; sleep 20 &\nexit 4", 0o644);
        assert!(why(result).starts_with("exit status 4"));
        assert_eq!(output, "here\n");
        assert!(start.elapsed() < Duration::from_secs(15));
    }

    #[test]
    fn a_boot_script_ends_although_a_child_keeps_writing() {
        let (mut reader, mut writer) = io::pipe().unwrap();
        let (mut ended, end_signal) = io::pipe().unwrap();
        drop(end_signal);
        let talker = std::thread::spawn(move || while writer.write_all(b"more\n").is_ok() {});
        let (mut output, mut last_line) = (Vec::new(), LastLine::default());
        assert!(copy(&mut reader, &mut ended, &mut output, &mut last_line));
        drop(reader);
        talker.join().unwrap();
    }

    #[test]
    fn a_boot_script_that_is_no_file_is_not_run() {
        let temp = Temp::new();
        let fifo = temp.path("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let run = |path: &Path| why(run(path, temp.dir(), &mut Vec::new()));
        assert!(run(&fifo).ends_with("not a file: a fifo"));
        assert!(run(temp.dir()).ends_with("not a file: a directory"));
        assert!(run(&temp.path("none")).starts_with("ENOENT"));
    }
}
