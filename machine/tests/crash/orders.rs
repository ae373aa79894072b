// SPDX-License-Identifier: Apache-2.0
//! Commands that come while others run, and machines that do not do what they are asked to.

use crate::host::{Host, PROGRAM};
use crate::is;
use crate::points;
use crate::trace::Shot;
use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tests::eventually;

/// Creation of a machine that starts at once, of the guest that follows.
const CREATE: &str = "create --accel tcg --cpus 1 --memory 256M --disk 1G --image";
/// Memory of its own that a keeper has at most. The pages of the program are not counted: without optimisation
/// they are four times those of a release, whose file of 2.1 MB bounds the sum to less than 10 MB.
const KEEPER_KIB: u32 = 3_000;

fn create(host: &Host, guest: &str) -> Result<()> {
    host.ok(&format!("{CREATE} {guest} box")).map(|_| ())
}

/// Starts a creation by a script, whose ssh-keygen waits for the file `go`; returns when it waits.
fn held_back(host: &Host, script: &str) -> Result<Child> {
    let bin = host.path().join("slow");
    fs::create_dir_all(&bin)?;
    let (begun, go) = (host.path().join("begun"), host.path().join("go"));
    let keygen_script = format!(
        "#!/bin/sh\n: >'{}'\nwhile [ ! -e '{}' ]; do sleep 0.05; done\nPATH=${{PATH#*:}} exec ssh-keygen \"$@\"\n",
        begun.display(),
        go.display()
    );
    let keygen = bin.join("ssh-keygen");
    fs::write(&keygen, keygen_script)?;
    fs::set_permissions(&keygen, Permissions::from_mode(0o755))?;
    let path = std::env::var("PATH")?;
    let (slow, usual) = (bin.display(), host.path().join("bin"));
    let mut command = Command::new("sh");
    let words = format!("{CREATE} usual box");
    host.set(command.args(["-c", script, PROGRAM]).args(words.split(' ')));
    let path = format!("{slow}:{}:{path}", usual.display());
    command
        .env("PATH", path)
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let child = command.spawn()?;
    eventually(Duration::from_secs(60), || {
        ensure!(begun.exists(), "ssh-keygen does not run");
        Ok(())
    })?;
    Ok(child)
}

#[test]
fn a_creation_that_is_undone_leaves_the_machine_of_another() -> Result<()> {
    for interrupted in [true, false] {
        let host = Host::new()?;
        let second = held_back(&host, "exec \"$0\" \"$@\"")?;
        create(&host, "usual")?;
        if interrupted {
            kill(Pid::from_raw(i32::try_from(second.id())?), Signal::SIGINT)?;
        } else {
            fs::write(host.path().join("go"), "")?;
        }
        let out = second.wait_with_output()?;
        fs::write(host.path().join("go"), "")?;
        let said = String::from_utf8_lossy(&out.stderr);
        match interrupted {
            true => ensure!(out.status.code() == Some(130), "{out:?}"),
            false => ensure!(
                out.status.code() == Some(1)
                    && said.starts_with("Podman machine \"box\" already exists"),
                "{out:?}"
            ),
        }
        is(&host, "Running")?;
        host.ping()?;
        ensure!(host.ok("ls -q")? == "box");
        host.ok("rm -f box")?;
        // The ssh-keygen of the second one ends by itself.
        eventually(Duration::from_secs(60), || host.nothing_left())?;
    }
    Ok(())
}

#[test]
fn a_creation_under_nohup_outlives_its_terminal() -> Result<()> {
    let host = Host::new()?;
    let creation = held_back(&host, "trap '' HUP; exec \"$0\" \"$@\"")?;
    kill(Pid::from_raw(i32::try_from(creation.id())?), Signal::SIGHUP)?;
    fs::write(host.path().join("go"), "")?;
    let out = creation.wait_with_output()?;
    ensure!(out.status.success(), "{out:?}");
    is(&host, "Running")
}

/// Interrupts a creation with its start at some calls: the machine is there and runs, or nothing is.
fn interrupted(most: usize) -> Result<()> {
    let host = Host::new()?;
    let line = format!("{CREATE} usual box");
    let (calls, end) = host.shot(&line, Shot::NONE)?;
    ensure!(matches!(end, WaitStatus::Exited(_, 0)), "{end:?}");
    host.ok("rm -f box")?;
    for at in points(calls, most) {
        let signal = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP][at % 3];
        let (_, end) = host.shot(&line, Shot { at, signal })?;
        let about = || format!("{signal} at call {at} of {calls}: {end:?}");
        if host.ok("ls -q")? == "box" {
            is(&host, "Running").with_context(about)?;
            host.ping().with_context(about)?;
            host.ok("rm -f box").with_context(about)?;
        }
        host.nothing_left().with_context(about)?;
    }
    Ok(())
}

#[test]
fn a_creation_is_interrupted() -> Result<()> {
    interrupted(12)
}

#[test]
#[ignore = "some minutes: make test-all"]
fn a_creation_is_interrupted_at_each_call() -> Result<()> {
    interrupted(usize::MAX)
}

#[test]
fn a_machine_that_does_not_power_off_is_terminated() -> Result<()> {
    let host = Host::new()?;
    create(&host, "deaf")?;
    // A stop that waits too long for its user: the next one has a limit of its own.
    let mut patient = host.command("stop --timeout 600 box").spawn()?;
    eventually(Duration::from_secs(60), || is(&host, "Stopping"))?;
    patient.kill()?;
    patient.wait()?;
    is(&host, "Stopping")?;
    let error = host.fails("start box")?;
    ensure!(error.contains("is stopping"), "{error}");
    let out = host.run("stop --timeout 1 box")?;
    let said = String::from_utf8_lossy(&out.stderr);
    ensure!(
        out.status.success() && said.contains("did not power off within 1 s: QEMU is terminated"),
        "{out:?}"
    );
    is(&host, "Stopped")?;
    let last = fs::read_to_string(host.file("last.json"))?;
    ensure!(last.contains("did not power off in time"), "{last}");
    ensure!(host.ok("stop box")?.ends_with("is already stopped."));
    host.ok("start box")?;
    host.ok("rm -f box")?;
    host.nothing_left()
}

/// Returns the line of the configuration with the image.
fn image(host: &Host) -> Result<String> {
    let config = fs::read_to_string(host.file("config.json"))?;
    let line = config.lines().find(|line| line.contains("\"image\""));
    Ok(line.context("no image")?.to_owned())
}

#[test]
fn a_keeper_is_small() -> Result<()> {
    let host = Host::new()?;
    create(&host, "usual")?;
    let pid = fs::read_to_string(host.run_file("keeper.pid")?)?;
    let status = fs::read_to_string(format!("/proc/{}/status", pid.trim()))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.context("no size")?.trim().trim_end_matches(" kB");
    ensure!(kib.parse::<u32>()? <= KEEPER_KIB, "{kib} KiB");
    Ok(())
}

#[test]
fn an_upgrade_that_is_killed_leaves_the_way_back() -> Result<()> {
    let host = Host::new()?;
    create(&host, "usual")?;
    let first = image(&host)?;
    let mut upgrade = host.command("upgrade --image silent box").spawn()?;
    eventually(Duration::from_secs(60), || {
        ensure!(image(&host)? != first, "it has its old image");
        is(&host, "Starting")?;
        ensure!(host.qemu()?.len() == 1, "{:?}", host.qemu()?);
        Ok(())
    })?;
    upgrade.kill()?;
    upgrade.wait()?;
    // The images of both are in use.
    ensure!(host.ok("prune --dry-run")?.is_empty());
    host.ok("kill box")?;
    is(&host, "Stopped")?;
    let config = fs::read(host.file("config.json"))?;
    // As systemd starts it.
    let mut keeper = host.command("keeper box").stdout(Stdio::null()).spawn()?;
    eventually(Duration::from_secs(60), || is(&host, "Running"))?;
    ensure!(image(&host)? == first, "the keeper has the new image");
    host.ok("stop box")?;
    keeper.wait()?;
    fs::write(host.file("config.json"), config)?;
    let out = host.run("start box")?;
    let said = String::from_utf8_lossy(&out.stderr);
    ensure!(
        out.status.success() && said.contains("the machine has its old image"),
        "{out:?}"
    );
    ensure!(image(&host)? == first);
    host.ping()?;
    // An image that has become ready stays, whether or not a command waits for it.
    host.ok("upgrade --image other box")?;
    let second = image(&host)?;
    host.ok("restart box")?;
    ensure!(image(&host)? == second && second != first);
    Ok(())
}

#[test]
fn a_machine_that_runs_is_found_in_every_environment() -> Result<()> {
    let host = Host::new()?;
    create(&host, "usual")?;
    let other = host.path().join("elsewhere");
    fs::create_dir(&other)?;
    let ask = |line: &str, directory: Option<&Path>| {
        let mut command = host.command(line);
        match directory {
            Some(directory) => command.env("XDG_RUNTIME_DIR", directory),
            None => command.env_remove("XDG_RUNTIME_DIR"),
        };
        command.output().context("start podman-machine")
    };
    for directory in [None, Some(other.as_path())] {
        let out = ask("status box", directory)?;
        ensure!(out.stdout == b"Running\n", "{directory:?}: {out:?}");
    }
    let out = ask("start box", Some(&other))?;
    let said = String::from_utf8_lossy(&out.stderr);
    ensure!(said.contains("is already running."), "{out:?}");
    // One whose directory has gone with the session of its user starts in another one.
    host.ok("stop box")?;
    fs::remove_dir_all(host.path().join("run/pm"))?;
    let out = ask("start box", Some(&other))?;
    ensure!(out.status.success(), "{out:?}");
    is(&host, "Running")?;
    host.ok("rm -f box")?;
    ensure!(fs::read_dir(other.join("pm"))?.count() == 0);
    host.nothing_left()
}

#[test]
fn a_running_machine_is_upgraded_or_continues_unchanged() -> Result<()> {
    let host = Host::new()?;
    create(&host, "usual")?;
    let image = || image(&host);
    let first = image()?;
    let said = host.ok("upgrade --image other box")?;
    ensure!(said.ends_with("Machine \"box\" was upgraded."), "{said}");
    is(&host, "Running")?;
    host.ping()?;
    let second = image()?;
    ensure!(first != second);
    let error = host.fails("upgrade --image silent --timeout 1 box")?;
    ensure!(
        error.contains("was not upgraded; it has its old image, with which it runs"),
        "{error}"
    );
    is(&host, "Running")?;
    host.ping()?;
    ensure!(image()? == second);
    let said = host.ok("upgrade --image other box")?;
    ensure!(said.ends_with("has this image already."), "{said}");
    Ok(())
}

#[test]
fn kill_and_stop_keep_a_saved_state() -> Result<()> {
    let host = Host::new()?;
    create(&host, "usual")?;
    host.ok("suspend box")?;
    for command in ["kill", "stop"] {
        let out = host.run(&format!("{command} box"))?;
        let said = String::from_utf8_lossy(&out.stderr);
        ensure!(
            out.status.success() && said.contains("`podman-machine start --cold box` drops it"),
            "{out:?}"
        );
        is(&host, "Saved")?;
    }
    host.ok("start box")?;
    is(&host, "Running")?;
    let out = host.run("kill box")?;
    ensure!(out.status.success() && out.stderr.is_empty(), "{out:?}");
    is(&host, "Stopped")
}

#[test]
fn quadlet_files_are_passed_until_a_disk_has_them() -> Result<()> {
    let host = Host::new()?;
    let quadlets = host.path().join("quadlets");
    fs::create_dir(&quadlets)?;
    fs::write(quadlets.join("web.volume"), "[Volume]\n")?;
    for (guest, stays) in [("ram", true), ("usual", false)] {
        host.ok(&format!("{CREATE} {guest} --quadlet quadlets box"))?;
        let passed = || host.file("quadlet.ign").exists();
        host.ok("suspend box")?;
        ensure!(passed(), "{guest}: a memory goes on with its hardware");
        host.ok("start box")?;
        host.ok("stop box")?;
        ensure!(passed() == stays, "{guest}: {}", passed());
        host.ok("rm -f box")?;
    }
    Ok(())
}

#[test]
fn a_snapshot_has_the_quadlet_files_that_no_disk_had() -> Result<()> {
    let host = Host::new()?;
    fs::create_dir(host.path().join("quadlets"))?;
    fs::write(host.path().join("quadlets/web.volume"), "[Volume]\n")?;
    host.ok(&format!("{CREATE} usual --quadlet quadlets --no-start box"))?;
    host.ok("snapshot create box clean")?;
    host.ok("start box")?;
    host.ok("stop box")?;
    let document = |name: &str| host.file("").with_file_name(name).join("quadlet.ign");
    ensure!(!document("box").exists(), "the disk has the files");
    host.ok("snapshot create box later")?;
    host.ok("clone box copy")?;
    for name in ["box", "copy"] {
        host.ok(&format!("snapshot restore {name} later"))?;
        ensure!(!document(name).exists(), "{name}");
        host.ok(&format!("snapshot restore {name} clean"))?;
        ensure!(document(name).exists(), "{name} has no quadlet files");
    }
    host.ok("snapshot rm box clean")?;
    let left = fs::read_dir(host.file("snapshots"))?.count();
    ensure!(left == 0, "{left} files of snapshots");
    Ok(())
}

#[test]
fn copies_have_the_snapshots_or_say_that_they_do_not() -> Result<()> {
    let host = Host::new()?;
    let quadlets = host.path().join("quadlets");
    fs::create_dir(&quadlets)?;
    fs::write(quadlets.join("web.volume"), "[Volume]\n")?;
    host.ok(&format!("{CREATE} ram --quadlet quadlets box"))?;
    host.ok("snapshot create box memory")?;
    host.ok("stop box")?;
    host.ok("snapshot create box disk")?;
    let error = host.fails("export box box.tar")?;
    ensure!(
        error.contains("has the snapshots memory, disk, which an archive does not hold"),
        "{error}"
    );
    ensure!(!host.path().join("box.tar").exists());
    host.ok("export --without-snapshots box box.tar")?;
    host.ok("import box.tar --image ram third")?;
    let said = host.run("clone box copy")?;
    let text = String::from_utf8_lossy(&said.stderr).into_owned();
    ensure!(
        said.status.success() && text.contains("the disks of the snapshots memory, and not"),
        "{said:?}"
    );
    let list = host.ok("snapshot list --json copy")?;
    ensure!(list.matches("\"Memory\": 0").count() == 2, "{list}");
    let said = host.ok("snapshot restore copy memory")?;
    ensure!(said.contains("`start` boots from it"), "{said}");
    for name in ["copy", "third"] {
        let document = host.file("").with_file_name(name).join("quadlet.ign");
        ensure!(document.exists(), "{name} has no quadlet files");
    }
    Ok(())
}
