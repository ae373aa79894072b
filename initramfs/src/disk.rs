//! `make disk`: a disk that boots on BIOS and UEFI and has room for what is to be kept.
//! The system still runs from RAM: the disk holds kernel and initrd, twice, so that
//! `b2p upgrade` can put a new version beside the one that works (docs/guide/upgrade.md).
//!
//! Every machine that is made of it has the same UUIDs, as machines of one image have:
//! nothing finds a file system by them, and two of these disks in one machine are told
//! apart by where they hang.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use ::disk::MIB;
use ::disk::disk_op::DiskOp;
use ::disk::gpt::{self, Part};
use ::disk::uuid::{self, Uuid};
use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

use crate::boot::disk::Loaders;
use crate::boot::slots;
use crate::fetch::{Debian, Wanted};
use crate::image;
use crate::iso::{flags, own_files};
use crate::progress::{Step, megabytes};
use crate::stamp::{self, Inputs};
use crate::{paths, tools};

/// Its name under out/.
pub const NAME: &str = "boot2podman.qcow2";
/// The same, to be written to a disk as it is.
pub const RAW: &str = "boot2podman.raw";

/// How large the qcow2 says it is, in GiB: the data partition grows at the first boot. It
/// takes room as it is written to.
const VIRTUAL: u64 = 20;

/// The time of everything on it, in seconds since 1970: FAT has none before.
const TIME: &str = "315532800";

const BIOS_BOOT: &str = "21686148-6449-6e6f-744e-656564454649";
const EFI_SYSTEM: &str = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b";
const LINUX: &str = "0fc63daf-8483-4772-8e79-3d69d8477de4";

/// A partition.
pub struct Row {
    /// Its name in the table.
    pub name: &'static str,
    /// The GUID of its type.
    pub kind: &'static str,
    /// Its length.
    pub mib: u64,
    /// What it is for.
    pub why: &'static str,
}

/// The partitions, one after the other from the first MiB on. GRUB's menu has their
/// numbers, the machine their names (`b2p/src/upgrade/place.rs`).
#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    Row { name: "boot2podman-bios", kind: BIOS_BOOT,  mib: 1,   why: "GRUB, for BIOS" },
    Row { name: "boot2podman-esp",  kind: EFI_SYSTEM, mib: 40,  why: "GRUB for UEFI, the menu, which slot; FAT32 is 33 MiB at least" },
    Row { name: "boot2podman-a",    kind: LINUX,      mib: 192, why: "a version: kernel and initrd; the generic ones are 76 MiB" },
    Row { name: "boot2podman-b",    kind: LINUX,      mib: 192, why: "another" },
    Row { name: gpt::NAME,          kind: LINUX,      mib: 256, why: "what is kept; the last, so that it can grow" },
];

const BIOS: usize = 0;
const ESP: usize = 1;
const SLOT_A: usize = 2;
const DATA: usize = 4;

/// Makes the disk of `KERNEL=`, with the flags of `APPEND=` and the key of `SSH_KEY=` in
/// its menu.
///
/// # Errors
/// What went wrong, with the step.
pub fn main() -> Result<()> {
    image::main()?;
    let wanted = Wanted::from_env()?;
    let _lock = stamp::lock(&paths::out())?;
    let flags = flags()?;
    let step = Step::of("disk", 1, 2);
    let trees = Trees {
        debian: wanted.fetch(&step)?,
        loaders: wanted.fetch_loaders(&step)?,
    };
    let dir = paths::out_of(wanted.kernel);
    let (raw, qcow2) = (dir.join(RAW), dir.join(NAME));
    make(&trees, &flags, &own_files(wanted.kernel), &raw)?;
    convert(&raw, &qcow2)?;
    let step = Step::of("disk", 2, 2);
    for file in [&raw, &qcow2] {
        image::same_file(
            file,
            &paths::out().join(file.file_name().context("a name")?),
        )?;
    }
    step.note(&format!(
        "{}: {}, {VIRTUAL} GiB for the machine; {RAW} is the same for a real disk",
        qcow2.display(),
        megabytes(fs::metadata(&qcow2)?.len())
    ));
    crate::sums::write(&paths::out())
}

/// What is fetched and needed for it.
pub struct Trees {
    /// mke2fs, and what goes into the machine.
    pub debian: Debian,
    /// GRUB and mtools.
    pub loaders: Debian,
}

/// Makes `raw` of a `vmlinuz` and an `initrd.img`, unless it is current.
///
/// # Errors
/// What went wrong.
pub fn make(trees: &Trees, flags: &[String], files: &[PathBuf], raw: &Path) -> Result<bool> {
    let menu = slots::config(flags)?;
    let mut inputs = Inputs::new();
    inputs.add("format", "3").add("menu", &menu);
    inputs.add("loaders", &trees.loaders.key);
    inputs.add("debian", &trees.debian.key);
    for row in ROWS {
        inputs.add(row.name, row.mib.to_string());
    }
    for file in files {
        inputs.add_file("file", file)?;
    }
    stamp::make(raw, &inputs.finish(), |to| {
        let work = paths::cache().join(".tmp.disk");
        stamp::remove(&work)?;
        fs::create_dir_all(&work)?;
        write(trees, &menu, files, &work, to)?;
        stamp::remove(&work)
    })
}

/// Where the partition of this number in [`ROWS`] begins, in bytes.
fn first(index: usize) -> u64 {
    let before: u64 = ROWS.iter().take(index).map(|row| row.mib).sum();
    (1 + before) * MIB
}

fn write(trees: &Trees, menu: &str, files: &[PathBuf], work: &Path, to: &Path) -> Result<()> {
    let (tree, dir) = (&trees.loaders, work);
    let loaders = Loaders { tree, dir };
    let bios = loaders.bios(first(BIOS) / 512)?;
    let room = ROWS[BIOS].mib * MIB;
    ensure!(bios.rest.len() as u64 <= room, "GRUB for BIOS is too large");
    let environment = slots::environment();
    let config = [
        ("/grub/grub.cfg", menu),
        (slots::ENVIRONMENT, environment.as_str()),
    ];
    let esp = loaders.uefi(ROWS[ESP].mib, first(ESP) / 512, &config)?;
    let out = File::create(to).with_context(|| format!("make {}", to.display()))?;
    let size = first(ROWS.len()) + MIB;
    out.set_len(size)?;
    for act in gpt::divide(size, 512, guid("disk"), &parts()?, &bios.first) {
        if let DiskOp::Write(at, bytes) = act {
            out.write_all_at(&bytes, at)?;
        }
    }
    out.write_all_at(&bios.rest, first(BIOS))?;
    copy(&esp, &out, first(ESP))?;
    copy(&slot(trees, files, work)?, &out, first(SLOT_A))?;
    copy(&data(trees, work)?, &out, first(DATA))
}

fn parts() -> Result<Vec<Part<'static>>> {
    let part = |(index, row): (usize, &Row)| {
        Ok(Part {
            kind: parsed(row.kind)?,
            uuid: guid(row.name),
            first: first(index),
            len: row.mib * MIB,
            name: row.name,
        })
    };
    ROWS.iter()
        .enumerate()
        .map(|row| part((row.0, row.1)))
        .collect()
}

/// A GUID that is always the same.
fn guid(of: &str) -> Uuid {
    let digest = Sha256::digest(format!("boot2podman {of}"));
    uuid::random(std::array::from_fn(|n| digest[n]))
}

fn parsed(text: &str) -> Result<Uuid> {
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    let number = u128::from_str_radix(&digits, 16).with_context(|| text.to_owned())?;
    Ok(number.to_be_bytes())
}

/// A file system with one version, as `b2p upgrade` makes them, too.
fn slot(trees: &Trees, files: &[PathBuf], work: &Path) -> Result<PathBuf> {
    let dir = work.join("slot");
    fs::create_dir_all(&dir)?;
    for file in files {
        fs::copy(file, dir.join(file.file_name().context("a name")?))?;
    }
    fs::write(dir.join("SHA256SUMS"), sums(files)?)?;
    let row = &ROWS[SLOT_A];
    // What GRUB has read for twenty years; nothing in it is ever changed, so that a
    // journal would be of no use.
    #[rustfmt::skip]
    let words = [
        "-N", "16", "-m", "0", "-O", "none,extent,filetype,sparse_super,large_file",
        "-d", &dir.to_string_lossy(),
    ];
    let image = ext4(&trees.debian, work, row, "boot2podman-a", &words)?;
    owned(&trees.debian, work, &image)?;
    Ok(image)
}

/// Its files are root's, and may be read, whoever builds and with what umask.
fn owned(debian: &Debian, work: &Path, image: &Path) -> Result<()> {
    let script = work.join("owned");
    let lines =
        |(name, mode)| format!("sif {name} uid 0\nsif {name} gid 0\nsif {name} mode {mode}\n");
    let files = ["vmlinuz", "initrd.img", "SHA256SUMS"].map(|name| (name, "0100644"));
    let all = [("/", "040755")].into_iter().chain(files);
    fs::write(&script, all.map(lines).collect::<String>())?;
    let mut command = tools::command_in(debian, "debugfs")?;
    command.env("SOURCE_DATE_EPOCH", TIME);
    command.arg("-w").arg("-f").arg(&script).arg(image);
    tools::run(&mut command, "debugfs").map(drop)
}

/// Lines of sha256sum(1) for files, by their last names.
///
/// # Errors
/// What could not be read.
pub fn sums(files: &[PathBuf]) -> Result<String> {
    let line = |file: &PathBuf| {
        let name = file.file_name().context("a file has a name")?;
        Ok(format!(
            "{}  {}\n",
            stamp::file_digest(file)?,
            name.display()
        ))
    };
    files.iter().map(line).collect()
}

/// An empty data disk, as `b2p data` makes them (`b2p/src/data/format.rs`); with the
/// journal of one that has grown.
fn data(trees: &Trees, work: &Path) -> Result<PathBuf> {
    let row = &ROWS[DATA];
    #[rustfmt::skip]
    let words = [
        "-i", "8192", "-I", "256", "-m", "1", "-J", "size=64",
        "-O", "metadata_csum,64bit,dir_index,extent,has_journal,^quota",
    ];
    ext4(&trees.debian, work, row, ::disk::LABELS[0], &words)
}

fn ext4(debian: &Debian, work: &Path, row: &Row, label: &str, words: &[&str]) -> Result<PathBuf> {
    let image = work.join(row.name);
    File::create(&image)?.set_len(row.mib * MIB)?;
    let id = uuid::text(&guid(&format!("{} ext4", row.name)));
    let extended = format!("hash_seed={id},root_owner=0:0,nodiscard,lazy_itable_init=1");
    let mut command = tools::command_in(debian, "mke2fs")?;
    command.env("MKE2FS_CONFIG", debian.root.join("etc/mke2fs.conf"));
    command.env("SOURCE_DATE_EPOCH", TIME);
    #[rustfmt::skip]
    command.args([
        "-q", "-F", "-t", "ext4", "-T", "default", "-b", "4096", "-U", &id, "-L", label,
        "-E", &extended,
    ]);
    tools::run(command.args(words).arg(&image), "mke2fs")?;
    Ok(image)
}

/// Copies what is not zero.
fn copy(from: &Path, to: &File, at: u64) -> Result<()> {
    let mut file = File::open(from).with_context(|| format!("open {}", from.display()))?;
    let (mut at, mut buffer) = (at, vec![0; 64 * 1024]);
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            return Ok(());
        }
        let piece = buffer.get(..n).unwrap_or_default();
        if piece.iter().any(|byte| *byte != 0) {
            to.write_all_at(piece, at)?;
        }
        at += n as u64;
    }
}

/// The same for virtual machines, and larger.
fn convert(raw: &Path, qcow2: &Path) -> Result<bool> {
    let mut inputs = Inputs::new();
    inputs.add("format", VIRTUAL.to_string());
    inputs.add_file("raw", raw)?;
    stamp::make(qcow2, &inputs.finish(), |to| {
        let mut convert = Command::new("qemu-img");
        convert.args(["convert", "-f", "raw", "-O", "qcow2"]);
        tools::run(convert.arg(raw).arg(to), "qemu-img convert")?;
        let mut resize = Command::new("qemu-img");
        resize.args(["resize", "-q", "-f", "qcow2"]).arg(to);
        tools::run(resize.arg(format!("{VIRTUAL}G")), "qemu-img resize").map(drop)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_lie_one_behind_the_other_and_are_found_by_name() -> Result<()> {
        assert!(ROWS.iter().all(|row| !row.why.is_empty() && row.mib > 0));
        let size = first(ROWS.len()) + MIB;
        let mut disk = vec![0; size as usize];
        for act in gpt::divide(size, 512, guid("disk"), &parts()?, &[0xeb; 440]) {
            if let DiskOp::Write(at, bytes) = act {
                let at = at as usize;
                disk[at..at + bytes.len()].copy_from_slice(&bytes);
            }
        }
        let table = gpt::read(&disk, 512)?.context("a table")?;
        let found = table.partitions();
        let names: Vec<_> = found.iter().map(|p| p.name.as_str()).collect();
        assert_eq!(names, ROWS.iter().map(|row| row.name).collect::<Vec<_>>());
        let ends = found
            .windows(2)
            .all(|p| p[0].first + p[0].len == p[1].first);
        assert!(ends && found[BIOS].first == MIB);
        // It grows, from the first boot on a larger disk.
        let more = table.grown(size + 64 * MIB).context("grows")?.1;
        assert_eq!((more.number, more.len), (5, (256 + 64) * MIB));
        Ok(())
    }

    #[test]
    fn guids_stay_and_differ() -> Result<()> {
        assert_eq!(guid("disk"), guid("disk"));
        assert_ne!(guid("disk"), guid(ROWS[0].name));
        assert_eq!(uuid::text(&parsed(EFI_SYSTEM)?), EFI_SYSTEM);
        assert!(parsed("x").is_err());
        Ok(())
    }
}
