// SPDX-License-Identifier: Apache-2.0
//! Disks in their state after a power cut.
//!
//! QEMU logs every write and every flush of a machine (its driver blklogwrites, in the format of
//! the kernel's dm-log-writes: Documentation/admin-guide/device-mapper/log-writes.rst). From that
//! log, this module builds the disk of a cut at any point, any number of times.
//!
//! A disk keeps the writes before the last flush. Of later writes, all, none, some, or some sectors
//! of some may be kept.

use super::{Image, tool};
use crate::Random;
use anyhow::{Context, Result, ensure};
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const MAGIC: u64 = 0x006a_7366_7773_6872;
const FLUSH: u64 = 1;
const FUA: u64 = 2;
const DISCARD: u64 = 4;

/// Size in bytes of a logical sector, the least unit that a disk writes as a whole.
pub const SECTOR: usize = 512;
/// Size in bytes of a physical sector, which nearly every disk today writes as a whole. ext4 relies
/// on this size, because it cannot read a superblock of two halves of different age.
pub const PHYSICAL: usize = 4096;

/// A write or a flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    at: u64,
    len: u64,
    flags: u64,
    /// Offset of the bytes in the log.
    bytes: u64,
}

/// All writes and flushes of a disk, in order.
pub struct Log {
    file: File,
    entries: Vec<Entry>,
}

impl Log {
    /// Reads the log of a machine that has ended.
    pub fn open(path: &Path) -> Result<Log> {
        let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        let head = head(&file)?;
        let mut reader = BufReader::new(file.try_clone()?);
        reader.seek(SeekFrom::Start(head.sector))?;
        let mut entries = Vec::new();
        for _ in 0..head.entries {
            entries.push(entry(&mut reader, head.sector)?);
        }
        Ok(Log { file, entries })
    }

    /// Returns the number of writes and flushes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns true if the disk was never written to.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the number of flushes.
    #[must_use]
    pub fn flushes(&self) -> usize {
        self.entries.iter().filter(|e| e.flags & FLUSH != 0).count()
    }

    /// Returns the number of entries up to the last write of this byte of the disk.
    #[must_use]
    pub fn last_write_to(&self, byte: u64) -> Option<usize> {
        let hit = |e: &Entry| (e.at..e.at + e.len).contains(&byte);
        Some(self.entries.iter().rposition(hit)? + 1)
    }

    fn bytes(&self, entry: &Entry) -> Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(entry.len)?];
        if entry.flags & DISCARD == 0 {
            self.file.read_exact_at(&mut bytes, entry.bytes)?;
        }
        Ok(bytes)
    }
}

/// Returns the number of entries that the log of a running machine has now.
pub fn logged(path: &Path) -> Result<usize> {
    Ok(usize::try_from(head(&File::open(path)?)?.entries)?)
}

struct Head {
    entries: u64,
    sector: u64,
}

fn head(file: &File) -> Result<Head> {
    let mut bytes = [0; 28];
    file.read_exact_at(&mut bytes, 0)?;
    ensure!(number(&bytes, 0) == MAGIC, "this is no log of writes");
    Ok(Head {
        entries: number(&bytes, 16),
        sector: number(&bytes, 20) >> 32,
    })
}

fn entry(reader: &mut BufReader<File>, sector: u64) -> Result<Entry> {
    let mut bytes = vec![0; usize::try_from(sector)?];
    reader.read_exact(&mut bytes).context("a log that is cut")?;
    let entry = Entry {
        at: number(&bytes, 0) * sector,
        len: number(&bytes, 8) * sector,
        flags: number(&bytes, 16),
        bytes: reader.stream_position()?,
    };
    if entry.flags & DISCARD == 0 {
        reader.seek_relative(i64::try_from(entry.len)?)?;
    }
    Ok(entry)
}

fn number(bytes: &[u8], at: usize) -> u64 {
    let mut eight = [0; 8];
    eight.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(eight)
}

/// Fate of the writes that no flush followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// All of them are on the disk.
    Kept,
    /// None of them is on the disk.
    Lost,
    /// Each write is on the disk or is not.
    Some,
    /// Each sector of each write is on the disk or is not.
    Torn,
}

/// Builds disks from a log, each cut later than the one before.
pub struct Replay<'a> {
    log: &'a Log,
    flushed: Image,
    done: usize,
}

impl<'a> Replay<'a> {
    /// Starts with a copy of the disk before the machine ran; the copy is consumed.
    pub fn new(log: &'a Log, before: Image) -> Self {
        Self {
            log,
            flushed: before,
            done: 0,
        }
    }

    /// Builds the disk `name` in its state after a cut after `end` entries, if pieces of `unit`
    /// bytes are written as a whole. Returns the disk and a description of the cut.
    pub fn cut(
        &mut self,
        end: usize,
        unit: usize,
        name: &str,
        random: &mut Random,
    ) -> Result<(Image, String)> {
        let now = self
            .log
            .entries
            .get(self.done..end)
            .context("no such moment")?;
        let flush = now.iter().rposition(|e| e.flags & FLUSH != 0);
        let (safe, open) = now.split_at(flush.map_or(0, |at| at + 1));
        let file = writable(&self.flushed)?;
        for entry in safe {
            apply(self.log, entry, &file, Fate::Kept, unit, random)?;
        }
        self.done += safe.len();
        let fates = [Fate::Kept, Fate::Lost, Fate::Some, Fate::Torn];
        let fate = fates[random.below(4) as usize];
        let image = self.flushed.copy(name)?;
        let file = writable(&image)?;
        for entry in open {
            let safe = entry.flags & FUA != 0;
            let fate = if safe { Fate::Kept } else { fate };
            apply(self.log, entry, &file, fate, unit, random)?;
        }
        let said = format!(
            "entry {end} of {}, {} open: {fate:?}",
            self.log.len(),
            open.len()
        );
        Ok((image, said))
    }
}

fn writable(image: &Image) -> Result<File> {
    Ok(File::options().write(true).open(image.file())?)
}

fn apply(
    log: &Log,
    entry: &Entry,
    to: &File,
    fate: Fate,
    unit: usize,
    random: &mut Random,
) -> Result<()> {
    if fate == Fate::Lost || (fate == Fate::Some && random.below(2) == 0) || entry.len == 0 {
        return Ok(());
    }
    let bytes = log.bytes(entry)?;
    if fate != Fate::Torn {
        return Ok(to.write_all_at(&bytes, entry.at)?);
    }
    // Pieces are aligned to the disk, not to the write.
    let skip = usize::try_from(entry.at)? % unit;
    let (first, rest) = bytes.split_at((unit - skip).min(bytes.len()));
    let mut at = entry.at;
    for piece in std::iter::once(first).chain(rest.chunks(unit)) {
        if random.below(2) == 0 {
            to.write_all_at(piece, at)?;
        }
        at += piece.len() as u64;
    }
    Ok(())
}

/// Makes an empty file for a log, beside the disk.
pub fn empty(image: &Image) -> Result<PathBuf> {
    let path = image.file().with_extension("log");
    tool("truncate", &["-s".as_ref(), "0".as_ref(), path.as_os_str()])?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disks;

    fn log(path: &Path, entries: &[(u64, &[u8], u64)]) -> Result<Log> {
        let mut all = vec![0; 512];
        all[..8].copy_from_slice(&MAGIC.to_le_bytes());
        all[16..24].copy_from_slice(&(entries.len() as u64).to_le_bytes());
        all[24..28].copy_from_slice(&512u32.to_le_bytes());
        for (at, bytes, flags) in entries {
            let words = [*at, bytes.len() as u64 / 512, *flags, 0];
            let mut header: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
            header.resize(512, 0);
            all.extend(header);
            all.extend(*bytes);
        }
        std::fs::write(path, all)?;
        Log::open(path)
    }

    #[test]
    fn flushed_writes_are_kept_and_others_may_be_lost() -> Result<()> {
        let dir = disks::dir("replay")?;
        let (a, b, c) = ([1u8; 512], [2u8; 1024], [3u8; 512]);
        let entries: &[(u64, &[u8], u64)] =
            &[(0, &a, 0), (0, &[], FLUSH), (4, &b, 0), (8, &c, FUA)];
        let log = log(&dir.join("log"), entries)?;
        assert_eq!(
            (log.len(), log.flushes(), logged(&dir.join("log"))?),
            (4, 1, 4)
        );
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let before = Image::blank(&dir, "before", 1)?;
            let mut replay = Replay::new(&log, before);
            let mut random = Random::new(seed);
            let (one, _) = replay.cut(1, SECTOR, "one", &mut random)?;
            seen.insert(("unflushed", one.read(0, 1)?[0], 0));
            let (all, _) = replay.cut(4, SECTOR, "all", &mut random)?;
            assert!(all.read(0, 512)? == a && all.read(8 * 512, 512)? == c);
            let open = all.read(4 * 512, 1024)?;
            seen.insert(("open", open[0], open[512]));
        }
        // The first write is kept or lost; of the second, every combination of sectors occurs.
        assert_eq!(seen.len(), 2 + 4, "{seen:?}");
        Ok(std::fs::remove_dir_all(dir)?)
    }
}
