// SPDX-License-Identifier: Apache-2.0
//! Varlink: PID 1 holds the sockets, a process runs while it has a client, and the documented lines
//! work unchanged.

use anyhow::{Result, ensure};
use serde_json::Value;
use std::time::Duration;
use tests::{Checks, Guest, eventually};

/// Time limit for the end of a service: a service exits after ten idle seconds, and TCG is slow.
const LEAVES: Duration = Duration::from_secs(180);

pub fn all(guest: &Guest, checks: &mut Checks) {
    checks.check("no varlink service runs before anyone asks", || idle(guest));
    checks.check("varlink: sockets and registry", || sockets(guest));
    checks.check("varlink: the resolver and the tool", || tool(guest));
    checks.check(
        "varlink: podman's interface, by the documented lines",
        || podman(guest),
    );
    checks.check("varlink: only root may", || denied(guest));
    checks.check("varlink: the machine's own interface", || machine(guest));
    checks.check("varlink: a service is followed", || followed(guest));
    checks.check("varlink services leave when idle, and come again", || {
        eventually(LEAVES, || idle(guest))?;
        tool(guest)
    });
}

fn idle(guest: &Guest) -> Result<()> {
    let pids = guest.pids("b2p varlink-")?;
    ensure!(pids.is_empty(), "varlink services run as {pids:?}");
    Ok(())
}

/// Interfaces, their sockets, and the modes of these.
const SOCKETS: &[(&str, &str, &str)] = &[
    ("org.varlink.resolver", "/run/org.varlink.resolver", "666"),
    ("io.podman", "/run/podman/io.podman", "600"),
    (
        "org.boot2podman.machine",
        "/run/boot2podman/machine.varlink",
        "666",
    ),
];

fn sockets(guest: &Guest) -> Result<()> {
    for (interface, path, mode) in SOCKETS {
        let registry = format!("/run/varlink/registry/{interface}");
        let found = guest.sh(&format!(
            "stat -L -c '%a %U %F' {registry}; readlink {registry}"
        ))?;
        ensure!(found == format!("{mode} root socket\n{path}"), "{found}");
    }
    Ok(())
}

/// Lines of the documents of 2018 to 2020, unchanged. `varlink -A` has both quotings of the address.
fn podman(guest: &Guest) -> Result<()> {
    let info = guest.sh_as("core", "sudo varlink info unix://run/podman/io.podman")?;
    let end = "\nInterfaces:\n  org.varlink.service\n  io.podman";
    ensure!(
        info.starts_with("Vendor: Atomic\nProduct: podman\nVersion: ") && info.ends_with(end),
        "{info}"
    );
    let address = guest.sh_as("core", "sudo varlink resolve io.podman")?;
    ensure!(
        address == "unix:/run/podman/io.podman;mode=0600",
        "{address}"
    );
    let installed = guest.sh("podman --version")?;
    let installed = installed.rsplit(' ').next().unwrap_or_default();
    let version = format!("\n  \"version\": \"{installed}\"\n");
    for line in [
        "sudo varlink call io.podman.GetVersion",
        r#"sudo varlink -b "varlink -A 'podman varlink \$VARLINK_ADDRESS' bridge" call io.podman.GetVersion"#,
        r"sudo varlink -A 'podman --log-level=error varlink \$VARLINK_ADDRESS' call io.podman.GetVersion",
    ] {
        let found = guest.sh_as("core", line)?;
        ensure!(found.contains(&version), "{line}: {found}");
        // podman 1.9 had these members and no other.
        let reply: Value = serde_json::from_str(&found)?;
        let members: Vec<&str> = reply
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, _)| name.as_str())
            .collect();
        ensure!(
            members
                == [
                    "built",
                    "git_commit",
                    "go_version",
                    "os_arch",
                    "remote_api_version",
                    "version"
                ]
                && reply["remote_api_version"] == 1
                && reply["os_arch"]
                    .as_str()
                    .is_some_and(|text| text.starts_with("linux/")),
            "{line}: {found}"
        );
    }
    // Without sudo the line is about the user's own podman.
    let line = r"varlink -A 'podman varlink \$VARLINK_ADDRESS' call io.podman.GetInfo";
    let store = guest.sh_as("core", line)?;
    let of_root = "\"/var/lib/containers/storage\"";
    ensure!(
        store.contains("graph_root") && !store.contains(of_root),
        "{store}"
    );
    for method in [
        "Ps '{\"opts\": {\"all\": true}}'",
        "GetContainersByContext '{\"all\": true}'",
        "GetContainersByStatus '{\"status\": [\"running\"]}'",
        "GetPodsByContext '{\"all\": true}'",
        "GetInfo",
        "ListContainers",
        "ListImages",
        "ListPods",
        "GetVolumes",
    ] {
        guest.sh(&format!("varlink call io.podman.{method}"))?;
    }
    let missing = guest.ssh(
        "root",
        "varlink call io.podman.InspectContainer '{\"name\": \"none\"}'",
    )?;
    let why = String::from_utf8_lossy(&missing.stderr);
    ensure!(
        missing.status.code() == Some(12) && why.contains("io.podman.ContainerNotFound"),
        "{why}"
    );
    Ok(())
}

fn denied(guest: &Guest) -> Result<()> {
    let output = guest.ssh("core", "varlink info unix:/run/podman/io.podman")?;
    ensure!(output.status.code() == Some(8), "{output:?}");
    Ok(())
}

/// Calls a method of the machine's own interface as a user; returns the exit status, and the JSON.
fn call(guest: &Guest, user: &str, call: &str) -> Result<(Option<i32>, Value)> {
    let output = guest.ssh(
        user,
        &format!("varlink call org.boot2podman.machine.{call}"),
    )?;
    let found = serde_json::from_slice(&output.stdout).unwrap_or_default();
    Ok((output.status.code(), found))
}

/// Users of the group sudo read, root changes, and others may do neither.
fn machine(guest: &Guest) -> Result<()> {
    let (code, found) = call(guest, "core", "GetStatus")?;
    ensure!(
        code == Some(0) && found["status"]["ready"].is_u64(),
        "{found}"
    );
    let (_, found) = call(guest, "core", "GetServices '{\"names\": [\"sshd\"]}'")?;
    ensure!(found["services"][0]["state"] == "up", "{found}");
    let (_, found) = call(
        guest,
        "core",
        "GetLog '{\"services\": [\"init\"], \"lines\": 1}'",
    )?;
    ensure!(found["entries"][0]["service"] == "init", "{found}");
    let (_, found) = call(guest, "core", "GetFlags")?;
    ensure!(found["flags"][0]["name"].is_string(), "{found}");
    let (_, found) = call(guest, "core", "GetBoot")?;
    ensure!(found["phases"][0]["name"] == "mount-api", "{found}");
    for (user, method, error) in [
        ("core", "PowerOff", "org.varlink.service.PermissionDenied"),
        (
            "core",
            "StopService '{\"name\": \"sshd\"}'",
            "org.varlink.service.PermissionDenied",
        ),
        (
            "root",
            "StopService '{\"name\": \"none\"}'",
            "org.boot2podman.machine.NoSuchService",
        ),
        ("root", "Cancel", "org.boot2podman.machine.Refused"),
        (
            "root",
            "SubscribeStatus",
            "org.varlink.service.ExpectedMore",
        ),
    ] {
        let output = guest.ssh(
            user,
            &format!("varlink call org.boot2podman.machine.{method}"),
        )?;
        let why = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.code() == Some(12) && why.contains(error),
            "{method}: {output:?}"
        );
    }
    let nobody = "sudo -u nobody varlink call org.boot2podman.machine.GetStatus";
    let output = guest.ssh("root", nobody)?;
    ensure!(output.status.code() == Some(12), "{output:?}");
    let address = guest.sh_as("core", "varlink resolve org.boot2podman.machine")?;
    ensure!(
        address == "unix:/run/boot2podman/machine.varlink;mode=0666",
        "{address}"
    );
    Ok(())
}

/// A subscriber gets a notice of a restart through the same interface, and the log has its audit
/// line.
fn followed(guest: &Guest) -> Result<()> {
    let followed = "varlink call -m org.boot2podman.machine.SubscribeServices '{\"names\": [\"varlink-resolver\"]}' >/run/followed & \
        p=$!; while [ ! -s /run/followed ]; do sleep 0.05; done; \
        varlink call org.boot2podman.machine.RestartService '{\"name\": \"varlink-resolver\"}' && \
        while ! grep -q '\"since\": ' /run/followed || [ $(grep -c '\"since\": ' /run/followed) -lt 2 ]; do sleep 0.05; done; kill $p; rm /run/followed";
    let found = guest.sh(followed)?;
    ensure!(found.contains("\"name\": \"varlink-resolver\""), "{found}");
    let trail = "restart varlink-resolver, by varlink from process ";
    eventually(LEAVES, || {
        let said = guest.sh("b2p log b2p")?;
        ensure!(said.contains(trail), "{said}");
        Ok(())
    })
}

/// The user needs no privilege to ask the resolver.
fn tool(guest: &Guest) -> Result<()> {
    for (line, expected) in [
        (
            "varlink info unix:///run/org.varlink.resolver | tail -n 4",
            "Interfaces:\n  org.varlink.service\n  org.varlink.resolver",
        ),
        (
            "varlink call org.varlink.resolver.Resolve '{\"interface\": \"org.varlink.resolver\"}'",
            "{\n  \"address\": \"unix:/run/org.varlink.resolver;mode=0666\"\n}",
        ),
        (
            "varlink resolve org.none 2>&1; echo $?",
            "Error resolving interface org.none\n2",
        ),
        (
            "varlink -b 'varlink bridge' info | head -n 1",
            "Vendor: boot2podman",
        ),
    ] {
        let output = guest.ssh("core", line)?;
        let found = String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned();
        ensure!(found == expected, "{line}: {found}");
    }
    Ok(())
}
