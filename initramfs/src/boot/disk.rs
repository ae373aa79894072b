//! GRUB on a disk that is divided: in the first sector and a partition without a file
//! system for BIOS, in a FAT file system for UEFI. Both read their menu from the latter,
//! on the disk that they were loaded from.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::grub::{FALLBACK, mtools};
use crate::fetch::Debian;
use crate::{stamp, tools};

/// What both need: module, why.
#[rustfmt::skip]
const MODULES: &[(&str, &str)] = &[
    ("part_gpt", "finds the partitions"),
    ("fat",      "reads the menu, reads and writes its environment"),
    ("ext2",     "reads the slots (ext4, too)"),
    ("normal",   "the menu"),
    ("loadenv",  "which slot"),
    ("regexp",   "the disk's name from the partition's"),
    ("linux",    "boots"),
    ("test",     "the menu's `if`"),
    ("serial",   "the menu on a serial port"),
    ("terminal", "beside the screen"),
    ("reboot",   "for its command line"),
    ("halt",     "the same"),
];

/// Where things are in GRUB's first sector (include/grub/i386/pc/boot.h): the sector that
/// it loads, eight bytes; the jump that believes a BIOS's word for the drive, which
/// grub-bios-setup takes out where the drive is a hard disk.
const KERNEL_SECTOR: usize = 0x5c;
const DRIVE_CHECK: usize = 0x66;
/// And in the first sector of what is loaded: where the rest is. Its length is there.
const REST: usize = 0x1f4;
/// `nop`
const NOTHING: u8 = 0x90;

/// The serial number of the FAT file system: one of its own choice would make each build
/// another.
const SERIAL: &str = "b2b0d15c";
/// Its label.
const LABEL: &str = "B2PBOOT";

/// The loaders of one disk.
pub struct Loaders<'a> {
    /// The tree of boot loaders.
    pub tree: &'a Debian,
    /// Where to work.
    pub dir: &'a Path,
}

/// What a BIOS loads.
pub struct Bios {
    /// The disk's first 440 bytes.
    pub first: Vec<u8>,
    /// What is in the partition for it.
    pub rest: Vec<u8>,
}

impl Loaders<'_> {
    /// For BIOS, in a partition that begins at this sector of 512 bytes.
    ///
    /// # Errors
    /// What grub-mkimage said.
    pub fn bios(&self, sector: u64) -> Result<Bios> {
        let modules = self.tree.root.join("usr/lib/grub/i386-pc");
        // The disk is the one that the BIOS names.
        let core = self.image("i386-pc", "(,gpt2)/grub", &["biosdisk"])?;
        let read =
            |path: PathBuf| fs::read(&path).with_context(|| format!("read {}", path.display()));
        setup(read(modules.join("boot.img"))?, read(core)?, sector)
    }

    /// For UEFI: a FAT file system of `mib` MiB that begins at this sector of 512 bytes,
    /// with GRUB, its menu and its environment.
    ///
    /// # Errors
    /// What grub-mkimage or mtools said.
    pub fn uefi(&self, mib: u64, sector: u64, files: &[(&str, &str)]) -> Result<PathBuf> {
        let program = self.image("x86_64-efi", "/grub", &[])?;
        let image = self.dir.join("esp.img");
        stamp::remove(&image)?;
        let (all, before) = ((mib * 2048).to_string(), sector.to_string());
        let tool = |name: &str, words: &[&str]| {
            mtools(self.tree, name, |c| c.args(["-i"]).arg(&image).args(words))
        };
        // The geometry that everybody makes up for a disk; FAT32, as UEFI wants it there.
        #[rustfmt::skip]
        mtools(self.tree, "mformat", |c| {
            c.args(["-C", "-F", "-T", &all, "-H", &before, "-h", "255", "-s", "63", "-c", "1"])
                .args(["-N", SERIAL, "-v", LABEL, "-i"]).arg(&image).arg("::")
        })?;
        tool("mmd", &["::/EFI", "::/EFI/BOOT", "::/grub"])?;
        tool("mcopy", &[&program.to_string_lossy(), FALLBACK])?;
        for (name, text) in files {
            let from = self.dir.join("file");
            fs::write(&from, text)?;
            tool("mcopy", &[&from.to_string_lossy(), &format!("::{name}")])?;
        }
        Ok(image)
    }

    fn image(&self, format: &str, prefix: &str, more: &[&str]) -> Result<PathBuf> {
        let to = self.dir.join(format!("{format}.img"));
        let modules = self.tree.root.join("usr/lib/grub").join(format);
        let mut command = tools::command_in(self.tree, "grub-mkimage")?;
        command
            .args(["-O", format, "-p", prefix, "-d"])
            .arg(modules);
        command.arg("-o").arg(&to);
        command.args(MODULES.iter().map(|(module, _)| module));
        tools::run(command.args(more), "grub-mkimage").context(format.to_owned())?;
        Ok(to)
    }
}

/// What grub-bios-setup does, to files instead of a device of this machine's.
fn setup(boot: Vec<u8>, core: Vec<u8>, sector: u64) -> Result<Bios> {
    let (mut first, mut rest) = (boot, core);
    ensure!(
        first.len() == 512 && rest.len() > 512,
        "GRUB's images have {} and {} bytes",
        first.len(),
        rest.len()
    );
    first[KERNEL_SECTOR..KERNEL_SECTOR + 8].copy_from_slice(&sector.to_le_bytes());
    first[DRIVE_CHECK..DRIVE_CHECK + 2].fill(NOTHING);
    first.truncate(440);
    rest[REST..REST + 8].copy_from_slice(&(sector + 1).to_le_bytes());
    Ok(Bios { first, rest })
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
        assert_eq!(made.first.len(), 440);
        assert_eq!(made.first[0x5b..0x65], [1, 4, 3, 2, 1, 0, 0, 0, 0, 1]);
        assert_eq!(made.first[0x65..0x69], [1, 0x90, 0x90, 1]);
        assert_eq!(made.rest[0x1f3..0x1fd], [2, 5, 3, 2, 1, 0, 0, 0, 0, 2]);
        assert!(setup(vec![0; 511], vec![0; 2048], 1).is_err());
        Ok(())
    }
}
