// SPDX-License-Identifier: Apache-2.0
//! Sources of a new version: an ISO of `make iso`, the raw disk of `make disk`, or a directory.
//! Nothing of a source is trusted before its sums have been checked.

use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use disk::bytes::SizedFile;
use disk::gpt;
use sys::arch::{ARCH, ARCHES};
use sys::error::{Doing, Error, Result};

use super::grubenv::{self, GrubEnv};
use super::mounts::{self, Mounted};
use super::sums;

/// Files of a version: the kernel and the initrd.
pub const FILES: [&str; 2] = ["vmlinuz", "initrd.img"];
/// List of their sums.
pub const SUMS: &str = "SHA256SUMS";
/// Bytes at the start of a file that identify its format.
const HEAD_BYTES: usize = 40 * 1024;
/// Bytes at the start of a kernel that include its header.
const KERNEL_HEAD: usize = 4 * 1024;

/// A readable version, whose integrity [`Source::verify`] checks.
#[derive(Debug)]
pub struct Source {
    dir: PathBuf,
    sums: [String; 2],
    /// Bytes of both files together.
    pub size: u64,
    _mounted: Option<Mounted>,
}

/// Format of a source that is a file.
#[derive(Debug, PartialEq, Eq)]
enum Format {
    Iso,
    RawDisk,
    Qcow2,
    Other,
}

fn format(head: &[u8]) -> Format {
    let at = |at: usize, magic: &[u8]| head.get(at..).is_some_and(|t| t.starts_with(magic));
    // An ISO that can be written to a stick has a partition table as well.
    match () {
        () if at(0x8001, b"CD001") => Format::Iso,
        () if at(512, b"EFI PART") => Format::RawDisk,
        () if at(0, b"QFI\xfb") => Format::Qcow2,
        () => Format::Other,
    }
}

impl Source {
    /// Opens the file or directory at `path`, without a verification.
    ///
    /// # Errors
    /// The path has none of the formats, or lacks a file.
    pub fn open(path: &Path) -> Result<Source> {
        let real = fs::canonicalize(path).on(path)?;
        let opened = match real.is_dir() {
            true => Source::of(&real, None),
            false => mount(&real).and_then(|mounted| {
                let dir = mounted.dir().to_owned();
                Source::of(&dir, Some(mounted))
            }),
        };
        opened.on(path)
    }

    fn of(dir: &Path, mounted: Option<Mounted>) -> Result<Source> {
        // On an ISO the files are in /boot.
        let boot = dir.join("boot");
        let dir = match boot.join(FILES[0]).is_file() {
            true => &boot,
            false => dir,
        };
        let mut size = 0;
        for name in FILES {
            size += length(dir, name).doing("no version of boot2podman")?;
        }
        let list = sums::read_list(&dir.join(SUMS))?.ok_or_else(|| {
            Error::invalid(format!(
                "{SUMS}: there is none, so that nothing could be verified"
            ))
        })?;
        let sum = |name: &str| {
            sums::find(&list, name)
                .ok_or_else(|| Error::invalid(format!("{SUMS}: it does not have {name}")))
        };
        let sums = [sum(FILES[0])?, sum(FILES[1])?];
        Ok(Source {
            dir: dir.to_owned(),
            sums,
            size,
            _mounted: mounted,
        })
    }

    /// Returns the path and the sum of each file.
    pub fn files(&self) -> impl Iterator<Item = (PathBuf, &str)> {
        let pairs = FILES.iter().zip(&self.sums);
        pairs.map(|(name, sum)| (self.dir.join(name), sum.as_str()))
    }

    /// Returns the list of the sums.
    pub fn list(&self) -> String {
        let line = |(name, sum): (&&str, &String)| format!("{sum}  {name}\n");
        FILES.iter().zip(&self.sums).map(line).collect()
    }

    /// Reads the version and checks its sums, and that this processor can boot its kernel.
    ///
    /// # Errors
    /// A file is damaged, or the kernel is for another processor.
    pub fn verify(&self) -> Result<()> {
        for (file, sum) in self.files() {
            sums::check(&file, sum)?;
        }
        let kernel = self.dir.join(FILES[0]);
        check_kernel(&read_head(&kernel, KERNEL_HEAD)?, ARCH.name).doing(FILES[0])
    }
}

fn length(dir: &Path, name: &str) -> Result<u64> {
    let metadata = fs::symlink_metadata(dir.join(name)).on(name)?;
    match metadata.is_file() {
        true => Ok(metadata.len()),
        false => Err(Error::invalid("not a file")).on(name),
    }
}

fn read_head(file: &Path, most: usize) -> Result<Vec<u8>> {
    let mut head = Vec::new();
    let opened = sums::open(file)?;
    opened.take(most as u64).read_to_end(&mut head).on(file)?;
    Ok(head)
}

/// Checks by its header that a kernel can be booted on a machine of this architecture.
fn check_kernel(head: &[u8], machine: &str) -> Result<()> {
    match kernel_arch(head) {
        Some(found) if found == machine => Ok(()),
        Some(found) => Err(Error::invalid(format!(
            "a kernel for another processor ({found}); this one is {machine}"
        ))),
        None => Err(Error::invalid(format!("no Linux kernel for {machine}"))),
    }
}

/// Returns the architecture of a kernel. One of x86 is of 64 bits if it has the bit XLF_KERNEL_64
/// (Documentation/arch/x86/boot.rst, `xloadflags`).
fn kernel_arch(head: &[u8]) -> Option<&'static str> {
    let is_kernel =
        |(at, magic): (usize, &[u8])| head.get(at..).is_some_and(|t| t.starts_with(magic));
    let arch = ARCHES.iter().find(|arch| is_kernel(arch.kernel_magic))?;
    let has_64_bits = head.get(0x236).is_some_and(|flags| flags & 1 == 1);
    match arch.elf_machine == libc::EM_X86_64 && !has_64_bits {
        true => Some("x86 of 32 bits"),
        false => Some(arch.name),
    }
}

/// Mounts the file system with the version that a file or device holds.
fn mount(path: &Path) -> Result<Mounted> {
    let unusable = |reason| Err(Error::invalid(reason));
    match format(&read_head(path, HEAD_BYTES)?) {
        Format::Iso => mounts::image(path, "iso9660", ""),
        Format::RawDisk => mount_booted_slot(path),
        Format::Qcow2 => {
            unusable("a qcow2; `qemu-img convert -O raw` makes it one that can be read here")
        }
        Format::Other => unusable(
            "neither an ISO of boot2podman nor a raw disk of it, nor a directory with vmlinuz, \
             initrd.img and SHA256SUMS",
        ),
    }
}

/// Mounts the slot that a raw disk boots.
fn mount_booted_slot(path: &Path) -> Result<Mounted> {
    let mut file = sums::open(path)?;
    let size = file.seek(SeekFrom::End(0)).on(path)?;
    let table = gpt::read(&SizedFile { file, size }, 512).on(path)?;
    let partitions = table.map(|t| t.partitions()).unwrap_or_default();
    let loop_options = |label: &str| {
        let partition = partitions.iter().find(|p| p.name == label);
        let partition = partition.ok_or_else(|| {
            Error::invalid(format!(
                "a disk without a partition {label}: none of `make disk`"
            ))
        })?;
        let (offset, length) = (partition.offset, partition.len);
        Ok::<_, Error>(format!(",loop,offset={offset},sizelimit={length}"))
    };
    let esp = mounts::image(path, "vfat", &loop_options("boot2podman-esp")?)?;
    let block =
        sys::files::read_bounded(&esp.dir().join(super::GRUBENV), grubenv::LENGTH as u64 + 1)
            .unwrap_or_default();
    let slot_b = GrubEnv::parse(&block).unwrap_or_default().get("good") == "b";
    esp.end()?;
    let label = match slot_b {
        true => "boot2podman-b",
        false => "boot2podman-a",
    };
    mounts::image(path, "ext4", &format!("{},noload", loop_options(label)?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::{Temp, why};

    #[test]
    fn formats_by_their_first_bytes() {
        let with = |at: usize, magic: &[u8]| {
            let mut head = vec![0; HEAD_BYTES];
            disk::bytes::put(&mut head, at, magic);
            head
        };
        let mut stick = with(0x8001, b"CD001");
        disk::bytes::put(&mut stick, 512, b"EFI PART");
        assert_eq!(format(&stick), Format::Iso);
        assert_eq!(format(&with(512, b"EFI PART")), Format::RawDisk);
        assert_eq!(format(b"QFI\xfb"), Format::Qcow2);
        assert_eq!(format(b""), Format::Other);
    }

    #[test]
    fn kernels_of_others_are_named() {
        let mut x86 = vec![0; KERNEL_HEAD];
        disk::bytes::put(&mut x86, 0x202, b"HdrS");
        assert!(why(check_kernel(&x86, "x86_64")).contains("32 bits"));
        x86[0x236] = 0x3f;
        check_kernel(&x86, "x86_64").unwrap();
        let mut arm = vec![0; KERNEL_HEAD];
        disk::bytes::put(&mut arm, 0x38, b"ARM\x64");
        check_kernel(&arm, "aarch64").unwrap();
        for (head, machine, found) in [(&arm, "x86_64", "(aarch64)"), (&x86, "aarch64", "(x86_64)")]
        {
            assert!(
                why(check_kernel(head, machine)).contains(found),
                "{machine}"
            );
        }
        assert!(why(check_kernel(b"MZ", "x86_64")).contains("no Linux kernel"));
    }

    #[test]
    fn a_directory_must_have_all_three_and_be_whole() {
        let temp = Temp::new();
        let refused = || why(Source::open(temp.dir()).and_then(|s| s.verify()));
        assert!(refused().contains("vmlinuz"));
        fs::write(temp.path("vmlinuz"), "k").unwrap();
        assert!(refused().contains("initrd.img"));
        fs::write(temp.path("initrd.img"), "i").unwrap();
        assert!(refused().contains("SHA256SUMS: there is none"));
        let line = |name: &str| {
            let sum = sums::read(&temp.path(name), |_| Ok(())).unwrap();
            format!("{sum}  {name}\n")
        };
        fs::write(temp.path(SUMS), line("vmlinuz")).unwrap();
        assert!(refused().contains("does not have initrd.img"));
        fs::write(temp.path(SUMS), line("vmlinuz") + &line("initrd.img")).unwrap();
        let path = temp.dir().display();
        assert!(refused().starts_with("vmlinuz: no Linux kernel"));
        assert_eq!(Source::open(temp.dir()).unwrap().size, 2);
        fs::write(temp.path("initrd.img"), "j").unwrap();
        assert!(refused().starts_with("initrd.img is damaged"));
        fs::remove_file(temp.path("vmlinuz")).unwrap();
        let missing = format!("{path}: no version of boot2podman: vmlinuz: ENOENT");
        assert!(refused().starts_with(&missing));
        let file = temp.path("file");
        fs::write(&file, "text").unwrap();
        assert!(why(Source::open(&file)).contains("neither an ISO"));
        assert!(Source::open(&temp.path("none")).is_err());
    }
}
