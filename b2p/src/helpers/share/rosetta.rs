// SPDX-License-Identifier: Apache-2.0
//! Rosetta, by which macOS lets machines on Apple's processors run programs of x86-64: a folder of the host
//! with one program, and a rule of binfmt_misc for that program (Apple, "Running Intel Binaries in Linux
//! VMs with Rosetta").

use config::ROSETTA_PATH;
use sys::arch::ARCH;
use sys::error::{Error, Result};

use crate::common::binfmt::Rule;

/// True on machines whose processor may be Apple's.
pub const FITS: bool = cfg!(target_arch = "aarch64");

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
    fn the_rule_takes_programs_of_the_other_architecture() {
        let rule = rule().unwrap();
        assert_eq!(rule.name, "rosetta");
        assert_eq!(
            rule.interpreter.to_str(),
            Some("/run/boot2podman/rosetta/rosetta")
        );
        // On x86-64 the rule would match the machine's own programs.
        assert_eq!(rule.takes_own_programs(), ARCH.name == "x86_64");
        assert!(refused().to_string().ends_with(ARCH.name));
    }
}
