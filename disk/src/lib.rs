//! What is on a disk, which disk is the data disk, and how one is made.
//!
//! Pure and bounded: bytes come through [`ReadAt`], decisions and writes go out
//! as data, and no bytes on a disk make it panic. The acting is in `b2p data`.
//!
//! Where to read first: [`choose`] decides; [`format`](mod@format) has the table
//! of states a disk goes through while it is made, with what a power cut leaves
//! behind in each; [`probe`] knows the signatures that are never written over.

pub mod blank;
pub mod bytes;
pub mod choose;
pub mod crc;
pub mod device;
pub mod device_name;
pub mod disk_op;
pub mod ext4;
pub mod format;
pub mod format_state;
pub mod gpt;
pub mod journal;
mod magic_table;
pub mod mbr;
pub mod partition;
pub mod partition_table;
pub mod probe;
mod rejection;
pub mod signature;
pub mod swap;
pub mod userdata;
pub mod uuid;

/// 2^20 bytes: what partitions are aligned to, and what disks are counted in.
pub const MIB: u64 = 1 << 20;

/// Labels of data file systems, the one that wins first: ours, the Fedora
/// ISO's, boot2docker's.
pub const LABELS: [&str; 3] = ["boot2podman-data", "b2p-data", "boot2docker-data"];

/// The label while a file system is being made; it is never used as data.
pub const UNFINISHED: &str = "b2p-formatting";

/// First bytes of a disk that may be formatted.
pub const FORMAT_MAGIC: [&str; 2] = [
    "boot2podman, please format-me",
    "boot2docker, please format-me",
];

/// Whether `sector`, the first one of a disk, begins with one of [`FORMAT_MAGIC`].
#[must_use]
pub fn requests_format(sector: &[u8]) -> bool {
    FORMAT_MAGIC
        .iter()
        .any(|w| sector.starts_with(w.as_bytes()))
}
