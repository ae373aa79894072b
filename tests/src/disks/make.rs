// SPDX-License-Identifier: Apache-2.0
//! File systems and partition tables, made with the tools that people use.

use super::{Image, MIB, tool, tool_out};
use anyhow::{Result, ensure};
use std::fs;
use std::path::Path;

/// Type of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fs {
    /// ext4 with mke2fs's defaults.
    Ext4,
    /// ext2: without a journal.
    Ext2,
    /// xfs; its tools make none smaller than 300 MiB.
    Xfs,
    /// btrfs; its tools make none smaller than 109 MiB.
    Btrfs,
    /// FAT 32.
    Fat,
}

impl Fs {
    /// Returns the name that mount(2) uses.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Fs::Ext4 => "ext4",
            Fs::Ext2 => "ext2",
            Fs::Xfs => "xfs",
            Fs::Btrfs => "btrfs",
            Fs::Fat => "vfat",
        }
    }

    /// Returns the smallest useful size in MiB.
    #[must_use]
    pub fn mib(self) -> u64 {
        match self {
            Fs::Xfs => 320,
            Fs::Btrfs => 128,
            _ => 64,
        }
    }

    fn make(self, file: &Path, label: &str) -> Result<()> {
        let (program, words, name): (_, &[&str], _) = match self {
            Fs::Ext4 => ("mke2fs", &["-q", "-F", "-t", "ext4"], "-L"),
            Fs::Ext2 => ("mke2fs", &["-q", "-F", "-t", "ext2"], "-L"),
            Fs::Xfs => ("mkfs.xfs", &["-q", "-f"], "-L"),
            Fs::Btrfs => ("mkfs.btrfs", &["-q", "-f"], "-L"),
            Fs::Fat => ("mkfs.vfat", &["-F", "32"], "-n"),
        };
        let mut args: Vec<_> = words.iter().map(std::ffi::OsStr::new).collect();
        if !label.is_empty() {
            args.extend([name.as_ref(), std::ffi::OsStr::new(label)]);
        }
        args.push(file.as_os_str());
        tool(program, &args).map(drop)
    }
}

/// Structure around a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// None: the file system is on the disk itself.
    Whole,
    /// The first partition of an MBR.
    Mbr,
    /// The first partition of a GPT.
    Gpt,
}

/// Makes a disk with one file system.
pub fn disk(dir: &Path, name: &str, layout: Layout, kind: Fs, label: &str) -> Result<Image> {
    match layout {
        Layout::Whole => {
            let image = Image::blank(dir, name, kind.mib())?;
            kind.make(image.file(), label)?;
            Ok(image)
        }
        Layout::Mbr => divided(dir, name, "label: dos\nstart=2048, type=83\n", kind, label),
        Layout::Gpt => divided(dir, name, "label: gpt\nstart=2048\n", kind, label),
    }
}

/// Makes a disk with the given table, by sfdisk(8), and the file system in the partition that
/// begins after the first MiB.
fn divided(dir: &Path, name: &str, table: &str, kind: Fs, label: &str) -> Result<Image> {
    let image = Image::blank(dir, name, kind.mib() + 2)?;
    sfdisk(&image, table)?;
    let inside = Image::blank(dir, &format!("{name}.fs"), kind.mib())?;
    kind.make(inside.file(), label)?;
    put(&inside, &image, MIB)?;
    fs::remove_file(inside.file())?;
    Ok(image)
}

/// Content of `containers/kept` on a disk of [`ours`].
pub const KEPT: &str = "kept over every boot\n";

/// Makes a disk in the machine's own format that was in use: a tree of a few hundred files.
pub fn ours(dir: &Path, name: &str) -> Result<Image> {
    let tree = dir.join(format!("{name}.tree"));
    let containers = tree.join("containers");
    fs::create_dir_all(tree.join("boot2podman"))?;
    for n in 0..20 {
        let below = containers.join(format!("dir-{n}"));
        fs::create_dir_all(&below)?;
        for m in 0..20 {
            fs::write(
                below.join(format!("file-{m}")),
                vec![m; 100 * usize::from(m)],
            )?;
        }
    }
    fs::write(containers.join("kept"), KEPT)?;
    let image = Image::blank(dir, name, 130)?;
    sfdisk(&image, "label: gpt\nstart=2048, name=boot2podman-data\n")?;
    let inside = Image::blank(dir, &format!("{name}.fs"), 128)?;
    let words = ["-q", "-F", "-t", "ext4", "-L", "boot2podman-data", "-d"];
    let mut args: Vec<_> = words.iter().map(std::ffi::OsStr::new).collect();
    args.extend([tree.as_os_str(), inside.file().as_os_str()]);
    tool("mke2fs", &args)?;
    put(&inside, &image, MIB)?;
    fs::remove_file(inside.file())?;
    fs::remove_dir_all(tree)?;
    Ok(image)
}

/// Copies the first MiB of a disk: an image that was cut, or went to a smaller disk.
pub fn cut(disk: &Image, mib: u64) -> Result<Image> {
    let copy = disk.copy(&format!("cut-{mib}"))?;
    copy.grow(mib)?;
    Ok(copy)
}

/// Partitions a disk.
pub fn sfdisk(image: &Image, table: &str) -> Result<()> {
    let args = ["-q".as_ref(), image.file().as_os_str()];
    let out = tool_out("sfdisk", &args, table.as_bytes())?;
    let said = String::from_utf8_lossy(&out.stderr);
    ensure!(out.status.success(), "sfdisk: {said}");
    Ok(())
}

/// Copies one image into another at offset `at`.
fn put(from: &Image, to: &Image, at: u64) -> Result<()> {
    let words = [
        format!("if={}", from.file().display()),
        format!("of={}", to.file().display()),
        format!("seek={}", at / MIB),
        "bs=1M".into(),
        "conv=notrunc,sparse".into(),
        "status=none".into(),
    ];
    tool("dd", &words).map(drop)
}
