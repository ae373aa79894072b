// SPDX-License-Identifier: Apache-2.0
//! The data disk, from its first boot to its end. Each test has one disk, or a few, and boots
//! machines with these one after the other.
//!
//! | Module | |
//! |---|---|
//! | `life` | first and second boot, growth, two candidates, and every refused disk |
//! | `boots` | many boots |
//! | `homes` | homes and /etc, in the boots of `boots` |
//! | `kinds` | each label, file system, layout and bus |
//! | `damage` | damaged file systems; disks that are unreadable or unwritable |
//! | `full` | a disk that is full; a store that podman cannot open |
//! | `plug` | disks that appear and disappear while the machine runs |
//! | `cuts` | power cuts at any moment |
//! | `flushes` | power cuts after which unflushed data is lost |

mod boots;
mod cuts;
mod damage;
mod flushes;
mod full;
mod homes;
mod kinds;
mod life;
mod plug;

use anyhow::{Context, Result, ensure};
use std::time::Duration;
use tests::Guest;
use tests::disks::Image;
use vmm::process;

/// Time limit of an orderly shutdown, beside another machine.
const END: Duration = Duration::from_secs(240);

/// Time limit of a reaction to an event in the machine.
const SOON: Duration = Duration::from_secs(180);

/// Shuts the machine down as a user would.
fn off(guest: &Guest) -> Result<()> {
    guest.vm.power_button()?;
    let ended = guest.vm.wait_exit(END)?;
    ensure!(ended.success(), "{ended}");
    // The disk was unmounted, not cut off.
    let said = guest.vm.console();
    // A busy file system is remounted read-only in the end; e2fsck decides.
    let torn = ["not done in time", "does not answer"];
    let hit = torn.iter().any(|t| said.contains(t));
    ensure!(!hit, "{}", guest.vm.tail());
    Ok(())
}

/// Expects this device in the ready line.
fn on(guest: &Guest, device: &str) -> Result<()> {
    let data = guest.ready.field("data");
    let degraded = &guest.ready.degraded;
    ensure!(data == device, "data={data}, not {device}; {degraded:?}");
    Ok(())
}

/// Expects no degraded line.
fn whole(guest: &Guest) -> Result<()> {
    let degraded = &guest.ready.degraded;
    ensure!(degraded.is_empty(), "{degraded:?}");
    Ok(())
}

/// Expects a degraded line on the data disk with all of these texts.
fn missing(guest: &Guest, words: &[&str]) -> Result<()> {
    let degraded = &guest.ready.degraded;
    let hit = degraded
        .iter()
        .any(|d| d.what == "data" && words.iter().all(|w| d.why.contains(w)));
    ensure!(hit, "no line with {words:?}: {degraded:?}");
    Ok(())
}

/// Expects that a machine in RAM reports this on the console, to `b2p status` and at login.
fn loud(guest: &Guest) -> Result<()> {
    on(guest, "ram")?;
    let status = guest.sh("b2p status")?;
    ensure!(status.contains("degraded data"), "{status}");
    let json = guest.sh("b2p status --json")?;
    ensure!(json.contains("\"data\":\"ram\""), "{json}");
    for user in ["root", "core"] {
        let mut ssh = guest.client("ssh");
        ssh.args(["-tt", "-l", user, "guest"]);
        let out = process::output(ssh, b"exit\n", SOON)?;
        let said = tests::text(&out)?;
        ensure!(
            said.contains("boot2podman: degraded data: "),
            "{user} is told nothing: {said}"
        );
    }
    Ok(())
}

/// Expects unchanged checksums.
fn same(disks: &[(&'static str, Image, String)]) -> Result<()> {
    let mut changed = Vec::new();
    for (name, image, before) in disks {
        if image.sum()? != *before {
            changed.push(*name);
        }
    }
    ensure!(changed.is_empty(), "changed: {changed:?}");
    println!("{} refused disks are as they were", disks.len());
    Ok(())
}

/// Returns the machine's name of the disk with this serial number.
fn name_of(guest: &Guest, serial: &str) -> Result<String> {
    // SCSI disks are probed side by side, so their order differs from boot to boot, and one serial
    // number may end with another. Page 80h has a header of four bytes (SPC-4, section 7.8.17).
    let script = format!(
        "for d in /sys/class/block/*; do
           for s in \"$(cat $d/serial 2>/dev/null)\" \"$(tail -c +5 $d/device/vpd_pg80 2>/dev/null)\"; do
             [ \"$s\" = '{serial}' ] && basename $d && exit 0
           done
         done; exit 1"
    );
    guest.sh(&script).context(serial.to_owned())
}
