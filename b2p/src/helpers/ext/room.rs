// SPDX-License-Identifier: Apache-2.0
//! Room for images on the data disk and in memory.

use std::path::Path;

use sys::error::{Doing, Error, Result};

/// Refuses a file that does not fit into a directory with room to spare, before it fills the disk or the memory
/// of which others live.
///
/// # Errors
/// The directory has too little room.
pub fn ensure_room(dir: &Path, size: u64) -> Result<()> {
    let stat = nix::sys::statvfs::statvfs(dir).on(dir)?;
    let unit = stat.fragment_size() as u64;
    let (free, all) = (stat.blocks_available() as u64, stat.blocks() as u64);
    match room_fault(size, free * unit, all * unit) {
        Some(why) => Err(Error::invalid(why)).on(dir),
        None => Ok(()),
    }
}

/// Number of bytes that stay free; on a small file system, a twentieth of its size stays free instead.
const MARGIN: u64 = 16 << 20;

fn room_fault(size: u64, free: u64, all: u64) -> Option<String> {
    let usable = free.saturating_sub(MARGIN.min(all / 20));
    (size > usable).then(|| format!("it has {size} bytes, there is room for {usable}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_leaves_some_room() {
        let mib = |n: u64| n << 20;
        assert_eq!(room_fault(mib(10), mib(40), mib(400)), None);
        let said = room_fault(mib(30), mib(40), mib(400)).unwrap_or_default();
        assert_eq!(said, "it has 31457280 bytes, there is room for 25165824");
        assert_eq!(room_fault(mib(18), mib(20), mib(40)), None);
        assert!(room_fault(mib(20), mib(20), mib(40)).is_some());
        assert!(room_fault(1, 0, mib(400)).is_some());
    }
}
