// SPDX-License-Identifier: Apache-2.0
//! Restarts of the guest that its keeper sees.

use crate::adoption::{listens, request};
use crate::host::{CREATE, Host};
use crate::is;
use anyhow::{Context, Result, ensure};
use nix::sys::signal::kill;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::Duration;
use tests::{eventually, ports};

/// Restarts the guest, and returns when the keeper has seen it and the machine runs again.
fn reboot(host: &Host) -> Result<()> {
    let record = || -> Result<String> { Ok(fs::read_to_string(host.run_file("run.json")?)?) };
    let boots = |text: &str| text.matches("boot2podman: ready").count();
    let before = boots(&fs::read_to_string(host.file("console.log"))?);
    let mut console = UnixStream::connect(host.run_file("con.sock")?)?;
    console.write_all(b"r")?;
    eventually(Duration::from_secs(60), || {
        let text = fs::read_to_string(host.file("console.log"))?;
        ensure!(boots(&text) > before, "it has not booted");
        ensure!(record()?.contains("\"Running\""), "{}", record()?);
        is(host, "Running")
    })
}

#[test]
fn a_guest_that_restarts_gives_ports_of_containers_back() -> Result<()> {
    let host = Host::new()?;
    host.ok(&CREATE.replace("usual", "rebooter"))?;
    host.ok("start box")?;
    let (own, port) = (ports::free()?, ports::free()?);
    host.ok(&format!("ports add box {own}:80"))?;
    let said = request(&host, "expose", &format!(":{port}"))?;
    ensure!(
        said.contains("200 OK") && listens(port) && listens(own),
        "{said}"
    );
    let mut events = host.command("events --json box");
    let mut events = events
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut events_said = BufReader::new(events.stdout.take().context("no output")?);
    events_said.read_line(&mut String::new())?;
    let keepers = host.keepers()?;
    reboot(&host)?;
    ensure!(!listens(port), "a port of the boot before is left");
    eventually(Duration::from_secs(60), || {
        ensure!(listens(own), "the user's port is not back");
        Ok(())
    })?;
    host.ping()?;
    ensure!(host.keepers()? == keepers && host.qemu()?.len() == 1);
    // A keeper that has adopted the machine sees the next restart as well.
    for pid in host.keepers()? {
        kill(pid, nix::sys::signal::Signal::SIGKILL)?;
    }
    is(&host, "Running")?;
    let said = request(&host, "expose", &format!(":{port}"))?;
    ensure!(said.contains("200 OK") && listens(port), "{said}");
    reboot(&host)?;
    ensure!(!listens(port), "a port of the boot before is left");
    host.removes()?;
    let mut list = String::new();
    events_said.read_to_string(&mut list)?;
    events.wait()?;
    let taken_back = list
        .lines()
        .any(|line| line.contains("unpublished") && line.contains(&port.to_string()));
    ensure!(taken_back && list.contains("Starting"), "{list}");
    Ok(())
}
