// SPDX-License-Identifier: Apache-2.0
//! Commands of a machine from its creation to its end, with the small guest.

use crate::host::{CREATE, Host};
use crate::{guest, is};
use anyhow::{Result, ensure};
use std::fs;
use std::process::Stdio;
use std::time::Duration;
use tests::eventually;

#[test]
fn a_machine_that_is_protected_stays() -> Result<()> {
    let host = Host::new()?;
    host.create()?;
    host.ok("protect box")?;
    let shown = host.ok("inspect --format {{.Protected}} box")?;
    ensure!(shown == "true", "{shown}");
    host.ok(&CREATE.replace("usual box", "usual another"))?;
    for line in ["rm -y box", "rm -f box", "reset -f"] {
        let error = host.fails(line)?;
        ensure!(
            error
                .lines()
                .last()
                .is_some_and(|line| line.contains("unprotect box")),
            "{line}: {error}"
        );
        is(&host, "Stopped")?;
    }
    // A reset removes all machines or none.
    host.ok("rm -y another")?;
    // A copy is another machine.
    host.ok("clone box copy")?;
    host.ok("rm -f copy")?;
    // A machine that runs is changed by its keeper.
    host.ok("start box")?;
    host.ok("unprotect box")?;
    host.removes()
}

#[test]
fn a_machine_starts_when_it_is_asked_for() -> Result<()> {
    let host = Host::new()?;
    host.create()?;
    let error = host.fails("ssh box -- id")?;
    ensure!(error.contains("is not running"), "{error}");
    // Nothing but the output of the command.
    for line in [
        "ssh --start box -- id",
        "ssh --start --username core box -- id",
        "shell --start box -- id",
    ] {
        let said = host.ok(line)?;
        ensure!(said == "in the guest", "{line}: {said}");
        is(&host, "Running")?;
        host.ok("wait --for ready box")?;
        let trimmed = host.ok("trim box")?;
        ensure!(
            trimmed.starts_with("The disk of \"box\" takes "),
            "{trimmed}"
        );
        host.ok("kill box")?;
    }
    let error = host.fails("trim box")?;
    ensure!(error == "Host is not running", "{error}");
    let error = host.fails("wait --for ready box")?;
    ensure!(error == "Host is not running", "{error}");
    let started = host.ok("start --time box")?;
    let moments = [
        "QEMU runs",
        "machine is ready",
        "podman API answers",
        "in the guest",
    ];
    let found = moments.map(|what| started.find(what));
    ensure!(
        found.iter().all(Option::is_some) && found.is_sorted(),
        "{started}"
    );
    // A machine that has no chart of its boot runs all the same.
    host.ok("kill box")?;
    fs::write(host.path().join("bin").join(guest::NO_CHART), "")?;
    let started = host.run("start --time box")?;
    let said = String::from_utf8_lossy(&started.stderr);
    ensure!(started.status.success(), "{started:?}");
    ensure!(said.contains("(box) no chart of the boot"), "{said}");
    let times = String::from_utf8_lossy(&started.stdout);
    ensure!(times.contains("podman API answers"), "{times}");
    host.removes()
}

#[test]
fn a_machine_is_asked_to_start_twice() -> Result<()> {
    let host = Host::new()?;
    host.create()?;
    let line = "ssh --start box -- id";
    let first = host.command(line).stdout(Stdio::piped()).spawn()?;
    eventually(Duration::from_secs(60), || {
        ensure!(host.ok("status box")? != "Stopped");
        Ok(())
    })?;
    let said = host.ok(line)?;
    ensure!(said == "in the guest", "{said}");
    let first = first.wait_with_output()?;
    ensure!(first.status.success(), "{first:?}");
    host.removes()
}

#[test]
fn a_machine_that_does_not_become_ready_is_removed_by_force() -> Result<()> {
    let host = Host::new()?;
    host.ok(&CREATE.replace("usual", "silent"))?;
    let start = host
        .command("start box")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    eventually(Duration::from_secs(60), || is(&host, "Starting"))?;
    let error = host.fails("rm -y box")?;
    let hint = "is at `start` of this machine: try again, or end it with `podman-machine kill box`";
    ensure!(error.contains(hint), "{error}");
    host.removes()?;
    let start = start.wait_with_output()?;
    let said = String::from_utf8_lossy(&start.stderr);
    // The keeper may be killed before it has told that QEMU has ended.
    let whys = ["did not start", "has ended without a report"];
    ensure!(
        start.status.code() == Some(1) && whys.iter().any(|why| said.contains(why)),
        "{said}"
    );
    Ok(())
}

#[test]
fn upgrade_dry_run_prints_the_change() -> Result<()> {
    let host = Host::new()?;
    host.ok(CREATE)?;
    let config = fs::read(host.file("config.json"))?;
    let said = host.ok("upgrade --dry-run --image other box")?;
    ensure!(
        said.contains("Machine \"box\" would get sha256-") && said.ends_with(", and be started."),
        "{said}"
    );
    let has = "Machine \"box\" has this image already";
    let said = host.ok("upgrade --dry-run --image usual box")?;
    ensure!(
        said.contains(&format!("{has}, and would be started.")),
        "{said}"
    );
    ensure!(fs::read(host.file("config.json"))? == config);
    is(&host, "Stopped")?;
    host.ok("start box")?;
    let said = host.ok("upgrade --dry-run --image other box")?;
    ensure!(said.ends_with(", and be stopped and started."), "{said}");
    let said = host.ok("upgrade --dry-run --image usual box")?;
    ensure!(said.ends_with(&format!("{has}.")), "{said}");
    host.ok("suspend box")?;
    let error = host.fails("upgrade --dry-run --image other box")?;
    ensure!(error.contains("its memory needs its image"), "{error}");
    // The memory needs the machine that it is of.
    for line in ["clone box copy", "rename box other", "export box box.tar"] {
        let error = host.fails(line)?;
        ensure!(
            error == "Error: machine \"box\" is saved: start and stop it first",
            "{error}"
        );
    }
    is(&host, "Saved")
}
