// SPDX-License-Identifier: Apache-2.0
//! Directories and programs of the machines of a test.

use crate::guest::{self, Guest};
use crate::trace::{self, Shot};
use anyhow::{Context, Result, ensure};
use nix::sys::signal::kill;
use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// Program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_podman-machine");

/// Directories of the machines of a test.
pub struct Host {
    home: PathBuf,
    _dir: tempfile::TempDir,
}

/// Creation of a machine of the usual guest.
pub const CREATE: &str =
    "create --no-start --accel tcg --cpus 1 --memory 256M --disk 1G --image usual box";

impl Host {
    /// Makes the images of all guests, and a `PATH` with their ssh.
    pub fn new() -> Result<Self> {
        Self::below("h")
    }

    /// Makes a host whose home has this name.
    pub fn below(name: &str) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let home = dir.path().join(name);
        fs::create_dir_all(home.join("run"))?;
        for (name, guest) in [
            ("usual", Guest::Usual),
            ("other", Guest::Other),
            ("deaf", Guest::Deaf),
            ("ram", Guest::Ram),
            ("silent", Guest::Silent),
            ("rebooter", Guest::Rebooter),
            ("writer", Guest::Writer),
        ] {
            guest.image(&home.join(name))?;
        }
        guest::install_ssh(&home.join("bin"))?;
        Ok(Self { home, _dir: dir })
    }

    /// Gives the home another path, which leads to it.
    pub fn see_by(&mut self, home: PathBuf) {
        self.home = home;
    }

    pub fn set(&self, command: &mut Command) {
        let path = std::env::var("PATH").unwrap_or_default();
        command
            .env("HOME", &self.home)
            .env("PATH", format!("{}/bin:{path}", self.home.display()))
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("XDG_DATA_HOME")
            .env_remove("DOCKER_CONFIG")
            .env_remove("PODMAN_CONNECTIONS_CONF")
            .env("XDG_RUNTIME_DIR", self.home.join("run"))
            .env("MACHINE_STORAGE_PATH", self.store())
            .current_dir(&self.home)
            .stdin(Stdio::null());
    }

    pub fn store(&self) -> PathBuf {
        self.home.join("store")
    }

    pub fn path(&self) -> &Path {
        &self.home
    }

    /// Returns a file of the machine `box`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.store().join("machines/box").join(name)
    }

    /// Returns a command whose words are separated by blanks.
    pub fn command(&self, line: &str) -> Command {
        let mut command = Command::new(PROGRAM);
        self.set(command.args(line.split(' ')));
        command
    }

    pub fn run(&self, line: &str) -> Result<Output> {
        self.command(line).output().context("start podman-machine")
    }

    /// Runs a command that succeeds, and returns its output.
    pub fn ok(&self, line: &str) -> Result<String> {
        let out = self.run(line)?;
        ensure!(out.status.success(), "{line}: {out:?}");
        Ok(String::from_utf8_lossy(&out.stdout).trim().to_owned())
    }

    /// Removes the machine `box` by force. A removal that was not whole has a message, which is the error.
    pub fn removes(&self) -> Result<()> {
        let out = self.run("rm -f box")?;
        let said = String::from_utf8_lossy(&out.stderr);
        ensure!(
            out.status.success() && said.is_empty(),
            "rm -f: {}: {said}",
            out.status
        );
        self.nothing_left()
    }

    /// Runs a command that fails, and returns its messages.
    pub fn fails(&self, line: &str) -> Result<String> {
        let out = self.run(line)?;
        ensure!(out.status.code() == Some(1), "{line}: {out:?}");
        Ok(String::from_utf8_lossy(&out.stderr).trim().to_owned())
    }

    pub fn create(&self) -> Result<()> {
        self.ok(CREATE).map(|_| ())
    }

    /// Lists what is left in the directories, but for images and the cache's lock.
    pub fn left(&self) -> Result<Vec<PathBuf>> {
        let mut left = Vec::new();
        for dir in ["store/machines", "store/cache", "run/pm"] {
            for entry in fs::read_dir(self.home.join(dir)).into_iter().flatten() {
                left.push(entry?.path());
            }
        }
        left.retain(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            !name.starts_with("sha256-") && name != "lock"
        });
        Ok(left)
    }

    /// Lists the processes that run for the machines of this host and have a word in their command
    /// line.
    pub fn processes(&self, word: &str) -> Result<Vec<Pid>> {
        let own = self.home.to_string_lossy().into_owned();
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc")?.flatten() {
            let pid = entry.file_name().to_string_lossy().parse::<i32>();
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).into_owned();
            let has = line.contains(&own) && line.split('\0').any(|part| part.ends_with(word));
            if let (Ok(pid), true) = (pid, has) {
                found.push(Pid::from_raw(pid));
            }
        }
        Ok(found)
    }

    /// Returns the pids of the QEMUs of this host.
    pub fn qemu(&self) -> Result<Vec<Pid>> {
        self.processes("qemu-system-x86_64")
    }

    /// Returns the pids of the keepers of this host.
    pub fn keepers(&self) -> Result<Vec<Pid>> {
        self.processes("keeper")
    }

    /// Returns a file in the runtime directory of the one machine.
    pub fn run_file(&self, name: &str) -> Result<PathBuf> {
        let mut dirs = fs::read_dir(self.home.join("run/pm"))?.flatten();
        let dir = dirs.next().context("no runtime directory")?;
        Ok(dir.path().join(name))
    }

    /// Asks the API of the machine for a sign of life.
    pub fn ping(&self) -> Result<()> {
        let answer = tests::http::get_unix(&self.run_file("podman.sock")?, "/_ping")?;
        ensure!(answer.status == 200, "{answer:?}");
        Ok(())
    }

    /// Runs a command that gets a signal at one of its system calls; returns the number of calls that
    /// it made, and its end.
    pub fn shot(&self, line: &str, shot: Shot) -> Result<(usize, WaitStatus)> {
        let pid = trace::start(self, line)?;
        let end = trace::follow(pid, shot, false)?;
        // A tool that the command had started writes its file to the end.
        let group = Pid::from_raw(-pid.as_raw());
        tests::eventually(Duration::from_secs(60), || {
            ensure!(kill(group, None).is_err(), "a tool still runs");
            Ok(())
        })?;
        Ok(end)
    }

    /// Fails if anything is left of machines: files, or processes that stay. A child of a keeper that
    /// was killed gets its own signal after that.
    pub fn nothing_left(&self) -> Result<()> {
        ensure!(self.left()?.is_empty(), "{:?}", self.left()?);
        tests::eventually(Duration::from_secs(60), || {
            let programs = self.processes("")?;
            ensure!(programs.is_empty(), "{programs:?}");
            Ok(())
        })
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        for name in fs::read_dir(self.store().join("machines"))
            .into_iter()
            .flatten()
            .flatten()
        {
            let _ = self.run(&format!("rm -f {}", name.file_name().to_string_lossy()));
        }
    }
}
