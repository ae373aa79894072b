// SPDX-License-Identifier: Apache-2.0
//! State of a disk between the request for a format and its use as the data disk. See the table in
//! [`crate::format`].

use std::{error, fmt, io};

use crate::bytes::{Range, ReadAt, read_at};
use crate::format_record::{self, FormatRecord};
use crate::partition::Partition;
use crate::probe::probe;
use crate::signature::{Signature, SignatureKind, join_names};
use crate::userdata::{self, Defect, Userdata};
use crate::{FORMAT_MAGIC, LABELS, UNFINISHED_LABEL, ext4, gpt, requests_format, uuid};

/// State of a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FormatState {
    /// Disk does not request a format.
    Unrelated,
    /// Disk requests a format that has not begun: the userdata that must survive, and the other
    /// signatures on the disk, which forbid a format.
    Requested(Box<Userdata>, Vec<Signature>),
    /// Format has begun and its record is valid; the place of the partition has no signature but that of the format's own
    /// file system.
    InProgress(Box<FormatRecord>),
    /// File system is complete; format magic and record must be erased.
    Complete(Box<FormatRecord>),
    /// Disk requests a format and must not be formatted.
    Refused(Refusal),
}

/// Reason why a requested format is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Format had begun, and its record is damaged.
    RecordDamaged,
    /// Archive after the request is invalid: the offset and the defect.
    BrokenUserdata(usize, Defect),
    /// Format had begun, and the partition has signatures that the format has not made.
    ForeignData(Vec<Signature>),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::RecordDamaged => {
                f.write_str("a format of this disk was interrupted, and its record is damaged; erase the disk before a new request")
            }
            Refusal::BrokenUserdata(offset, defect) => {
                write!(f, "its userdata.tar is broken at byte {offset}: {defect}")
            }
            Refusal::ForeignData(found) => write!(
                f,
                "a format of this disk was interrupted, and its partition now has {}, which the format did not make",
                join_names(found)
            ),
        }
    }
}

impl error::Error for Refusal {}

/// Determines the state of a whole disk with logical sectors of `sector` bytes.
///
/// # Errors
/// The disk cannot be read.
pub fn format_state(source: &dyn ReadAt, sector: u32) -> io::Result<FormatState> {
    let first_sector = read_at(source, 0, 512)?;
    if requests_format(&first_sector) && !is_taken(&first_sector) {
        return requested(source, &first_sector);
    }
    let table = gpt::read(source, sector)?;
    let partitions = table.as_ref().map(gpt::Gpt::partitions).unwrap_or_default();
    let disk_guid = table.map(|table| table.disk_guid);
    if requests_format(&first_sector) {
        let Some(record) = format_record::referenced(source, &first_sector)? else {
            return Ok(FormatState::Refused(Refusal::RecordDamaged));
        };
        let partition = partition_of(&record, disk_guid, &partitions);
        return match partition {
            Some(partition) => with_partition(source, record, true, partition),
            // The table is written after the place of the partition was wiped.
            None => Ok(FormatState::InProgress(Box::new(record))),
        };
    }
    let data_partition = partitions
        .iter()
        .find(|p| p.name == gpt::DATA_PARTITION_NAME);
    let (Some(disk_guid), Some(data_partition)) = (disk_guid, data_partition) else {
        return Ok(FormatState::Unrelated);
    };
    let Some(record) = format_record::leftover(source, &disk_guid, data_partition.offset)? else {
        return Ok(FormatState::Unrelated);
    };
    match partition_of(&record, Some(disk_guid), &partitions) {
        Some(partition) => with_partition(source, record, false, partition),
        None => Ok(FormatState::Unrelated),
    }
}

/// Returns the partition that the format has created, if the table is of that format.
fn partition_of<'a>(
    record: &FormatRecord,
    disk_guid: Option<uuid::Uuid>,
    partitions: &'a [Partition],
) -> Option<&'a Partition> {
    let mut partitions = partitions
        .iter()
        .filter(|_| disk_guid == Some(record.disk_guid));
    partitions.find(|p| p.offset == record.partition_offset)
}

/// Returns true in the state "taken" and the later ones: the first sector is a protective MBR with the format magic as its
/// boot code, which the format has written over the archive.
fn is_taken(first_sector: &[u8]) -> bool {
    !userdata::is_header(first_sector) && first_sector.ends_with(&[0x55, 0xaa])
}

fn requested(source: &dyn ReadAt, first_sector: &[u8]) -> io::Result<FormatState> {
    // A request may be the format magic alone, without an archive.
    let rest = first_sector
        .get(FORMAT_MAGIC[0].len()..)
        .unwrap_or_default();
    if rest.iter().all(|b| matches!(b, 0 | b'\n')) {
        return Ok(FormatState::Requested(Box::default(), probe(source)?));
    }
    match userdata::read(source) {
        Ok(data) => Ok(FormatState::Requested(Box::new(data), probe(source)?)),
        Err(userdata::ArchiveError::Io(e)) => Err(e),
        Err(userdata::ArchiveError::Broken(offset, defect)) => Ok(FormatState::Refused(
            Refusal::BrokenUserdata(offset, defect),
        )),
    }
}

/// Determines the state of a format that has created its partition. `requested` is true if the
/// disk still has the format magic.
fn with_partition(
    source: &dyn ReadAt,
    record: FormatRecord,
    requested: bool,
    partition: &Partition,
) -> io::Result<FormatState> {
    let inside = Range {
        source,
        offset: partition.offset,
        len: partition.len,
    };
    let found = probe(&inside)?;
    let own_uuid = uuid::text_unless_nil(&record.filesystem_uuid);
    // The power may have failed between the two sectors of the superblock that has the label. At
    // that time only the format had mounted the file system, and only once.
    let sb = read_at(&inside, 1024, 1024)?;
    let is_torn = !ext4::has_valid_checksum(&sb) && ext4::mount_count(&sb) <= 1;
    let is_complete =
        |f: &Signature| f.uuid == own_uuid && f.label.as_deref() == Some(LABELS[0]) && !is_torn;
    let is_unfinished = |f: &Signature| {
        let has_no_final_label = f.label.as_deref().is_none_or(|l| l == UNFINISHED_LABEL);
        let is_ext = matches!(
            f.kind,
            SignatureKind::Ext2 | SignatureKind::Ext3 | SignatureKind::Ext4
        );
        is_ext && f.uuid == own_uuid && (is_torn || has_no_final_label)
    };
    Ok(match found.as_slice() {
        [one] if is_complete(one) => FormatState::Complete(Box::new(record)),
        _ if !requested => FormatState::Unrelated,
        found if found.iter().all(is_unfinished) => FormatState::InProgress(Box::new(record)),
        found => FormatState::Refused(Refusal::ForeignData(found.to_vec())),
    })
}

/// Returns the sector that makes a blank disk request a format: the header of an archive with the
/// format magic as its only name. Zeros must follow the sector.
#[must_use]
pub fn request_sector() -> Vec<u8> {
    let mut header = vec![0; 512];
    let mut put = |at: usize, text: &[u8]| header[at..at + text.len()].copy_from_slice(text);
    put(0, FORMAT_MAGIC[0].as_bytes());
    put(100, b"0000644\0");
    put(124, b"00000000000\0");
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|b| u32::from(*b)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}
