// SPDX-License-Identifier: Apache-2.0
//! Prints the table of docs/measured/figures.md: the userland as erofs and as squashfs with several
//! options, and the initrd's head. An argument selects the rows that contain its text: `cargo run
//! --release -p initramfs --example sizes [squashfs]`

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use initramfs::fetch::{BuildConfig, PackageTree};
use initramfs::initrd::{self, Packing, Parts};
use initramfs::progress::{Step, megabytes};
use initramfs::{archive, image, kernel, modules, paths, programs, tools};

const EROFS: &[&str] = &[
    "",
    "-zlz4hc,level=12 -C4096",
    "-zlz4hc,level=12 -C16384",
    "-zlz4hc,level=12 -C65536",
    "-zlz4hc,level=12 -C65536 -Eztailpacking",
    "-zlz4hc,level=12 -C65536 -Efragments",
    "-zlz4hc,level=12 -C65536 -Eall-fragments",
    "-zlz4hc,level=12 -C65536 -Ededupe",
    "-zlz4hc,level=12 -C65536 -Eall-fragments,dedupe",
    "-zlz4hc,level=12 -C131072",
    "-zzstd,level=19 -C16384",
    "-zzstd,level=19 -C65536",
    "-zzstd,level=19 -C131072",
];

const SQUASHFS: &[&str] = &[
    "-comp lz4 -Xhc -b 131072",
    "-comp zstd -Xcompression-level 19 -b 131072",
    "-comp zstd -Xcompression-level 19 -b 1048576",
];

fn main() -> Result<()> {
    let step = Step::new("image", 1, 1);
    let config = BuildConfig::from_env()?;
    let debian = config.fetch_userland(&step)?;
    let linux = kernel::fetch(&config, &step)?;
    let modules = modules::prepare(&debian, &linux, config.kernel, &step)?;
    let tree = image::assemble(&debian, &modules)?;
    let dir = paths::cache().join("sizes");
    fs::create_dir_all(&dir)?;
    let tar = dir.join("userland.tar");
    archive::tar::write(&tree, fs::File::create(&tar)?)?;
    println!("| Image | Parameters | Size | Made in |\n|---|---|---|---|");
    for parameters in EROFS {
        row("erofs", parameters, &dir, |to| {
            erofs(&debian, parameters, &tar, to)
        })?;
    }
    for parameters in SQUASHFS {
        row("squashfs", parameters, &dir, |to| {
            squashfs(&debian, parameters, &tar, to)
        })?;
    }
    let programs = programs::build(programs::Target::choose())?;
    let parts = Parts {
        debian: &debian,
        linux: &linux,
        modules: &modules,
        programs: &programs,
        userland: &tar,
    };
    for packing in [Packing::None, Packing::Lz4, Packing::Zstd] {
        row("initrd head", &format!("{packing:?}"), &dir, |to| {
            let mut bytes = Vec::new();
            archive::cpio::write(&initrd::head(&parts)?, &mut bytes)?;
            Ok(fs::write(to, initrd::pack(&debian, bytes, packing)?)?)
        })?;
    }
    fs::remove_dir_all(&dir).context("remove the scratch directory")
}

fn row(kind: &str, parameters: &str, dir: &Path, make: impl Fn(&Path) -> Result<()>) -> Result<()> {
    let wanted = std::env::args().nth(1).unwrap_or_default();
    if !format!("{kind} {parameters}").contains(&wanted) {
        return Ok(());
    }
    let image = dir.join("image");
    let start = Instant::now();
    make(&image)?;
    let seconds = start.elapsed().as_secs_f32();
    let size = megabytes(fs::metadata(&image)?.len());
    fs::remove_file(&image)?;
    println!("| {kind} | `{parameters}` | {size} | {seconds:.1} s |");
    Ok(())
}

fn erofs(debian: &PackageTree, parameters: &str, tar: &Path, to: &Path) -> Result<()> {
    let mut command = tools::command_in(debian, "mkfs.erofs")?;
    command
        .args(["--tar=f", "-T0", "-x-1", "--quiet"])
        .args(parameters.split_whitespace());
    tools::run(command.arg(to).arg(tar), "mkfs.erofs").map(drop)
}

fn squashfs(debian: &PackageTree, parameters: &str, tar: &Path, to: &Path) -> Result<()> {
    let mut command: Command = tools::command_in(debian, "mksquashfs")?;
    command
        .arg("-")
        .arg(to)
        .args(["-tar", "-quiet", "-no-progress"]);
    let status = command
        .args(parameters.split_whitespace())
        .stdin(fs::File::open(tar)?)
        .stdout(Stdio::null())
        .status()?;
    if !status.success() {
        bail!("mksquashfs {parameters}: {status}");
    }
    Ok(())
}
