// SPDX-License-Identifier: Apache-2.0
//! The answer to podman's first question in each boot: are overlays on the store's file system
//! possible?
//!
//! podman tries one in the store and keeps the answer for the boot (containers/storage, overlay.go:
//! checkAndRecordOverlaySupport). Where there is no room, the answer is no, and stays no when there
//! is room. The known answer is therefore written to podman's file.

use disk::signature::SignatureKind;
use sys::error::Result;

use crate::common::paths::Paths;
use crate::helpers::engine::overlay_answer::record_in;

/// Directory of podman's state of a boot (storage.conf, runroot).
const ANSWER_DIR: &str = "/run/containers/storage/overlay";

/// Records the answer for a store on a disk of this kind.
///
/// # Errors
/// The file cannot be written.
pub fn record(kind: SignatureKind, paths: &Paths) -> Result<()> {
    match has_file_types(kind) {
        true => record_in(&paths.at(ANSWER_DIR)),
        false => Ok(()),
    }
}

/// Returns true if directories have the types of files, which overlays need, in every file system of
/// this kind: xfs of before 2014 has none.
fn has_file_types(kind: SignatureKind) -> bool {
    use SignatureKind::{Btrfs, Ext2, Ext3, Ext4};
    matches!(kind, Ext2 | Ext3 | Ext4 | Btrfs)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::Temp;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_answer_is_where_podman_looks() {
        let temp = Temp::new();
        let paths = Paths::below(temp.dir());
        record(SignatureKind::Xfs, &paths).unwrap();
        assert!(!temp.path("run").exists());
        record(SignatureKind::Ext4, &paths).unwrap();
        let dir = temp.path("run/containers/storage/overlay");
        assert_eq!(fs::read(dir.join("overlay-true")).unwrap(), b"");
        assert_eq!(
            fs::metadata(dir).unwrap().permissions().mode() & 0o777,
            0o700
        );
        record(SignatureKind::Ext4, &paths).unwrap();
    }
}
