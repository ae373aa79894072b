// SPDX-License-Identifier: Apache-2.0
//! Signals that end a command: copies leave no draft, and a start is cancelled if it was asked to be.

use crate::host::{CREATE, Host};
use crate::is;
use anyhow::{Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Output, Stdio};
use std::time::Duration;
use tests::eventually;

/// Puts a program in the place of one of the host, which says that it runs, and waits.
fn install_slow(host: &Host, name: &str) -> Result<()> {
    let (program, begun) = (
        host.path().join("bin").join(name),
        host.path().join("begun"),
    );
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = info ] && PATH=${{PATH#*:}} exec {name} \"$@\"\n: >'{}'\nexec sleep 60\n",
        begun.display()
    );
    fs::write(&program, script)?;
    Ok(fs::set_permissions(
        &program,
        Permissions::from_mode(0o755),
    )?)
}

fn interrupt(child: Child, signal: Signal) -> Result<Output> {
    kill(Pid::from_raw(i32::try_from(child.id())?), signal)?;
    Ok(child.wait_with_output()?)
}

#[test]
fn copies_that_are_interrupted_leave_nothing() -> Result<()> {
    let host = Host::new()?;
    host.create()?;
    host.ok("export box box.tar")?;
    let before = host.left()?;
    for (slow, line, signal) in [
        ("cp", "clone box copy", Signal::SIGINT),
        ("qemu-img", "export box other.tar", Signal::SIGTERM),
        (
            "ssh-keygen",
            "import box.tar copy --image usual",
            Signal::SIGHUP,
        ),
    ] {
        install_slow(&host, slow)?;
        let mut command = host.command(line);
        let command = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let begun = host.path().join("begun");
        eventually(Duration::from_secs(60), || {
            ensure!(begun.exists(), "{slow} does not run");
            Ok(())
        })?;
        let out = interrupt(command, signal)?;
        fs::remove_file(&begun)?;
        fs::remove_file(host.path().join("bin").join(slow))?;
        ensure!(
            out.status.code() == Some(128 + signal as i32),
            "{line}: {out:?}"
        );
        ensure!(host.left()? == before, "{line}: {:?}", host.left()?);
        let hidden = fs::read_dir(host.path())?.flatten();
        let hidden: Vec<_> = hidden
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .filter(|name| name.starts_with('.'))
            .collect();
        ensure!(hidden.is_empty(), "{line}: {hidden:?}");
    }
    ensure!(!host.path().join("other.tar").exists());
    ensure!(host.ok("ls -q")? == "box");
    Ok(())
}

#[test]
fn a_start_that_is_cancelled_leaves_the_machine_off() -> Result<()> {
    let host = Host::new()?;
    host.ok(&CREATE.replace("usual", "silent"))?;
    for wait_for_qemu in [true, false] {
        let mut start = host.command("start --cancel box");
        let start = start.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        eventually(Duration::from_secs(60), || {
            is(&host, "Starting")?;
            ensure!(!wait_for_qemu || host.qemu()?.len() == 1, "no QEMU runs");
            Ok(())
        })?;
        let out = interrupt(start, Signal::SIGINT)?;
        let said = String::from_utf8_lossy(&out.stderr);
        ensure!(
            out.status.code() == Some(130)
                && said == "(box) the start is cancelled: the machine is off\n",
            "{out:?}"
        );
        is(&host, "Stopped")?;
    }
    host.removes()
}
