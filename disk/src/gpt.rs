//! GUID partition tables (UEFI 2.10, chapter 5): read with every check that the
//! specification has, written with one partition, grown when the disk has grown.
//!
//! **Growing** must leave a table that the kernel reads, whenever the power goes:
//! it looks at the backup only when it is told to (`gpt` on its command line). So
//! the primary's entries are never written over: between the table and the first
//! partition there is room for two arrays of them, the new ones go where the old
//! are not, and the one sector of the header decides which are meant.

use std::io;

use crate::MIB;
use crate::bytes::{ReadAt, array, is_zero, le32, le64, put, read_at};
use crate::crc::crc32;
use crate::disk_op::DiskOp;
use crate::mbr::PROTECTIVE;
use crate::partition::{Partition, partuuid};
use crate::uuid::{Uuid, swapped};

/// The name of our partition.
pub const NAME: &str = "boot2podman-data";
/// Linux filesystem data, `0fc63daf-8483-4772-8e79-3d69d8477de4`, as on disk.
const LINUX: Uuid = [
    0xaf, 0x3d, 0xc6, 0x0f, 0x83, 0x84, 0x72, 0x47, 0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d, 0xe4,
];
const ENTRY: usize = 128;
const ENTRIES: usize = 128;
/// An array may be this long; the usual one is 16 KiB.
const LONGEST: u64 = MIB;
const HEADER: usize = 92;
/// So much of the first sector is code (UEFI 2.10, section 5.2.1).
const BOOT: usize = 440;

/// A table that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpt {
    /// Bytes in a logical sector.
    pub sector: u32,
    /// The disk's own GUID, in the order of its text.
    pub disk: Uuid,
    /// It was read from the end, because the one at the beginning is broken.
    pub from_backup: bool,
    first_usable: u64,
    entries_at: u64,
    entry: usize,
    entries: Vec<u8>,
    /// What is in the disk's first sector where a boot loader would be.
    boot: Vec<u8>,
}

/// Reads the primary table, or the backup at the very end; `None` without either.
///
/// # Errors
/// What the system said.
pub fn read(source: &dyn ReadAt, sector: u32) -> io::Result<Option<Gpt>> {
    if !matches!(sector, 512 | 1024 | 2048 | 4096) {
        return Ok(None);
    }
    let sectors = source.size() / u64::from(sector);
    if sectors < 6 {
        return Ok(None);
    }
    match read_table(source, sector, 1, sectors)? {
        None => read_table(source, sector, sectors - 1, sectors),
        primary => Ok(primary),
    }
}

fn read_table(source: &dyn ReadAt, sector: u32, lba: u64, sectors: u64) -> io::Result<Option<Gpt>> {
    let unit = u64::from(sector);
    let header = read_at(source, lba * unit, sector as usize)?;
    let len = le32(&header, 12) as usize;
    let Some(own) = header.get(..len).filter(|_| len >= HEADER) else {
        return Ok(None);
    };
    let mut own = own.to_vec();
    put(&mut own, 16, &[0; 4]);
    if !header.starts_with(b"EFI PART")
        || le32(&header, 16) != crc32(&own)
        || le64(&header, 24) != lba
    {
        return Ok(None);
    }
    let (first, last) = (le64(&header, 40), le64(&header, 48));
    let (at, count, entry) = (le64(&header, 72), le32(&header, 80), le32(&header, 84));
    let length = u64::from(count) * u64::from(entry);
    let fits = at
        .checked_add(length.div_ceil(unit))
        .is_some_and(|end| end <= sectors);
    if entry < 128 || entry % 8 != 0 || length > LONGEST || !fits || first > last || last >= sectors
    {
        return Ok(None);
    }
    let entries = read_at(source, at * unit, length as usize)?;
    if crc32(&entries) != le32(&header, 88) {
        return Ok(None);
    }
    let gpt = Gpt {
        sector,
        disk: swapped(&array(&header, 56)),
        from_backup: lba != 1,
        first_usable: first,
        entries_at: at,
        entry: entry as usize,
        entries,
        boot: read_at(source, 0, BOOT)?,
    };
    Ok(gpt.sane(first, last).then_some(gpt))
}

impl Gpt {
    fn used(&self) -> impl Iterator<Item = (usize, &[u8])> {
        let all = self.entries.chunks_exact(self.entry).enumerate();
        all.filter(|(_, e)| !is_zero(&e[..16]))
    }

    /// Every partition is inside, and none lies on another.
    fn sane(&self, first: u64, last: u64) -> bool {
        let mut spans: Vec<_> = self
            .used()
            .map(|(_, e)| (le64(e, 32), le64(e, 40)))
            .collect();
        spans.sort_unstable();
        let inside = spans
            .iter()
            .all(|(a, b)| first <= *a && a <= b && *b <= last);
        inside && spans.windows(2).all(|w| w[0].1 < w[1].0)
    }

    /// What it divides the disk into.
    #[must_use]
    pub fn partitions(&self) -> Vec<Partition> {
        let unit = u64::from(self.sector);
        let one = |(n, e): (usize, &[u8])| Partition {
            number: n as u32 + 1,
            first: le64(e, 32) * unit,
            len: (le64(e, 40) - le64(e, 32) + 1) * unit,
            uuid: partuuid(&array(e, 16)),
            name: name(&e[56..128]),
        };
        self.used().map(one).collect()
    }

    /// The writes that make the last partition as long as the disk, when the disk
    /// has become longer by a MiB at least and the table is of our making; and the
    /// partition as it will be.
    #[must_use]
    pub fn grown(&self, size: u64) -> Option<(Vec<DiskOp>, Partition)> {
        let unit = u64::from(self.sector);
        let (index, entry) = self.used().max_by_key(|(_, e)| le64(e, 40))?;
        let end = last_end(size, self.sector)?;
        let old = (le64(entry, 40) + 1) * unit;
        let array = self.entries.len().div_ceil(self.sector as usize) as u64;
        let room = self.first_usable >= 2 + 2 * array && self.entry == ENTRY;
        if name(&entry[56..128]) != NAME || !room || end < old + MIB {
            return None;
        }
        let mut new = self.clone();
        put(
            &mut new.entries,
            index * ENTRY + 40,
            &(end / unit - 1).to_le_bytes(),
        );
        let other = if self.entries_at == 2 { 2 + array } else { 2 };
        // Read from the end, the primary is broken: any place is free.
        new.entries_at = if self.from_backup { 2 } else { other };
        let partition = new
            .partitions()
            .into_iter()
            .find(|p| p.number == index as u32 + 1)?;
        Some((new.writes(size), partition))
    }

    /// The writes that put the primary table back, where only the backup holds.
    #[must_use]
    pub fn mended(&self, size: u64) -> Option<Vec<DiskOp>> {
        let room = self.first_usable > 1 + self.entries.len().div_ceil(self.sector as usize) as u64;
        if !self.from_backup || !room {
            return None;
        }
        let primary = Gpt {
            entries_at: 2,
            ..self.clone()
        };
        Some(primary.writes(size))
    }

    /// Backup first, then the primary's entries, then its header, then the sector
    /// before them, which only old programs read and the kernel wants to see; what
    /// boots from there stays.
    fn writes(&self, size: u64) -> Vec<DiskOp> {
        let unit = u64::from(self.sector);
        let (sectors, array) = (
            size / unit,
            self.entries.len().div_ceil(unit as usize) as u64,
        );
        let backup = sectors - 1 - array;
        let header =
            |own, other, at| DiskOp::Write(own * unit, self.header(own, other, at, sectors));
        let mut all = vec![
            DiskOp::Write(backup * unit, self.entries.clone()),
            header(sectors - 1, 1, backup),
            DiskOp::Flush,
            DiskOp::Write(self.entries_at * unit, self.entries.clone()),
            DiskOp::Flush,
            header(1, sectors - 1, self.entries_at),
            DiskOp::Flush,
        ];
        all.extend([
            DiskOp::Write(0, protective(size, self.sector, &self.boot)),
            DiskOp::Flush,
        ]);
        all
    }

    fn header(&self, own: u64, other: u64, entries_at: u64, sectors: u64) -> Vec<u8> {
        let array = self.entries.len().div_ceil(self.sector as usize) as u64;
        let mut h = vec![0; self.sector as usize];
        put(&mut h, 0, b"EFI PART\0\0\x01\0");
        put(&mut h, 12, &(HEADER as u32).to_le_bytes());
        let last = sectors - 2 - array;
        for (at, value) in [
            (24, own),
            (32, other),
            (40, self.first_usable),
            (48, last),
            (72, entries_at),
        ] {
            put(&mut h, at, &u64::to_le_bytes(value));
        }
        put(&mut h, 56, &swapped(&self.disk));
        put(
            &mut h,
            80,
            &((self.entries.len() / self.entry) as u32).to_le_bytes(),
        );
        put(&mut h, 84, &(self.entry as u32).to_le_bytes());
        put(&mut h, 88, &crc32(&self.entries).to_le_bytes());
        let crc = crc32(&h[..HEADER]);
        put(&mut h, 16, &crc.to_le_bytes());
        h
    }
}

/// The first sector of a disk with a GPT: `boot` where a boot loader would be, and
/// one entry over all of it.
#[must_use]
pub fn protective(size: u64, sector: u32, boot: &[u8]) -> Vec<u8> {
    let mut first = vec![0; 512];
    let boot = boot.get(..BOOT).unwrap_or(boot);
    put(&mut first, 0, boot);
    let rest = u32::try_from(size / u64::from(sector.max(512)) - 1).unwrap_or(u32::MAX);
    put(
        &mut first,
        446,
        &[0, 0, 2, 0, PROTECTIVE, 0xff, 0xff, 0xff, 1, 0, 0, 0],
    );
    put(&mut first, 458, &rest.to_le_bytes());
    put(&mut first, 510, &[0x55, 0xaa]);
    first
}

/// Where a partition that goes to the end must end: on a MiB, before the backup.
fn last_end(size: u64, sector: u32) -> Option<u64> {
    let tail = (ENTRY * ENTRIES) as u64 + u64::from(sector);
    Some(size.checked_sub(tail)? / MIB * MIB)
}

/// A table of one partition, from `first` (a multiple of a MiB) to the end.
#[derive(Clone, Copy, Debug)]
pub struct New {
    /// The disk's size in bytes.
    pub size: u64,
    /// Bytes in a logical sector.
    pub sector: u32,
    /// Where the partition begins.
    pub first: u64,
    /// The disk's GUID.
    pub disk: Uuid,
    /// The partition's.
    pub partition: Uuid,
}

impl New {
    /// How long the partition will be; `None` where the disk has no room for one.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        last_end(self.size, self.sector)?
            .checked_sub(self.first)
            .filter(|l| *l > 0)
    }

    /// The writes that make the table; `boot` stays in the first sector.
    #[must_use]
    pub fn writes(&self, boot: &[u8]) -> Option<Vec<DiskOp>> {
        let part = Part {
            kind: swapped(&LINUX),
            uuid: self.partition,
            first: self.first,
            len: self.length()?,
            name: NAME,
        };
        Some(divide(self.size, self.sector, self.disk, &[part], boot))
    }
}

/// A partition that is to be.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// The GUID of its type.
    pub kind: Uuid,
    /// Its own.
    pub uuid: Uuid,
    /// Where it begins, in bytes.
    pub first: u64,
    /// How long it is, in bytes.
    pub len: u64,
    /// Its name: at most 36 letters of ASCII.
    pub name: &'a str,
}

/// The writes that divide a disk of `size` bytes into `parts`, which lie between the
/// first MiB and the last one; `boot` stays in the first sector.
#[must_use]
pub fn divide(size: u64, sector: u32, disk: Uuid, parts: &[Part<'_>], boot: &[u8]) -> Vec<DiskOp> {
    let unit = u64::from(sector);
    let mut entries = vec![0; ENTRY * ENTRIES];
    for (own, part) in entries.chunks_exact_mut(ENTRY).zip(parts) {
        let last = (part.first + part.len) / unit - 1;
        put(own, 0, &swapped(&part.kind));
        put(own, 16, &swapped(&part.uuid));
        put(own, 32, &(part.first / unit).to_le_bytes());
        put(own, 40, &last.to_le_bytes());
        for (n, letter) in part.name.bytes().take(36).enumerate() {
            put(own, 56 + 2 * n, &[letter, 0]);
        }
    }
    let gpt = Gpt {
        sector,
        disk,
        from_backup: false,
        first_usable: MIB / unit,
        entries_at: 2,
        entry: ENTRY,
        entries,
        boot: boot.to_vec(),
    };
    gpt.writes(size)
}

fn name(field: &[u8]) -> String {
    let units = field
        .chunks_exact(2)
        .map(|c| u16::from_le_bytes([c[0], c[1]]));
    let units: Vec<u16> = units.take_while(|u| *u != 0).collect();
    String::from_utf16_lossy(&units)
}

#[cfg(test)]
mod tests;
