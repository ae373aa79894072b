// SPDX-License-Identifier: Apache-2.0
//! One boot with the default settings and one module option, and checks of every part.

mod access;
mod api;
mod cgroups;
mod mounts;
mod pid1;
mod sysctls;
mod system;
mod varlink;

use anyhow::{Result, ensure};
use std::time::Duration;
use tests::{Checks, Guest};

#[test]
fn a_default_boot_passes_every_check() -> Result<()> {
    // `system::modprobe_by_hand` checks that modprobe takes this option of the module dummy from the command line.
    let guest = Guest::boot("boot", |machine| machine.append("dummy.numdummies=3"))?;
    let mut checks = Checks::new("boot");
    // The API is first, because only before the first request can a check see that podman does not
    // run.
    api::all(&guest, &mut checks);
    varlink::all(&guest, &mut checks);
    system::all(&guest, &mut checks);
    sysctls::all(&guest, &mut checks);
    mounts::all(&guest, &mut checks);
    cgroups::all(&guest, &mut checks);
    access::all(&guest, &mut checks);
    pid1::all(&guest, &mut checks);
    checks.check("poweroff over ssh ends QEMU in an orderly way", || {
        powers_off(&guest)
    });
    checks.finish(&guest)
}

fn powers_off(guest: &Guest) -> Result<()> {
    // The connection may break before ssh receives its answer.
    let _ = guest.ssh("root", "poweroff")?;
    let status = guest.vm.wait_exit(Duration::from_secs(240))?;
    ensure!(status.success(), "QEMU: {status}");
    ensure!(
        guest.vm.console().contains("reboot: Power down"),
        "{}",
        guest.vm.tail()
    );
    Ok(())
}
