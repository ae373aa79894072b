// SPDX-License-Identifier: Apache-2.0
//! Containers, by the clients that people use, from the host and over ssh.

mod archive;
mod defaults;
mod docker;
mod full;
mod hostile;
mod init;
mod limits;
mod network;
mod podman_remote;
mod pods;
mod python;
mod rootless;
mod varlink;

use anyhow::{Result, ensure};
use std::fs;
use std::time::{Duration, Instant};
use tests::{Checks, Guest, emulator, eventually, image};

/// Time limit of actions of the machine without a request.
const SOON: Duration = Duration::from_secs(180);

#[test]
fn containers_run_as_on_other_systems() -> Result<()> {
    emulator::again_after_fault(once)
}

fn once() -> Result<()> {
    let guest = Guest::boot("containers", |machine| {
        machine.memory_mib(1536).forward("web", 8080)
    })?;
    let mut checks = Checks::new("containers");
    let archive = image::archive(guest.vm.dir())?;
    let archive = archive.display().to_string();
    checks.check("podman load", || {
        let said = guest.podman(&["load", "-i", &archive])?;
        ensure!(said.contains(image::NAME), "{said}");
        Ok(())
    });
    checks.check("podman run", || run(&guest));
    init::all(&guest, &mut checks);
    network::all(&guest, &mut checks);
    limits::all(&guest, &mut checks);
    defaults::all(&guest, &mut checks);
    checks.check("a volume keeps what is written", || volume(&guest));
    checks.check("podman build", || build(&guest));
    checks.check("podman exec", || exec(&guest));
    varlink::all(&guest, &mut checks);
    podman_remote::all(&guest, &mut checks);
    hostile::all(&guest, &mut checks, &archive, hostile::Extent::Sample);
    python::all(&guest, &mut checks);
    checks.check("podman logs -f", || logs(&guest));
    checks.check("podman stop and rm", || stop(&guest));
    checks.check("podman-remote, the small client", || small_client(&guest));
    docker::all(&guest, &mut checks, &archive);
    rootless::all(&guest, &mut checks, &archive);
    full::all(&guest, &mut checks, &archive);
    checks.check("nothing is left over", || leftovers(&guest));
    checks.finish(&guest)
}

/// The checks with the longest time for the least gain over the others.
#[test]
#[ignore = "five minutes: make test-all"]
fn containers_at_length() -> Result<()> {
    let guest = Guest::boot("containers-at-length", |machine| machine.memory_mib(1536))?;
    let mut checks = Checks::new("containers-at-length");
    let archive = image::archive(guest.vm.dir())?;
    let archive = archive.display().to_string();
    checks.check("podman load", || {
        guest.podman(&["load", "-i", &archive]).map(drop)
    });
    hostile::all(&guest, &mut checks, &archive, hostile::Extent::All);
    checks.check("the machine's kernel and initrd can be an image", || {
        archive::loads(&guest)
    });
    full::with_output(&guest, &mut checks);
    full::of_core(&guest, &mut checks, &archive);
    checks.check("nothing is left over", || leftovers(&guest));
    checks.finish(&guest)
}

/// Without a network, `podman run` takes a quarter less of an emulated processor (2.25 s and 1.67 s).
const NO_NETWORK: [&str; 1] = ["--network=none"];

/// Runs `podman run --rm` with the test image and no network, and returns its output.
pub fn in_box(guest: &Guest, options: &[&str], command: &[&str]) -> Result<String> {
    in_network(guest, &[&NO_NETWORK, options].concat(), command)
}

/// Runs `podman run --rm` with the test image and returns its output.
pub fn in_network(guest: &Guest, options: &[&str], command: &[&str]) -> Result<String> {
    let args = [&["run", "--rm"], options, &[image::NAME], command].concat();
    guest.podman(&args)
}

/// Runs `podman run --detach` with the test image under a name and no network.
pub fn detached(guest: &Guest, name: &str, options: &[&str], command: &[&str]) -> Result<()> {
    detached_in_network(guest, name, &[&NO_NETWORK, options].concat(), command)
}

/// Runs `podman run --detach` with the test image under a name.
pub fn detached_in_network(
    guest: &Guest,
    name: &str,
    options: &[&str],
    command: &[&str],
) -> Result<()> {
    let args = [
        &["run", "--detach", "--name", name],
        options,
        &[image::NAME],
        command,
    ]
    .concat();
    guest.podman(&args).map(drop)
}

fn run(guest: &Guest) -> Result<()> {
    let begun = Instant::now();
    let echo = ["run", "--rm", image::NAME, "echo", "hello from inside"];
    let said = tests::text(&guest.podman_over_ssh("/run/podman/podman.sock", &echo)?)?;
    println!(
        "podman run, network and ssh included: {:.1} s",
        begun.elapsed().as_secs_f32()
    );
    ensure!(said == "hello from inside", "{said}");
    let out = guest.podman_out(&[
        "run",
        "--rm",
        "--network=none",
        image::NAME,
        "sh",
        "-c",
        "exit 7",
    ])?;
    ensure!(out.status.code() == Some(7), "{out:?}");
    Ok(())
}

fn volume(guest: &Guest) -> Result<()> {
    guest.podman(&["volume", "create", "kept"])?;
    in_box(
        guest,
        &["-v", "kept:/data"],
        &["sh", "-c", "echo yesterday >/data/note"],
    )?;
    let note = in_box(guest, &["-v", "kept:/data"], &["cat", "/data/note"])?;
    ensure!(note == "yesterday", "{note}");
    guest.podman(&["volume", "rm", "kept"]).map(drop)
}

fn build(guest: &Guest) -> Result<()> {
    let context = guest.vm.dir().join("context");
    fs::create_dir_all(&context)?;
    fs::write(context.join("extra"), "from the context\n")?;
    let file = format!(
        "FROM {}\nCOPY extra /extra\nRUN cat /extra >/made && echo by RUN >>/made\nCMD [\"cat\", \"/made\"]\n",
        image::NAME
    );
    fs::write(context.join("Containerfile"), file)?;
    guest.podman(&[
        "build",
        "--tag",
        "localhost/made:1",
        &context.display().to_string(),
    ])?;
    let said = guest.podman(&["run", "--rm", "--network=none", "localhost/made:1"])?;
    ensure!(said == "from the context\nby RUN", "{said}");
    Ok(())
}

fn exec(guest: &Guest) -> Result<()> {
    detached(guest, "sleeper", &["--init"], &["sleep", "1000"])?;
    let said = guest.podman(&["exec", "sleeper", "sh", "-c", "echo $((6 * 7)); ps"])?;
    ensure!(
        said.starts_with("42\n") && said.contains("sleep 1000"),
        "{said}"
    );
    let out = guest.podman_out(&["exec", "sleeper", "sh", "-c", "exit 9"])?;
    ensure!(out.status.code() == Some(9), "{out:?}");
    Ok(())
}

/// Follows the log of a container from its middle to its end.
fn logs(guest: &Guest) -> Result<()> {
    let script = "for i in 1 2 3 4 5 6; do echo line $i; sleep 1; done";
    detached(guest, "ticker", &[], &["sh", "-c", script])?;
    let said = guest.podman(&["logs", "--follow", "ticker"])?;
    let wanted: Vec<String> = (1..=6).map(|i| format!("line {i}")).collect();
    ensure!(said.lines().eq(wanted.iter().map(String::as_str)), "{said}");
    // The log may end before the engine has recorded the end of the container.
    guest.podman(&["wait", "ticker"])?;
    guest.podman(&["rm", "ticker"]).map(drop)
}

fn stop(guest: &Guest) -> Result<()> {
    guest.podman(&["stop", "--time", "60", "sleeper"])?;
    let code = guest.podman(&[
        "inspect",
        "--format",
        "{{.State.Status}} {{.State.ExitCode}}",
        "sleeper",
    ])?;
    // 128 + SIGTERM: the container obeyed the signal and was not killed (137).
    ensure!(code == "exited 143", "{code}");
    guest.podman(&["rm", "sleeper"])?;
    let left = guest.podman(&["ps", "--all", "--format", "{{.Names}}"])?;
    ensure!(!left.contains("sleeper"), "{left}");
    Ok(())
}

/// Uses Debian's podman-remote through a socket of the host that ssh forwards.
fn small_client(guest: &Guest) -> Result<()> {
    let mut podman = guest.client_of_tree("podman-remote")?;
    podman
        .args(["--url", &guest.engine()?])
        .args(["images", "--format", "{{.Repository}}"]);
    let out = vmm::process::output(podman, b"", std::time::Duration::from_secs(120))?;
    let images = tests::text(&out)?;
    ensure!(images.contains("localhost/box"), "{images}");
    Ok(())
}

/// Expects that removed containers leave no mount, no cgroup and no process.
fn leftovers(guest: &Guest) -> Result<()> {
    let all = guest.podman(&["ps", "--all", "--quiet"])?;
    ensure!(all.is_empty(), "containers are left: {all}");
    // An exec through the API keeps its conmon for five minutes, so that its exit status can be
    // read.
    let keepers = "ps -e -o args | grep '^/usr/bin/conmon' | grep -v -e --exec || true";
    let mounts = "grep -E 'containers/storage/overlay/.*/merged' /proc/mounts || true";
    let zombies = "cat /proc/[0-9]*/status 2>/dev/null | grep '^State:.Z' || true";
    for script in [keepers, mounts, zombies] {
        // A conmon ends after podman, and any process is a zombie until its parent has run.
        eventually(SOON, || {
            let left = guest.sh(script)?;
            ensure!(left.is_empty(), "{left}");
            Ok(())
        })?;
    }
    Ok(())
}
