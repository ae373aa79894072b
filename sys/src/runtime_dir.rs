// SPDX-License-Identifier: Apache-2.0
//! Runtime directories of users (`XDG_RUNTIME_DIR`): each is a file system of its own, as systemd's
//! user-runtime-dir@.service has it, so that a user who fills one takes nothing from other users.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use log::warn;
use nix::mount::{MsFlags, mount};

use crate::error::{Doing, Result};

/// Percentage of the memory for the directory of the machine's user. init/src/ram.rs divides the memory by it.
pub const PERCENT: u64 = 3;
/// Percentage of the memory for that of each other user.
const OTHERS_PERCENT: u64 = 1;

/// Size of a user's directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// The machine's user.
    Machine,
    /// Another user.
    Other,
}

impl Share {
    /// Returns the options of tmpfs(5). An inode takes 1 KiB of memory beside the size.
    fn options(self, uid: u32, gid: u32) -> String {
        let (percent, inodes) = match self {
            Share::Machine => (PERCENT, "16k"),
            Share::Other => (OTHERS_PERCENT, "4k"),
        };
        format!("mode=0700,uid={uid},gid={gid},size={percent}%,nr_inodes={inodes}")
    }
}

/// Makes the runtime directory of a user below `dirs`, unless the user has one. Where nothing can be mounted, a plain
/// directory takes its place. Two callers at once would mount twice.
///
/// # Errors
/// The directory cannot be made, or not be given to the user.
pub fn make(dirs: &Path, uid: u32, gid: u32, share: Share) -> Result<()> {
    let dir = dirs.join(uid.to_string());
    match fs::create_dir(&dir) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
        made => made.on(&dir)?,
    }
    // A directory of root's is one that is not finished.
    if uid == 0 || fs::metadata(&dir).on(&dir)?.uid() == uid {
        return Ok(());
    }
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    let options = share.options(uid, gid);
    let (kind, data) = (Some("tmpfs"), Some(options.as_str()));
    let Err(e) = mount(kind, &dir, kind, flags, data) else {
        return Ok(());
    };
    warn!("{}: no file system of its own: {e}", dir.display());
    fs::set_permissions(&dir, Permissions::from_mode(0o700)).on(&dir)?;
    chown(&dir, Some(uid), Some(gid)).on(&dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_users_have_less() {
        let own = "mode=0700,uid=1000,gid=100,size=3%,nr_inodes=16k";
        assert_eq!(Share::Machine.options(1000, 100), own);
        let others = "mode=0700,uid=1001,gid=1001,size=1%,nr_inodes=4k";
        assert_eq!(Share::Other.options(1001, 1001), others);
    }
}
