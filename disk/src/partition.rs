// SPDX-License-Identifier: Apache-2.0
//! One partition of any kind of table.

use crate::uuid::{self, Uuid};

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Number of the partition, from 1.
    pub number: u32,
    /// Offset of the partition in bytes.
    pub offset: u64,
    /// Length of the partition in bytes.
    pub len: u64,
    /// PARTUUID in the form of the kernel and blkid(8).
    pub uuid: String,
    /// Name of the partition; empty in an MBR, which has none.
    pub name: String,
}

/// Returns the PARTUUID of a GPT entry whose unique GUID is `guid`, in the byte order of the disk.
pub(crate) fn partuuid(guid: &Uuid) -> String {
    uuid::text(&uuid::swap_byte_order(guid))
}
