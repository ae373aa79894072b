// SPDX-License-Identifier: Apache-2.0
//! An API that does not answer, starts that last too long, and ports of a machine that was saved.

use crate::adoption::{listens, request};
use crate::guest::FAILS;
use crate::host::{CREATE, Host, PROGRAM};
use crate::is;
use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use serde_json::json;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Duration;
use tests::{eventually, ports};

#[test]
fn an_api_that_fails_is_asked_again() -> Result<()> {
    let host = Host::new()?;
    host.create()?;
    let fails = host.path().join("bin").join(FAILS);
    fs::write(&fails, "1")?;
    host.ok("start box")?;
    ensure!(!fails.exists(), "no ssh has failed");
    host.ok("kill box")?;
    fs::write(&fails, "1000")?;
    let error = host.fails("start box")?;
    ensure!(
        error.contains("runs, but its podman API does not answer")
            && error.contains("Connection reset"),
        "{error}"
    );
    is(&host, "Starting")?;
    // The time to log in.
    for line in ["ssh box -- id", "shell box -- id"] {
        ensure!(host.ok(line)? == "in the guest", "{line}");
    }
    host.ok("trim box")?;
    host.ok("kill box")?;
    ensure!(host.ok("ssh --start box -- id")? == "in the guest");
    ensure!(host.fails("url box")? == "Host is not running");
    fs::remove_file(&fails)?;
    host.ok("wait -t 60 box")?;
    is(&host, "Running")?;
    host.ping()?;
    host.removes()
}

#[test]
fn a_terminal_shows_the_steps_of_a_start() -> Result<()> {
    let host = Host::new()?;
    host.create()?;
    let mut script = Command::new("script");
    let line = format!("{PROGRAM} start box");
    host.set(script.args(["-q", "-e", "-c", &line, "/dev/null"]));
    let out = script.output()?;
    let said = String::from_utf8_lossy(&out.stdout);
    let steps = [
        "QEMU runs",
        "The machine is ready",
        "Machine \"box\" was started.",
    ];
    let found = steps.map(|step| said.find(step));
    ensure!(
        found.iter().all(Option::is_some) && found.is_sorted(),
        "{out:?}"
    );
    host.removes()
}

#[test]
fn a_user_without_a_shell_has_machines() -> Result<()> {
    let host = Host::new()?;
    host.create()?;
    let out = host
        .command("start box")
        .env("SHELL", "/bin/false")
        .output()?;
    ensure!(out.status.success(), "{out:?}");
    host.ping()?;
    host.removes()
}

#[test]
fn a_start_that_takes_too_long_says_that_it_continues() -> Result<()> {
    let host = Host::new()?;
    host.ok(&CREATE.replace("usual", "silent"))?;
    let error = host.fails("start --timeout 1 box")?;
    let hint = "(box) the machine continues to start: `podman-machine wait box` waits until it is ready, \
                `podman-machine kill box` switches it off";
    ensure!(
        error.contains("was not ready within 1 s") && error.contains(hint),
        "{error}"
    );
    is(&host, "Starting")?;
    // A creation removes the machine, and says so.
    let line = CREATE.replace("--no-start", "--timeout 1");
    let error = host.fails(&line.replace("usual box", "silent other"))?;
    ensure!(
        error.contains("removed again") && !error.contains("continues"),
        "{error}"
    );
    host.removes()
}

#[test]
fn a_machine_that_was_saved_has_the_ports_of_now() -> Result<()> {
    let host = Host::new()?;
    host.create()?;
    host.ok("start box")?;
    let [taken, given_up, added, guest] = [
        ports::free()?,
        ports::free()?,
        ports::free()?,
        ports::free()?,
    ];
    for port in [taken, given_up] {
        host.ok(&format!("ports add box {port}:80"))?;
    }
    let said = request(&host, "expose", &format!(":{guest}"))?;
    ensure!(said.contains("200 OK"), "{said}");
    host.ok("suspend box")?;
    for line in [
        format!("ports add box {added}:80"),
        format!("ports rm box {given_up}"),
    ] {
        let out = host.run(&line)?;
        ensure!(
            out.status.success() && out.stderr.is_empty(),
            "{line}: {out:?}"
        );
    }
    let other = TcpListener::bind(("127.0.0.1", taken))?;
    let out = host.run("start box")?;
    let said = String::from_utf8_lossy(&out.stderr);
    let line = format!(
        "(box) degraded ports: listen tcp 127.0.0.1:{taken}: bind: address already in use on the host"
    );
    ensure!(out.status.success() && said.contains(&line), "{out:?}");
    ensure!(
        listens(added) && listens(guest),
        "{}",
        host.ok("ports box")?
    );
    ensure!(!listens(given_up), "a port that was given up is back");
    // The line is of that start.
    drop(other);
    host.ok("suspend box")?;
    let out = host.run("start box")?;
    ensure!(out.status.success() && out.stderr.is_empty(), "{out:?}");
    eventually(Duration::from_secs(30), || {
        ensure!(listens(taken), "{}", host.ok("ports box")?);
        Ok(())
    })?;
    host.removes()
}

#[test]
fn clients_follow_a_machine_to_another_runtime_directory() -> Result<()> {
    let host = Host::new()?;
    host.create()?;
    host.ok("start box")?;
    host.ok("connect box")?;
    let connections = host
        .path()
        .join(".config/containers/podman-connections.json");
    let before = fs::read_to_string(&connections)?;
    host.ok("stop box")?;
    // The user logs out, and cron(8) starts the machine.
    fs::remove_dir_all(host.path().join("run/pm"))?;
    let other = host.path().join("other-run");
    fs::create_dir(&other)?;
    let mut start = host.command("start box");
    let out = start.env("XDG_RUNTIME_DIR", &other).output()?;
    ensure!(out.status.success(), "{out:?}");
    let after = fs::read_to_string(&connections)?;
    let socket = format!("unix://{}/pm/", other.display());
    ensure!(
        !before.contains(&socket) && after.matches(&socket).count() == 2,
        "{before} {after}"
    );
    host.removes()
}

#[test]
fn a_machine_that_restarts_is_removed_by_force() -> Result<()> {
    let host = Host::new()?;
    host.ok(&CREATE.replace("usual", "deaf"))?;
    host.ok("start box")?;
    // It does not see its power button: the restart waits for the end.
    let restart = host.command("restart box").stderr(Stdio::piped()).spawn()?;
    eventually(Duration::from_secs(60), || is(&host, "Stopping"))?;
    host.removes()?;
    restart.wait_with_output()?;
    host.nothing_left()
}

#[test]
fn a_machine_without_kvm_says_so() -> Result<()> {
    let host = Host::new()?;
    host.ok(&CREATE.replace("--accel tcg", "--accel auto"))?;
    let out = host.run("start box")?;
    ensure!(out.status.success(), "{out:?}");
    let said = String::from_utf8_lossy(&out.stderr);
    let accelerator = host.ok("inspect --format {{.Accelerator}} box")?;
    let is_told = said.contains("degraded accel: no KVM, because ");
    ensure!(is_told == (accelerator == "tcg"), "{accelerator}: {said}");
    Ok(())
}

#[test]
fn a_container_whose_directory_is_not_shared_is_refused() -> Result<()> {
    let host = Host::new()?;
    host.create()?;
    host.ok("start box")?;
    let asked = |source: &str| -> Result<String> {
        let body = json!({"HostConfig": {"Binds": [format!("{source}:/src")]}}).to_string();
        let mut client = UnixStream::connect(host.run_file("podman.sock")?)?;
        let head = "POST /v1.41/containers/create HTTP/1.1\r\nHost: d";
        write!(client, "{head}\r\nContent-Length: {}\r\n\r\n", body.len())?;
        client.write_all(body.as_bytes())?;
        client.shutdown(Shutdown::Write)?;
        let mut answer = String::new();
        client.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let source = host.path().join("web");
    let source = source.to_str().context("a path of UTF-8")?;
    // A directory of neither side is the machine's business.
    let answer = asked(source)?;
    ensure!(!answer.contains("is not shared"), "{answer}");
    fs::create_dir(source)?;
    let answer = asked(source)?;
    let hint = format!("`podman-machine share add box {source} --restart`");
    ensure!(
        answer.starts_with("HTTP/1.1 400 ") && answer.contains(&hint),
        "{answer}"
    );
    Ok(())
}

#[test]
fn a_keeper_that_stands_still_is_killed() -> Result<()> {
    let host = Host::new()?;
    host.create()?;
    // A name that is given twice counts once.
    host.ok("start box box")?;
    for pid in host.keepers()? {
        kill(pid, Signal::SIGSTOP)?;
    }
    host.ok("kill box")?;
    let list = host.ok("ls --format {{.State}}:{{.Error}}")?;
    ensure!(list == "Stopped:", "{list}");
    host.removes()
}

#[test]
fn a_port_that_cannot_be_kept_is_not_published() -> Result<()> {
    let host = Host::new()?;
    host.ok(&CREATE.replace("usual", "silent"))?;
    let mut start = host.command("start box");
    let mut start = start.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    eventually(Duration::from_secs(60), || {
        ensure!(host.qemu()?.len() == 1, "no QEMU runs");
        is(&host, "Starting")
    })?;
    let port = ports::free()?;
    // The start holds the machine's lock.
    host.fails(&format!("ports add box {port}"))?;
    TcpListener::bind(("127.0.0.1", port)).context("the port is published")?;
    host.ok("kill box")?;
    start.wait()?;
    Ok(())
}
