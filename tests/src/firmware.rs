// SPDX-License-Identifier: Apache-2.0
//! Machines that boot from their own disks, with a firmware.

use crate::Guest;
use anyhow::{Context, Result};
use initramfs::arch::Arch;
use initramfs::paths;
use std::path::Path;
use vmm::{AcceleratorChoice, Board, Machine};

/// UEFI for the virtual machines of an architecture: its name, the paths of which the first that exists is used, and
/// Debian's package.
const UEFI: &[(&str, &[&str], &str)] = &[
    (
        "x86_64",
        &[
            "/usr/share/OVMF/OVMF_CODE_4M.fd",
            "/usr/share/OVMF/OVMF_CODE.fd",
        ],
        "ovmf",
    ),
    (
        "aarch64",
        &[
            "/usr/share/AAVMF/AAVMF_CODE.no-secboot.fd",
            "/usr/share/AAVMF/AAVMF_CODE.fd",
        ],
        "qemu-efi-aarch64",
    ),
];

/// Kind of firmware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firmware {
    /// A PC's BIOS; UEFI on an architecture that has no BIOS.
    Bios,
    /// UEFI.
    Uefi,
}

use Firmware::{Bios, Uefi};

impl Firmware {
    /// Returns the firmware that a machine of this architecture has in place of this one.
    fn of(self, arch: &Arch) -> Self {
        if arch.has_bios { self } else { Uefi }
    }

    /// Returns a command that succeeds in a guest that this firmware started.
    #[must_use]
    pub fn check(self) -> &'static str {
        let arch = Arch::from_env().unwrap_or(Arch::host());
        match self.of(arch) {
            Bios => "test ! -d /sys/firmware/efi",
            Uefi => "test -d /sys/firmware/efi",
        }
    }
}

/// Returns a machine with a firmware and nothing to boot from yet.
pub fn machine(name: &str, firmware: Firmware) -> Result<Machine> {
    let arch = Arch::from_env()?;
    let machine = Machine::bare()
        .board(Board::of_arch(arch.name))
        .accel(AcceleratorChoice::from_env()?)
        .dir(paths::out().join("vm").join(name));
    match firmware.of(arch) {
        Uefi => with_uefi(machine, arch),
        Bios => Ok(machine),
    }
}

/// Gives a machine of an architecture UEFI as its firmware.
pub fn with_uefi(machine: Machine, arch: &Arch) -> Result<Machine> {
    let row = UEFI.iter().find(|(name, ..)| *name == arch.name);
    let (_, paths, package) = row.context("no UEFI of this architecture is known")?;
    let code = paths.iter().find(|path| Path::new(path).exists());
    let code = code.with_context(|| format!("no UEFI: Debian's package {package}"))?;
    let drive = format!("if=pflash,format=raw,readonly=on,file={code}");
    Ok(machine.qemu_args(&["-drive", &drive]))
}

/// Adds the tests' key by fw_cfg, for a machine without a disk.
pub fn keyed(machine: Machine) -> Result<Machine> {
    let key = Guest::public_key()?;
    Ok(machine.fw_cfg("opt/org.boot2podman/ssh_key", key.as_bytes()))
}
