// SPDX-License-Identifier: Apache-2.0
//! Images from the user's registries and through proxies.

use super::{World, put};
use anyhow::{Result, ensure};
use tests::Guest;
use tests::registry::HOST;

/// Client elsewhere, through the API.
const REMOTE: &str = "CONTAINER_HOST=unix:///run/podman/podman.sock podman --remote";
/// Image at an address that only the proxy can reach.
const FAR: &str = "far.example/box:1";

/// Returns the disk's registries.conf.
pub fn conf(port: u16) -> String {
    format!(
        "[[registry]]\nprefix = \"plain.example\"\nlocation = \"{HOST}:{port}\"\ninsecure = true\n\n\
         [[registry]]\nlocation = \"far.example\"\ninsecure = true\n\n\
         [[registry]]\nlocation = \"docker.io\"\n\
         [[registry.mirror]]\nlocation = \"{HOST}:{port}/mirror\"\ninsecure = true\n"
    )
}

/// Returns Ok if podman lists the tags of a registry over TLS; otherwise, podman's message.
pub fn tags(guest: &Guest, user: &str, port: u16) -> Result<std::result::Result<(), String>> {
    let script = format!("podman search --list-tags {HOST}:{port}/box");
    let out = guest.ssh(user, &script)?;
    let said = String::from_utf8_lossy(&out.stdout);
    let well = out.status.success() && said.contains("box");
    Ok(well
        .then_some(())
        .ok_or_else(|| String::from_utf8_lossy(&out.stderr).into_owned()))
}

/// Expects that podman does not trust the authority of the registry at this port.
pub fn unknown(guest: &Guest, port: u16) -> Result<()> {
    let said = tags(guest, "root", port)?.err().unwrap_or_default();
    ensure!(said.contains("unknown authority"), "{said}");
    Ok(())
}

/// Expects that podman trusts the authority of the registry at this port.
pub fn known(guest: &Guest, port: u16) -> Result<()> {
    for user in ["root", "dev"] {
        let seen = tags(guest, user, port)?;
        ensure!(seen.is_ok(), "{user}: {seen:?}");
    }
    Ok(())
}

/// Adds the authority of one registry, which takes effect at once.
pub fn one_more(guest: &Guest, world: &World) -> Result<()> {
    unknown(guest, world.strange.port)?;
    let file = format!("certs.d/{HOST}:{}/ca.crt", world.strange.port);
    put(guest, &file, &world.stranger.pem()?)?;
    known(guest, world.strange.port)
}

/// Pulls from a registry without TLS, and through a mirror.
pub fn plain(guest: &Guest, world: &World) -> Result<()> {
    world.plain.asked();
    guest.sh_as("dev", "podman pull -q plain.example/a:1")?;
    guest.sh("podman pull -q box:1")?;
    asked(
        world,
        &[
            "GET /v2/a/manifests/1 ",
            "GET /v2/mirror/library/box/manifests/1 ",
        ],
    )
}

fn asked(world: &World, lines: &[&str]) -> Result<()> {
    let asked = world.plain.asked();
    for line in lines {
        let hit = asked.iter().any(|a| a.starts_with(line));
        ensure!(hit, "no {line}: {asked:?}");
    }
    Ok(())
}

/// Pulls through a proxy: set by a flag for http, by the profile for https, for both clients.
pub fn by_proxy(guest: &Guest, world: &World) -> Result<()> {
    let pull = format!("podman pull -q {FAR}");
    for (user, script) in [
        ("root", pull.clone()),
        ("dev", pull.clone()),
        ("dev", format!("sudo {pull}")),
        ("dev", format!("{REMOTE} pull -q {FAR}")),
    ] {
        world.plain.asked();
        guest.sh_as(user, &script)?;
        asked(
            world,
            &[
                "CONNECT far.example:443 ",
                "GET http://far.example/v2/box/manifests/1 ",
            ],
        )?;
    }
    Ok(())
}

/// Expects the proxies in the environment of containers and builds.
pub fn proxies(guest: &Guest, world: &World) -> Result<()> {
    let proxy = format!("http_proxy=http://{HOST}:{}", world.plain.port);
    for (user, script) in [
        ("root", format!("podman run --rm --network none {FAR} env")),
        ("dev", format!("{REMOTE} run --rm --network none {FAR} env")),
        (
            "dev",
            format!(
                "printf 'FROM {FAR}\\nRUN env\\n' | podman build --network none --no-cache --pull=never - 2>&1"
            ),
        ),
    ] {
        let said = guest.sh_as(user, &script)?;
        for wanted in [proxy.as_str(), "NO_PROXY=10.0.2.2,.example.org"] {
            ensure!(said.contains(wanted), "`{script}`: no {wanted}: {said}");
        }
    }
    Ok(())
}
