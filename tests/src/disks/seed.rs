// SPDX-License-Identifier: Apache-2.0
//! Disks for cloud-init's NoCloud: a few files on a file system labelled `cidata`.

use super::tool;
use anyhow::{Context, Result};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A file of the disk: path, true for a program, content.
pub type Entry<'a> = (&'a str, bool, &'a str);

/// Makes an ISO image with Rock Ridge, as cloud-localds(1) and Lima do, but without the padding of 300 KiB:
/// the image ends with its files.
pub fn iso(dir: &Path, entries: &[Entry<'_>]) -> Result<PathBuf> {
    let tree = laid(dir, entries)?;
    let image = dir.join("cidata.iso");
    let (to, from) = (image.as_os_str(), tree.as_os_str());
    let how = [
        "-as", "mkisofs", "-quiet", "-R", "-no-pad", "-V", "cidata", "-o",
    ];
    let how = how.iter().map(AsRef::as_ref).chain([to, from]);
    tool("xorriso", &how.collect::<Vec<_>>())?;
    Ok(image)
}

/// Makes a FAT file system on a whole disk, one of the smallest that mkfs.fat(8) makes.
pub fn vfat(dir: &Path, entries: &[Entry<'_>]) -> Result<PathBuf> {
    vfat_labelled(dir, "CIDATA", entries)
}

/// Makes a FAT file system with another label on a whole disk.
pub fn vfat_labelled(dir: &Path, label: &str, entries: &[Entry<'_>]) -> Result<PathBuf> {
    let tree = laid(dir, entries)?;
    let image = dir.join(format!("{}.img", label.to_lowercase()));
    fs::File::create(&image)?.set_len(64 * 1024)?;
    tool(
        "mkfs.vfat",
        &["-n".as_ref(), label.as_ref(), image.as_os_str()],
    )?;
    for (path, ..) in entries {
        let (from, to) = (tree.join(path), format!("::{path}"));
        let words = [
            "-i".as_ref(),
            image.as_os_str(),
            from.as_os_str(),
            to.as_ref(),
        ];
        tool("mcopy", &words)?;
    }
    Ok(image)
}

fn laid(dir: &Path, entries: &[Entry<'_>]) -> Result<PathBuf> {
    let tree = dir.join("cidata");
    for (path, program, text) in entries {
        let path = tree.join(path);
        fs::create_dir_all(path.parent().context("no parent")?)?;
        fs::write(&path, text)?;
        let mode = if *program { 0o755 } else { 0o644 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
    }
    Ok(tree)
}
