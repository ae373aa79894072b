// SPDX-License-Identifier: Apache-2.0
//! Rosetta, by which macOS lets machines on Apple's processors run programs of x86-64: a folder of the host
//! with one program, and a rule of binfmt_misc for that program (Apple, "Running Intel Binaries in Linux
//! VMs with Rosetta").

use config::{ROSETTA_PATH, SharedFolder};
use sys::arch::ARCH;
use sys::error::{Error, Result};

use super::host_shares::HostShares;
use crate::common::binfmt::Rule;

/// True on machines whose processor may be Apple's.
pub const FITS: bool = cfg!(target_arch = "aarch64");

/// Tag of the folder in Lima (lima-vm/lima, `pkg/driver/vz/rosetta_directory_share_arm64.go`).
const LIMA_TAG: &str = "vz-rosetta";

/// ELF programs of 64 bits for x86-64, executable or position-independent, for any Unix (elf(5)).
const HEAD: &str = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x3e\x00";
/// Bits of [`HEAD`] that count.
const MASK: &str =
    r"\xff\xff\xff\xff\xff\xfe\xfe\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff";
/// Flags that Apple asks for: set-user-ID programs keep their rights, and containers need no file of the
/// folder.
const FLAGS: &str = "CF";

/// Returns the reason on other machines.
pub fn refused() -> Error {
    Error::invalid(format!(
        "b2p.rosetta: Rosetta is for aarch64 on Apple's processors, this machine is {}",
        ARCH.name
    ))
}

/// Gives the folder of Rosetta the tag by which Lima shares it, where the host has that tag only.
pub fn name_folder(folders: &mut [SharedFolder], shares: &HostShares) {
    let is_missing = |f: &&mut SharedFolder| f.path == ROSETTA_PATH && shares.find(&f.tag).is_err();
    let folder = folders.iter_mut().find(is_missing);
    if let Some(folder) = folder.filter(|_| shares.find(LIMA_TAG).is_ok()) {
        LIMA_TAG.clone_into(&mut folder.tag);
    }
}

/// Makes the program of the mounted folder the interpreter of programs for x86-64.
///
/// # Errors
/// The folder has no such program, or the kernel refuses the rule.
pub fn register() -> Result<()> {
    rule()?.register()
}

fn rule() -> Result<Rule> {
    Rule::parse(&format!(
        ":rosetta:M::{HEAD}:{MASK}:{ROSETTA_PATH}/rosetta:{FLAGS}"
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_folder_has_the_tag_of_the_host() {
        let sys = std::env::temp_dir().join(format!("b2p-rosetta-{}", std::process::id()));
        let named = |tags: &[&str]| {
            for tag in tags {
                let dir = sys.join("fs/virtiofs").join(tag);
                std::fs::create_dir_all(&dir).unwrap();
                std::fs::write(dir.join("tag"), tag).unwrap();
            }
            let folder = |tag: &str, path: &str| SharedFolder {
                tag: tag.into(),
                path: path.into(),
                read_only: true,
            };
            let mut folders = [folder("home", "/mnt/home"), folder("rosetta", ROSETTA_PATH)];
            name_folder(&mut folders, &HostShares::read(&sys));
            folders.map(|folder| folder.tag)
        };
        assert_eq!(named(&[]), ["home", "rosetta"]);
        assert_eq!(named(&["vz-rosetta"]), ["home", "vz-rosetta"]);
        assert_eq!(named(&["rosetta"]), ["home", "rosetta"]);
        std::fs::remove_dir_all(&sys).unwrap();
    }

    #[test]
    fn the_rule_takes_programs_of_the_other_architecture() {
        let rule = rule().unwrap();
        assert_eq!(rule.name, "rosetta");
        assert_eq!(
            rule.interpreter.to_str(),
            Some("/run/boot2podman/rosetta/rosetta")
        );
        // On x86-64 the rule would match the machine's own programs.
        assert_eq!(rule.may_match_own_programs(), ARCH.name == "x86_64");
        assert!(refused().to_string().ends_with(ARCH.name));
    }
}
