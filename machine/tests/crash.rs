// SPDX-License-Identifier: Apache-2.0
//! `create` and `rm`, killed at a system call: afterwards the machines are told truly, and nothing
//! is left behind. `make test` kills at some calls, `make test-all` at each.

use anyhow::{Context, Result, bail, ensure};
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// Program under test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_podman-machine");

/// Directories of the machines of a test.
struct Host {
    dir: tempfile::TempDir,
}

impl Host {
    /// Makes an image; no machine of it is started.
    fn new() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        fs::create_dir(dir.path().join("image"))?;
        fs::create_dir(dir.path().join("run"))?;
        fs::write(dir.path().join("image/vmlinuz"), "nothing")?;
        fs::write(dir.path().join("image/initrd.img"), "nothing")?;
        Ok(Self { dir })
    }

    fn set(&self, command: &mut Command) {
        command
            .env("HOME", self.dir.path())
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("XDG_DATA_HOME")
            .env("XDG_RUNTIME_DIR", self.dir.path().join("run"))
            .env("MACHINE_STORAGE_PATH", self.dir.path().join("store"))
            .current_dir(self.dir.path())
            .stdin(Stdio::null());
    }

    fn run(&self, line: &str) -> Result<Output> {
        let mut command = Command::new(PROGRAM);
        self.set(command.args(line.split(' ')));
        command.output().context("start podman-machine")
    }

    fn ok(&self, line: &str) -> Result<String> {
        let out = self.run(line)?;
        ensure!(out.status.success(), "{line}: {out:?}");
        Ok(String::from_utf8_lossy(&out.stdout).trim().to_owned())
    }

    fn create(&self) -> Result<()> {
        self.ok(CREATE).map(|_| ())
    }

    /// Lists what is left in the directories, but for the image and the cache's lock.
    fn left(&self) -> Result<Vec<PathBuf>> {
        let mut left = Vec::new();
        for dir in ["store/machines", "store/cache", "run/pm"] {
            for entry in fs::read_dir(self.dir.path().join(dir))
                .into_iter()
                .flatten()
            {
                left.push(entry?.path());
            }
        }
        left.retain(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            !name.starts_with("sha256-") && name != "lock"
        });
        Ok(left)
    }

    /// Runs a command, and kills it at the entry of its system call number `at`; returns the number of
    /// calls that its first thread made, and whether it was killed.
    fn killed(&self, line: &str, at: usize) -> Result<(usize, bool)> {
        let mut command = Command::new("sh");
        command.args(["-c", "kill -STOP $$; exec \"$0\" \"$@\"", PROGRAM]);
        self.set(command.args(line.split(' ')));
        command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0);
        let child = command.spawn()?;
        let pid = Pid::from_raw(i32::try_from(child.id())?);
        let stopped = waitpid(pid, Some(WaitPidFlag::WUNTRACED))?;
        ensure!(matches!(stopped, WaitStatus::Stopped(..)), "{stopped:?}");
        let options = Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_TRACEEXEC;
        ptrace::seize(pid, options | Options::PTRACE_O_EXITKILL)?;
        kill(pid, Signal::SIGCONT)?;
        let end = trace(pid, at)?;
        // A tool that the command had started writes its file to the end.
        let group = Pid::from_raw(-pid.as_raw());
        tests::eventually(std::time::Duration::from_secs(60), || {
            ensure!(kill(group, None).is_err(), "a tool still runs");
            Ok(())
        })?;
        Ok(end)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.run("rm -f box");
    }
}

const CREATE: &str = "create --no-start --accel tcg --memory 256M --disk 1G --image image box";

/// Follows a process from its exec on.
fn trace(pid: Pid, at: usize) -> Result<(usize, bool)> {
    let (mut calls, mut program, mut inside) = (0, false, false);
    loop {
        let status = waitpid(pid, Some(WaitPidFlag::__WALL))?;
        let signal = match status {
            WaitStatus::Exited(..) => return Ok((calls, false)),
            WaitStatus::Signaled(_, Signal::SIGKILL, _) => return Ok((calls, true)),
            WaitStatus::Signaled(..) => bail!("{status:?}"),
            WaitStatus::PtraceEvent(_, _, event) => {
                program |= event == nix::libc::PTRACE_EVENT_EXEC;
                inside |= event == nix::libc::PTRACE_EVENT_EXEC;
                None
            }
            WaitStatus::PtraceSyscall(_) => {
                inside = !inside;
                calls += usize::from(program && inside);
                if program && inside && calls == at {
                    kill(pid, Signal::SIGKILL)?;
                }
                None
            }
            WaitStatus::Stopped(_, signal) => Some(signal),
            _ => None,
        };
        match ptrace::syscall(pid, signal) {
            Ok(()) | Err(nix::errno::Errno::ESRCH) => {}
            Err(error) => return Err(error).context("ptrace"),
        }
    }
}

/// Returns the calls at which to kill: `most` of them, or each.
fn points(calls: usize, most: usize) -> impl Iterator<Item = usize> {
    (1..=calls).step_by(calls.div_ceil(most).max(1))
}

fn create(most: usize) -> Result<()> {
    let host = Host::new()?;
    let (calls, killed) = host.killed(CREATE, usize::MAX)?;
    ensure!(!killed && host.ok("status box")? == "Stopped");
    host.ok("rm -f box")?;
    for at in points(calls, most) {
        host.killed(CREATE, at)?;
        let about = || format!("create, killed at call {at} of {calls}");
        let listed = host.ok("ls -q").with_context(about)?;
        ensure!(
            listed.is_empty() || listed == "box",
            "{}: {listed}",
            about()
        );
        if listed.is_empty() {
            host.create().with_context(about)?;
        }
        ensure!(host.ok("status box")? == "Stopped", "{}", about());
        host.ok("rm -f box").with_context(about)?;
        ensure!(host.left()?.is_empty(), "{}: {:?}", about(), host.left()?);
    }
    Ok(())
}

fn remove(most: usize) -> Result<()> {
    let host = Host::new()?;
    host.create()?;
    let (calls, _) = host.killed("rm -f box", usize::MAX)?;
    for at in points(calls, most) {
        host.create()?;
        host.killed("rm -f box", at)?;
        let about = || format!("rm, killed at call {at} of {calls}");
        let listed = host.ok("ls -q").with_context(about)?;
        if listed == "box" {
            ensure!(host.ok("status box")? == "Stopped", "{}", about());
        }
        host.run("rm -f box")?;
        ensure!(host.left()?.is_empty(), "{}: {:?}", about(), host.left()?);
    }
    Ok(())
}

#[test]
fn create_is_killed() -> Result<()> {
    create(10)
}

#[test]
fn rm_is_killed() -> Result<()> {
    remove(10)
}

#[test]
#[ignore = "a minute or more for each command: make test-all"]
fn each_call_of_create() -> Result<()> {
    create(usize::MAX)
}

#[test]
#[ignore = "a minute or more for each command: make test-all"]
fn each_call_of_rm() -> Result<()> {
    remove(usize::MAX)
}
