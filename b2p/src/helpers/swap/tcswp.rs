//! Tiny Core's `swapfile=`: the partition that has the swap file `tc.swp`. Nothing
//! is made: where the file is missing, that is said.

use std::fs;
use std::path::{Path, PathBuf};

use config::DiskSelector;
use disk::device::Device;
use disk::signature::SignatureKind;
use log::warn;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::find::{self, Wanted};
use crate::helpers::data::{fsck, scan};

const NAME: &str = "tc.swp";

/// Finds the partition, mounts it where it is not mounted yet, and swaps to its
/// file. A mount of ours that is of no use is taken back.
pub fn take(disk: &DiskSelector, wait: u16) -> Result<String, String> {
    let device = find::find(disk, wait, Wanted::Files)?;
    let number = scan::text(&device.name, "dev").ok_or("it has vanished")?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    match mounted(&mounts, &number) {
        Some(target) => swap(&target),
        None => {
            let target = mount_it(&device)?;
            swap(&target).inspect_err(|_| undo(&target))
        }
    }
}

fn swap(target: &Path) -> Result<String, String> {
    let path = target.join(NAME);
    match fs::symlink_metadata(&path) {
        Ok(meta) if meta.is_file() => super::take(&path, None),
        Ok(_) => Err(format!("{NAME} is no file")),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            Err(format!("there is no {NAME} on it, and none is made"))
        }
        Err(e) => Err(format!("{NAME}: {e}")),
    }
}

/// Where Tiny Core has it: /mnt/sda1.
fn mount_it(device: &Device) -> Result<PathBuf, String> {
    if let Some(who) = &device.in_use {
        return Err(format!("{}: in use: {who}", device.name));
    }
    let found = device.signatures.as_deref().unwrap_or_default();
    let kind = found.first().map_or(SignatureKind::Ext4, |f| f.kind);
    let node = scan::node(&device.name);
    fsck::check(&node, kind)?;
    let target = Path::new("/mnt").join(&device.name);
    fs::create_dir_all(&target).map_err(|e| format!("{}: {e}", target.display()))?;
    let flags = MsFlags::MS_NOATIME | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let options = match kind {
        SignatureKind::Ext2 | SignatureKind::Ext3 | SignatureKind::Ext4 => {
            Some("errors=remount-ro")
        }
        _ => None,
    };
    mount(Some(&node), &target, Some(kind.name()), flags, options)
        .map_err(|e| format!("mount {}: {e}", kind.name()))?;
    Ok(target)
}

fn undo(target: &Path) {
    let undone = umount2(target, MntFlags::UMOUNT_NOFOLLOW);
    undone.unwrap_or_else(|e| warn!("swap: umount {}: {e}", target.display()));
    let _ = fs::remove_dir(target); // only if it is empty
}

/// Where the whole of the device `major:minor` is mounted (proc_pid_mountinfo(5)).
fn mounted(mounts: &str, number: &str) -> Option<PathBuf> {
    let mut lines = mounts.lines().map(|l| l.split(' ').collect::<Vec<_>>());
    let line = lines.find(|f| f.get(2) == Some(&number) && f.get(3) == Some(&"/"))?;
    Some(PathBuf::from(unescaped(line.get(4)?)))
}

/// The kernel writes a space as `\040`, and three others so.
fn unescaped(text: &str) -> String {
    let pairs = [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ];
    pairs
        .iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_a_mount_of_the_whole_is_one() {
        let mounts = "29 1 254:0 /containers /var/lib/containers rw - ext4 /dev/vda rw\n\
                      30 1 254:0 / /mnt/my\\040data rw - ext4 /dev/vda rw\n\
                      31 1 254:1 /x /y rw - ext4 /dev/vdb rw\n";
        assert_eq!(
            mounted(mounts, "254:0"),
            Some(PathBuf::from("/mnt/my data"))
        );
        assert_eq!(mounted(mounts, "254:1"), None);
        assert_eq!(mounted(mounts, "4:0"), None);
        assert_eq!(mounted("", "254:0"), None);
    }

    #[test]
    fn a_file_that_is_missing_is_said_and_not_made() {
        let dir = std::env::temp_dir().join(format!("b2p-tcswp-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        assert!(swap(&dir).unwrap_err().contains("none is made"));
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
        std::os::unix::fs::symlink("/dev/zero", dir.join(NAME)).unwrap();
        assert!(swap(&dir).unwrap_err().contains("no file"));
        fs::remove_dir_all(dir).unwrap();
    }
}
