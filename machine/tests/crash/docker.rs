// SPDX-License-Identifier: Apache-2.0
//! docker-machine's own tests of its commands (`test/integration/core/core-commands.bats`), in their
//! order, with a machine that runs: docs/reference/docker-machine.md has the table.

use crate::host::{Host, PROGRAM};
use anyhow::{Context, Result, ensure};
use std::os::unix::fs::symlink;
use std::process::{Command, Output};

/// Host on which the program has docker-machine's name.
struct Docker(Host);

impl Docker {
    fn new() -> Result<Self> {
        let host = Host::new()?;
        symlink(PROGRAM, host.path().join("bin/docker-machine"))?;
        Ok(Self(host))
    }

    fn run(&self, line: &str) -> Result<Output> {
        let mut command = Command::new(self.0.path().join("bin/docker-machine"));
        self.0.set(command.args(line.split(' ')));
        command.output().context("start docker-machine")
    }

    /// Runs a command, and returns its status with its output, or with its messages if it has failed.
    fn says(&self, line: &str) -> Result<(Option<i32>, String)> {
        let out = self.run(line)?;
        let said = match out.status.success() {
            true => out.stdout,
            false => out.stderr,
        };
        Ok((out.status.code(), String::from_utf8_lossy(&said).into()))
    }
}

/// Lines of a creation.
const CREATED: &str = "Running pre-create checks...\n(box) Verifying the image...\nCreating machine...\n\
    Starting \"box\"...\nMachine \"box\" was started.\nTo see how to connect your Docker Client to the Docker Engine \
    running on this virtual machine, run: docker-machine env box\n";

/// Test of docker-machine: its name, the command, the status, and a part of the output.
type Row = (&'static str, &'static str, i32, &'static str);

#[rustfmt::skip]
const ROWS: &[Row] = &[
    ("machine should not exist", "inspect UNKNOWN", 1, "Docker machine \"UNKNOWN\" does not exist"),
    ("create", "create -d virtualbox --virtualbox-memory 256 --virtualbox-no-vtx-check --accel tcg --disk 1G --image usual box", 0, CREATED),
    ("appears with ls", "ls -q", 0, "box"),
    ("has status 'started' appearing in ls", "ls -q --filter state=Running", 0, "box"),
    ("create with same name again fails", "create -d qemu box", 1, "Docker machine \"box\" already exists"),
    ("run busybox container", "config box", 0, "-H=unix://"),
    ("url", "url box", 0, "unix://"),
    ("ip", "ip box", 0, "127.0.0.1"),
    ("stop", "stop box", 0, "Stopping \"box\"...\nMachine \"box\" was stopped.\n"),
    ("stop twice", "stop box", 0, "Machine \"box\" is already stopped.\n"),
    ("machine should show stopped after stop", "ls", 0, "Stopped"),
    ("url should show an error when machine is stopped", "url box", 1, "Host is not running"),
    ("env should show an error when machine is stopped", "env box", 1, "Host is not running"),
    ("version should show an error when machine is stopped", "version box", 1, "Host is not running"),
    ("machine should upgrade even when machine is stopped", "upgrade --image other box", 0, ""),
    ("start should show an error after upgrade", "start box", 1, "Machine \"box\" is already running.\n"),
    ("machine should show running after start", "ls --timeout 20", 0, "Running"),
    ("kill", "kill box", 0, "Killing \"box\"...\nMachine \"box\" was killed.\n"),
    ("machine should show stopped after kill", "ls", 0, "Stopped"),
    ("restart", "restart box", 0, "Starting \"box\"...\nMachine \"box\" was started.\n"),
    ("machine should show running after restart", "ls --timeout 20", 0, "Running"),
    ("status", "status box", 0, "Running"),
    ("regenerate the certs", "regenerate-certs -f box", 0, ""),
    ("rm", "rm -y box", 0, "Successfully removed box"),
];

#[test]
fn docker_machines_core_commands_work() -> Result<()> {
    let host = Docker::new()?;
    for (name, line, status, part) in ROWS {
        let (code, said) = host.says(line).context(*name)?;
        ensure!(
            code == Some(*status) && said.contains(part),
            "{name}: `{line}`: {code:?}: {said}"
        );
    }
    host.0.nothing_left()
}
