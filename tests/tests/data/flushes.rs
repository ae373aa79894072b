// SPDX-License-Identifier: Apache-2.0
//! Power cuts that lose all unflushed data: every write of a first boot, from the format to
//! containers that write, is logged, and a disk is built from the log for any moment of the boot.
//!
//! Each such disk is examined with tools of the host, and some are booted.

use super::cuts::{RECORDS, Writer, records};
use super::{off, on, whole};
use anyhow::{Context, Result, ensure};
use disk::bytes::SizedFile;
use disk::format_state::{FormatState, format_state};
use std::fs::{self, File};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tests::disks::inspect::Ext;
use tests::disks::replay::{Log, PHYSICAL, Replay, SECTOR, empty, logged};
use tests::disks::{self, Image, taken, userdata};
use tests::{Guest, Random, eventually, image, keyless, text};
use vmm::Disk;

/// Acknowledged number, and length of the log at that moment.
type Known = Vec<(u64, usize)>;

/// Life of a machine in a log.
struct Story {
    before: Image,
    log: Log,
    tar: Vec<u8>,
    /// Entries of the log that belong to the format.
    formatted: usize,
    acknowledged: Known,
}

/// State of a disk after a cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    /// The format request is intact, and nothing is lost: the next boot formats the disk.
    Asks,
    /// A format was begun, which the next boot repeats.
    Half,
    /// The format is complete, except for its traces.
    Made,
    /// The data disk.
    Data,
}

/// Runs a first boot with containers that write, to its orderly end.
fn story(dir: &Path) -> Result<Story> {
    let rsa = userdata::rsa(dir, "rsa")?;
    let keys = format!("{rsa}{}\n", Guest::public_key()?);
    let tar = userdata::with_key(userdata::OURS, &keys)?;
    let disk = taken::words(dir, "disk", &tar)?;
    let (before, path) = (disk.copy("before")?, empty(&disk)?);
    let machine = keyless("data-logged")?.disk(Disk::raw(disk.file()).log_writes(&path));
    let guest = Guest::start(&machine)?;
    on(&guest, "/dev/vda1")?;
    let archive = fs::read(image::archive(guest.vm.dir())?)?;
    text(&guest.ssh_with("root", "podman load -q", &archive)?)?;
    let acknowledged = Arc::new(Mutex::new(Known::new()));
    let (list, file) = (Arc::clone(&acknowledged), path.clone());
    let writer = Writer::start(&guest, "root", move |number| {
        let by = logged(&file).unwrap_or(usize::MAX);
        list.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((number, by));
    })?;
    writer.runs()?;
    eventually(Duration::from_secs(600), || {
        ensure!(writer.last() > 200, "{} records", writer.last());
        Ok(())
    })?;
    off(&guest)?;
    let acknowledged = acknowledged
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    let log = Log::open(&path)?;
    // The request in the first sector is erased last.
    let formatted = log.last_write_to(0).context("never formatted")?;
    println!(
        "{} writes and {} flushes, the first {formatted} for the format; {} records",
        log.len() - log.flushes(),
        log.flushes(),
        acknowledged.len()
    );
    Ok(Story {
        before,
        log,
        tar,
        formatted,
        acknowledged,
    })
}

impl Story {
    /// Returns the moments of the cuts, half of them during the format.
    fn moments(&self, count: usize, random: &mut Random) -> Vec<usize> {
        let one = |n: usize| {
            let end = if n.is_multiple_of(2) {
                self.formatted
            } else {
                self.log.len()
            };
            random.below(end as u64 + 1) as usize
        };
        let mut all: Vec<usize> = (0..count).map(one).collect();
        all.sort_unstable();
        all
    }

    /// Returns the number of records that were acknowledged by then.
    fn least(&self, end: usize) -> u64 {
        let mut all = self.acknowledged.iter().filter(|(_, by)| *by <= end);
        all.next_back().map_or(0, |(number, _)| *number)
    }

    /// Determines the state of the disk, and expects that nothing is lost. The disk may be
    /// repaired.
    fn look(&self, disk: &Image, least: u64) -> Result<State> {
        let file = File::open(disk.file())?;
        let source = SizedFile {
            file,
            size: disk.size()?,
        };
        let state = match format_state(&source, 512)? {
            FormatState::Requested(data, found) => {
                ensure!(found.is_empty(), "it asks, and there is {found:?}");
                ensure!(
                    self.tar.starts_with(&data.raw),
                    "it asks with another archive"
                );
                State::Asks
            }
            FormatState::InProgress(journal) => {
                ensure!(
                    self.tar.starts_with(&journal.archive),
                    "the record has another archive"
                );
                State::Half
            }
            FormatState::Complete(_) => State::Made,
            FormatState::Unrelated => State::Data,
            FormatState::Refused(why) => anyhow::bail!("refused: {why}"),
        };
        if state < State::Made {
            ensure!(least == 0, "{least} records were acknowledged on {state:?}");
            return Ok(state);
        }
        let ext = Ext::taken_out(disk)?;
        ext.mend()?;
        ext.clean()?;
        ensure!(
            self.tar.starts_with(&ext.file("/userdata.tar")?),
            "userdata.tar"
        );
        if least > 0 {
            records(&String::from_utf8_lossy(&ext.file(RECORDS)?), least)?;
        }
        Ok(state)
    }
}

/// Boots the machine with such a disk, on which its only keys are.
fn boot(disk: &Image, least: u64) -> Result<()> {
    let guest = Guest::start(&keyless("data-replayed")?.disk(Disk::raw(disk.file())))?;
    on(&guest, "/dev/vda1")?;
    whole(&guest)?;
    if least > 0 {
        let all = guest.sh("cat /var/lib/containers/storage/volumes/kept/_data/log")?;
        records(&all, least)?;
        let said = guest.sh("podman ps -a --format '{{.Names}}'; podman images -q | wc -l")?;
        ensure!(said.lines().next() == Some("writer"), "{said}");
    }
    // A listed image runs; one that was not listed yet can be loaded again.
    let archive = fs::read(image::archive(guest.vm.dir())?)?;
    let name = image::NAME;
    guest.sh(&format!(
        "podman volume create after && podman info >/dev/null && ! podman image exists {name} || podman run --rm --network none {name} true"
    ))?;
    text(&guest.ssh_with("root", "podman load -q", &archive)?)?;
    guest.sh(&format!("podman run --rm {name} true"))?;
    off(&guest)?;
    Ext::on(disk)?.clean()
}

fn cut(name: &str, seed: u64, cuts: usize, boots: usize) -> Result<()> {
    let dir = disks::dir(name)?;
    let story = story(&dir)?;
    let mut random = Random::new(seed);
    let moments = story.moments(cuts, &mut random);
    let mut replay = Replay::new(&story.log, story.before.copy("replayed")?);
    let mut states = std::collections::BTreeMap::new();
    let every = cuts.div_ceil(boots.max(1));
    for (n, end) in moments.into_iter().enumerate() {
        // The format survives torn sectors of any size; afterwards, ext4's requirement holds.
        let unit = if end <= story.formatted {
            SECTOR
        } else {
            PHYSICAL
        };
        let (disk, how) = replay.cut(end, unit, "cut", &mut random)?;
        let least = story.least(end);
        let at = format!("seed {seed}, {how}, {least} records");
        let whole = disk.copy("booted")?;
        let state = story.look(&disk, least).with_context(|| at.clone())?;
        *states.entry(state).or_insert(0) += 1;
        if n % every == every / 2 {
            boot(&whole, least).with_context(|| format!("{at}: {state:?}, booted"))?;
        }
    }
    println!("{name}: {cuts} cuts, {boots} booted: {states:?}");
    Ok(fs::remove_dir_all(dir)?)
}

#[test]
fn flushed_data_survives_cuts_that_lose_other_writes() -> Result<()> {
    cut("flushes", 1, 60, 2)
}

#[test]
#[ignore = "nightly: about a quarter of an hour"]
fn flushed_data_survives_a_thousand_cuts_that_lose_other_writes() -> Result<()> {
    cut("flushes-often", 2, 1000, 30)
}
