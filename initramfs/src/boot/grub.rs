//! GRUB: one image for BIOS, one for UEFI, each with the modules that it needs and no
//! other, and the FAT file system that the second is found on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::fetch::Debian;
use crate::tools;

/// What both need: module, why.
#[rustfmt::skip]
const MODULES: &[(&str, &str)] = &[
    ("iso9660",        "reads the ISO, on a disc or on a stick"),
    ("part_gpt",       "finds the partitions of a disk or a stick"),
    ("part_msdos",     "the same, where a tool has rewritten the table"),
    ("search",         "finds the medium again, whatever the firmware calls it"),
    ("search_fs_file", "by a file that no other has"),
    ("normal",         "the menu"),
    ("linux",          "boots"),
    ("test",           "the menu's `if`"),
    ("serial",         "the menu on a serial port"),
    ("terminal",       "beside the screen"),
    ("reboot",         "for its command line"),
    ("halt",           "the same"),
];

/// One of the two.
struct Platform {
    /// As grub-mkimage calls its format.
    format: &'static str,
    /// Where its modules are in the tree.
    modules: &'static str,
    /// What it needs besides.
    more: &'static [&'static str],
}

const BIOS: Platform = Platform {
    format: "i386-pc-eltorito",
    modules: "usr/lib/grub/i386-pc",
    more: &["biosdisk"],
};

const UEFI: Platform = Platform {
    format: "x86_64-efi",
    modules: "usr/lib/grub/x86_64-efi",
    more: &["fat"],
};

/// Where UEFI looks on a medium that it has no entry for (UEFI specification, 3.5.1.1).
pub(super) const FALLBACK: &str = "::/EFI/BOOT/BOOTX64.EFI";

/// The loaders of one medium.
pub struct Loaders<'a> {
    /// The tree of boot loaders.
    pub tree: &'a Debian,
    /// A file on the medium that no other has.
    pub mark: &'a str,
    /// Where its grub.cfg is.
    pub config: &'a str,
    /// Where to work.
    pub dir: &'a Path,
}

impl Loaders<'_> {
    /// The image that a BIOS loads from a disc.
    ///
    /// # Errors
    /// What grub-mkimage said.
    pub fn bios(&self) -> Result<PathBuf> {
        self.image(&BIOS, "bios.img")
    }

    /// What stands in front of an ISO on a stick: it finds the image above.
    pub fn hybrid_mbr(&self) -> PathBuf {
        self.tree.root.join(BIOS.modules).join("boot_hybrid.img")
    }

    /// A FAT file system with the image for UEFI.
    ///
    /// # Errors
    /// What grub-mkimage or mtools said.
    pub fn uefi(&self) -> Result<PathBuf> {
        let program = self.image(&UEFI, "bootx64.efi")?;
        let file = self.dir.join("efi.img");
        let kib = fs::metadata(&program)?.len().div_ceil(1024) + 64;
        let sectors = (2 * kib).next_multiple_of(32).to_string();
        // A serial number of its own choice would make each build another.
        #[rustfmt::skip]
        let format = ["-C", "-T", &sectors, "-h", "2", "-s", "16", "-N", "b2b0720d", "-i"];
        self.mtools("mformat", |c| c.args(format).arg(&file).arg("::"))?;
        for dir in ["::/EFI", "::/EFI/BOOT"] {
            self.mtools("mmd", |c| c.arg("-i").arg(&file).arg(dir))?;
        }
        self.mtools("mcopy", |c| {
            c.arg("-i").arg(&file).arg(&program).arg(FALLBACK)
        })?;
        Ok(file)
    }

    fn mtools(&self, name: &str, with: impl FnOnce(&mut Command) -> &mut Command) -> Result<()> {
        mtools(self.tree, name, with)
    }

    fn image(&self, platform: &Platform, name: &str) -> Result<PathBuf> {
        let first = self.dir.join("first.cfg");
        fs::write(&first, self.first())?;
        let to = self.dir.join(name);
        let modules = self.tree.root.join(platform.modules);
        let mut command = tools::command_in(self.tree, "grub-mkimage")?;
        command.args(["-O", platform.format, "-p", "/boot/grub"]);
        command.arg("-d").arg(modules).arg("-c").arg(&first);
        command.arg("-o").arg(&to);
        command.args(MODULES.iter().map(|(module, _)| module));
        command.args(platform.more);
        tools::run(&mut command, "grub-mkimage").context(platform.format)?;
        Ok(to)
    }

    /// What GRUB does before it has seen the medium.
    fn first(&self) -> String {
        let (mark, config) = (self.mark, self.config);
        format!(
            "search --no-floppy --set=root --file {mark}\n\
             set prefix=($root)/boot/grub\n\
             configfile ($root){config}\n"
        )
    }
}

/// Runs one of mtools.
pub(super) fn mtools(
    tree: &Debian,
    name: &str,
    with: impl FnOnce(&mut Command) -> &mut Command,
) -> Result<()> {
    let mut command = tools::command_in(tree, name)?;
    // The time of its files, which FAT has as the local one, and none before 1980; no
    // configuration of the host's.
    command
        .env("SOURCE_DATE_EPOCH", "315532800")
        .env("TZ", "UTC")
        .env("MTOOLSRC", "/dev/null");
    tools::run(with(&mut command), name).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_module_says_why() {
        assert!(MODULES.iter().all(|(_, why)| !why.is_empty()));
    }
}
