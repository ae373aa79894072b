// SPDX-License-Identifier: Apache-2.0
//! GRUB on a disk with partitions: in the first sector and a partition without a file system for
//! BIOS, in a FAT file system for UEFI. Both read their menu from the latter, on the disk from
//! which GRUB was loaded.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::grub::{fallback_path, mtools};
use crate::fetch::PackageTree;
use crate::{fsutil, tools};

/// GRUB's modules for both kinds of firmware, each with its purpose.
#[rustfmt::skip]
const MODULES: &[(&str, &str)] = &[
    ("part_gpt", "finds the partitions"),
    ("fat",      "reads the menu, reads and writes its environment"),
    ("ext2",     "reads the slots; knows ext4 too"),
    ("normal",   "the menu"),
    ("loadenv",  "the slot to boot from"),
    ("regexp",   "the disk's name from the partition's"),
    ("linux",    "boots"),
    ("test",     "the menu's `if`"),
    ("serial",   "the menu on a serial port"),
    ("terminal", "the menu on several consoles"),
    ("reboot",   "for its command line"),
    ("halt",     "for its command line"),
];

/// Size of the boot code in the first sector, in front of the partition table, in bytes.
const BOOT_CODE: usize = 440;
/// Offset in GRUB's first sector of the number of the sector to load, eight bytes
/// (include/grub/i386/pc/boot.h).
const KERNEL_SECTOR: usize = 0x5c;
/// Offset in GRUB's first sector of a jump that trusts the BIOS's drive number;
/// grub-bios-setup removes the jump on a hard disk.
const DRIVE_CHECK: usize = 0x66;
/// Offset in the first sector of GRUB's core image of the sector number of the rest, eight bytes.
/// The length of the rest, which follows, is in the image already.
const NEXT_SECTOR: usize = 0x1f4;
/// Machine code of `nop`.
const NOP: u8 = 0x90;

/// Serial number of the FAT file system. mformat would choose a different one in each build.
const SERIAL: &str = "b2b0d15c";
/// Label of the FAT file system.
const LABEL: &str = "B2PBOOT";

/// Builds the loaders of one disk.
pub struct Loaders<'a> {
    /// Tree of boot loaders.
    pub tree: &'a PackageTree,
    /// Working directory.
    pub dir: &'a Path,
}

/// GRUB for BIOS; zeros and an empty image on an architecture without a BIOS.
pub struct Bios {
    /// Start of the disk's first sector, 440 bytes.
    pub boot_code: Vec<u8>,
    /// Core image, the content of the BIOS boot partition.
    pub core: Vec<u8>,
}

impl Loaders<'_> {
    /// Builds GRUB for BIOS in a partition that begins at this sector of 512 bytes.
    ///
    /// # Errors
    /// grub-mkimage failed, or its result is not as expected.
    pub fn bios(&self, sector: u64) -> Result<Bios> {
        if !self.tree.arch.has_bios {
            return Ok(Bios {
                boot_code: vec![0; BOOT_CODE],
                core: Vec::new(),
            });
        }
        let modules = self.tree.root.join("usr/lib/grub/i386-pc");
        // The prefix names no disk: GRUB takes the one that the BIOS booted from.
        let core = self.image("i386-pc", "(,gpt2)/grub", &["biosdisk"])?;
        let read =
            |path: PathBuf| fs::read(&path).with_context(|| format!("read {}", path.display()));
        setup(read(modules.join("boot.img"))?, read(core)?, sector)
    }

    /// Builds the EFI system partition: a FAT file system of `mib` MiB that begins at this sector
    /// of 512 bytes, with GRUB and `files`, its menu and environment.
    ///
    /// # Errors
    /// grub-mkimage or one of mtools failed.
    pub fn uefi(&self, mib: u64, sector: u64, files: &[(&str, &str)]) -> Result<PathBuf> {
        let program = self.image(self.tree.arch.efi_format, "/grub", &[])?;
        let image = self.dir.join("esp.img");
        fsutil::remove(&image)?;
        let (sectors, hidden) = ((mib * 2048).to_string(), sector.to_string());
        let tool = |name: &str, arguments: &[&str]| {
            mtools(self.tree, name, |c| {
                c.args(["-i"]).arg(&image).args(arguments)
            })
        };
        // The usual geometry of a disk without one; FAT32, as UEFI requires on a disk.
        #[rustfmt::skip]
        mtools(self.tree, "mformat", |c| {
            c.args(["-C", "-F", "-T", &sectors, "-H", &hidden, "-h", "255", "-s", "63", "-c", "1"])
                .args(["-N", SERIAL, "-v", LABEL, "-i"]).arg(&image).arg("::")
        })?;
        tool("mmd", &["::/EFI", "::/EFI/BOOT", "::/grub"])?;
        let fallback = fallback_path(self.tree.arch);
        tool("mcopy", &[&program.to_string_lossy(), &fallback])?;
        for (name, text) in files {
            let from = self.dir.join("file");
            fs::write(&from, text)?;
            tool("mcopy", &[&from.to_string_lossy(), &format!("::{name}")])?;
        }
        Ok(image)
    }

    fn image(&self, format: &str, prefix: &str, more_modules: &[&str]) -> Result<PathBuf> {
        let to = self.dir.join(format!("{format}.img"));
        let modules = self.tree.root.join("usr/lib/grub").join(format);
        let mut command = tools::command_in(self.tree, "grub-mkimage")?;
        command
            .args(["-O", format, "-p", prefix, "-d"])
            .arg(modules);
        command.arg("-o").arg(&to);
        command.args(MODULES.iter().map(|(module, _)| module));
        tools::run(command.args(more_modules), "grub-mkimage").context(format.to_owned())?;
        Ok(to)
    }
}

/// Links boot code and core image as grub-bios-setup does, in memory instead of on a device of
/// the host.
fn setup(boot: Vec<u8>, core: Vec<u8>, sector: u64) -> Result<Bios> {
    let (mut boot_code, mut core) = (boot, core);
    ensure!(
        boot_code.len() == 512 && core.len() > 512,
        "GRUB's images have {} and {} bytes",
        boot_code.len(),
        core.len()
    );
    boot_code[KERNEL_SECTOR..KERNEL_SECTOR + 8].copy_from_slice(&sector.to_le_bytes());
    boot_code[DRIVE_CHECK..DRIVE_CHECK + 2].fill(NOP);
    boot_code.truncate(BOOT_CODE);
    core[NEXT_SECTOR..NEXT_SECTOR + 8].copy_from_slice(&(sector + 1).to_le_bytes());
    Ok(Bios { boot_code, core })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_module_says_why() {
        assert!(MODULES.iter().all(|(_, why)| !why.is_empty()));
    }

    #[test]
    fn sectors_are_where_the_code_reads_them() -> Result<()> {
        let made = setup(vec![1; 512], vec![2; 2048], 0x0102_0304)?;
        assert_eq!(made.boot_code.len(), 440);
        assert_eq!(made.boot_code[0x5b..0x65], [1, 4, 3, 2, 1, 0, 0, 0, 0, 1]);
        assert_eq!(made.boot_code[0x65..0x69], [1, 0x90, 0x90, 1]);
        assert_eq!(made.core[0x1f3..0x1fd], [2, 5, 3, 2, 1, 0, 0, 0, 0, 2]);
        assert!(setup(vec![0; 511], vec![0; 2048], 1).is_err());
        Ok(())
    }
}
