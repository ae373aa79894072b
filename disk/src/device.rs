// SPDX-License-Identifier: Apache-2.0
//! Block devices as they were found, without a decision.

use crate::format_state::FormatState;
use crate::signature::Signature;

/// A block device, as it was found.
#[derive(Clone, Debug)]
pub struct Device {
    /// As in /sys/class/block.
    pub name: String,
    /// The disk that it is a partition of.
    pub parent_disk: Option<String>,
    /// In bytes.
    pub size: u64,
    /// Nothing can be written to it.
    pub read_only: bool,
    /// It is no disk by itself (loop, device mapper, RAID): formatted only when it
    /// is named.
    pub is_virtual: bool,
    /// Who has it: a mount, swap, another device.
    pub in_use: Option<String>,
    /// PARTUUID.
    pub partuuid: Option<String>,
    /// A partition that its table names as the data partition.
    pub is_data_partition: bool,
    /// The signatures on it, or why it could not be read.
    pub signatures: Result<Vec<Signature>, String>,
    /// Where it stands, for a whole disk.
    pub format_state: FormatState,
    /// All zero where anything could be; looked at only when that matters.
    pub is_blank: bool,
}
