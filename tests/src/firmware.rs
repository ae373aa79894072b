// SPDX-License-Identifier: Apache-2.0
//! Machines that boot from their own disks, with a firmware.

use crate::Guest;
use anyhow::{Context, Result};
use initramfs::paths;
use std::path::Path;
use vmm::{AcceleratorChoice, Machine};

/// Paths of UEFI for virtual machines in Debian and elsewhere; the first that exists is used.
const UEFI: &[&str] = &[
    "/usr/share/OVMF/OVMF_CODE_4M.fd",
    "/usr/share/OVMF/OVMF_CODE.fd",
];

/// Command that succeeds in a guest started by a BIOS.
pub const BIOS_BOOT: &str = "test ! -d /sys/firmware/efi";
/// Command that succeeds in a guest started by UEFI.
pub const UEFI_BOOT: &str = "test -d /sys/firmware/efi";

/// Returns a machine with a firmware and nothing to boot from yet.
pub fn machine(name: &str, uefi: bool) -> Result<Machine> {
    let machine = Machine::bare()
        .accel(AcceleratorChoice::from_env()?)
        .dir(paths::out().join("vm").join(name));
    if !uefi {
        return Ok(machine);
    }
    let mut all = UEFI.iter().filter(|f| Path::new(f).exists());
    let code = all.next().context("no UEFI: Debian's package ovmf")?;
    let drive = format!("if=pflash,format=raw,readonly=on,file={code}");
    Ok(machine.qemu_args(&["-drive", &drive]))
}

/// Adds the tests' key by fw_cfg, for a machine without a disk.
pub fn keyed(machine: Machine) -> Result<Machine> {
    let key = Guest::public_key()?;
    Ok(machine.fw_cfg("opt/org.boot2podman/ssh_key", key.as_bytes()))
}
