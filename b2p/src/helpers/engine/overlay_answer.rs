// SPDX-License-Identifier: Apache-2.0
//! The answer to the first question of a user's podman in each boot: are overlays on the store's file system
//! possible? As for root's store (`helpers/data/overlay_support.rs`), a store without room would give the
//! answer no, and podman would keep that answer until the next boot.

use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use nix::sys::statfs::{BTRFS_SUPER_MAGIC, EXT4_SUPER_MAGIC, FsType, TMPFS_MAGIC, statfs};
use nix::unistd::{Gid, Uid, setfsgid, setfsuid};
use sys::error::{Doing, Result};

/// Directory of the answer below the runtime directory (storage.conf(5), runroot).
const ANSWER_DIR: &str = "containers/overlay";
/// File that stands for the answer yes.
const YES: &str = "overlay-true";

/// Records the answer for the store at `storage`, if the store is on a file system whose directories have
/// the types of files. The user may have put anything into `runtime_dir`, so the write has the rights of the
/// user.
///
/// # Errors
/// The file cannot be made.
pub fn record(storage: &Path, runtime_dir: &Path, uid: u32, gid: u32) -> Result<()> {
    if !statfs(storage).is_ok_and(|of| has_file_types(of.filesystem_type())) {
        return Ok(());
    }
    let before = (setfsgid(Gid::from_raw(gid)), setfsuid(Uid::from_raw(uid)));
    let recorded = record_in(&runtime_dir.join(ANSWER_DIR));
    setfsuid(before.1);
    setfsgid(before.0);
    recorded
}

/// Returns true for file systems of which every disk has them: xfs of before 2014 has none.
fn has_file_types(of: FsType) -> bool {
    [EXT4_SUPER_MAGIC, BTRFS_SUPER_MAGIC, TMPFS_MAGIC].contains(&of)
}

/// Records a yes in podman's directory of answers. An existing file stays.
///
/// # Errors
/// The directory or the file cannot be made.
pub fn record_in(dir: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .on(dir)?;
    let file = dir.join(YES);
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&file);
    match made {
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        made => made.map(drop).on(file),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::Temp;
    use std::os::unix::fs::symlink;

    #[test]
    fn the_answer_is_written_only_where_podman_looks() {
        let temp = Temp::new();
        let kept = temp.path("containers/overlay");
        for _ in 0..2 {
            record_in(&kept).unwrap();
            assert!(kept.join(YES).is_file());
        }
        std::fs::remove_file(kept.join(YES)).unwrap();
        // Neither a link nor a fifo is followed or waited for.
        symlink(temp.path("elsewhere"), kept.join(YES)).unwrap();
        record_in(&kept).unwrap();
        assert!(!temp.path("elsewhere").exists());
    }
}
