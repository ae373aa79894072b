// SPDX-License-Identifier: Apache-2.0
//! Architectures that the machine is made for, one row each. `ARCH=` selects one; the default is
//! that of the host.
//!
//! Programs of another architecture do not run on the host: programs that the build runs are always
//! the host's ([`crate::tools`]), and programs in the image are of the selected architecture.

use anyhow::{Context, Result};

/// Architecture of a machine.
#[derive(Debug)]
pub struct Arch {
    /// Value of `ARCH=`: the name in the kernel (uname(2)) and in Rust.
    pub name: &'static str,
    /// Name in Debian, in Go and in OCI images.
    pub debian: &'static str,
    /// First part of rustc's target triples.
    pub rustc: &'static str,
    /// True if rustc links static programs of musl at a fixed address (its target option
    /// `static-position-independent-executables`).
    pub needs_pie_flags: bool,
    /// Directory of the libraries, in the image as in Debian.
    pub libraries: &'static str,
    /// Path of the dynamic loader in Debian.
    pub loader: &'static str,
    /// Flags of a library in `/etc/ld.so.cache` (glibc, sysdeps/generic/ldconfig.h).
    pub ld_cache_flags: u32,
    /// Debian's metapackage of the kernel for virtual machines.
    pub cloud_kernel: &'static str,
    /// Debian's metapackage of the kernel for all machines.
    pub generic_kernel: &'static str,
    /// Build of the slim kernel.
    pub slim: SlimBuild,
    /// Paths of the packages beside those of [`crate::userland::table::PICKS`], each with a reason.
    pub picks: &'static [(&'static str, &'static str)],
    /// Packages of the boot loaders on media, each with a reason.
    pub loaders: &'static [(&'static str, &'static str)],
    /// Format of grub-mkimage for UEFI, also the directory of its modules.
    pub efi_format: &'static str,
    /// File that UEFI starts from a medium without a boot entry (UEFI specification, 3.5.1.1).
    pub efi_program: &'static str,
    /// True if some firmware is a BIOS.
    pub has_bios: bool,
    /// True if machines of Apple's Virtualization.framework have this architecture on today's Macs.
    pub has_apple_machines: bool,
    /// Consoles in the boot menu of media. The last one is /dev/console, so that people at a screen see its output
    /// (Documentation/admin-guide/serial-console.rst); the others need not exist.
    pub consoles: &'static str,
    /// Architecture whose programs the extension `qemu-user` runs, by its name in QEMU.
    pub foreign: &'static str,
    /// Modules of [`crate::modules`] that Debian's kernels do not have, each with a reason.
    pub absent_modules: &'static [(&'static str, &'static str)],
}

/// Names of an architecture in the kernel's build ([`crate::kernel`]), and of its compiler.
#[derive(Debug)]
pub struct SlimBuild {
    /// Value of `ARCH=` of the kernel's make.
    pub arch: &'static str,
    /// First part of the names of the compiler's programs, on hosts of every architecture.
    pub prefix: &'static str,
    /// Debian's package of the compiler for hosts of another architecture.
    pub compiler: &'static str,
    /// Target of make.
    pub target: &'static str,
    /// Path of the kernel image below the build's directory.
    pub image: &'static str,
    /// Filter of xz(1) for programs, which the kernel's configuration allows.
    pub xz_filter: &'static str,
}

/// All architectures.
pub static ARCHES: &[Arch] = &[
    Arch {
        name: "x86_64",
        debian: "amd64",
        rustc: "x86_64",
        needs_pie_flags: false,
        libraries: "usr/lib/x86_64-linux-gnu",
        loader: "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
        ld_cache_flags: 0x0303,
        cloud_kernel: "linux-image-cloud-amd64",
        generic_kernel: "linux-image-amd64",
        slim: SlimBuild {
            arch: "x86",
            prefix: "x86_64-linux-gnu-",
            compiler: "gcc-x86-64-linux-gnu",
            target: "bzImage",
            image: "arch/x86/boot/bzImage",
            xz_filter: "--x86",
        },
        picks: &[
            (
                "lib64",
                "merged /usr; every program's interpreter is /lib64/ld-linux-x86-64.so.2",
            ),
            (
                "usr/bin/passt.avx2",
                "passt executes it on processors with AVX2, and prints a warning if it is missing",
            ),
        ],
        loaders: &[
            ("grub-pc-bin", "the boot loader for BIOS"),
            ("grub-efi-amd64-bin", "the boot loader for UEFI"),
        ],
        efi_format: "x86_64-efi",
        efi_program: "BOOTX64.EFI",
        has_bios: true,
        has_apple_machines: false,
        consoles: "console=ttyS0 console=tty0",
        foreign: "aarch64",
        absent_modules: &[],
    },
    Arch {
        name: "aarch64",
        debian: "arm64",
        rustc: "aarch64",
        needs_pie_flags: true,
        libraries: "usr/lib/aarch64-linux-gnu",
        loader: "usr/lib/aarch64-linux-gnu/ld-linux-aarch64.so.1",
        ld_cache_flags: 0x0a03,
        cloud_kernel: "linux-image-cloud-arm64",
        generic_kernel: "linux-image-arm64",
        slim: SlimBuild {
            arch: "arm64",
            prefix: "aarch64-linux-gnu-",
            compiler: "gcc-aarch64-linux-gnu",
            // Apple's framework takes only a kernel that is not compressed, and so does b2p upgrade.
            target: "Image",
            image: "arch/arm64/boot/Image",
            xz_filter: "--arm64",
        },
        picks: &[],
        loaders: &[("grub-efi-arm64-bin", "the boot loader for UEFI")],
        efi_format: "arm64-efi",
        efi_program: "BOOTAA64.EFI",
        has_bios: false,
        has_apple_machines: true,
        // PL011 of QEMU, a 16550 as on EC2, the virtio console of Apple's Virtualization.framework.
        consoles: "console=ttyAMA0 console=ttyS0 console=hvc0 console=tty0",
        foreign: "x86_64",
        absent_modules: &[
            ("crc32c_intel", "the module uses an x86 instruction"),
            ("i6300esb", "a watchdog of Intel's chipsets"),
            (
                "vmw_balloon vmw_pvscsi vmw_vsock_vmci_transport",
                "VMware's machines of this architecture have NVMe and vmxnet3",
            ),
            (
                "vboxguest vboxsf",
                "Debian builds VirtualBox's drivers for PCs only",
            ),
            (
                "vmd isci acpi_cpufreq",
                "parts of Intel's chipsets and processors, or of a PC's firmware",
            ),
            (
                "uhci_hcd forcedeth via_rhine pata_amd pata_via pata_atiixp pata_ali pata_serverworks",
                "parts of a PC's chipset",
            ),
            (
                "BusLogic arcmsr pata_pdc2027x",
                "cards for PCs, which Debian's kernel of this architecture leaves out",
            ),
        ],
    },
];

impl Arch {
    /// Returns the architecture of the host.
    ///
    /// # Panics
    /// The host's architecture is in no row, so that nothing could be built.
    #[must_use]
    pub fn host() -> &'static Self {
        let row = ARCHES
            .iter()
            .find(|arch| arch.name == std::env::consts::ARCH);
        row.expect("the host's architecture has a row")
    }

    /// Finds the row of a value of `ARCH=`, which may be Debian's name as well; that of the host if
    /// the value is empty.
    ///
    /// # Errors
    /// No row has this name.
    pub fn parse(name: &str) -> Result<&'static Self> {
        if name.is_empty() {
            return Ok(Self::host());
        }
        let row = ARCHES
            .iter()
            .find(|arch| arch.name == name || arch.debian == name);
        row.with_context(|| {
            let names: Vec<_> = ARCHES.iter().map(|arch| arch.name).collect();
            format!("ARCH={name}: the architecture is {}", names.join(" or "))
        })
    }

    /// Reads `ARCH=`.
    ///
    /// # Errors
    /// No row has this name.
    pub fn from_env() -> Result<&'static Self> {
        Self::parse(&std::env::var("ARCH").unwrap_or_default())
    }

    /// Returns true if programs of this architecture run on the host.
    #[must_use]
    pub fn is_host(&self) -> bool {
        self.name == std::env::consts::ARCH
    }
}

impl PartialEq for Arch {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_architecture_has_names_and_the_host_is_known() {
        assert!(Arch::host().is_host());
        assert_eq!(Arch::parse("").ok(), Some(Arch::host()));
        for arch in ARCHES {
            for name in [arch.name, arch.debian] {
                assert_eq!(Arch::parse(name).ok(), Some(arch), "{name}");
            }
        }
        let error = Arch::parse("arm").map_err(|e| e.to_string());
        let known = "ARCH=arm: the architecture is x86_64 or aarch64";
        assert_eq!(error.err().as_deref(), Some(known));
    }

    #[test]
    fn the_programs_in_the_machine_have_the_same_table() {
        let ours = ARCHES
            .iter()
            .map(|a| (a.name, a.debian, format!("/{}", a.libraries)));
        let theirs = sys::arch::ARCHES.iter();
        let theirs = theirs.map(|a| (a.name, a.debian, a.libraries.to_owned()));
        assert!(ours.eq(theirs));
    }

    #[test]
    fn a_row_is_of_one_architecture_and_each_exception_has_a_reason() {
        for arch in ARCHES {
            assert!(arch.loader.starts_with(arch.libraries), "{}", arch.name);
            assert!(arch.libraries.contains(arch.name), "{}", arch.name);
            for kernel in [arch.cloud_kernel, arch.generic_kernel] {
                assert!(kernel.ends_with(arch.debian), "{kernel}");
            }
            assert!(
                arch.slim.prefix.starts_with(arch.name)
                    && arch.slim.image.ends_with(arch.slim.target)
            );
            assert!(arch.efi_format.ends_with("-efi") && arch.efi_program.starts_with("BOOT"));
            let exceptions = arch.picks.iter().chain(arch.absent_modules);
            let exceptions = exceptions.chain(arch.loaders);
            assert!(exceptions.into_iter().all(|(_, why)| !why.is_empty()));
        }
    }
}
