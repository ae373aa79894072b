// SPDX-License-Identifier: Apache-2.0
//! `trim`: blocks that a machine does not use any more are given back to the host.

use super::{dirs, for_each, machines, many_names, not_running, state, takes_ssh};
use crate::fault::Fault;
use crate::keeper::tunnel::{ALIVE, host_alias};
use crate::store::Machine;
use crate::{compat, tool};
use anyhow::Result;
use clap::{ArgMatches, Command};
use std::os::unix::fs::MetadataExt;
use std::process::{Command as Process, ExitCode};

/// Returns the parser of `trim`.
pub fn command() -> Command {
    Command::new("trim")
        .about("Give blocks of the data disk that machines do not use back to this host")
        .arg(many_names())
}

/// Runs `trim`.
pub fn run(matches: &ArgMatches) -> Result<ExitCode> {
    let dirs = dirs(matches)?;
    for_each(&machines(&dirs, matches)?, |machine| {
        if !takes_ssh(machine, state(&dirs, machine)?) {
            return Err(not_running());
        }
        trim(machine)
    })
}

/// Trims the file system of the data disk. Machines mount it with `discard`, so that this finds what was deleted where
/// that was not in effect, such as on another host before an import.
fn trim(machine: &Machine) -> Result<()> {
    let before = used(machine);
    let mut ssh = Process::new("ssh");
    ssh.arg("-F").arg(machine.file("ssh_config"));
    ssh.args(ALIVE);
    ssh.arg(host_alias(&machine.name)).arg("--");
    let place = "/var/lib/boot2podman";
    ssh.arg(format!(
        "grep -q ' {place} ' /proc/mounts && sudo fstrim {place}"
    ));
    if let Err(error) = tool::output(&mut ssh) {
        let (name, program) = (&machine.name, compat::program());
        return Err(Fault::new(format!(
            "Error: machine \"{name}\" cannot trim its data disk: {error:#}; \
             `{program} ssh {name} cat /run/boot2podman/degraded` tells whether it has one"
        ))
        .into());
    }
    println!("{}", text(&machine.name, before, used(machine)));
    Ok(())
}

/// Returns the bytes that the disk's file takes.
fn used(machine: &Machine) -> u64 {
    let meta = machine.disk().metadata();
    meta.map_or(0, |meta| meta.blocks().saturating_mul(512))
}

fn text(name: &str, before: u64, after: u64) -> String {
    format!(
        "The disk of \"{name}\" takes {} MiB of this host, {} MiB less than before",
        after >> 20,
        before.saturating_sub(after) >> 20
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_has_grown_meanwhile_is_not_less_than_nothing() {
        let line = "The disk of \"a\" takes 3 MiB of this host, 2 MiB less than before";
        assert_eq!(text("a", 5 << 20, 3 << 20), line);
        assert!(text("a", 3 << 20, 5 << 20).contains(", 0 MiB less"));
    }
}
