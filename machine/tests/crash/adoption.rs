// SPDX-License-Identifier: Apache-2.0
//! Keepers that believe neither their record nor the guest: ports and restarts after an adoption, ready lines that
//! come again, and what stands still.

use crate::host::Host;
use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;
use tests::{eventually, ports};

fn started() -> Result<Host> {
    let host = Host::new()?;
    host.create()?;
    host.ok("start box")?;
    Ok(host)
}

/// Sends a line to a socket of the machine, and returns what answers.
fn say(host: &Host, socket: &str, lines: &[Value]) -> Result<BufReader<UnixStream>> {
    let mut stream = UnixStream::connect(host.run_file(socket)?)?;
    for line in lines {
        stream.write_all((line.to_string() + "\n").as_bytes())?;
    }
    Ok(BufReader::new(stream))
}

fn expose(host: &Host, port: u16) -> Result<()> {
    let request = json!({"do": "expose", "local": format!("127.0.0.1:{port}"), "remote": ":80"});
    let mut answer = String::new();
    say(host, "keeper.sock", &[request])?.read_line(&mut answer)?;
    ensure!(answer.contains("done"), "{answer}");
    Ok(())
}

fn kill_keeper(host: &Host) -> Result<()> {
    for pid in host.keepers()? {
        kill(pid, Signal::SIGKILL)?;
    }
    eventually(Duration::from_secs(60), || {
        ensure!(host.keepers()?.is_empty(), "the keeper is there");
        Ok(())
    })
}

fn append(host: &Host, text: &str) -> Result<()> {
    let mut log = File::options()
        .append(true)
        .open(host.file("console.log"))?;
    Ok(log.write_all(text.as_bytes())?)
}

fn listens(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

#[test]
fn ports_are_those_of_the_record() -> Result<()> {
    let host = started()?;
    let (lost, left) = (ports::free()?, ports::free()?);
    expose(&host, lost)?;
    ensure!(listens(lost), "not published");
    kill_keeper(&host)?;
    let human = |line: String| json!({"execute": "human-monitor-command", "arguments": {"command-line": line}});
    let changes = [
        json!({"execute": "qmp_capabilities"}),
        human(format!("hostfwd_remove net0 tcp:127.0.0.1:{lost}")),
        human(format!("hostfwd_add net0 tcp:127.0.0.1:{left}-:81")),
    ];
    let answers = say(&host, "qmp.sock", &changes)?.lines();
    // The greeting, and an answer to each.
    for line in answers.take(4) {
        ensure!(!line?.contains("error"));
    }
    ensure!(!listens(lost) && listens(left));
    ensure!(host.ok("status box")? == "Running");
    ensure!(listens(lost), "a port of the record is not published");
    ensure!(!listens(left), "a port is left");
    host.removes()
}

#[test]
fn a_restart_without_a_keeper_gives_ports_back() -> Result<()> {
    let host = started()?;
    let port = ports::free()?;
    expose(&host, port)?;
    kill_keeper(&host)?;
    host.ok("status box")?;
    ensure!(listens(port), "a keeper that adopts takes ports back");
    kill_keeper(&host)?;
    append(&host, "boot2podman: ready data=/dev/vda init=2 boot=2\n")?;
    host.ok("wait box")?;
    eventually(Duration::from_secs(60), || {
        ensure!(!listens(port), "a port of the boot before is left");
        ensure!(host.ok("status box")? == "Running");
        Ok(())
    })?;
    host.removes()
}

#[test]
fn a_guest_that_is_ready_again_and_again_is_heard_once() -> Result<()> {
    let host = started()?;
    let events = say(&host, "keeper.sock", &[json!({"do": "follow"})])?;
    append(&host, "boot2podman: ready data=/dev/vda init=2 boot=2\n")?;
    append(&host, "boot2podman: ready data=/dev/vda init=3 boot=3\n")?;
    append(&host, "Kernel panic - not syncing: x\n")?;
    for line in events.lines() {
        let line = line?;
        ensure!(!line.contains("ready"), "{line}");
        if line.contains("kernel has stopped") {
            return host.removes();
        }
    }
    Err(anyhow::anyhow!("the keeper has ended"))
}

#[test]
fn nobody_takes_a_machine_that_stands_still_for_one_that_runs() -> Result<()> {
    let host = started()?;
    host.ok("pause box")?;
    let error = host.fails("wait -t 1 box")?;
    ensure!(error.contains("was not ready within 1 s"), "{error}");
    host.ok("start box")?;
    host.ok("wait -t 60 box")?;
    host.ping()
}

#[test]
fn a_disk_has_the_size_of_its_snapshot_again() -> Result<()> {
    let host = Host::new()?;
    host.create()?;
    let gib = |gib: u64| -> Result<()> {
        let out = host.ok("ls --json")?;
        let list: Vec<Value> = serde_json::from_str(&out)?;
        let list = list.first().context("no machine")?;
        ensure!(
            list.to_string().contains(&(gib << 30).to_string()),
            "{list}"
        );
        let mut info = std::process::Command::new("qemu-img");
        let info = info.args(["info", "--output=json"]);
        let out = info.arg(host.file("disk.qcow2")).output()?;
        let info: Value = serde_json::from_slice(&out.stdout)?;
        ensure!(info["virtual-size"] == gib << 30, "{info}");
        Ok(())
    };
    host.ok("snapshot create box s")?;
    host.ok("resize box 3G")?;
    gib(3)?;
    host.ok("snapshot restore box s")?;
    gib(1)?;
    host.ok("resize box 3G")?;
    gib(3)
}
