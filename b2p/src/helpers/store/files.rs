// SPDX-License-Identifier: Apache-2.0
//! Files of a store, which may be a user's.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sys::error::Result;
use sys::files::open_regular;

/// Opens a file of a store; `None` if there is none. A user may put anything in its place meanwhile.
pub fn open(path: &Path) -> Result<Option<File>> {
    open_regular(&own_target(path, 0))
}

/// Returns where a link of `owner` leads that is in a directory of `owner`, else the path itself. In RAM, the
/// database of root's podman is on a tmpfs of its own, behind a link of the boot (init/src/ram.rs).
fn own_target(path: &Path, owner: u32) -> PathBuf {
    let is_own = |path: &Path| path.symlink_metadata().is_ok_and(|m| m.uid() == owner);
    match (path.read_link(), path.parent()) {
        (Ok(target), Some(dir)) if is_own(path) && is_own(dir) => dir.join(target),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::Temp;

    #[test]
    fn only_a_link_of_the_owner_is_followed() {
        let temp = Temp::new();
        let link = temp.path("db.sql");
        std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
        let owner = link.symlink_metadata().unwrap().uid();
        assert_eq!(own_target(&link, owner), Path::new("/dev/zero"));
        assert_eq!(own_target(&link, owner + 1), link);
    }
}
