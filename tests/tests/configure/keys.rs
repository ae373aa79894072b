// SPDX-License-Identifier: Apache-2.0
//! Keys from every source, and keys that are added while the machine runs.

use super::{World, equals, path_of};
use anyhow::{Result, ensure};
use std::fs;
use std::path::Path;
use tests::Guest;
use tests::disks::tool;

/// Names of the keys, one for each source.
const ALL: &[&str] = &[
    "cmdline", "fw_cfg", "smbios", "config", "added", "edited", "home",
];

/// Makes the keys for [`public`].
pub fn make(dir: &Path) -> Result<()> {
    for name in ALL {
        let file = dir.join(format!("key-{name}"));
        let words = ["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"];
        let mut args: Vec<_> = words.iter().map(std::ffi::OsStr::new).collect();
        args.push(file.as_os_str());
        tool("ssh-keygen", &args)?;
    }
    Ok(())
}

/// Returns the public line of a key.
pub fn public(dir: &Path, name: &str) -> Result<String> {
    let text = fs::read_to_string(dir.join(format!("key-{name}.pub")))?;
    Ok(text.trim().to_owned())
}

/// Expects that these keys log in as the user and as root.
pub fn open(guest: &Guest, world: &World, names: &[&str]) -> Result<()> {
    for name in names {
        enter(guest, world, "dev", name)?;
    }
    let last = names.last().copied().unwrap_or_default();
    enter(guest, world, "root", last)
}

fn enter(guest: &Guest, world: &World, user: &str, name: &str) -> Result<()> {
    let file = path_of(world, &format!("key-{name}"))?;
    let who = guest.login_with(user, &file)?;
    ensure!(who == user, "{name}: {who}");
    Ok(())
}

/// Adds keys by command, in the file on the disk, and in the home directory.
pub fn added(guest: &Guest, world: &World) -> Result<()> {
    let dir = world.dir();
    let key = |name| public(dir, name);
    for (name, script) in [
        ("added", format!("sudo b2p key add '{}'", key("added")?)),
        (
            "edited",
            format!(
                "echo '{}' | sudo tee -a /var/lib/boot2podman/authorized_keys",
                key("edited")?
            ),
        ),
        (
            "home",
            format!(
                "umask 077; mkdir -p .ssh; echo '{}' >>.ssh/authorized_keys",
                key("home")?
            ),
        ),
    ] {
        let early = enter(guest, world, "dev", name);
        let said = format!("{:#}", early.err().unwrap_or(anyhow::anyhow!("let in")));
        ensure!(said.contains("Permission denied"), "{name}, early: {said}");
        let said = guest.sh_as("dev", &script)?;
        ensure!(
            name != "added" || said.contains("kept in /var/lib"),
            "{said}"
        );
        enter(guest, world, "dev", name)?;
    }
    ensure!(enter(guest, world, "root", "home").is_err(), "root is dev");
    let listed = guest.sh("b2p key list")?;
    for name in ALL.iter().filter(|name| **name != "config") {
        let line = format!(" {name} (ED25519)");
        ensure!(listed.contains(&line), "{name}: {listed}");
    }
    let bad = guest.ssh("root", "b2p key add 'ssh-ed25519 AAAA nobody'")?;
    ensure!(bad.status.code() == Some(1), "{bad:?}");
    equals(guest, "stat -c '%a %g' /etc/shadow", "640 42")
}
