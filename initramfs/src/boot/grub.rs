// SPDX-License-Identifier: Apache-2.0
//! GRUB on an ISO: an image for BIOS, on an architecture that has one, and one for UEFI, each with its necessary modules, and the FAT
//! file system that contains the second.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::arch::Arch;
use crate::fetch::PackageTree;
use crate::tools;

/// GRUB's modules for both kinds of firmware, each with its purpose.
#[rustfmt::skip]
const MODULES: &[(&str, &str)] = &[
    ("iso9660",        "reads the ISO, on a disc or on a stick"),
    ("part_gpt",       "finds the partitions of a disk or a stick"),
    ("part_msdos",     "finds them where a tool has rewritten the table"),
    ("search",         "finds the medium again, whatever the firmware calls it"),
    ("search_fs_file", "by a file that no other medium has"),
    ("normal",         "the menu"),
    ("linux",          "boots"),
    ("test",           "the menu's `if`"),
    ("serial",         "the menu on a serial port"),
    ("terminal",       "the menu on several consoles"),
    ("reboot",         "for its command line"),
    ("halt",           "for its command line"),
];

/// Kind of firmware.
struct Platform {
    /// Format of grub-mkimage.
    format: &'static str,
    /// Directory of the modules below [`MODULE_DIR`].
    modules: &'static str,
    /// Modules in addition to [`MODULES`].
    more_modules: &'static [&'static str],
}

const BIOS: Platform = Platform {
    format: "i386-pc-eltorito",
    modules: "i386-pc",
    more_modules: &["biosdisk"],
};

const fn uefi(arch: &Arch) -> Platform {
    Platform {
        format: arch.efi_format,
        modules: arch.efi_format,
        more_modules: &["fat"],
    }
}

/// Directory of GRUB's modules in the tree.
const MODULE_DIR: &str = "usr/lib/grub";

/// Returns the path, for mtools, of the program that UEFI starts from a medium without a boot entry.
pub(super) fn fallback_path(arch: &Arch) -> String {
    format!("::/EFI/BOOT/{}", arch.efi_program)
}

/// Builds the loaders of one medium.
pub struct Loaders<'a> {
    /// Tree of boot loaders.
    pub tree: &'a PackageTree,
    /// File that no other medium has.
    pub mark: &'a str,
    /// Path of the medium's grub.cfg.
    pub config: &'a str,
    /// Working directory.
    pub dir: &'a Path,
}

impl Loaders<'_> {
    /// Builds the image that a BIOS loads from a disc.
    ///
    /// # Errors
    /// grub-mkimage failed.
    pub fn bios(&self) -> Result<PathBuf> {
        self.image(&BIOS, "bios.img")
    }

    /// Returns the boot sector of an ISO on a stick, which finds the image for BIOS.
    pub fn hybrid_mbr(&self) -> PathBuf {
        self.modules(&BIOS).join("boot_hybrid.img")
    }

    /// Builds a FAT file system with the image for UEFI.
    ///
    /// # Errors
    /// grub-mkimage or one of mtools failed.
    pub fn uefi(&self) -> Result<PathBuf> {
        let arch = self.tree.arch;
        let program = self.image(&uefi(arch), "boot.efi")?;
        let file = self.dir.join("efi.img");
        let kib = fs::metadata(&program)?.len().div_ceil(1024) + 64;
        let sectors = (2 * kib).next_multiple_of(32).to_string();
        // mformat would choose another serial number in each build.
        #[rustfmt::skip]
        let format = ["-C", "-T", &sectors, "-h", "2", "-s", "16", "-N", "b2b0720d", "-i"];
        self.mtools("mformat", |c| c.args(format).arg(&file).arg("::"))?;
        for dir in ["::/EFI", "::/EFI/BOOT"] {
            self.mtools("mmd", |c| c.arg("-i").arg(&file).arg(dir))?;
        }
        self.mtools("mcopy", |c| {
            c.arg("-i")
                .arg(&file)
                .arg(&program)
                .arg(fallback_path(arch))
        })?;
        Ok(file)
    }

    fn mtools(
        &self,
        name: &str,
        add_arguments: impl FnOnce(&mut Command) -> &mut Command,
    ) -> Result<()> {
        mtools(self.tree, name, add_arguments)
    }

    fn image(&self, platform: &Platform, name: &str) -> Result<PathBuf> {
        let early_config = self.dir.join("early.cfg");
        fs::write(&early_config, self.early_config())?;
        let to = self.dir.join(name);
        let modules = self.modules(platform);
        let mut command = tools::command_in(self.tree, "grub-mkimage")?;
        command.args(["-O", platform.format, "-p", "/boot/grub"]);
        command.arg("-d").arg(modules).arg("-c").arg(&early_config);
        command.arg("-o").arg(&to);
        command.args(MODULES.iter().map(|(module, _)| module));
        command.args(platform.more_modules);
        tools::run(&mut command, "grub-mkimage").context(platform.format)?;
        Ok(to)
    }

    fn modules(&self, platform: &Platform) -> PathBuf {
        self.tree.root.join(MODULE_DIR).join(platform.modules)
    }

    /// Returns the commands that GRUB runs before the medium is found.
    fn early_config(&self) -> String {
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
    tree: &PackageTree,
    name: &str,
    add_arguments: impl FnOnce(&mut Command) -> &mut Command,
) -> Result<()> {
    let mut command = tools::command_in(tree, name)?;
    // A fixed time for the files: FAT stores local time, and none before 1980. The host's
    // configuration of mtools is ignored.
    command
        .env("SOURCE_DATE_EPOCH", "315532800")
        .env("TZ", "UTC")
        .env("MTOOLSRC", "/dev/null");
    tools::run(add_arguments(&mut command), name).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_module_says_why() {
        assert!(MODULES.iter().all(|(_, why)| !why.is_empty()));
    }
}
