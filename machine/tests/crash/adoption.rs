// SPDX-License-Identifier: Apache-2.0
//! Keepers that believe neither their record nor the guest: ports and restarts after an adoption, ready lines that
//! come again, and what stands still.

use crate::guest;
use crate::host::{Host, PROGRAM};
use crate::is;
use anyhow::{Context, Result, ensure};
use machine::store::lock;
use nix::sys::signal::{Signal, kill};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Output, Stdio};
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
    // A process that ends has no command line any more, and still its lock.
    lock::wait_free(&host.run_file("keeper.pid")?)
}

fn append(host: &Host, text: &str) -> Result<()> {
    let mut log = File::options()
        .append(true)
        .open(host.file("console.log"))?;
    Ok(log.write_all(text.as_bytes())?)
}

pub(crate) fn listens(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

#[test]
fn a_guest_that_has_booted_may_have_another_host_key() -> Result<()> {
    let host = Host::new()?;
    let has_key = |key: &str| fs::write(host.path().join("bin").join(guest::HOST_KEY), key);
    host.create()?;
    host.ok("snapshot create box clean")?;
    has_key("one")?;
    host.ok("start box")?;
    host.ok("stop box")?;
    // The guest has set a broken key aside, or could not use its disk.
    has_key("two")?;
    host.ok("start box")?;
    host.ping()?;
    ensure!(fs::read_to_string(host.file("known_hosts"))? == "two");
    host.ok("stop box")?;
    // A snapshot from before the first boot has no key.
    host.ok("snapshot restore box clean")?;
    ensure!(!host.file("known_hosts").exists());
    host.ok("start box")?;
    host.ping()
}

#[test]
fn an_end_that_nobody_could_record_has_its_own_reason() -> Result<()> {
    let host = Host::new()?;
    host.create()?;
    host.ok("start box")?;
    for pid in host.qemu()? {
        kill(pid, Signal::SIGKILL)?;
    }
    host.ok("wait --for stopped box")?;
    let error = || host.ok("ls --format {{.Error}}");
    ensure!(error()?.contains("signal 9"), "{}", error()?);
    // The next run ends with its keeper, as by a power cut of the host.
    host.ok("start box")?;
    for pid in [host.keepers()?, host.qemu()?].concat() {
        kill(pid, Signal::SIGKILL)?;
    }
    eventually(Duration::from_secs(60), || is(&host, "Stopped"))?;
    ensure!(error()?.contains("without a report"), "{}", error()?);
    Ok(())
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
fn repeated_ready_lines_of_a_guest_are_one_event() -> Result<()> {
    let host = started()?;
    let events = say(&host, "keeper.sock", &[json!({"do": "follow"})])?;
    append(&host, "boot2podman: ready data=/dev/vda init=2 boot=2\n")?;
    append(&host, "boot2podman: ready data=/dev/vda init=3 boot=3\n")?;
    append(&host, "Kernel panic - not syncing: x\n")?;
    for line in events.lines() {
        let line = line?;
        // A follower gets the line that counts.
        ensure!(
            !line.contains("ready") || line.contains("init=1 "),
            "{line}"
        );
        if line.contains("kernel has stopped") {
            return host.removes();
        }
    }
    Err(anyhow::anyhow!("the keeper has ended"))
}

#[test]
fn commands_resume_a_paused_machine_before_they_use_it() -> Result<()> {
    let host = started()?;
    host.ok("pause box")?;
    let error = host.fails("wait -t 1 box")?;
    ensure!(error.contains("was not ready within 1 s"), "{error}");
    host.ok("start box")?;
    host.ok("wait -t 60 box")?;
    host.ping()?;
    host.ok("pause box")?;
    let said = host.ok("ssh --start box -- id")?;
    ensure!(said == "in the guest", "{said}");
    host.ping()
}

/// Starts what QEMU starts for a request of the guest.
fn relay(host: &Host) -> Result<Child> {
    let run = host.run_file("")?;
    let line = format!("relay {}", run.display());
    let mut relay = host.command(&line);
    relay.stdin(Stdio::piped()).stdout(Stdio::piped());
    Ok(relay.spawn()?)
}

pub(crate) fn request(host: &Host, action: &str, local: &str) -> Result<String> {
    let mut relay = relay(host)?;
    let body = json!({"local": local, "remote": ":80"}).to_string();
    let head = format!(
        "POST /services/forwarder/{action} HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    // One that ends at once reads nothing.
    let _ = relay
        .stdin
        .take()
        .context("no input")?
        .write_all(head.as_bytes());
    Ok(String::from_utf8_lossy(&relay.wait_with_output()?.stdout).into_owned())
}

#[test]
fn a_guest_publishes_ports_on_allowed_addresses_only() -> Result<()> {
    let host = started()?;
    let (own, port) = (ports::free()?, ports::free()?);
    host.ok(&format!("ports add box {own}:80"))?;
    let said = request(&host, "expose", &format!("0.0.0.0:{port}"))?;
    ensure!(said.contains("200 OK") && listens(port), "{said}");
    ensure!(
        TcpStream::connect(("127.0.0.2", port)).is_err(),
        "it listens on every address"
    );
    let said = request(&host, "expose", &format!("192.0.2.1:{port}"))?;
    ensure!(said.contains("set box publish-on=192.0.2.1"), "{said}");
    for (port, stays) in [(port, false), (own, true)] {
        let said = request(&host, "unexpose", &format!(":{port}"))?;
        ensure!(said.contains("200 OK") && listens(port) == stays, "{said}");
    }
    // Connections that send nothing.
    let mut silent = (0..32).map(|_| relay(&host)).collect::<Result<Vec<_>>>()?;
    eventually(Duration::from_secs(30), || {
        // The request below may have had the place of one, which has ended for want of it.
        for silent in &mut silent {
            if silent.try_wait()?.is_some() {
                *silent = relay(&host)?;
            }
        }
        let said = request(&host, "unexpose", ":1")?;
        ensure!(said.contains("32 requests at once"), "{said}");
        Ok(())
    })?;
    for relay in &mut silent {
        relay.kill()?;
        relay.wait()?;
    }
    let said = request(&host, "unexpose", ":1")?;
    ensure!(said.contains("200 OK"), "{said}");
    // A configuration may be large.
    let large = json!({"do": "x".repeat(100_000)});
    let mut answer = String::new();
    say(&host, "keeper.sock", &[large])?.read_line(&mut answer)?;
    ensure!(answer.contains("no request"), "{answer}");
    host.removes()
}

#[test]
fn a_port_that_two_containers_want_is_known_to_the_next_keeper() -> Result<()> {
    let host = started()?;
    let port = ports::free()?;
    let local = format!(":{port}");
    let bound = |state: &str| {
        let line = format!("sl local_address\n0: 0100007F:0050 00000000:0000 {state} 0:0\n");
        std::fs::write(host.path().join("bin").join(guest::TABLES), line)
    };
    bound("0A")?;
    ensure!(request(&host, "expose", &local)?.contains("200 OK"));
    let said = request(&host, "expose", &local)?;
    ensure!(said.contains("another container"), "{said}");
    kill_keeper(&host)?;
    ensure!(host.ok("status box")? == "Running");
    // podman gives back the port of the container that was refused.
    let said = request(&host, "unexpose", &local)?;
    ensure!(said.contains("200 OK") && listens(port), "{said}");
    kill_keeper(&host)?;
    // The container that has it ends meanwhile.
    bound("06")?;
    ensure!(host.ok("status box")? == "Running");
    eventually(Duration::from_secs(60), || {
        ensure!(!listens(port), "nobody has the port, and it is kept");
        Ok(())
    })?;
    host.removes()
}

#[test]
fn a_request_of_the_guest_finds_a_keeper_after_one_that_was_killed() -> Result<()> {
    let host = started()?;
    let port = ports::free()?;
    let local = format!(":{port}");
    for (action, is_published) in [("expose", true), ("unexpose", false)] {
        kill_keeper(&host)?;
        let said = request(&host, action, &local)?;
        ensure!(
            said.contains("200 OK") && listens(port) == is_published,
            "{action}: {said}"
        );
        ensure!(host.keepers()?.len() == 1, "{:?}", host.keepers()?);
    }
    host.removes()
}

#[test]
fn a_machine_that_was_killed_has_no_error() -> Result<()> {
    let host = started()?;
    host.ok("kill box")?;
    let list = host.ok("ls --format {{.State}}:{{.Error}}")?;
    ensure!(list == "Stopped:", "{list}");
    Ok(())
}

#[test]
fn a_machine_of_another_pid_namespace_is_seen_and_ended() -> Result<()> {
    let host = started()?;
    let within = |line: &str| -> Result<Output> {
        let mut command = Command::new("unshare");
        command.args([
            "--user",
            "--map-root-user",
            "--pid",
            "--fork",
            "--mount-proc",
            PROGRAM,
        ]);
        host.set(command.args(line.split(' ')));
        Ok(command.output()?)
    };
    let out = within("status box")?;
    ensure!(out.stdout == b"Running\n", "{out:?}");
    let out = within("kill box")?;
    ensure!(out.status.success(), "{out:?}");
    ensure!(host.ok("status box")? == "Stopped" && host.qemu()?.is_empty());
    // Nobody can tell a keeper that there is none.
    host.ok("start box")?;
    for pid in host.keepers()? {
        kill(pid, Signal::SIGSTOP)?;
    }
    let out = within("kill box")?;
    let said = String::from_utf8_lossy(&out.stderr);
    ensure!(
        out.status.code() == Some(1) && said.contains("in another pid namespace"),
        "{out:?}"
    );
    ensure!(host.qemu()?.len() == 1);
    for pid in host.keepers()? {
        kill(pid, Signal::SIGCONT)?;
    }
    host.ok("rm -f box").map(|_| ())
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
        let mut info = Command::new("qemu-img");
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
