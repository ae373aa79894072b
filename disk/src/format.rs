//! Making the data disk, so that the power may go at any moment.
//!
//! | State | On the disk | A boot that finds it |
//! |---|---|---|
//! | asks | the words and an archive that is whole | begins, unless anything known is on the disk |
//! | recorded | the same, and a record with a copy of the archive | begins again: the archive at the front is still whole, and may be newer |
//! | taken | the words before a protective MBR: the first archive is no more, the record counts | does it all again |
//! | wiped | where the partition goes, no old signature is left | does it all again |
//! | divided | the table, and in the partition nothing or a file system labelled [`UNFINISHED`] | does it all again |
//! | made | the file system has userdata.tar and the label that counts; words and record are still there | sweeps them, then uses it |
//! | swept | the words are gone | sweeps the record, then uses it |
//! | done | the record is gone, too | uses it |
//!
//! Each step ends in a flush. Two things must be there before anything is ever
//! made again: the words and the record. Nobody uses the file system before both
//! are gone, so what is made again held nothing but userdata.tar. And a file
//! system that has the label that counts is never made again, whatever else says
//! so, unless the cut has torn the superblock that has it; nor is one that the
//! format has not made itself.

use crate::disk_op::DiskOp;
use crate::gpt::{self, New};
use crate::journal::Journal;
use crate::{LABELS, MIB, UNFINISHED};

/// Less is no data disk: ext4 with its journal takes most of it.
pub const SMALLEST: u64 = 32 * MIB;

/// Who does it: `b2p data` to devices, tests to a disk in memory. Each call
/// returns when its effect is durable, but for [`FormatTarget::write`].
pub trait FormatTarget {
    /// Writes to the whole disk.
    ///
    /// # Errors
    /// What failed; the format ends there, to be done again at the next boot.
    fn write(&mut self, at: u64, bytes: &[u8]) -> Result<(), String>;
    /// Makes every write so far durable.
    ///
    /// # Errors
    /// As [`FormatTarget::write`].
    fn flush(&mut self) -> Result<(), String>;
    /// Makes the kernel know the partition.
    ///
    /// # Errors
    /// As [`FormatTarget::write`].
    fn divided(&mut self, first: u64, len: u64) -> Result<(), String>;
    /// Makes an empty file system in it.
    ///
    /// # Errors
    /// As [`FormatTarget::write`].
    fn make(&mut self, uuid: &str, label: &str) -> Result<(), String>;
    /// Stores userdata.tar in it.
    ///
    /// # Errors
    /// As [`FormatTarget::write`].
    fn fill(&mut self, tar: &[u8]) -> Result<(), String>;
    /// Gives it its name.
    ///
    /// # Errors
    /// As [`FormatTarget::write`].
    fn label(&mut self, label: &str) -> Result<(), String>;
    /// Says how far it is.
    fn say(&mut self, text: &str);
}

/// Makes the data disk of a disk of `size` bytes: from the beginning where it is
/// `fresh`, else again from what the record says. See the table above.
///
/// # Errors
/// The step that failed, and why.
pub fn format(
    size: u64,
    journal: &Journal,
    fresh: bool,
    target: &mut dyn FormatTarget,
) -> Result<(), String> {
    let new = New {
        size,
        sector: journal.sector,
        first: journal.first,
        disk: journal.disk,
        partition: journal.partition,
    };
    let len = new.length().filter(|len| *len >= SMALLEST);
    let len = len.ok_or_else(|| format!("{} MiB are too few for a data disk", size / MIB))?;
    let boot = journal.boot();
    if fresh {
        target.say("keeps what came with the disk");
        target.write(journal.payload(), &journal.tar)?;
        target.flush()?;
        target.write(journal.at, &journal.record())?;
        target.flush()?;
    }
    target.write(0, &gpt::protective(size, journal.sector, &boot))?;
    target.flush()?;
    target.say("makes one partition");
    wipe(journal.first, len, target)?;
    for act in new.writes(&boot).unwrap_or_default() {
        match act {
            DiskOp::Write(at, bytes) => target.write(at, &bytes)?,
            DiskOp::Flush => target.flush()?,
        }
    }
    target.divided(journal.first, len)?;
    target.say(&format!("makes an ext4 file system of {} MiB", len / MIB));
    target.make(&crate::uuid::text(&journal.fs), UNFINISHED)?;
    target.fill(&journal.tar)?;
    target.label(LABELS[0])?;
    sweep(size, journal, target)?;
    target.say("done");
    Ok(())
}

/// Takes the words and then the record from a disk that is made.
///
/// # Errors
/// What failed; the next boot does it again.
pub fn sweep(size: u64, journal: &Journal, target: &mut dyn FormatTarget) -> Result<(), String> {
    target.write(0, &gpt::protective(size, journal.sector, &[]))?;
    target.flush()?;
    target.write(journal.at, &[0; 512])?;
    target.flush()
}

/// Zeros wherever a format of old may have left its mark in the partition.
fn wipe(first: u64, len: u64, target: &mut dyn FormatTarget) -> Result<(), String> {
    let zeros = [0; 64 * 1024];
    let end = first + len;
    let front = (first..first + 5 * MIB).step_by(zeros.len());
    let back = (end - MIB..end).step_by(zeros.len());
    for at in front.chain(back) {
        target.write(at, &zeros)?;
    }
    target.flush()
}

#[cfg(test)]
mod tests;
