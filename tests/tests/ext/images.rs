// SPDX-License-Identifier: Apache-2.0
//! Images that no builder of this project makes, each with a manifest that fits: superblocks that lie, names and
//! kinds of files that a tar archive does not have, and unusual ones that are valid.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::{packed, says};
use anyhow::{Context, Result};
use initramfs::ext;
use initramfs::fetch::BuildConfig;
use initramfs::tools;
use nix::sys::stat::{Mode, SFlag, mknod};
use tests::Guest;

/// Change of an image, and the reason for which it is refused.
type Changed = (&'static str, fn(&File) -> Result<()>, &'static str);

/// Offset of the superblock, whose fields are those of `erofs_super_block` (fs/erofs/erofs_fs.h).
const SUPERBLOCK: u64 = 1024;
const NO_IMAGE: &str = "no image that this kernel reads";

const IMAGES: &[Changed] = &[
    ("i-sum", |image| put(image, 4, &[0]), NO_IMAGE),
    // Blocks of 64 KiB on a machine with pages of 4.
    (
        "i-block",
        |image| unsummed(image, 12, &[16]),
        "its file system ",
    ),
    (
        "i-root",
        |image| unsummed(image, 14, &[0xff, 0xff]),
        NO_IMAGE,
    ),
    // A feature and an algorithm that no kernel has.
    ("i-feature", |image| unsummed(image, 83, &[0x40]), NO_IMAGE),
    (
        "i-algorithm",
        |image| unsummed(image, 85, &[0x40]),
        NO_IMAGE,
    ),
    (
        // `EROFS_FEATURE_INCOMPAT_DEVICE_TABLE`, and one device.
        "i-device",
        |image| unsummed(image, 80, &[0xb]).and_then(|()| put(image, 86, &[1])),
        "parts of its files are on other devices",
    ),
    (
        "i-cut",
        |image| Ok(image.set_len(image.metadata()?.len() - 1)?),
        ": truncated; copy it again",
    ),
];

/// Names of files, or of a socket, and the reason.
const FILES: &[(&str, &[u8], &str)] = &[
    ("i-socket", b"socket", "/usr/socket: a socket"),
    (
        "i-newline",
        b"a\nb",
        "/usr/a\\nb: its name is not one printable line",
    ),
    (
        "i-latin",
        b"caf\xe9",
        "/usr/caf\\xE9: its name is not one printable line",
    ),
];

/// Returns the names and the reasons.
pub fn rows() -> impl Iterator<Item = (&'static str, &'static str)> {
    let images = IMAGES.iter().map(|(name, _, reason)| (*name, *reason));
    images.chain(FILES.iter().map(|(name, _, reason)| (*name, *reason)))
}

fn put(image: &File, at: u64, bytes: &[u8]) -> Result<()> {
    Ok(image.write_all_at(bytes, SUPERBLOCK + at)?)
}

/// Changes the superblock, and clears the flag by which the kernel compares its sum.
fn unsummed(image: &File, at: u64, bytes: &[u8]) -> Result<()> {
    let mut features = [0];
    image.read_exact_at(&mut features, SUPERBLOCK + 8)?;
    put(image, 8, &[features[0] & !1])?;
    put(image, at, bytes)
}

/// Adds the extensions to the data disk.
pub fn fill(dir: &Path) -> Result<()> {
    for (name, change, _) in IMAGES {
        let image = packed(dir, name, |_| Ok(()))?;
        change(&File::options().read(true).write(true).open(&image)?)?;
        fits(&image)?;
    }
    for (name, file, _) in FILES {
        made_of(dir, name, |tree| {
            let file = tree.join("usr").join(OsStr::from_bytes(file));
            match *name {
                "i-socket" => mknod(&file, SFlag::S_IFSOCK, Mode::S_IRWXU, 0)?,
                _ => fs::write(file, "")?,
            }
            Ok(())
        })?;
    }
    let unusual = made_of(dir, "unusual", |tree| {
        let dir = tree.join("usr/share/unusual");
        fs::create_dir_all(&dir)?;
        fs::write(dir.join("one"), "one file\n")?;
        fs::hard_link(dir.join("one"), dir.join("two"))?;
        fs::write(dir.join("ONE"), "another file\n")?;
        fs::write(dir.join(" a 'b' \"c\" \\ $(d)"), "")?;
        Ok(())
    })?;
    // Its size is no multiple of a block.
    let bytes = [fs::read(&unusual)?, vec![0]].concat();
    fs::write(&unusual, bytes)?;
    fits(&unusual)
}

/// Makes an image of a directory.
fn made_of(dir: &Path, name: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let image = packed(dir, name, |_| Ok(()))?;
    let tree = dir.join("tree");
    fs::create_dir_all(tree.join("usr"))?;
    fill(&tree)?;
    fs::remove_file(&image)?;
    let mut command = tools::command_in(&BuildConfig::from_env()?.userland_tree(), "mkfs.erofs")?;
    command.args(["-T0", "--quiet", "--all-root", "-x-1"]);
    tools::run(command.arg(&image).arg(&tree), "mkfs.erofs")?;
    fs::remove_dir_all(tree)?;
    fits(&image)?;
    Ok(image)
}

/// Writes size and sum of an image into its manifest.
fn fits(image: &Path) -> Result<()> {
    let manifest = ext::manifest_of(image);
    let (size, sum) = (fs::metadata(image)?.len(), crate::sum(image)?);
    let text = fs::read_to_string(&manifest)?;
    let line = |line: &str| match line.split_once(' ') {
        Some(("size", _)) => format!("size {size}\n"),
        Some(("sha256", _)) => format!("sha256 {sum}\n"),
        _ => format!("{line}\n"),
    };
    let text: String = text.lines().map(line).collect();
    fs::write(&manifest, text).with_context(|| format!("write {}", manifest.display()))
}

/// Expects that an unusual extension has all of its files, and leaves none.
pub fn unusual(guest: &Guest) -> Result<()> {
    let dir = "/usr/share/unusual";
    let script = format!(
        "b2p ext add unusual && cd {dir} && cat one two ONE && ls | wc -l && cd / && \
         b2p ext remove unusual && ! test -e {dir}"
    );
    let want =
        "unusual: 4 files of unusual 1\none file\none file\nanother file\n4\nunusual: removed";
    says(guest, &script, want)
}
