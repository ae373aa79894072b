// SPDX-License-Identifier: Apache-2.0
//! Boots by UEFI, which brings ACPI and SMBIOS, as on clouds and on Apple's machines. The firmware loads kernel
//! and initrd from fw_cfg.

use super::END;
use anyhow::{Result, ensure};
use initramfs::arch::Arch;
use serde_json::json;
use tests::firmware::{self, Firmware};
use tests::{Checks, Guest, machine_of_arch};
use vmm::Machine;

/// Id of the machine, by which SMBIOS names it.
const UUID: &str = "0fbf1ac6-7a18-4e8d-9d6b-3d1d4a4a2f11";

fn machine(name: &str) -> Result<Machine> {
    let arch = Arch::parse("aarch64")?;
    let machine = firmware::with_uefi(machine_of_arch(arch, name)?, arch)?;
    Ok(machine.memory_mib(1536))
}

#[test]
#[ignore = "`make test-all` makes the image for aarch64"]
fn uefi_boots_with_acpi_and_smbios() -> Result<()> {
    let machine = machine("aarch64-uefi")?
        .fw_cfg("opt/org.boot2podman/hostname", b"armed")
        .qemu_args(&["-uuid", UUID])
        .qemu_args(&["-smbios", "type=11,value=boot2podman:tz=Asia/Tokyo"]);
    let guest = Guest::start(&machine)?;
    let mut checks = Checks::new("aarch64-uefi");
    checks.check("nothing is missing", || {
        let degraded = &guest.ready.degraded;
        ensure!(degraded.is_empty(), "{degraded:?}");
        guest.sh(Firmware::Uefi.check()).map(drop)
    });
    checks.check(
        "the machine's id, a flag of fw_cfg and one of SMBIOS",
        || {
            let said = guest.sh("cat /etc/machine-id; hostname; date +%Z")?;
            ensure!(
                said == format!("{}\narmed\nJST", UUID.replace('-', "")),
                "{said}"
            );
            Ok(())
        },
    );
    checks.check("poweroff by ACPI's power button", || {
        guest.vm.power_button()?;
        ensure!(guest.vm.wait_exit(END)?.success(), "QEMU failed");
        ensure!(
            guest.vm.console().contains("going down for poweroff"),
            "{}",
            guest.vm.tail()
        );
        Ok(())
    });
    checks.finish(&guest)
}

#[test]
#[ignore = "`make test-all` makes the image for aarch64"]
fn ctrl_alt_del_reboots_after_an_orderly_shutdown() -> Result<()> {
    let machine = machine("aarch64-keys")?.qemu_args(&["-device", "virtio-keyboard-pci"]);
    let guest = Guest::start(&machine)?;
    let mut checks = Checks::new("aarch64-keys");
    checks.check("Ctrl-Alt-Del ends in an orderly shutdown", || {
        let keys = ["ctrl", "alt", "delete"].map(|k| json!({"type": "qcode", "data": k}));
        // The driver of the keyboard is loaded after the ready line.
        guest.sh(
            "until grep -q 'QEMU Virtio Keyboard' /proc/bus/input/devices; do sleep 0.5; done",
        )?;
        guest.vm.qmp_with("send-key", &json!({ "keys": keys }))?;
        guest.vm.wait_exit(END)?;
        ensure!(
            guest.vm.console().contains("going down for reboot"),
            "{}",
            guest.vm.tail()
        );
        Ok(())
    });
    checks.finish(&guest)
}
