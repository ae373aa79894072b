// SPDX-License-Identifier: Apache-2.0
//! Power cuts at any moment of a first boot and of an upgrade. A disk is built from the log of all
//! writes for each moment and examined from the host; `make test-all` also boots some of them.

use super::look::Look;
use super::{larger, off, shelf, up, with};
use anyhow::{Context, Result, ensure};
use initramfs::paths::RAW_DISK;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use tests::disks::replay::{Log, Replay, SECTOR, empty};
use tests::disks::{self, Image, MIB};
use tests::firmware::Firmware::Bios;
use tests::{Guest, Random};
use vmm::Disk;

/// Start of GRUB's environment block.
const ENVIRONMENT: &[u8] = b"# GRUB Environment Block";

/// Log of the writes of a first boot and an upgrade.
pub struct Story<'a> {
    pub log: &'a Log,
    /// Disk before the first write; consumed.
    pub before: Image,
    /// Entry of the log that switches to the other slot.
    pub turn: usize,
}

impl<'a> Story<'a> {
    pub fn new(log: &'a Log, before: Image) -> Result<Story<'a>> {
        let esp = Look::at(&before)?.begins("esp")?;
        let bytes = before.read(esp, usize::try_from(40 * MIB)?)?;
        let mut places = bytes.chunks(SECTOR);
        let sector = places.position(|s| s.starts_with(ENVIRONMENT));
        let at = esp + (sector.context("no environment")? * SECTOR) as u64;
        let turn = log.last_write_to(at).context("no upgrade")?;
        Ok(Story { log, before, turn })
    }

    /// Expects that GRUB finds itself, its menu, and a complete version, at `count` random moments
    /// and those around the switch; if GRUB tries a new version, the previous one must be complete,
    /// too. `each` receives some of the disks, and the view of GRUB.
    pub fn look(
        self,
        count: usize,
        seed: u64,
        mut each: impl FnMut(&Image, &str) -> Result<()>,
    ) -> Result<BTreeMap<String, usize>> {
        let mut random = Random::new(seed);
        let boot = self.before.read(0, 440)?;
        let menu = Look::at(&self.before)?.grub("grub.cfg")?;
        let one = |_| random.below(self.log.len() as u64 + 1) as usize;
        let mut ends: Vec<_> = (0..count).map(one).collect();
        ends.extend(self.turn.saturating_sub(2)..=(self.turn + 2).min(self.log.len()));
        ends.sort_unstable();
        let mut replay = Replay::new(self.log, self.before);
        let mut seen = BTreeMap::new();
        for end in ends {
            let (disk, how) = replay.cut(end, SECTOR, "cut", &mut random)?;
            let state = found(&disk, &boot, &menu);
            let state = state.with_context(|| format!("seed {seed}, {how}"))?;
            each(&disk, &state).with_context(|| format!("seed {seed}, {how}, {state}"))?;
            *seen.entry(state).or_insert(0) += 1;
        }
        println!("disk: power cuts: {seen:?}");
        ensure!(seen.len() == 2, "not before and after: {seen:?}");
        Ok(seen)
    }
}

fn found(disk: &Image, boot: &[u8], menu: &str) -> Result<String> {
    let look = Look::at(disk)?;
    ensure!(disk.read(0, 440)? == boot, "another first sector");
    ensure!(look.grub("grub.cfg")? == menu, "another menu");
    let (good, next) = (look.env("good")?, look.env("try")?);
    look.whole(&good)?;
    if !next.is_empty() {
        look.whole(&next)?;
    }
    Ok(format!("good={good} try={next}"))
}

/// Examines the disks of many moments, and boots machines from every fifth disk.
#[test]
#[ignore = "a quarter of an hour: make test-all"]
fn machines_boot_after_each_of_many_power_cuts() -> Result<()> {
    let dir = disks::dir("disk-cuts")?;
    let (disk, shelf) = (larger(&dir, 2048)?, shelf(&dir, true)?);
    let (before, log) = (disk.copy("before")?, empty(&disk)?);
    let logged = Disk::raw(disk.file()).log_writes(&log);
    let guest = Guest::start(&with("disk-logged", Bios, logged, &shelf)?)?;
    up(&guest, Bios)?;
    guest.sh("b2p upgrade /media/new.iso")?;
    off(&guest)?;
    drop(guest);
    let log = Log::open(&log)?;
    let mut number = 0;
    Story::new(&log, before)?.look(60, 1, |cut, state| {
        number += 1;
        match number % 5 {
            0 => boots(cut, &shelf, state),
            _ => Ok(()),
        }
    })?;
    Ok(fs::remove_dir_all(dir)?)
}

fn boots(cut: &Image, shelf: &Path, state: &str) -> Result<()> {
    let guest = Guest::start(&with("disk-cut", Bios, Disk::raw(cut.file()), shelf)?)?;
    up(&guest, Bios)?;
    super::runs(
        &guest,
        if state.ends_with("try=b") {
            "b:trial"
        } else {
            "a"
        },
    )?;
    // The upgrade can be repeated, from a file of another kind.
    guest
        .sh(&format!("b2p upgrade /media/{RAW_DISK}"))
        .map(drop)
}
