// SPDX-License-Identifier: Apache-2.0
//! Contents of disks: signatures of data, the choice of the data disk, and its format.
//!
//! The crate is pure and bounded. The input is bytes, read through [`bytes::ReadAt`], the output is
//! decisions and writes as data, and no bytes on a disk cause a panic. `b2p data` carries the
//! decisions out.
//!
//! [`choose`], which decides, is the module to read first. [`format`](mod@format) has the table of
//! the states that a disk passes through during a format, with the result of a power failure in
//! each. [`probe`] knows the signatures that are never overwritten.

pub mod blank;
pub mod bytes;
pub mod choose;
pub mod crc;
pub mod device;
pub mod device_name;
pub mod disk_op;
pub mod ext4;
pub mod format;
pub mod format_record;
pub mod format_state;
pub mod fs_size;
pub mod gpt;
mod magic_table;
pub mod mbr;
pub mod partition;
pub mod partition_table;
pub mod probe;
mod rejection;
pub mod signature;
pub mod swap;
pub mod table_fault;
pub mod truncation;
pub mod userdata;
pub mod uuid;

/// Mebibyte: alignment of partitions, and unit of sizes in messages.
pub const MIB: u64 = 1 << 20;

/// Labels of data file systems, the highest precedence first: this system's, the Fedora ISO's,
/// boot2docker's.
pub const LABELS: [&str; 3] = ["boot2podman-data", "b2p-data", "boot2docker-data"];

/// Label of an incomplete file system, which is never used.
pub const UNFINISHED_LABEL: &str = "b2p-formatting";

/// First bytes of a disk that requests to be formatted.
pub const FORMAT_MAGIC: [&str; 2] = [
    "boot2podman, please format-me",
    "boot2docker, please format-me",
];

/// Returns true if the first sector of a disk begins with [`FORMAT_MAGIC`].
#[must_use]
pub fn requests_format(first_sector: &[u8]) -> bool {
    FORMAT_MAGIC
        .iter()
        .any(|magic| first_sector.starts_with(magic.as_bytes()))
}
