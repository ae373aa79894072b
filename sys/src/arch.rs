// SPDX-License-Identifier: Apache-2.0
//! Facts about the machine that depend on its processor architecture, one row each. The builder has
//! its own table of the same architectures (initramfs/src/arch.rs).

/// Architecture of a machine.
#[derive(Clone, Copy, Debug)]
pub struct Arch {
    /// Name in the kernel (uname(2)) and in Rust.
    pub name: &'static str,
    /// Name in Debian.
    pub debian: &'static str,
    /// Name in systemd.unit(5), `ConditionArchitecture=`.
    pub systemd: &'static str,
    /// Number of the architecture in headers of ELF (elf(5), `e_machine`).
    pub elf_machine: u16,
    /// Offset and bytes by which a file is a kernel (Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header";
    /// Documentation/arch/arm64/booting.rst, "Call the kernel image").
    pub kernel_magic: (usize, &'static [u8]),
    /// Directory in which programs look for libraries.
    pub libraries: &'static str,
    /// Loader of the C library (ld.so(8)), by the path in Debian's programs.
    pub loader: &'static str,
    /// Terminal of the first serial line.
    pub first_serial: &'static str,
}

/// Architectures that the machine is made for.
pub const ARCHES: &[Arch] = &[
    Arch {
        name: "x86_64",
        debian: "amd64",
        systemd: "x86-64",
        elf_machine: libc::EM_X86_64,
        kernel_magic: (0x202, b"HdrS"),
        libraries: "/usr/lib/x86_64-linux-gnu",
        loader: "/lib64/ld-linux-x86-64.so.2",
        first_serial: "/dev/ttyS0",
    },
    Arch {
        name: "aarch64",
        debian: "arm64",
        systemd: "arm64",
        elf_machine: libc::EM_AARCH64,
        kernel_magic: (0x38, b"ARM\x64"),
        libraries: "/usr/lib/aarch64-linux-gnu",
        loader: "/lib/ld-linux-aarch64.so.1",
        first_serial: "/dev/ttyAMA0",
    },
];

/// Row of the architecture that this program is compiled for.
pub const ARCH: Arch = own_row();

/// A program for an architecture without a row is not compiled.
const fn own_row() -> Arch {
    let mut row = 0;
    while row < ARCHES.len() {
        if is_equal(ARCHES[row].name, std::env::consts::ARCH) {
            return ARCHES[row];
        }
        row += 1;
    }
    panic!("the architecture has no row");
}

const fn is_equal(left: &str, right: &str) -> bool {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    let mut at = 0;
    while at < left.len() && at < right.len() && left[at] == right[at] {
        at += 1;
    }
    at == left.len() && at == right.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_row_is_that_of_this_program() {
        assert_eq!(ARCH.name, std::env::consts::ARCH);
    }

    #[test]
    fn names_are_equal_as_a_whole() {
        assert!(is_equal("x86_64", "x86_64"));
        for other in ["x86", "x86_641", "x86_65", ""] {
            assert!(!is_equal("x86_64", other), "{other}");
        }
    }
}
