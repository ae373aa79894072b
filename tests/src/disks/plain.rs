// SPDX-License-Identifier: Apache-2.0
//! Disk images with a few files, and the files afterwards.

use anyhow::{Result, ensure};
use initramfs::tools;
use std::fs;
use std::path::{Path, PathBuf};

/// Makes a small ext4 disk without a partition table, with the files of a directory.
pub fn ext4(path: &Path, from: Option<&Path>) -> Result<PathBuf> {
    fs::File::create(path)?.set_len(64 << 20)?;
    let mut mkfs = tools::command("mke2fs")?;
    mkfs.args(["-q", "-F", "-t", "ext4", "-b", "4096"]);
    if let Some(from) = from {
        mkfs.arg("-d").arg(from);
    }
    tools::run(mkfs.arg(path), "mke2fs")?;
    Ok(path.to_owned())
}

/// Fails if there is a journal to replay, or anything that a full check would repair.
pub fn clean(disk: &Path) -> Result<()> {
    let head = tools::run(tools::command("dumpe2fs")?.arg("-h").arg(disk), "dumpe2fs")?;
    let head = String::from_utf8_lossy(&head).into_owned();
    ensure!(!head.contains("needs_recovery"), "{head}");
    ensure!(head.contains("Filesystem state:         clean"), "{head}");
    let mut check = tools::command("e2fsck")?;
    tools::run(check.args(["-f", "-n"]).arg(disk), "e2fsck").map(drop)
}
