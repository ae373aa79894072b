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
        libraries: "/usr/lib/x86_64-linux-gnu",
        loader: "/lib64/ld-linux-x86-64.so.2",
        first_serial: "/dev/ttyS0",
    },
    Arch {
        name: "aarch64",
        debian: "arm64",
        libraries: "/usr/lib/aarch64-linux-gnu",
        loader: "/lib/ld-linux-aarch64.so.1",
        first_serial: "/dev/ttyAMA0",
    },
];

/// Row of the architecture that this program is compiled for.
pub const ARCH: Arch = match cfg!(target_arch = "aarch64") {
    true => ARCHES[1],
    false => ARCHES[0],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_row_is_that_of_this_program() {
        assert_eq!(ARCH.name, std::env::consts::ARCH);
    }
}
