// SPDX-License-Identifier: Apache-2.0
//! Disks and partitions that are shorter than their content: an image that was cut, or a copy on a
//! smaller disk.
//!
//! The kernel ignores a GPT whose usable sectors are not all there (block/partitions/efi.c,
//! `is_gpt_valid`), and mounts no file system that is larger than its device. Neither is written
//! to: the remaining data can be copied back to a disk that is large enough.

use std::io;

use crate::bytes::{Range, ReadAt};
use crate::partition::Partition;
use crate::probe::probe;
use crate::signature::{Signature, SignatureKind};
use crate::{LABELS, MIB, fs_size, gpt};

/// Content that is longer than its device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Truncation {
    /// Partition table of a larger disk.
    Table(Table),
    /// File system of this kind, with its size in bytes.
    FileSystem(SignatureKind, u64),
}

/// Partition table of a larger disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Size of that disk in bytes.
    pub size: u64,
    /// Offset of the end of its data partition in bytes; `None` without one.
    pub data_end: Option<u64>,
    /// True if the kernel still reads the table, because the backup alone is missing.
    pub is_readable: bool,
}

/// Finds content of a device with logical sectors of `sector` bytes that is longer than the device.
///
/// # Errors
/// The device cannot be read.
pub fn truncation(
    source: &dyn ReadAt,
    sector: u32,
    signatures: &[Signature],
) -> io::Result<Option<Truncation>> {
    for signature in signatures {
        let size = fs_size::read(source, signature.kind)?;
        let size = size.map_or(0, |size| size.bytes());
        if size > source.size() {
            return Ok(Some(Truncation::FileSystem(signature.kind, size)));
        }
    }
    if signatures.iter().all(|s| s.kind != SignatureKind::Gpt) {
        return Ok(None);
    }
    let Some((table, size)) = gpt::read_oversized(source, sector)? else {
        return Ok(None);
    };
    let data_end = end_of_data_partition(source, &table.partitions())?;
    let is_readable = gpt::read(source, sector)?.is_some();
    Ok(Some(Truncation::Table(Table {
        size,
        data_end,
        is_readable,
    })))
}

/// Returns the offset of the end of the data partition: the one with its name, or with the label
/// of a data file system at its start.
pub(crate) fn end_of_data_partition(
    source: &dyn ReadAt,
    partitions: &[Partition],
) -> io::Result<Option<u64>> {
    for partition in partitions {
        let inside = Range {
            source,
            offset: partition.offset,
            len: partition.len,
        };
        if partition.name == gpt::DATA_PARTITION_NAME || has_data_label(&inside)? {
            return Ok(Some(partition.offset + partition.len));
        }
    }
    Ok(None)
}

/// Returns true if a data file system begins here.
pub(crate) fn has_data_label(source: &dyn ReadAt) -> io::Result<bool> {
    let is_label = |s: &Signature| s.label.as_deref().is_some_and(|l| LABELS.contains(&l));
    Ok(probe(source)?.iter().any(is_label))
}

impl Truncation {
    /// Returns the fault of a data disk of `size` bytes and its remedy, as a clause; `None` if the
    /// disk has no data of this system.
    #[must_use]
    pub fn describe(&self, size: u64) -> Option<String> {
        let (has, missing) = (mib(size), "make it as large again, or copy it whole");
        match self {
            Truncation::FileSystem(kind, bytes) => Some(format!(
                "it has {has}, but its {} has {}: its end is missing; it is left alone; {missing}",
                kind.name(),
                mib(*bytes)
            )),
            Truncation::Table(table) => {
                let end = table.data_end?;
                let whole = mib(table.size);
                Some(match table.is_readable {
                    true => format!(
                        "it has {has}, but its partition table is that of a disk of {whole}: the copy of the table at the end is missing; the data partition is whole; {missing}"
                    ),
                    false => format!(
                        "it has {has}, but its partition table is that of a disk of {whole}, and the data partition ends at {}: its end is missing; it is left alone; {missing}",
                        mib(end)
                    ),
                })
            }
        }
    }

    /// Returns true if the device may be used as if nothing were missing.
    #[must_use]
    pub fn is_harmless(&self) -> bool {
        matches!(self, Truncation::Table(table) if table.is_readable)
    }
}

/// Returns a size in MiB, exactly: a cut of one sector is one, too.
fn mib(bytes: u64) -> String {
    match bytes % MIB {
        0 => format!("{} MiB", bytes / MIB),
        _ => format!("{bytes} bytes ({} MiB)", bytes / MIB),
    }
}

#[cfg(test)]
pub(crate) mod tests;
