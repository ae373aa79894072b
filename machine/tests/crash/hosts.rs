// SPDX-License-Identifier: Apache-2.0
//! Hosts on which something is in the way: a taken port, another user, a full disk, a logout, a command
//! that is interrupted.

use crate::host::{CREATE, Host, PROGRAM};
use crate::is;
use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Gid, Pid, Uid, chown};
use std::fs;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use tests::{eventually, ports};

/// The user nobody: ssh-keygen(1) takes users with a name alone.
const OTHER: u32 = 65_534;

fn has_port(host: &Host, port: u16) -> Result<()> {
    let config = host.ok("ssh-config box")?;
    let line = format!("Port {port}\n");
    ensure!(config.contains(&line), "{config}, not {line}");
    Ok(())
}

#[test]
fn a_port_of_ssh_is_taken() -> Result<()> {
    let host = Host::new()?;
    host.create()?;
    let port = ports::free()?;
    let taken = TcpListener::bind(("127.0.0.1", port))?;
    // A port that the user has chosen: an error that names it, and its owner.
    host.ok(&format!("set box ssh-port={port}"))?;
    let error = host.fails("start box")?;
    let own = format!("(pid {}) has it", std::process::id());
    ensure!(
        error.contains(&format!("port {port} of 127.0.0.1"))
            && error.contains(&own)
            && !error.contains('\n'),
        "{error}"
    );
    is(&host, "Stopped")?;
    drop(taken);
    host.ok("start box")?;
    has_port(&host, port)?;
    // The owner is another machine.
    host.ok(&CREATE.replace("usual box", &format!("usual --ssh-port {port} two")))?;
    let error = host.fails("start two")?;
    ensure!(error.contains("machine \"box\" (pid "), "{error}");
    host.ok("rm -f two")?;
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let error = host.fails(&format!("ports add box {}", taken.local_addr()?.port()))?;
    ensure!(
        error.contains("address already in use on the host: ") && error.contains(&own),
        "{error}"
    );
    drop(taken);
    host.ok("stop box")?;
    // One of the last start: the next start has another one, and everybody is told.
    host.ok("set box ssh-port=0")?;
    host.ok("start box")?;
    host.ok("stop box")?;
    let text = fs::read_to_string(host.file("config.json"))?;
    let config = machine::store::config::MachineConfig::parse(&text)?;
    let taken_port = TcpListener::bind(("127.0.0.1", config.ssh_port))?;
    host.ok("start box")?;
    host.ping()?;
    ensure!(has_port(&host, config.ssh_port).is_err());
    // One that is chosen while the machine runs counts from the next start on.
    drop(taken_port);
    let next = ports::free()?;
    host.ok(&format!("set box ssh-port={next}"))?;
    let shown = host.ok("inspect --format {{.Driver.SSHPort}} box")?;
    ensure!(
        shown != next.to_string() && has_port(&host, shown.parse()?).is_ok(),
        "{shown}"
    );
    for pid in host.keepers()? {
        kill(pid, Signal::SIGKILL)?;
    }
    host.ok("restart box")?;
    has_port(&host, next)
}

/// Gives everything below a directory to the other user.
fn give(dir: &Path) -> Result<()> {
    chown(dir, Some(Uid::from_raw(OTHER)), Some(Gid::from_raw(OTHER)))?;
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        match path.is_dir() && !path.is_symlink() {
            true => give(&path)?,
            false => chown(
                &path,
                Some(Uid::from_raw(OTHER)),
                Some(Gid::from_raw(OTHER)),
            )?,
        }
    }
    Ok(())
}

#[test]
fn two_users_have_machines_of_one_name() -> Result<()> {
    if !Uid::effective().is_root() {
        eprintln!("root alone can be another user");
        return Ok(());
    }
    let (own, others) = (Host::new()?, Host::new()?);
    let home = others.path().parent().context("a directory")?;
    give(home)?;
    let run = |line: &str, runtime: &Path| -> Result<Output> {
        let mut command = others.command(line);
        command.env("XDG_RUNTIME_DIR", runtime);
        Ok(command.uid(OTHER).gid(OTHER).output()?)
    };
    let runtime = others.path().join("run");
    let ok = |line: &str| -> Result<String> {
        let out = run(line, &runtime)?;
        ensure!(out.status.success(), "{line}: {out:?}");
        Ok(String::from_utf8_lossy(&out.stdout).trim().to_owned())
    };
    own.create()?;
    own.ok("start box")?;
    ok(CREATE)?;
    ok("start box")?;
    ensure!(own.ok("status box")? == "Running" && ok("status box")? == "Running");
    own.ping()?;
    others.ping()?;
    ensure!(own.ok("ssh-config box")? != ok("ssh-config box")?);
    // A shell of su(1) has the runtime directory of the user before, which is not used.
    let out = run("status box", &own.path().join("run"))?;
    ensure!(
        out.status.success() && out.stdout == b"Running\n",
        "{out:?}"
    );
    let mut ls = own.command("ls -q");
    let out = ls.env("XDG_RUNTIME_DIR", &runtime).output()?;
    ensure!(out.status.success() && out.stdout == b"box\n", "{out:?}");
    ok("kill box")?;
    ok("rm -f box")?;
    is(&own, "Running")
}

#[test]
fn a_logout_stops_the_machine_in_order() -> Result<()> {
    let host = Host::new()?;
    host.create()?;
    host.ok("start box")?;
    // systemd sends both signals to all processes of a session.
    for pid in [host.qemu()?, host.keepers()?].concat() {
        for signal in [Signal::SIGTERM, Signal::SIGHUP] {
            kill(pid, signal)?;
        }
    }
    host.ok("wait --for stopped box")?;
    let last = fs::read_to_string(host.file("last.json"))?;
    ensure!(last.contains("powered off"), "{last}");
    let list = host.ok("ls --format {{.State}}:{{.Error}}")?;
    ensure!(list == "Stopped:", "{list}");
    Ok(())
}

#[test]
fn an_interrupted_start_continues() -> Result<()> {
    let host = Host::new()?;
    host.ok(&CREATE.replace("usual", "silent"))?;
    let mut start = host.command("start box");
    let start = start.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    // A machine is Starting from the moment on at which it has a keeper, and QEMU comes later.
    eventually(Duration::from_secs(60), || {
        is(&host, "Starting")?;
        ensure!(host.qemu()?.len() == 1, "no QEMU runs");
        Ok(())
    })?;
    kill(Pid::from_raw(i32::try_from(start.id())?), Signal::SIGINT)?;
    let start = start.wait_with_output()?;
    let said = String::from_utf8_lossy(&start.stderr);
    ensure!(
        start.status.code() == Some(130) && said.contains("(box) the machine continues to start"),
        "{start:?}"
    );
    is(&host, "Starting")?;
    // What ends without having been asked to says why.
    for pid in host.qemu()? {
        kill(pid, Signal::SIGKILL)?;
    }
    host.ok("wait --for stopped box")?;
    let list = host.ok("ls --format {{.State}}:{{.Error}}")?;
    // The words depend on what QEMU had answered by then.
    ensure!(
        list.strip_prefix("Stopped:")
            .is_some_and(|why| !why.is_empty()),
        "{list}"
    );
    Ok(())
}

/// Commands on a store of 24 MB, which is full where `fill` was called.
const FULL: &str = r#"
set -u
mount -t tmpfs -o size=24m none "$MACHINE_STORAGE_PATH" || exit 77
fill() { dd if=/dev/zero of="$MACHINE_STORAGE_PATH/filler" bs=64k 2>/dev/null; }
free() { rm "$MACHINE_STORAGE_PATH/filler"; }
"$PROGRAM" create --no-start --accel tcg --cpus 1 --memory 256M --disk 1G --image usual box >/dev/null || exit 1
fill
"$PROGRAM" start box >/dev/null 2>"$HOME/said" && exit 2
[ "$("$PROGRAM" status box)" = Stopped ] || exit 3
free
"$PROGRAM" start box >/dev/null || exit 4
fill
[ "$("$PROGRAM" status box)" = Running ] || exit 5
"$PROGRAM" set box memory=512M 2>/dev/null && exit 6
"$PROGRAM" suspend box >/dev/null 2>>"$HOME/said" && exit 7
[ "$("$PROGRAM" status box)" = Running ] || exit 8
kill -9 "$(cat "$XDG_RUNTIME_DIR"/pm/*/keeper.pid)"
[ "$("$PROGRAM" status box)" = Running ] || exit 13
"$PROGRAM" stop box >/dev/null || exit 9
[ "$("$PROGRAM" status box)" = Stopped ] || exit 10
free
"$PROGRAM" start box >/dev/null || exit 11
"$PROGRAM" stop box >/dev/null || exit 12
"$PROGRAM" clone box copy >/dev/null || exit 14
fill
"$PROGRAM" rm -f copy >/dev/null || exit 15
free
mount -o remount,ro "$MACHINE_STORAGE_PATH" || exit 17
[ "$("$PROGRAM" status box)" = Stopped ] || exit 18
"$PROGRAM" start box >/dev/null 2>>"$HOME/said" && exit 19
mount -o remount,rw "$MACHINE_STORAGE_PATH" || exit 20
"$PROGRAM" rm -f box >/dev/null || exit 16
"#;

#[test]
fn a_disk_of_the_host_is_full() -> Result<()> {
    let host = Host::new()?;
    fs::create_dir(host.store())?;
    let mut command = Command::new("unshare");
    host.set(command.args(["--user", "--map-root-user", "--mount", "sh", "-c", FULL]));
    let out = command.env("PROGRAM", PROGRAM).output()?;
    let said = fs::read_to_string(host.path().join("said")).unwrap_or_default();
    ensure!(out.status.success(), "{out:?}: {said}");
    ensure!(said.contains("No space left on device"), "{said}");
    ensure!(said.contains("Read-only file system"), "{said}");
    Ok(())
}

/// A runtime directory of 1 MB, which is full when the keeper is killed.
const FULL_RUNTIME: &str = r#"
set -u
mount -t tmpfs -o size=1m none "$XDG_RUNTIME_DIR" || exit 77
keeper() { cat "$XDG_RUNTIME_DIR"/pm/*/keeper.pid; }
"$PROGRAM" create --no-start --accel tcg --cpus 1 --memory 256M --disk 1G --image usual box >/dev/null || exit 1
"$PROGRAM" start box >/dev/null || exit 2
kill -9 "$(keeper)"
dd if=/dev/zero of="$XDG_RUNTIME_DIR/filler" bs=4k 2>/dev/null
[ "$("$PROGRAM" status box)" = Running ] || exit 3
"$PROGRAM" url box >/dev/null || exit 4
[ "$("$PROGRAM" ssh box -- id)" = "in the guest" ] || exit 5
grep -q "\"keeper\": $(keeper)," "$XDG_RUNTIME_DIR"/pm/*/run.json && exit 6
rm "$XDG_RUNTIME_DIR/filler"
n=0; until grep -q "\"keeper\": $(keeper)," "$XDG_RUNTIME_DIR"/pm/*/run.json; do n=$((n + 1)); [ $n -lt 100 ] || exit 7; sleep 0.2; done
"$PROGRAM" rm -f box >/dev/null || exit 8
"#;

#[test]
fn a_keeper_that_cannot_write_its_record_tells_its_state() -> Result<()> {
    let host = Host::new()?;
    let mut command = Command::new("unshare");
    host.set(command.args([
        "--user",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        FULL_RUNTIME,
    ]));
    let out = command.env("PROGRAM", PROGRAM).output()?;
    ensure!(out.status.success(), "{out:?}");
    Ok(())
}

/// A guest that writes all the time, on a store of 24 MB.
const WRITES: &str = r#"
set -u
mount -t tmpfs -o size=24m none "$MACHINE_STORAGE_PATH" || exit 77
becomes() { n=0; while [ "$("$PROGRAM" status box)" != "$1" ]; do n=$((n + 1)); [ $n -lt 300 ] || return 1; sleep 0.2; done; }
says() { "$PROGRAM" ls --format '{{.Error}}' | grep -q "host's disk is full: free space, and the machine continues"; }
"$PROGRAM" create --no-start --accel tcg --cpus 1 --memory 256M --disk 1G --image writer box >/dev/null || exit 1
"$PROGRAM" start box >/dev/null || exit 2
dd if=/dev/zero of="$MACHINE_STORAGE_PATH/filler" bs=64k 2>/dev/null
becomes Paused && says || exit 3
keeper=$(cat "$XDG_RUNTIME_DIR"/pm/*/keeper.pid)
kill -9 "$keeper"
# It answers no more, and holds its lock until all its threads have ended.
n=0; while kill -0 "$keeper" 2>/dev/null && [ $n -lt 50 ]; do n=$((n + 1)); sleep 0.1; done
becomes Paused && says || exit 4
"$PROGRAM" suspend box >/dev/null 2>"$HOME/said" && exit 5
becomes Paused || exit 6
rm "$MACHINE_STORAGE_PATH/filler"
becomes Running || exit 7
"$PROGRAM" stop box >/dev/null || exit 8
[ "$("$PROGRAM" ls --format '{{.State}}:{{.Error}}')" = Stopped: ] || exit 9
"#;

#[test]
fn a_machine_continues_when_the_hosts_disk_has_space_again() -> Result<()> {
    let host = Host::new()?;
    fs::create_dir(host.store())?;
    let mut command = Command::new("unshare");
    host.set(command.args(["--user", "--map-root-user", "--mount", "sh", "-c", WRITES]));
    let out = command.env("PROGRAM", PROGRAM).output()?;
    let said = fs::read_to_string(host.path().join("said")).unwrap_or_default();
    ensure!(out.status.success(), "{out:?}: {said}");
    ensure!(
        said.contains("the host's disk has 0 MiB free; it is paused"),
        "{said}"
    );
    Ok(())
}
