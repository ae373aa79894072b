// SPDX-License-Identifier: Apache-2.0
//! The hooks of the ancestors, `b2p boot-script bootsync` and `b2p boot-script bootlocal`:
//! scripts on the data disk, run by PID 1 as services
//! (`sys::service_names::CONFIGURED_ON_DISK`). What one says goes to
//! the log; how it ended, if not well, is told in the service's degraded file. None can
//! stop the boot: who waits for it waits for so long only.

use std::fs::File;
use std::io::{self, PipeReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use log::warn;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::{prctl, signal::Signal};

use crate::common::degraded::Degraded;

/// Where they are.
const DIR: &str = "/var/lib/boot2podman";
/// So much of the last line is kept.
const LINE: usize = 200;
/// What a pipe holds (pipe(7)).
const PIPE: usize = 64 * 1024;

/// The file of a hook.
pub fn file(state: &Path, name: &str) -> PathBuf {
    state.join(format!("{name}.sh"))
}

/// `b2p boot-script NAME`; the exit status.
pub fn main(words: &[String]) -> i32 {
    let Some(name) = words
        .first()
        .filter(|n| ["bootsync", "bootlocal"].contains(&n.as_str()))
    else {
        crate::common::terminal::complain("usage: b2p boot-script bootsync|bootlocal");
        return 2;
    };
    let path = Path::new(DIR).join(format!("{name}.sh"));
    let outcome = run(&path, &mut io::stdout());
    let mut degraded = Degraded::of(name);
    if let Err(why) = outcome {
        degraded.warn(format_args!("{name}.sh: {why}"));
    }
    degraded.report()
}

/// Runs the script to its end and hands on what it says.
fn run(path: &Path, to: &mut impl Write) -> Result<(), String> {
    let mut command = command(path)?;
    let (mut from, into) = io::pipe().map_err(|e| e.to_string())?;
    let other = into.try_clone().map_err(|e| e.to_string())?;
    command.current_dir("/").stdin(Stdio::null());
    let begun = ends_with_us(&mut command)
        .stdout(into)
        .stderr(other)
        .spawn();
    let mut child = begun.map_err(|e| e.to_string())?;
    drop(command); // with its ends of the pipe
    let mut last = Last::default();
    // The end of the script counts, not that of the pipe: what it has left in the
    // background may hold that for as long as the machine runs.
    let (mut over, ended) = io::pipe().map_err(|e| e.to_string())?;
    let waiter = std::thread::spawn(move || {
        let status = child.wait();
        drop(ended);
        status
    });
    let left = copy(&mut from, &mut over, to, &mut last);
    let status = waiter.join().map_err(|_| "nobody knows how it ended")?;
    if left {
        relay(from);
    }
    judge(status.map_err(|e| e.to_string())?, &last)
}

/// Who stops the service means the script: SIGTERM reaches it by way of ours
/// (PR_SET_PDEATHSIG(2const)).
fn ends_with_us(command: &mut Command) -> &mut Command {
    let ask = || prctl::set_pdeathsig(Signal::SIGTERM).map_err(io::Error::from);
    #[expect(unsafe_code, reason = "what is set between fork and exec")]
    // SAFETY: one system call, which allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(ask)
    }
}

/// How it is run: as its first line says, else by sh; its mode does not matter.
fn command(path: &Path) -> Result<Command, String> {
    // Without O_NONBLOCK the open of a fifo waits for who writes to it (fifo(7)).
    let file = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
        .map_err(|e| e.to_string())?;
    let meta = file.metadata().map_err(|e| e.to_string())?;
    if !meta.is_file() {
        return Err("not a file".to_owned());
    }
    let mut head = Vec::new();
    file.take(256)
        .read_to_end(&mut head)
        .map_err(|e| e.to_string())?;
    if head.starts_with(b"#!") && meta.permissions().mode() & 0o111 != 0 {
        return Ok(Command::new(path));
    }
    let mut words = interpreter(&head);
    words.push(path.to_owned());
    let mut words = words.into_iter();
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words);
    Ok(command)
}

/// The program of a `#!` line and its one argument, as execve(2) takes them.
fn interpreter(head: &[u8]) -> Vec<PathBuf> {
    let line = head.split(|b| *b == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line.strip_prefix(b"#!").unwrap_or_default()).into_owned();
    let (program, rest) = line
        .trim()
        .split_once(char::is_whitespace)
        .unwrap_or((line.trim(), ""));
    match program {
        "" => vec![PathBuf::from("/bin/sh")],
        program => [program, rest.trim()]
            .into_iter()
            .filter(|word| !word.is_empty())
            .map(PathBuf::from)
            .collect(),
    }
}

/// Copies until nobody holds the other end, or `over` is closed and what was there by
/// then has been read. `true` if somebody still holds the other end.
fn copy(
    from: &mut PipeReader,
    over: &mut PipeReader,
    to: &mut impl Write,
    last: &mut Last,
) -> bool {
    let (mut buffer, mut more) = ([0; 4096], 0);
    loop {
        let mut fds = [&*from, &*over].map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN));
        if poll(&mut fds, PollTimeout::NONE).is_err() {
            continue; // EINTR
        }
        let [said, ended] = fds.map(|fd| fd.any() == Some(true));
        if ended && (!said || more > PIPE) {
            return true;
        }
        if !said {
            continue;
        }
        match from.read(&mut buffer) {
            Ok(0) => return false,
            Ok(n) => {
                let bytes = buffer.get(..n).unwrap_or_default();
                last.hear(bytes);
                more += if ended { n } else { 0 };
                let _ = to.write_all(bytes).and_then(|()| to.flush());
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
    }
}

/// Somebody goes on reading what the script left in the background has to say, or
/// SIGPIPE would end that.
fn relay(from: PipeReader) {
    let cat = Command::new("/usr/bin/cat").stdin(from).spawn();
    cat.map(drop)
        .unwrap_or_else(|e| warn!("cat: {e}: what is left in the background has no log"));
}

/// The last line that is not empty.
#[derive(Debug, Default)]
struct Last {
    whole: Vec<u8>,
    begun: Vec<u8>,
}

impl Last {
    fn hear(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match byte {
                b'\n' => self.line(),
                byte if self.begun.len() < LINE => self.begun.push(*byte),
                _ => {}
            }
        }
    }

    fn line(&mut self) {
        if !self.begun.trim_ascii().is_empty() {
            self.whole = std::mem::take(&mut self.begun);
        }
        self.begun.clear();
    }

    fn text(&self) -> String {
        let begun = self.begun.trim_ascii();
        let bytes = if begun.is_empty() {
            self.whole.trim_ascii()
        } else {
            begun
        };
        String::from_utf8_lossy(bytes).into_owned()
    }
}

fn judge(status: ExitStatus, last: &Last) -> Result<(), String> {
    let how = match (status.code(), status.signal()) {
        (Some(0), _) => return Ok(()),
        (Some(code), _) => format!("exit status {code}"),
        (None, signal) => format!("killed by signal {}", signal.unwrap_or(0)),
    };
    Err(match last.text() {
        text if text.is_empty() => format!("{how}; it said nothing"),
        text => format!("{how}; the last it said: {text}"),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;

    fn script(name: &str, text: &str, mode: u32) -> PathBuf {
        let path = std::env::temp_dir().join(format!("b2p-hook-{name}-{}", std::process::id()));
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn ran(name: &str, text: &str, mode: u32) -> (Result<(), String>, String) {
        let path = script(name, text, mode);
        let mut said = Vec::new();
        let outcome = run(&path, &mut said);
        fs::remove_file(path).unwrap();
        (outcome, String::from_utf8(said).unwrap())
    }

    #[test]
    fn how_it_ended_and_the_last_that_it_said() {
        assert_eq!(
            ran("good", "echo one; echo two >&2\n", 0o644),
            (Ok(()), "one\ntwo\n".into())
        );
        let (outcome, said) = ran("bad", "echo begun\n\necho no disk >&2; echo; exit 3", 0o644);
        assert_eq!(
            outcome.unwrap_err(),
            "exit status 3; the last it said: no disk"
        );
        assert_eq!(said, "begun\nno disk\n\n");
        let (outcome, _) = ran("mute", "kill -9 $$", 0o644);
        assert_eq!(outcome.unwrap_err(), "killed by signal 9; it said nothing");
        let (outcome, _) = ran("wrong", "if then", 0o644);
        assert!(
            outcome
                .unwrap_err()
                .starts_with("exit status 2; the last it said: ")
        );
    }

    #[test]
    fn its_first_line_says_what_it_is_written_in() {
        let words = |text: &str| interpreter(text.as_bytes());
        assert_eq!(
            words("#!/bin/bash -e -x \necho"),
            ["/bin/bash", "-e -x"].map(PathBuf::from)
        );
        assert_eq!(words("#! /bin/awk\n"), [PathBuf::from("/bin/awk")]);
        assert_eq!(words("echo"), [PathBuf::from("/bin/sh")]);
        assert_eq!(words("#!\n"), [PathBuf::from("/bin/sh")]);
        assert_eq!(ran("cat", "#!/bin/cat\n", 0o644).1, "#!/bin/cat\n");
        assert_eq!(ran("cat-x", "#!/bin/cat\n", 0o755).1, "#!/bin/cat\n");
    }

    #[test]
    fn what_it_leaves_in_the_background_does_not_keep_it() {
        let begun = std::time::Instant::now();
        let (outcome, said) = ran("left", "echo here; sleep 20 &\nexit 4", 0o644);
        assert!(outcome.unwrap_err().starts_with("exit status 4"));
        assert_eq!(said, "here\n");
        assert!(begun.elapsed() < std::time::Duration::from_secs(15));
    }

    #[test]
    fn nor_does_what_never_stops_talking() {
        let (mut from, mut into) = io::pipe().unwrap();
        let (mut over, ended) = io::pipe().unwrap();
        drop(ended);
        let talks = std::thread::spawn(move || while into.write_all(b"more\n").is_ok() {});
        let (mut said, mut last) = (Vec::new(), Last::default());
        assert!(copy(&mut from, &mut over, &mut said, &mut last));
        drop(from);
        talks.join().unwrap();
    }

    #[test]
    fn what_is_no_file_is_not_run() {
        let fifo = std::env::temp_dir().join(format!("b2p-hook-fifo-{}", std::process::id()));
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(run(&fifo, &mut Vec::new()).unwrap_err(), "not a file");
        fs::remove_file(&fifo).unwrap();
        assert_eq!(
            run(&std::env::temp_dir(), &mut Vec::new()).unwrap_err(),
            "not a file"
        );
        assert!(run(&fifo, &mut Vec::new()).is_err());
    }
}
