// SPDX-License-Identifier: Apache-2.0
//! Disks that are in use by what a command does not see: a machine without its runtime directory, a copy that is
//! being made, a machine that was made while a command asked.

use crate::host::{CREATE, Host};
use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::process::Stdio;
use std::time::Duration;
use tests::eventually;

#[test]
fn a_machine_without_its_runtime_directory_keeps_its_disk() -> Result<()> {
    let host = Host::new()?;
    host.create()?;
    host.ok("snapshot create box s")?;
    host.ok("start box")?;
    let run = host.run_file("")?;
    // systemd-tmpfiles(8) leaves a directory alone that is locked.
    ensure!(File::open(&run)?.try_lock().is_err(), "it is not locked");
    fs::remove_dir_all(run)?;
    for line in [
        "status box",
        "start box",
        "kill box",
        "clone box copy",
        "rename box new",
        "export box box.tar",
        "snapshot restore box s",
        "rm -f box",
    ] {
        let error = host.fails(line)?;
        ensure!(
            error.contains("machine \"box\" runs") && !error.contains('\n'),
            "{line}: {error}"
        );
    }
    ensure!(host.ok("ls --format {{.Name}}:{{.State}}")? == "box:Error");
    ensure!(host.qemu()?.len() == 1 && host.file("disk.qcow2").exists());
    for pid in host.keepers()? {
        kill(pid, Signal::SIGTERM)?;
    }
    eventually(Duration::from_secs(60), || {
        ensure!(host.run("status box")?.stdout == b"Stopped\n", "it runs");
        Ok(())
    })?;
    host.ok("start box")?;
    host.ping()?;
    host.removes()
}

#[test]
fn a_keeper_that_no_command_starts_waits_for_commands() -> Result<()> {
    let host = Host::new()?;
    host.create()?;
    let lock = File::options().write(true).open(host.file("lock"))?;
    lock.lock()?;
    let mut keeper = host.command("keeper box").stdout(Stdio::null()).spawn()?;
    // A line with an arrow is a process that waits (proc_locks(5)).
    let waits = || -> Result<bool> {
        let locks = fs::read_to_string("/proc/locks")?;
        let pid = format!(" {} ", keeper.id());
        Ok(locks
            .lines()
            .any(|line| line.contains("->") && line.contains(&pid)))
    };
    eventually(Duration::from_secs(60), || {
        ensure!(waits()? || !host.qemu()?.is_empty(), "it does nothing");
        Ok(())
    })?;
    ensure!(host.qemu()?.is_empty(), "QEMU runs beside a command");
    ensure!(host.ok("status box")? == "Stopped");
    lock.unlock()?;
    eventually(Duration::from_secs(60), || {
        ensure!(host.ok("status box")? == "Running", "it does not run");
        Ok(())
    })?;
    host.ok("stop box")?;
    ensure!(keeper.wait()?.success());
    Ok(())
}

#[test]
fn a_reset_leaves_what_it_has_not_named() -> Result<()> {
    let host = Host::new()?;
    host.create()?;
    let mut reset = host.command("reset");
    let mut reset = reset.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut out = reset.stdout.take().context("no output")?;
    let mut said = Vec::new();
    while !said.ends_with(b"(y/n): ") {
        let mut byte = [0];
        out.read_exact(&mut byte)?;
        said.extend(byte);
    }
    host.ok(&CREATE.replace(" box", " late"))?;
    reset.stdin.take().context("no input")?.write_all(b"y\n")?;
    let status = reset.wait()?;
    ensure!(status.success() && host.ok("ls -q")? == "late", "{status}");
    host.ok("start late")?;
    host.ok("reset -f")?;
    host.nothing_left()?;
    let images = fs::read_dir(host.store().join("cache"))?.flatten();
    ensure!(images.filter(|entry| entry.file_name() != "lock").count() == 0);
    Ok(())
}
