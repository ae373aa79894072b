// SPDX-License-Identifier: Apache-2.0
//! `make iso`: one file that boots on BIOS and UEFI, as a disc and as the content of a stick or a
//! disk. Kernel and initrd are plain files in its file system.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::bom::medium;
use crate::boot::grub::Loaders;
use crate::boot::menu;
use crate::fetch::{BuildConfig, PackageTree};
use crate::packages::Kernel;
use crate::paths::{ISO, ISO_SPDX, SHA256SUMS};
use crate::progress::{Step, megabytes};
use crate::stamp::{self, Inputs};
use crate::{ext, fsutil, image, media, paths, sums, tools};

/// Directory of the files on the ISO.
const DIR: &str = "/boot";
/// Volume identifier, bytes 0x8028 to 0x8047 of the file (ECMA-119, 8.4.8): docker-machine and
/// minikube read an ISO's version there.
const VOLUME: &str = concat!("b2p-v", env!("CARGO_PKG_VERSION"));
/// Time of every file, in seconds since 1970: the begin of 1980. The time is fixed so that the same
/// inputs make the same ISO.
const TIME: &str = "315532800";

/// File of the host and its directory below [`DIR`].
type PlacedFile = (PathBuf, &'static str);

/// Makes the ISO for the kernel that `KERNEL=` selects, and its checksum. `APPEND=` and
/// `SSH_KEY=` are for the menu; `EXT=` names extensions to put on the ISO.
///
/// # Errors
/// A step of the build failed.
pub fn build() -> Result<()> {
    image::build()?;
    let config = BuildConfig::from_env()?;
    let _lock = stamp::lock(&paths::out())?;
    let flags = media::flags()?;
    let tree = config.fetch_loaders(&Step::new("iso", 1, 2))?;
    let extensions = ext::images(&config, &std::env::var("EXT").unwrap_or_default())?;
    let iso = paths::out_of(config.kernel).join(ISO);
    let files = files(config.kernel, &extensions);
    make(&tree, &flags, &files, &iso)?;
    let paths: Vec<PathBuf> = files.iter().map(|(file, _)| file.clone()).collect();
    medium::describe(&tree, &config.suite, &iso, &paths)?;
    Step::new("iso", 2, 2).note(&format!(
        "{}: {}, volume {VOLUME}",
        iso.display(),
        megabytes(fsutil::size(&iso)?)
    ));
    for name in [ISO, &checksum_name(), ISO_SPDX] {
        fsutil::link_or_copy(&iso.with_file_name(name), &paths::out().join(name))?;
    }
    sums::write(&paths::out())
}

fn checksum_name() -> String {
    format!("{ISO}.sha256")
}

/// Lists the files on the ISO beside the boot loaders.
fn files(kernel: Kernel, extensions: &[PathBuf]) -> Vec<PlacedFile> {
    let with_manifest = |image: &PathBuf| [image.clone(), ext::manifest_of(image)];
    let extensions = extensions.iter().flat_map(with_manifest);
    let boot_files = media::boot_files(kernel).into_iter().map(|file| (file, ""));
    boot_files
        .chain(extensions.map(|file| (file, "ext")))
        .collect()
}

/// Makes `iso` of these files unless `iso` is up to date.
fn make(tree: &PackageTree, flags: &[String], files: &[PlacedFile], iso: &Path) -> Result<()> {
    let menu = menu::config(DIR, tree.arch, flags)?;
    let mut inputs = Inputs::new();
    inputs.add("format", "2").add("loaders", &tree.key);
    inputs.add("volume", VOLUME).add("menu", &menu);
    for (file, below) in files {
        inputs.add_file("file", file)?;
        inputs.add(below, fsutil::file_name(file)?);
    }
    let made = stamp::make(iso, &inputs.finish(), |to| write(tree, &menu, files, to))?;
    let checksum = iso.with_file_name(checksum_name());
    if made || !checksum.exists() {
        fsutil::replace_text(&checksum, &sums::lines(&[iso.to_path_buf()])?)?;
    }
    Ok(())
}

fn write(tree: &PackageTree, menu: &str, files: &[PlacedFile], to: &Path) -> Result<()> {
    let work = paths::cache().join(".tmp.iso");
    fsutil::remove(&work)?;
    let (root, mark) = (work.join("root"), format!("{DIR}/grub/{VOLUME}"));
    let dir = root.join(DIR.trim_start_matches('/'));
    fs::create_dir_all(dir.join("grub"))?;
    fs::write(dir.join("grub/grub.cfg"), menu)?;
    fs::write(root.join(mark.trim_start_matches('/')), "")?;
    copy_files(files, &dir)?;
    let loaders = Loaders {
        tree,
        mark: &mark,
        config: &format!("{DIR}/grub/grub.cfg"),
        dir: &work,
    };
    if tree.arch.has_bios {
        fs::rename(loaders.bios()?, dir.join("grub/bios.img"))?;
    }
    xorriso(tree, &loaders, &root, to)?;
    fsutil::remove(&work)
}

/// Puts the files into `dir`, with the checksums that `b2p upgrade` reads.
fn copy_files(files: &[PlacedFile], dir: &Path) -> Result<()> {
    for (file, below) in files {
        let dir = dir.join(below);
        fs::create_dir_all(&dir)?;
        let to = dir.join(fsutil::file_name(file)?);
        fs::hard_link(file, &to)
            .or_else(|_| fs::copy(file, &to).map(drop))
            .with_context(|| format!("copy {}", file.display()))?;
    }
    let boot_files = files.iter().filter(|(_, below)| below.is_empty());
    let boot_files: Vec<PathBuf> = boot_files.map(|(file, _)| file.clone()).collect();
    fs::write(dir.join(SHA256SUMS), sums::lines(&boot_files)?)?;
    Ok(())
}

/// Arguments of xorriso for a disc or disk that a BIOS starts, before those for UEFI.
#[rustfmt::skip]
const FOR_BIOS: &[&str] = &[
    "--mbr-force-bootable", "-b", "/boot/grub/bios.img", "-no-emul-boot", "-boot-load-size", "4",
    "-boot-info-table", "--grub2-boot-info", "-eltorito-alt-boot",
];

/// Writes the ISO. As a disc the ISO has an El Torito image for each firmware; as a disk the ISO
/// has an MBR that loads the first of them, if there is a BIOS, and a GPT whose EFI system partition, behind the ISO
/// 9660 file system, is the second.
fn xorriso(tree: &PackageTree, loaders: &Loaders<'_>, root: &Path, to: &Path) -> Result<()> {
    let efi = loaders.uefi()?;
    let mut command = tools::command_in(tree, "xorriso")?;
    command.env("SOURCE_DATE_EPOCH", TIME).env("TZ", "UTC");
    #[rustfmt::skip]
    command.args([
        "-as", "mkisofs", "-quiet", "-r", "-V", VOLUME, "-A", "boot2podman",
        "-partition_offset", "16", "-appended_part_as_gpt", "-c", "/boot/grub/boot.cat",
    ]);
    if tree.arch.has_bios {
        command
            .args(FOR_BIOS)
            .arg("--grub2-mbr")
            .arg(loaders.hybrid_mbr());
    }
    command.args(["-e", "--interval:appended_partition_2:::", "-no-emul-boot"]);
    command.args(["--set_all_file_dates", &format!("={TIME}")]);
    command.args(["-append_partition", "2", "0xef"]).arg(efi);
    command.arg("-o").arg(to).arg(root);
    tools::run(&mut command, "xorriso").map(drop)
}
