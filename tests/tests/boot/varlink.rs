// SPDX-License-Identifier: Apache-2.0
//! Varlink: PID 1 holds the sockets, a process runs while somebody asks, and the documented lines
//! work as they stand.

use anyhow::{Result, ensure};
use std::time::Duration;
use tests::{Checks, Guest, eventually};

/// Time limit for the end of a service: it exits after ten idle seconds, and TCG is slow.
const LEAVES: Duration = Duration::from_secs(60);

pub fn all(guest: &Guest, checks: &mut Checks) {
    checks.check("no varlink service runs before anyone asks", || idle(guest));
    checks.check("varlink: sockets and registry", || sockets(guest));
    checks.check("varlink: the resolver and the tool", || tool(guest));
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
const SOCKETS: &[(&str, &str, &str)] =
    &[("org.varlink.resolver", "/run/org.varlink.resolver", "666")];

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
