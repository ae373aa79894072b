// SPDX-License-Identifier: Apache-2.0
//! Tiny Core's `swapfile=`: swaps to the file `tc.swp` of a partition. A file that is missing is
//! reported and not made.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use config::DiskSelector;
use disk::device::Device;
use disk::signature::SignatureKind;
use log::warn;
use nix::mount::{MntFlags, umount2};
use sys::error::{Doing, Error, Result};
use sys::mountinfo::unescape;
use sys_mount::{Mount, MountFlags};

use crate::helpers::block::scan;
use crate::helpers::data::fsck;

use super::area;
use super::device::{self, Content};

const NAME: &str = "tc.swp";

/// Finds the partition, mounts it if it is not mounted, and swaps to its file; returns a
/// description of the result. The mount is undone if the file is of no use.
///
/// # Errors
/// The partition is not found or cannot be mounted, or the file is no swap area.
pub fn swap_on(disk: &DiskSelector, wait_seconds: u16) -> Result<String> {
    let device = device::find(disk, wait_seconds, Content::FileSystem)?;
    let number = scan::attribute(&device.name, "dev");
    let number = number.ok_or_else(|| Error::invalid("it has disappeared"))?;
    let mountinfo = fs::read_to_string(sys::mountinfo::PATH).unwrap_or_default();
    match mount_point(&mountinfo, &number) {
        Some(target) => swap_on_file(&target),
        None => {
            let target = mount(&device)?;
            swap_on_file(&target).inspect_err(|_| unmount(&target))
        }
    }
}

fn swap_on_file(target: &Path) -> Result<String> {
    let path = target.join(NAME);
    match fs::symlink_metadata(&path) {
        Ok(metadata) if metadata.is_file() => area::swap_on(&path, None),
        Ok(_) => Err(Error::invalid(format!("{NAME} is not a file"))),
        Err(e) if e.kind() == ErrorKind::NotFound => Err(Error::invalid(format!(
            "there is no {NAME} on it, and none is made"
        ))),
        Err(e) => Err(e).on(NAME),
    }
}

/// Mounts the partition where Tiny Core does, on /mnt/sda1 and the like.
fn mount(device: &Device) -> Result<PathBuf> {
    if let Some(user) = &device.in_use {
        let reason = format!("{}: in use: {user}", device.name);
        return Err(Error::invalid(reason));
    }
    let signatures = device.signatures.as_deref().unwrap_or_default();
    let kind = signatures.first().map_or(SignatureKind::Ext4, |s| s.kind);
    let node = scan::node(&device.name);
    fsck::check(&node, kind)?;
    let target = Path::new("/mnt").join(&device.name);
    fs::create_dir_all(&target).on(&target)?;
    let restricted = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let mut builder = Mount::builder().flags(MountFlags::NOATIME | restricted);
    if matches!(
        kind,
        SignatureKind::Ext2 | SignatureKind::Ext3 | SignatureKind::Ext4
    ) {
        builder = builder.data("errors=remount-ro");
    }
    let mounted = builder.fstype(kind.name()).mount(&node, &target);
    mounted.doing(format!("mount {}", kind.name()))?;
    Ok(target)
}

fn unmount(target: &Path) {
    // Not with sys-mount, whose NOFOLLOW is the flag of open(2): umount2(2) answers EINVAL.
    umount2(target, MntFlags::UMOUNT_NOFOLLOW)
        .unwrap_or_else(|e| warn!("swap: umount {}: {e}", target.display()));
    let _ = fs::remove_dir(target); // succeeds only for an empty directory
}

/// Returns the mount point of the root of the file system on the device `major:minor`
/// (proc_pid_mountinfo(5)).
fn mount_point(mountinfo: &str, number: &str) -> Option<PathBuf> {
    let mut lines = mountinfo.lines().map(|l| l.split(' ').collect::<Vec<_>>());
    let line = lines.find(|f| f.get(2) == Some(&number) && f.get(3) == Some(&"/"))?;
    let path = unescape(line.get(4)?.as_bytes());
    Some(PathBuf::from(String::from_utf8_lossy(&path).into_owned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::{Temp, why};

    #[test]
    fn mount_point_ignores_bind_mounts_of_a_subdirectory() {
        let mounts = "29 1 254:0 /containers /var/lib/containers rw - ext4 /dev/vda rw\n\
                      30 1 254:0 / /mnt/my\\040data rw - ext4 /dev/vda rw\n\
                      31 1 254:1 /x /y rw - ext4 /dev/vdb rw\n";
        let whole = PathBuf::from("/mnt/my data");
        assert_eq!(mount_point(mounts, "254:0"), Some(whole));
        assert_eq!(mount_point(mounts, "254:1"), None);
        assert_eq!(mount_point(mounts, "4:0"), None);
        assert_eq!(mount_point("", "254:0"), None);
    }

    #[test]
    fn a_missing_tc_swp_is_reported_and_not_made() {
        let temp = Temp::new();
        assert!(why(swap_on_file(temp.dir())).contains("none is made"));
        assert_eq!(fs::read_dir(temp.dir()).unwrap().count(), 0);
        std::os::unix::fs::symlink("/dev/zero", temp.path(NAME)).unwrap();
        assert_eq!(why(swap_on_file(temp.dir())), "tc.swp is not a file");
    }
}
