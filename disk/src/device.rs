// SPDX-License-Identifier: Apache-2.0
//! Facts about a block device.

use std::{error, fmt, io};

use crate::format_state::FormatState;
use crate::signature::Signature;
use crate::table_fault::TableFault;
use crate::truncation::Truncation;

/// Block device.
#[derive(Clone, Debug)]
pub struct Device {
    /// Name in /sys/class/block.
    pub name: String,
    /// Name of the disk that the device is a partition of.
    pub parent_disk: Option<String>,
    /// Size in bytes.
    pub size: u64,
    /// True if the device cannot be written.
    pub read_only: bool,
    /// True if the device is no hardware (loop, device mapper, RAID). Such a device is formatted
    /// only if a flag names it.
    pub is_virtual: bool,
    /// Present use by a mount, swap or another device, as a clause for messages.
    pub in_use: Option<String>,
    /// PARTUUID of a partition.
    pub partuuid: Option<String>,
    /// True for a partition whose name in the table is that of the data partition.
    pub is_data_partition: bool,
    /// Signatures on the device, or the reason why it cannot be read.
    pub signatures: Result<Vec<Signature>, ReadError>,
    /// Content that is longer than the device.
    pub truncation: Option<Truncation>,
    /// Fault of the partition table of a whole disk with data of this system.
    pub table_fault: Option<TableFault>,
    /// Progress of a format, for a whole disk.
    pub format_state: FormatState,
    /// True if the device is blank ([`crate::blank`]). The test runs only if the result matters.
    pub is_blank: bool,
}

/// Reason why a device cannot be read: an [`io::Error`] that can be cloned and compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadError {
    kind: io::ErrorKind,
    text: String,
}

impl ReadError {
    /// Kind of the error.
    #[must_use]
    pub fn kind(&self) -> io::ErrorKind {
        self.kind
    }
}

impl From<io::Error> for ReadError {
    fn from(e: io::Error) -> ReadError {
        ReadError {
            kind: e.kind(),
            text: e.to_string(),
        }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl error::Error for ReadError {}
