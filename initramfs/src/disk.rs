// SPDX-License-Identifier: Apache-2.0
//! `make disk`: a disk that boots on BIOS and UEFI and has room for the machine's data. The
//! system still runs from RAM: the disk holds kernel and initrd in two slots, so that
//! `b2p upgrade` can install a new version beside the working one (docs/guide/upgrade.md).
//!
//! All machines made from this disk have the same UUIDs, as with any disk image. No program finds a
//! file system by its UUID, and two such disks in one machine are distinguished by their devices.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use ::disk::MIB;
use ::disk::disk_op::DiskOp;
use ::disk::gpt::{self, NewPartition};
use ::disk::uuid::{self, Uuid};
use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

use crate::boot::disk::Loaders;
use crate::boot::slots;
use crate::fetch::{BuildConfig, PackageTree};
use crate::paths::{INITRD, QCOW2, RAW_DISK, SHA256SUMS, VMLINUZ};
use crate::progress::{Step, megabytes};
use crate::stamp::{self, Inputs};
use crate::{fsutil, image, media, paths, sums, tools};

/// Virtual size of the qcow2 in GiB: the data partition grows to this size at the first boot, and
/// the file grows with writes. `podman machine init --disk-size` enlarges an image and refuses to
/// make one smaller; the images of Fedora CoreOS have 10 GiB as well.
const VIRTUAL_GIB: u64 = 10;

/// Time of every file, in seconds since 1970: FAT has no time before 1980.
const TIME: &str = "315532800";

/// Size of the chunks in which partitions are copied, in bytes.
const CHUNK: usize = 64 * 1024;

const BIOS_BOOT: &str = "21686148-6449-6e6f-744e-656564454649";
const EFI_SYSTEM: &str = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b";
const LINUX: &str = "0fc63daf-8483-4772-8e79-3d69d8477de4";

/// Partition of the disk.
pub struct Partition {
    /// Name in the partition table.
    pub name: &'static str,
    /// GUID of the type.
    pub kind: &'static str,
    /// Size in MiB.
    pub mib: u64,
    /// Purpose.
    pub why: &'static str,
}

/// Partitions, one after the other from the first MiB on. GRUB's menu refers to them by number,
/// the machine by name (`b2p upgrade`).
#[rustfmt::skip]
pub const PARTITIONS: &[Partition] = &[
    Partition { name: "boot2podman-bios", kind: BIOS_BOOT,  mib: 1,   why: "GRUB, for BIOS; empty on aarch64" },
    Partition { name: "boot2podman-esp",  kind: EFI_SYSTEM, mib: 40,  why: "GRUB for UEFI, the menu, the current slot; FAT32 has at least 33 MiB" },
    Partition { name: "boot2podman-a",    kind: LINUX,      mib: 192, why: "a version: kernel and initrd; the generic ones have 76 MiB" },
    Partition { name: "boot2podman-b",    kind: LINUX,      mib: 192, why: "another version" },
    Partition { name: gpt::DATA_PARTITION_NAME,          kind: LINUX,      mib: 256, why: "the machine's data; the last one, so that it can grow" },
];

const BIOS: usize = 0;
const ESP: usize = 1;
const SLOT_A: usize = 2;
const DATA: usize = 4;

/// Makes the disk for the kernel that `KERNEL=` selects. `APPEND=` and `SSH_KEY=` are for the
/// menu.
///
/// # Errors
/// A step of the build failed.
pub fn build() -> Result<()> {
    image::build()?;
    let config = BuildConfig::from_env()?;
    let _lock = stamp::lock(&paths::out())?;
    let dir = paths::out_of(config.kernel);
    let (raw, qcow2) = (dir.join(RAW_DISK), dir.join(QCOW2));
    for_kernel(&config, &[], &raw, &Step::new("disk", 1, 2))?;
    convert(&raw, &qcow2)?;
    for name in [RAW_DISK, QCOW2] {
        fsutil::link_or_copy(&dir.join(name), &paths::out().join(name))?;
    }
    Step::new("disk", 2, 2).note(&format!(
        "{}: {}, {VIRTUAL_GIB} GiB for the machine; {RAW_DISK} is the same for a real disk",
        qcow2.display(),
        megabytes(fsutil::size(&qcow2)?)
    ));
    sums::write(&paths::out())
}

/// Makes `raw` for the kernel that `KERNEL=` selects, with these flags in its menu before those of `APPEND=`.
///
/// # Errors
/// A step of the build failed.
pub fn for_kernel(config: &BuildConfig, flags: &[&str], raw: &Path, step: &Step) -> Result<()> {
    let trees = Trees {
        debian: config.fetch_userland(step)?,
        loaders: config.fetch_loaders(step)?,
    };
    let flags = flags.iter().map(|flag| (*flag).to_owned());
    let flags: Vec<String> = flags.chain(media::flags()?).collect();
    make(&trees, &flags, &media::boot_files(config.kernel), raw).map(drop)
}

/// Trees of packages that the disk is made with.
pub struct Trees {
    /// Userland, with mke2fs and debugfs.
    pub debian: PackageTree,
    /// GRUB and mtools.
    pub loaders: PackageTree,
}

/// Makes `raw` of a `vmlinuz` and an `initrd.img` unless `raw` is up to date. Returns true if `raw`
/// was made.
///
/// # Errors
/// An input cannot be read, or a tool failed.
pub fn make(trees: &Trees, flags: &[String], files: &[PathBuf], raw: &Path) -> Result<bool> {
    let menu = slots::config(trees.loaders.arch, flags)?;
    let mut inputs = Inputs::new();
    inputs.add("format", "3").add("menu", &menu);
    inputs.add("loaders", &trees.loaders.key);
    inputs.add("debian", &trees.debian.key);
    for partition in PARTITIONS {
        inputs.add(partition.name, partition.mib.to_string());
    }
    for file in files {
        inputs.add_file("file", file)?;
    }
    stamp::make(raw, &inputs.finish(), |to| {
        let work = paths::cache().join(".tmp.disk");
        fsutil::remove(&work)?;
        fs::create_dir_all(&work)?;
        write(trees, &menu, files, &work, to)?;
        fsutil::remove(&work)
    })
}

/// Returns the offset in bytes of the partition with this index.
fn offset(index: usize) -> u64 {
    let before: u64 = PARTITIONS.iter().take(index).map(|p| p.mib).sum();
    (1 + before) * MIB
}

fn write(trees: &Trees, menu: &str, files: &[PathBuf], work: &Path, to: &Path) -> Result<()> {
    let (tree, dir) = (&trees.loaders, work);
    let loaders = Loaders { tree, dir };
    let bios = loaders.bios(offset(BIOS) / 512)?;
    ensure!(
        bios.core.len() as u64 <= PARTITIONS[BIOS].mib * MIB,
        "GRUB for BIOS is too large"
    );
    let environment = slots::environment();
    let config = [
        ("/grub/grub.cfg", menu),
        (slots::ENVIRONMENT, environment.as_str()),
    ];
    let esp = loaders.uefi(PARTITIONS[ESP].mib, offset(ESP) / 512, &config)?;
    let out = File::create(to).with_context(|| format!("make {}", to.display()))?;
    let size = offset(PARTITIONS.len()) + MIB;
    out.set_len(size)?;
    for op in gpt::create(size, 512, guid("disk"), &gpt_entries()?, &bios.boot_code) {
        if let DiskOp::Write(offset, bytes) = op {
            out.write_all_at(&bytes, offset)?;
        }
    }
    out.write_all_at(&bios.core, offset(BIOS))?;
    copy_sparse(&esp, &out, offset(ESP))?;
    copy_sparse(&make_slot(trees, files, work)?, &out, offset(SLOT_A))?;
    copy_sparse(&make_data(trees, work)?, &out, offset(DATA))
}

fn gpt_entries() -> Result<Vec<NewPartition<'static>>> {
    let entry = |(index, partition): (usize, &Partition)| {
        Ok(NewPartition {
            type_guid: parse_guid(partition.kind)?,
            guid: guid(partition.name),
            offset: offset(index),
            len: partition.mib * MIB,
            name: partition.name,
        })
    };
    let entries = PARTITIONS.iter().enumerate();
    entries
        .map(|(index, partition)| entry((index, partition)))
        .collect()
}

/// Returns a GUID that depends on nothing but `name`.
fn guid(name: &str) -> Uuid {
    let digest = Sha256::digest(format!("boot2podman {name}"));
    uuid::from_random(std::array::from_fn(|n| digest[n]))
}

fn parse_guid(text: &str) -> Result<Uuid> {
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    let number = u128::from_str_radix(&digits, 16).with_context(|| text.to_owned())?;
    Ok(number.to_be_bytes())
}

/// Makes the file system of a slot with one version, the same as `b2p upgrade` makes.
fn make_slot(trees: &Trees, files: &[PathBuf], work: &Path) -> Result<PathBuf> {
    let dir = work.join("slot");
    fs::create_dir_all(&dir)?;
    for file in files {
        fs::copy(file, dir.join(fsutil::file_name(file)?))?;
    }
    fs::write(dir.join(SHA256SUMS), sums::lines(files)?)?;
    // Features that GRUB 2 reads since its first release. No journal: files are never changed in
    // place.
    #[rustfmt::skip]
    let options = [
        "-N", "16", "-m", "0", "-O", "none,extent,filetype,sparse_super,large_file",
        "-d", &dir.to_string_lossy(),
    ];
    let image = ext4(
        &trees.debian,
        work,
        &PARTITIONS[SLOT_A],
        "boot2podman-a",
        &options,
    )?;
    set_owners(&trees.debian, work, &image)?;
    Ok(image)
}

/// Gives the files of a slot to root, readable by all, with any uid and umask of the build.
fn set_owners(debian: &PackageTree, work: &Path, image: &Path) -> Result<()> {
    let script = work.join("owners");
    let commands =
        |(name, mode)| format!("sif {name} uid 0\nsif {name} gid 0\nsif {name} mode {mode}\n");
    let files = [VMLINUZ, INITRD, SHA256SUMS].map(|name| (name, "0100644"));
    let nodes = [("/", "040755")].into_iter().chain(files);
    fs::write(&script, nodes.map(commands).collect::<String>())?;
    let mut command = tools::command_in(debian, "debugfs")?;
    command.env("SOURCE_DATE_EPOCH", TIME);
    command.arg("-w").arg("-f").arg(&script).arg(image);
    tools::run(&mut command, "debugfs").map(drop)
}

/// Makes an empty data file system, the same as `b2p data` (`b2p/src/helpers/data/format.rs`), with
/// the journal size that a grown data disk has.
fn make_data(trees: &Trees, work: &Path) -> Result<PathBuf> {
    #[rustfmt::skip]
    let options = [
        "-i", "8192", "-I", "256", "-m", "1", "-J", "size=64",
        "-O", "metadata_csum,64bit,dir_index,extent,has_journal,^quota",
    ];
    ext4(
        &trees.debian,
        work,
        &PARTITIONS[DATA],
        ::disk::LABELS[0],
        &options,
    )
}

fn ext4(
    debian: &PackageTree,
    work: &Path,
    partition: &Partition,
    label: &str,
    options: &[&str],
) -> Result<PathBuf> {
    let image = work.join(partition.name);
    File::create(&image)?.set_len(partition.mib * MIB)?;
    let id = uuid::text(&guid(&format!("{} ext4", partition.name)));
    let extended = format!("hash_seed={id},root_owner=0:0,nodiscard,lazy_itable_init=1");
    let mut command = tools::command_in(debian, "mke2fs")?;
    command.env("MKE2FS_CONFIG", debian.root.join("etc/mke2fs.conf"));
    command.env("SOURCE_DATE_EPOCH", TIME);
    #[rustfmt::skip]
    command.args([
        "-q", "-F", "-t", "ext4", "-T", "default", "-b", "4096", "-U", &id, "-L", label,
        "-E", &extended,
    ]);
    tools::run(command.args(options).arg(&image), "mke2fs")?;
    Ok(image)
}

/// Copies `from` to this offset of `to`, without the chunks that are all zero.
fn copy_sparse(from: &Path, to: &File, offset: u64) -> Result<()> {
    let mut file = File::open(from).with_context(|| format!("open {}", from.display()))?;
    let (mut position, mut buffer) = (offset, vec![0; CHUNK]);
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            return Ok(());
        }
        let chunk = buffer.get(..n).unwrap_or_default();
        if chunk.iter().any(|byte| *byte != 0) {
            to.write_all_at(chunk, position)?;
        }
        position += n as u64;
    }
}

/// Makes the qcow2 of the raw disk, with the larger virtual size.
fn convert(raw: &Path, qcow2: &Path) -> Result<bool> {
    let mut inputs = Inputs::new();
    inputs.add("format", VIRTUAL_GIB.to_string());
    inputs.add_file("raw", raw)?;
    stamp::make(qcow2, &inputs.finish(), |to| {
        let mut convert = Command::new("qemu-img");
        convert.args(["convert", "-f", "raw", "-O", "qcow2"]);
        tools::run(convert.arg(raw).arg(to), "qemu-img convert")?;
        let mut resize = Command::new("qemu-img");
        resize.args(["resize", "-q", "-f", "qcow2"]).arg(to);
        tools::run(resize.arg(format!("{VIRTUAL_GIB}G")), "qemu-img resize").map(drop)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_contiguous_and_found_by_name() -> Result<()> {
        assert!(
            PARTITIONS
                .iter()
                .all(|partition| !partition.why.is_empty() && partition.mib > 0)
        );
        let size = offset(PARTITIONS.len()) + MIB;
        let mut disk = vec![0; size as usize];
        for op in gpt::create(size, 512, guid("disk"), &gpt_entries()?, &[0xeb; 440]) {
            if let DiskOp::Write(offset, bytes) = op {
                let start = offset as usize;
                disk[start..start + bytes.len()].copy_from_slice(&bytes);
            }
        }
        let table = gpt::read(&disk, 512)?.context("a table")?;
        let found = table.partitions();
        let names: Vec<_> = found.iter().map(|p| p.name.as_str()).collect();
        assert_eq!(
            names,
            PARTITIONS
                .iter()
                .map(|partition| partition.name)
                .collect::<Vec<_>>()
        );
        for (index, name) in [
            (BIOS, "boot2podman-bios"),
            (ESP, "boot2podman-esp"),
            (SLOT_A, "boot2podman-a"),
            (DATA, gpt::DATA_PARTITION_NAME),
        ] {
            assert_eq!(PARTITIONS[index].name, name);
        }
        let ends = found
            .windows(2)
            .all(|p| p[0].offset + p[0].len == p[1].offset);
        assert!(ends && found[BIOS].offset == MIB);
        // The last partition grows at the first boot on a larger disk.
        let more = table.grow(size + 64 * MIB).context("grows")?.1;
        assert_eq!((more.number, more.len), (5, (256 + 64) * MIB));
        Ok(())
    }

    #[test]
    fn guids_stay_and_differ() -> Result<()> {
        assert_eq!(guid("disk"), guid("disk"));
        assert_ne!(guid("disk"), guid(PARTITIONS[0].name));
        assert_eq!(uuid::text(&parse_guid(EFI_SYSTEM)?), EFI_SYSTEM);
        assert!(parse_guid("x").is_err());
        Ok(())
    }
}
