// SPDX-License-Identifier: Apache-2.0
//! `init` as an init for one command (tini, dumb-init, catatonit), started by the tests, and its descendants.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result};
use initramfs::paths;
use tests::ns;

/// Names of the two init programs whose behaviour `init run` copies.
pub const BOTH: [&str; 2] = ["tini", "dumb-init"];
/// Names under which podman runs its init.
pub const PODMANS: [&str; 2] = ["catatonit", "podman-init"];

/// Shell script that creates five processes which become orphans, waits until the script's parent has reaped them all,
/// and prints the states of the parent's children: only the script's own state.
pub const ORPHANS: &str = "for i in 1 2 3 4 5; do (sleep 0.1 &); done
    for i in $(seq 300); do
        [ $(ps -o pid= --ppid $PPID | wc -l) = 1 ] && break; sleep 0.1
    done
    ps -o stat= --ppid $PPID";

/// Returns the program under `name`.
pub fn called(name: &str) -> Result<Command> {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    let program = ns::program()?;
    let dir = DIR.get_or_init(|| {
        let dir = paths::out().join("subreaper");
        let _ = fs::create_dir_all(&dir);
        for name in BOTH.iter().chain(&PODMANS).chain(&["init"]) {
            let _ = link(program, &dir.join(name)); // a name that is missing fails its test
        }
        dir
    });
    let mut command = Command::new(dir.join(name));
    command.stdin(Stdio::null());
    Ok(command)
}

/// Makes `link` lead to the program. A test of another process may execute the link at any moment:
/// one of an earlier program is replaced, and never missing.
fn link(program: &Path, link: &Path) -> io::Result<()> {
    if fs::read_link(link).is_ok_and(|target| target == program) {
        return Ok(());
    }
    let draft = link.with_extension(std::process::id().to_string());
    // A test that was killed between the two calls, with the same pid, may have left the link.
    let _ = fs::remove_file(&draft);
    symlink(program, &draft)?;
    fs::rename(draft, link)
}

/// Returns exit status and standard error.
pub fn run(name: &str, words: &[&str]) -> Result<(i32, String)> {
    let out = called(name)?.args(words).output()?;
    let status = out
        .status
        .code()
        .with_context(|| format!("{name} {words:?}: {}", out.status))?;
    Ok((status, String::from_utf8_lossy(&out.stderr).into_owned()))
}

/// Sends a signal to a child of this test, or to one of its children.
pub fn kill(pid: u32, signal: i32) {
    // SAFETY: integers; the process is not reaped yet.
    unsafe { libc::kill(pid as i32, signal) };
}

/// A process that is killed when the test ends.
pub struct Live {
    /// The process.
    pub child: Child,
    /// Standard output of the process.
    output: BufReader<ChildStdout>,
    /// Process group that is killed as well.
    group: Option<u32>,
}

impl Live {
    /// Starts the program under `name`.
    pub fn start(name: &str, words: &[&str]) -> Result<Live> {
        Live::spawn(called(name)?.args(words))
    }

    /// Starts a command and keeps its standard output.
    pub fn spawn(command: &mut Command) -> Result<Live> {
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let out = child.stdout.take().context("no pipe")?;
        Ok(Live {
            child,
            output: BufReader::new(out),
            group: None,
        })
    }

    /// Reads the first line, the command's pid, whose process group is killed with the test.
    pub fn leader(&mut self) -> Result<u32> {
        let pid = self.line()?.parse()?;
        self.group = Some(pid);
        Ok(pid)
    }

    /// Returns the next line of output.
    pub fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    /// Sends the process a signal.
    pub fn signal(&self, signal: i32) {
        kill(self.child.id(), signal);
    }

    /// Returns the letter of a process's state (proc_pid_stat(5)).
    pub fn state(pid: u32) -> Result<char> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let rest = stat.rsplit_once(") ").context("a stat")?.1;
        rest.chars().next().context("a state")
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let _ = self.child.kill(); // the program may have ended
        let _ = self.child.wait();
        if let Some(leader) = self.group {
            // SAFETY: integers. For a group that is gone, the error is ESRCH.
            unsafe { libc::kill(-(leader as i32), libc::SIGKILL) };
        }
    }
}

/// Shell script that prints its pid, then the name of each signal that it receives. The script
/// waits without a fork: a shell that is stopped in the middle of a vfork(2) does not look stopped.
pub const TELLS: &str = "s='HUP INT QUIT TERM USR1 USR2 CONT WINCH TSTP TTIN TTOU'
    (trap '' $s; exec sleep 100) &
    for n in $s; do trap \"echo $n\" $n; done
    echo $$; while :; do wait; done";
