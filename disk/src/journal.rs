//! The record of a format under way: what is being made, and the archive that
//! must survive it. It lies between the table and the partition, where nothing
//! else is ever written, on a MiB of its own.
//!
//! ```text
//! 0          table and the words
//! at         this record, one sector; its checksum makes it whole or nothing
//! at + 4096  the archive, of the length and checksum that the record has
//! first      the partition
//! ```

use std::io;

use crate::bytes::{ReadAt, array, le32, le64, put, read_at};
use crate::crc::crc32;
use crate::uuid::Uuid;
use crate::{MIB, userdata};

const MAGIC: &[u8; 16] = b"b2p format 0001\n";
/// One sector, so that it is written whole or not at all.
const LENGTH: usize = 512;
/// Where the first sector says which record it is.
const POINTER: usize = 64;
/// Where the archive begins after the record.
const PAYLOAD: u64 = 4096;
/// Behind the longest archive, on the next MiB.
const FARTHEST: u64 = 17 * MIB;

/// A format under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Journal {
    /// Where the record is.
    pub at: u64,
    /// Where the partition begins.
    pub first: u64,
    /// Bytes in a logical sector.
    pub sector: u32,
    /// GUID of the disk.
    pub disk: Uuid,
    /// GUID of the partition.
    pub partition: Uuid,
    /// UUID of the file system.
    pub fs: Uuid,
    /// The archive; empty where the disk asked without one.
    pub tar: Vec<u8>,
}

impl Journal {
    /// The record for an archive: behind it, so that both are there for a while.
    /// `random` makes the three UUIDs.
    #[must_use]
    pub fn new(tar: Vec<u8>, sector: u32, random: [Uuid; 3]) -> Journal {
        let at = (tar.len() as u64).next_multiple_of(MIB).max(MIB);
        let [disk, partition, fs] = random.map(crate::uuid::random);
        let first = (at + PAYLOAD + tar.len() as u64).next_multiple_of(MIB);
        Journal {
            at,
            first,
            sector,
            disk,
            partition,
            fs,
            tar,
        }
    }

    /// Where the archive's copy is.
    #[must_use]
    pub fn payload(&self) -> u64 {
        self.at + PAYLOAD
    }

    /// The record.
    #[must_use]
    pub fn record(&self) -> Vec<u8> {
        let mut r = vec![0; LENGTH];
        put(&mut r, 0, MAGIC);
        put(&mut r, 16, &self.at.to_le_bytes());
        put(&mut r, 24, &self.first.to_le_bytes());
        put(&mut r, 32, &self.sector.to_le_bytes());
        put(&mut r, 48, &self.disk);
        put(&mut r, 64, &self.partition);
        put(&mut r, 80, &self.fs);
        put(&mut r, 96, &(self.tar.len() as u64).to_le_bytes());
        put(&mut r, 104, &crc32(&self.tar).to_le_bytes());
        let crc = crc32(&r[..LENGTH - 4]);
        put(&mut r, LENGTH - 4, &crc.to_le_bytes());
        r
    }

    /// What the first sector of the disk has where a boot loader would be: the words,
    /// and which record they stand for. There may be others, of formats long ago.
    #[must_use]
    pub fn boot(&self) -> Vec<u8> {
        let mut boot = vec![0; 440];
        put(&mut boot, 0, crate::FORMAT_MAGIC[0].as_bytes());
        put(&mut boot, POINTER, &self.at.to_le_bytes());
        put(&mut boot, POINTER + 8, &self.mark().to_le_bytes());
        boot
    }

    /// The record's own checksum. (That of all of it would be the same for each.)
    fn mark(&self) -> u32 {
        le32(&self.record(), LENGTH - 4)
    }

    /// The record and its archive at `at`, both whole; else `None`.
    fn read(source: &dyn ReadAt, at: u64) -> io::Result<Option<Journal>> {
        let r = read_at(source, at, LENGTH)?;
        let good = r.starts_with(MAGIC)
            && le32(&r, LENGTH - 4) == crc32(r.get(..LENGTH - 4).unwrap_or_default());
        let len = le64(&r, 96);
        if !good || le64(&r, 16) != at || len > userdata::LONGEST as u64 + 512 {
            return Ok(None);
        }
        let journal = Journal {
            at,
            first: le64(&r, 24),
            sector: le32(&r, 32),
            disk: array(&r, 48),
            partition: array(&r, 64),
            fs: array(&r, 80),
            tar: read_at(source, at + PAYLOAD, len as usize)?,
        };
        let room = journal.first.is_multiple_of(MIB) && journal.first >= journal.payload() + len;
        let whole = journal.tar.len() as u64 == len && crc32(&journal.tar) == le32(&r, 104);
        Ok((room && whole).then_some(journal))
    }
}

/// The record that the first sector stands for.
///
/// # Errors
/// What the system said.
pub fn named(source: &dyn ReadAt, first: &[u8]) -> io::Result<Option<Journal>> {
    let at = le64(first, POINTER);
    if !at.is_multiple_of(MIB) || !(MIB..=FARTHEST).contains(&at) {
        return Ok(None);
    }
    let same = |j: &Journal| j.mark() == le32(first, POINTER + 8);
    Ok(Journal::read(source, at)?.filter(same))
}

/// The record of the format that made this disk and this partition, where it has
/// not been swept.
///
/// # Errors
/// What the system said.
pub fn left(source: &dyn ReadAt, disk: &Uuid, first: u64) -> io::Result<Option<Journal>> {
    for at in (MIB..first.min(FARTHEST + 1)).step_by(MIB as usize) {
        let journal = Journal::read(source, at)?;
        if let Some(journal) = journal.filter(|j| j.disk == *disk && j.first == first) {
            return Ok(Some(journal));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn written(journal: &Journal) -> Vec<u8> {
        let mut disk = vec![0; (journal.first + MIB) as usize];
        put(&mut disk, 0, &journal.boot());
        put(&mut disk, journal.at as usize, &journal.record());
        put(&mut disk, journal.payload() as usize, &journal.tar);
        disk
    }

    #[test]
    fn it_lies_behind_the_archive_and_before_the_partition() {
        for (len, at, first) in [
            (0, 1, 2),
            (10_240, 1, 2),
            (1 << 20, 1, 3),
            (3_000_000, 3, 6),
            (16 << 20, 16, 33),
        ] {
            let journal = Journal::new(vec![5; len], 512, [[1; 16]; 3]);
            assert_eq!((journal.at, journal.first), (at * MIB, first * MIB));
            let disk = written(&journal);
            assert_eq!(named(&disk, &disk[..512]).unwrap(), Some(journal.clone()));
            assert_eq!(
                left(&disk, &journal.disk, journal.first).unwrap(),
                Some(journal.clone())
            );
            assert_eq!(left(&disk, &[0; 16], journal.first).unwrap(), None);
            let other = Journal {
                disk: [9; 16],
                ..journal
            };
            assert_eq!(named(&disk, &other.boot()).unwrap(), None);
        }
    }

    #[test]
    fn any_bit_that_is_wrong_makes_it_nothing() {
        let journal = Journal::new(b"archive".repeat(90), 512, [[1; 16]; 3]);
        let good = written(&journal);
        let at = journal.at as usize;
        for byte in (at..at + 512).chain(at + 4096..at + 4096 + 630) {
            let mut disk = good.clone();
            disk[byte] ^= 4;
            assert_eq!(named(&disk, &disk[..512]).unwrap(), None, "{byte}");
            assert_eq!(
                left(&disk, &journal.disk, journal.first).unwrap(),
                None,
                "{byte}"
            );
        }
    }
}
