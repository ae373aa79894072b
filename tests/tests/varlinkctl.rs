// SPDX-License-Identifier: Apache-2.0
//! systemd's varlinkctl on a host, which reaches the machine's sockets by ssh.

use anyhow::{Result, ensure};
use initramfs::fetch::BuildConfig;
use initramfs::progress::Step;
use initramfs::tools;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};
use std::time::Duration;
use tests::{Checks, Guest, text};

const LIMIT: Duration = Duration::from_secs(120);
const PODMAN: &str = "ssh-unix:guest:/run/podman/io.podman";
const MACHINE: &str = "ssh-unix:guest:/run/boot2podman/machine.varlink";
const RESOLVER: &str = "ssh-unix:guest:/run/org.varlink.resolver";

#[test]
#[ignore = "packages to fetch: make test-all"]
fn varlinkctl_calls_the_machines_interfaces() -> Result<()> {
    let guest = Guest::boot("varlinkctl", |machine| machine)?;
    write_ssh(&guest)?;
    let mut checks = Checks::new("varlinkctl");
    checks.check("varlinkctl info", || info(&guest));
    checks.check("introspect, and validate-idl", || descriptions(&guest));
    checks.check("varlinkctl call", || calls(&guest));
    checks.check("call with --collect", || several(&guest));
    checks.check("a service that ssh starts", || started(&guest));
    checks.check("the method PowerOff switches the machine off", || {
        power_off(&guest)
    });
    checks.finish(&guest)
}

/// Writes an `ssh` of the image's release: `ssh -W` takes the path of a socket since OpenSSH 9.4.
fn write_ssh(guest: &Guest) -> Result<()> {
    let dir = guest.vm.dir().join("newer-ssh");
    fs::create_dir_all(&dir)?;
    let ssh = tools::command("ssh")?;
    let words = std::iter::once(ssh.get_program()).chain(ssh.get_args());
    let words: Vec<String> = words.map(|word| format!("'{}'", word.display())).collect();
    let config = guest.vm.dir().join("ssh_config");
    let script = format!(
        "#!/bin/sh\nexec {} -F '{}' -l root \"$@\"\n",
        words.join(" "),
        config.display()
    );
    fs::write(dir.join("ssh"), script)?;
    Ok(fs::set_permissions(
        dir.join("ssh"),
        fs::Permissions::from_mode(0o755),
    )?)
}

fn run(guest: &Guest, args: &[&str], stdin: &[u8]) -> Result<Output> {
    let debian = BuildConfig::from_env()?.fetch_varlink_clients(&Step::new("varlink", 1, 1))?;
    let mut command: Command = tools::command_in(&debian, "varlinkctl")?;
    let path = std::env::var("PATH").unwrap_or_default();
    let own = guest.vm.dir().join("newer-ssh");
    command.env("PATH", format!("{}:{path}", own.display()));
    command.args(args);
    vmm::process::output(command, stdin, LIMIT)
}

fn info(guest: &Guest) -> Result<()> {
    for (address, lines) in [
        (
            PODMAN,
            ["Vendor: Atomic", "Product: podman", "Interfaces: io.podman"],
        ),
        (
            MACHINE,
            [
                "Vendor: boot2podman",
                "Product: boot2podman",
                "Interfaces: org.boot2podman.machine",
            ],
        ),
        (
            RESOLVER,
            [
                "Vendor: boot2podman",
                "Product: boot2podman",
                "Interfaces: org.varlink.resolver",
            ],
        ),
    ] {
        let said = text(&run(guest, &["info", address], b"")?)?;
        ensure!(
            lines.iter().all(|line| said.contains(line)),
            "{address}: {said}"
        );
    }
    Ok(())
}

fn descriptions(guest: &Guest) -> Result<()> {
    for (address, interface) in [
        (PODMAN, "io.podman"),
        (MACHINE, "org.boot2podman.machine"),
        (RESOLVER, "org.varlink.resolver"),
        (RESOLVER, "org.varlink.service"),
    ] {
        let description = run(guest, &["introspect", address, interface], b"")?;
        let checked = run(guest, &["validate-idl"], &description.stdout)?;
        ensure!(
            description.status.success() && checked.status.success(),
            "{interface}: {}",
            String::from_utf8_lossy(&checked.stderr)
        );
    }
    Ok(())
}

/// Calls a method and returns its reply, or all replies with `--collect`.
fn call(guest: &Guest, option: &str, address: &str, method: &str) -> Result<Value> {
    let said = text(&run(guest, &[option, "call", address, method, "{}"], b"")?)?;
    Ok(serde_json::from_str(&said)?)
}

fn calls(guest: &Guest) -> Result<()> {
    let version = call(guest, "--json=short", PODMAN, "io.podman.GetVersion")?;
    ensure!(version["remote_api_version"] == 1, "{version}");
    let status = call(
        guest,
        "--json=short",
        MACHINE,
        "org.boot2podman.machine.GetStatus",
    )?;
    ensure!(status["status"]["state"] == "running", "{status}");
    let method = "org.boot2podman.machine.StopService";
    let wrong = run(guest, &["call", MACHINE, method, r#"{"name":"none"}"#], b"")?;
    let why = String::from_utf8_lossy(&wrong.stderr);
    ensure!(
        !wrong.status.success() && why.contains("org.boot2podman.machine.NoSuchService"),
        "{why}"
    );
    Ok(())
}

fn several(guest: &Guest) -> Result<()> {
    let method = "org.boot2podman.machine.ListServices";
    let replies = call(guest, "--collect", MACHINE, method)?;
    let replies = replies.as_array().map_or(&[][..], Vec::as_slice);
    let is_sshd = |reply: &Value| reply["service"]["name"] == "sshd";
    ensure!(replies.iter().any(is_sshd), "{} replies", replies.len());
    Ok(())
}

/// `ssh-exec:` runs a command that speaks varlink on its standard input and output.
fn started(guest: &Guest) -> Result<()> {
    for command in ["varlink bridge", "b2p varlink-resolver"] {
        let address = format!("ssh-exec:guest:{command}");
        let said = text(&run(guest, &["info", &address], b"")?)?;
        ensure!(said.contains("Vendor: boot2podman"), "{command}: {said}");
    }
    Ok(())
}

fn power_off(guest: &Guest) -> Result<()> {
    // The connection may break before the reply.
    let _ = call(
        guest,
        "--quiet",
        MACHINE,
        "org.boot2podman.machine.PowerOff",
    );
    let status = guest.vm.wait_exit(LIMIT)?;
    ensure!(status.success(), "QEMU: {status}");
    Ok(())
}
