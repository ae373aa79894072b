// SPDX-License-Identifier: Apache-2.0
//! Operations on a disk, as data.

/// One operation on a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskOp {
    /// Write these bytes at this offset (pwrite(2)).
    Write(u64, Vec<u8>),
    /// Make every write so far durable (fsync(2)).
    Flush,
}
