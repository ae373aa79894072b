// SPDX-License-Identifier: Apache-2.0
//! The part of the memory that the machine keeps for itself, and the part for others.

use nix::sys::sysinfo::sysinfo;

/// Mebibyte.
pub const MIB: u64 = 1 << 20;
/// Upper bound of the size of the userland image, which is the part of the initrd that stays in memory.
pub const IMAGE_BYTES: u64 = 64 * MIB;
/// Memory for processes and their pages that every machine needs, besides a share of the memory.
pub const WORKING_SET_BYTES: u64 = 32 * MIB;
/// Limit of the share of a large memory that is kept for programs.
pub const MAX_KEPT_BYTES: u64 = 1024 * MIB;
/// Memory by which the store in RAM grows while it is full, for podman of users.
pub const STORE_RESERVE_BYTES: u64 = 2 * MIB;
/// Unit of the limits of a cgroup: the kernel counts pages.
const PAGE_BYTES: u64 = 4096;

/// Returns the part of a memory of `total` bytes that files in RAM may take together, and the containers of root
/// or of a user together: without the image and the pages of the machine's programs.
#[must_use]
pub fn not_kept(total: u64) -> u64 {
    let kept = IMAGE_BYTES + WORKING_SET_BYTES + (total / 8).min(MAX_KEPT_BYTES);
    total.saturating_sub(kept).max(total / 4)
}

/// Returns the memory of the machine in bytes, without the part that the kernel keeps for itself (sysinfo(2)).
#[must_use]
pub fn total() -> Option<u64> {
    Some(sysinfo().ok()?.ram_total())
}

/// Returns the limit of the containers of root, or of the processes of another user, in the memory of now.
#[must_use]
pub fn containers_limit() -> Option<u64> {
    Some(not_kept(total()?) / PAGE_BYTES * PAGE_BYTES)
}
