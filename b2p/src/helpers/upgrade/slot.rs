// SPDX-License-Identifier: Apache-2.0
//! Writes a version into the slot that the machine does not run from. The file system is made
//! anew each time, so that leftovers of an interrupted upgrade do not matter.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use sys::error::{Doing, Error, Result};

use super::source::{FILES, SUMS, Source};
use super::{mounts, sums};
use crate::common::tool;
use crate::helpers::block::{ioctl, scan};

/// Time limit of mke2fs(8), which writes a few blocks here.
const MKFS_LIMIT: Duration = Duration::from_secs(60);
/// Bytes that the file system needs for itself, generously.
const FS_OVERHEAD: u64 = 2 << 20;
/// Name of the initrd until everything is there: GRUB's menu offers no slot without an initrd.
const UNFINISHED: &str = "initrd.new";

/// Checks that a slot has room for `bytes`.
///
/// # Errors
/// The slot is too small; the error names both sizes.
pub fn fits(partition: &str, bytes: u64) -> Result<()> {
    let room = scan::size(partition).unwrap_or(0);
    match bytes.saturating_add(FS_OVERHEAD) <= room {
        true => Ok(()),
        false => Err(Error::invalid(format!(
            "the new version has {} MiB and its slot, /dev/{partition}, {} MiB: a new disk of \
             `make disk` has more, and the data can be copied to it",
            bytes >> 20,
            room >> 20
        ))),
    }
}

/// Makes the file system, copies the version, and reads the copy back from the disk.
///
/// # Errors
/// A step fails; the menu does not offer the slot then.
pub fn write(partition: &str, slot: char, source: &Source) -> Result<()> {
    make_fs(partition, slot)?;
    let mounted = mounts::partition(partition, "ext4", true)?;
    let dir = mounted.dir();
    for ((from, sum), name) in source.files().zip([FILES[0], UNFINISHED]) {
        copy(&from, sum, &dir.join(name))?;
    }
    write_synced(&dir.join(SUMS), source.list().as_bytes())?;
    mounted.end()?;
    drop_cache(partition)?;
    let mounted = mounts::partition(partition, "ext4", true)?;
    let sums: Vec<&str> = source.files().map(|(_, sum)| sum).collect();
    finish(mounted.dir(), &sums).on(format!("/dev/{partition}"))?;
    mounted.end()
}

fn make_fs(partition: &str, slot: char) -> Result<()> {
    // O_EXCL fails where the partition is mounted or used as swap.
    let free = scan::open_writable(partition, libc::O_EXCL)?;
    drop(free);
    let (node, label) = (format!("/dev/{partition}"), format!("boot2podman-{slot}"));
    // The same options as those of `make disk` (initramfs/src/disk.rs).
    #[rustfmt::skip]
    let args = [
        "-q", "-F", "-t", "ext4", "-T", "default", "-b", "4096", "-L", &label, "-N", "16",
        "-m", "0", "-O", "none,extent,filetype,sparse_super,large_file", "-E", "nodiscard",
        &node,
    ];
    let ended = tool::run("/usr/sbin/mke2fs", &args, MKFS_LIMIT)?;
    match ended.code {
        Some(0) => Ok(()),
        _ => Err(Error::invalid(format!(
            "{node}: mke2fs: {}",
            ended.last_lines
        ))),
    }
}

/// Copies a file and checks that the content is the verified one.
fn copy(from: &Path, sum: &str, to: &Path) -> Result<()> {
    let mut file = File::create(to).on(to)?;
    let found = sums::read(from, |piece| file.write_all(piece).on(to))?;
    file.sync_all().on(to)?;
    match found == sum {
        true => Ok(()),
        false => Err(Error::invalid("it has changed since it was verified")).on(from),
    }
}

fn write_synced(to: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = File::create(to).on(to)?;
    file.write_all(bytes).on(to)?;
    file.sync_all().on(to)
}

/// Writes everything to the partition, and drops the cache, so that the next read is one of the disk.
fn drop_cache(partition: &str) -> Result<()> {
    let whole = scan::open_writable(partition, libc::O_EXCL)?;
    let dropped = whole.sync_all().and_then(|()| ioctl::drop_cache(&whole));
    dropped.on(format!("/dev/{partition}"))
}

/// Checks the sums of the files in `dir`, and only then gives the initrd the name that the menu expects.
fn finish(dir: &Path, sums: &[&str]) -> Result<()> {
    for (sum, name) in sums.iter().zip([FILES[0], UNFINISHED]) {
        let read = sums::check(&dir.join(name), sum);
        read.doing("it does not keep what is written to it")?;
    }
    fs::rename(dir.join(UNFINISHED), dir.join(FILES[1])).on(dir)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::{Temp, why};
    use sha2::{Digest, Sha256};

    #[test]
    fn a_slot_that_keeps_something_else_is_not_offered() {
        let temp = Temp::new();
        let sum = |bytes: &[u8]| disk::uuid::hex(&Sha256::digest(bytes));
        let (kernel, initrd) = (sum(b"kernel"), sum(b"initrd"));
        let sums = [kernel.as_str(), initrd.as_str()];
        let put = |kernel: &str, initrd: &str| {
            fs::write(temp.path(FILES[0]), kernel).unwrap();
            fs::write(temp.path(UNFINISHED), initrd).unwrap();
        };
        for (kernel, initrd) in [("kernel", "inutrd"), ("kermel", "initrd")] {
            put(kernel, initrd);
            let why = why(finish(temp.dir(), &sums));
            assert!(why.contains("does not keep"), "{why}");
            assert!(!temp.path(FILES[1]).exists());
        }
        put("kernel", "initrd");
        finish(temp.dir(), &sums).unwrap();
        assert!(temp.path(FILES[1]).exists() && !temp.path(UNFINISHED).exists());
    }

    #[test]
    fn a_version_that_does_not_fit_is_refused_with_both_sizes() {
        let why = why(fits("nothing", 3 << 20));
        let figures = ["has 3 MiB", "/dev/nothing, 0 MiB"];
        assert!(figures.iter().all(|f| why.contains(f)), "{why}");
    }
}
