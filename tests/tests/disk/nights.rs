// SPDX-License-Identifier: Apache-2.0
//! New versions that do not become ready, each in its own way: the previous version returns by
//! itself.

use super::look::Look;
use super::{END, Image, larger, off, runs, shelf, up, with};
use anyhow::{Result, ensure};
use std::fs;
use std::path::Path;
use tests::disks;
use tests::firmware::Firmware::{Bios, Uefi};
use tests::{BOOT_LIMIT, Guest};
use vmm::Disk;

/// Upgrades to an invalid version, boots that version until it gives up, and boots again.
fn falls_back(name: &str, version: &str, sign: &str) -> Result<()> {
    let dir = disks::dir(name)?;
    let (disk, shelf) = (larger(&dir, 2048)?, shelf(&dir, true)?);
    let start = |disk: &Image| with(name, Bios, Disk::raw(disk.file()), &shelf);
    let guest = Guest::start(&start(&disk)?)?;
    up(&guest, Bios)?;
    guest.sh(&format!("b2p upgrade /media/{version}"))?;
    off(&guest)?;
    drop(guest);
    let vm = start(&disk)?.start()?;
    // QEMU exits where a machine would restart.
    vm.wait_exit(BOOT_LIMIT)?;
    ensure!(vm.console().contains(sign), "no {sign}: {}", vm.tail());
    ensure!(Look::at(&disk)?.env("tried")? == "b");
    drop(vm);
    back(&disk, &shelf, name, "a", "b")?;
    Ok(fs::remove_dir_all(dir)?)
}

/// Expects that the running slot reports the failed boot of the other one.
fn back(disk: &Image, shelf: &Path, name: &str, slot: &str, other: &str) -> Result<()> {
    let guest = Guest::start(&with(name, Bios, Disk::raw(disk.file()), shelf)?)?;
    up(&guest, Bios).and_then(|()| runs(&guest, &format!("{slot}:fallback")))?;
    let told = format!("{:?}", guest.ready.degraded);
    let wanted = format!("slot {other} did not become ready");
    ensure!(told.contains(&wanted), "{told}");
    guest.vm.power_button()?;
    ensure!(guest.vm.wait_exit(END)?.success());
    Ok(())
}

#[test]
#[ignore = "three boots: make test-all"]
fn an_upgrade_without_init_falls_back() -> Result<()> {
    falls_back("disk-panics", "panics", "Kernel panic")
}

#[test]
#[ignore = "three boots: make test-all"]
fn an_upgrade_without_userland_falls_back() -> Result<()> {
    falls_back("disk-bare", "bare", "there is no userland")
}

/// The kept kernel can no longer be loaded: the other slot is used permanently.
#[test]
#[ignore = "three boots: make test-all"]
fn a_confirmed_slot_whose_kernel_is_damaged_is_replaced_by_the_other() -> Result<()> {
    let (dir, name) = (disks::dir("disk-rots")?, "disk-rots");
    let (disk, shelf) = (larger(&dir, 2048)?, shelf(&dir, false)?);
    let start = |firmware| with(name, firmware, Disk::raw(disk.file()), &shelf);
    let guest = Guest::start(&start(Uefi)?)?;
    up(&guest, Uefi)?;
    guest.sh("b2p upgrade /media/new.iso && b2p upgrade --keep")?;
    guest.sh("mount /dev/vda3 /srv && truncate -s 4096 /srv/vmlinuz && umount /srv")?;
    off(&guest)?;
    drop(guest);
    let vm = start(Uefi)?.start()?;
    vm.wait_exit(BOOT_LIMIT)?;
    drop(vm);
    let look = Look::at(&disk)?;
    ensure!((look.env("good")?, look.env("tried")?) == ("b".into(), "a".into()));
    back(&disk, &shelf, name, "b", "a")?;
    Ok(fs::remove_dir_all(dir)?)
}
