// SPDX-License-Identifier: Apache-2.0
//! Machines in odd directories, and started by odd programs.

use crate::host::{Host, PROGRAM};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

/// Name with what shells, QEMU's options, slirp and ssh treat as special.
const NAME: &str = "it's \"a\" b, ü=日$x\\y%h#";

/// Creates a machine, uses it, saves it, continues and removes it.
fn live(host: &Host) -> Result<()> {
    host.ok("create --accel tcg --cpus 1 --memory 256M --disk 1G --image usual box")?;
    host.ping()?;
    host.ok("suspend box")?;
    host.ok("start box")?;
    host.ping()?;
    let config = host.ok("ssh-config box")?;
    ensure!(config.contains("podman-machine-box"), "{config}");
    host.ok("rm -f box")?;
    host.nothing_left()
}

#[test]
fn a_machine_lives_in_an_odd_home() -> Result<()> {
    live(&Host::below(NAME)?)
}

#[test]
fn a_home_may_be_a_link_to_a_long_name() -> Result<()> {
    let mut host = Host::below(&"x".repeat(150))?;
    // No socket fits below it: the runtime directory is another one.
    let shown = host.ok("status box").map_err(|error| error.to_string());
    ensure!(shown.is_err_and(|error| error.contains("does not exist")));
    let link = host.path().with_file_name("link");
    symlink(host.path(), &link)?;
    host.see_by(link);
    host.ok("create --no-start --image usual box")?;
    ensure!(host.ok("status box")? == "Stopped");
    host.ok("rm -f box")?;
    Ok(())
}

#[test]
fn a_machine_holds_no_file_of_the_program_that_starts_it() -> Result<()> {
    let host = Host::new()?;
    let marker = host.path().join("marker");
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$@\" 3>marker 9>marker", "sh", PROGRAM]);
    command
        .args("create --accel tcg --cpus 1 --memory 256M --disk 1G --image usual box".split(' '));
    host.set(&mut command);
    ensure!(command.output()?.status.success());
    let processes = [host.keepers()?, host.qemu()?].concat();
    ensure!(processes.len() == 2, "{processes:?}");
    for pid in processes {
        for entry in fs::read_dir(format!("/proc/{pid}/fd"))?.flatten() {
            let target = fs::read_link(entry.path()).context("descriptor")?;
            ensure!(target != marker, "{pid} holds {}", entry.path().display());
        }
    }
    Ok(())
}

/// A start that fails because of ssh is removed with all logs: its message has the reason.
#[test]
fn a_start_without_ssh_ends_with_its_words() -> Result<()> {
    let host = Host::new()?;
    let script = "#!/bin/sh\necho 'core@127.0.0.1: Permission denied (publickey).' >&2\nexit 255\n";
    fs::write(host.path().join("bin/ssh"), script)?;
    let line = "create --accel tcg --cpus 1 --memory 256M --disk 1G --image usual box";
    let said = host.fails(line)?;
    let line = said
        .lines()
        .find(|line| line.contains("API does not answer"));
    ensure!(
        line.is_some_and(|line| line.ends_with("Permission denied (publickey).")),
        "{said}"
    );
    host.nothing_left()
}

#[test]
fn a_forced_removal_that_leaves_the_machine_fails() -> Result<()> {
    let host = Host::new()?;
    host.create()?;
    // A lock that cannot be taken.
    fs::remove_file(host.file("lock")).ok();
    fs::create_dir(host.file("lock"))?;
    let said = host.fails("rm -f box")?;
    ensure!(said.contains("Is a directory"), "{said}");
    ensure!(host.ok("ls -q")? == "box");
    fs::remove_dir(host.file("lock"))?;
    host.removes()?;
    // A machine that does not exist is not left.
    host.ok("rm -f box").map(|_| ())
}
