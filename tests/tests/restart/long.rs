// SPDX-License-Identifier: Apache-2.0
//! Long tests of units: a hundred containers at once, and power cuts.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tests::Checks;

use crate::{LIMIT, boot, disk, kube, prepare, quadlets};

/// A hundred containers that the boot starts, each a quadlet of its own.
#[test]
#[ignore = "a quarter of an hour: make test-all"]
fn a_hundred_containers_start_at_boot() -> Result<()> {
    let disk = disk(
        &initramfs::paths::out()
            .join("vm")
            .join("restart-hundred-disk"),
    )?;
    let mut checks = Checks::new("restart-hundred");
    let guest = boot(&disk)?;
    checks.check("their files are written", || {
        quadlets::write_hundred(&guest)
    });
    guest.vm.power_button()?;
    ensure!(guest.vm.wait_exit(LIMIT)?.success());
    drop(guest);
    let guest = boot(&disk)?;
    checks.check("the boot starts all of them", || {
        quadlets::hundred_run(&guest)
    });
    checks.check("each unit ends by its own command", || {
        guest.vm.power_button()?;
        ensure!(guest.vm.wait_exit(LIMIT)?.success());
        let said = guest.vm.console();
        let line = said
            .lines()
            .find(|line| line.contains("shutdown: units took"));
        println!("{}", line.context("no line about the end of the units")?);
        Ok(())
    });
    checks.done()
}

/// Cuts during the start and the run of units: after each, both a quadlet's container and a kube file's pod are
/// up, and the pod has its written data.
#[test]
#[ignore = "eight boots: make test-all"]
fn quadlets_and_kube_files_run_after_kills_at_any_moment() -> Result<()> {
    let disk = disk(&initramfs::paths::out().join("vm").join("restart-cuts-disk"))?;
    let mut checks = Checks::new("restart-cuts");
    let guest = boot(&disk)?;
    checks.check("quadlets and a kube file run", || {
        prepare(&guest)?;
        quadlets::begin(&guest)?;
        kube::begin(&guest)?;
        guest.sh("systemctl start web core-own && sync")?;
        quadlets::run(&guest, "core")
    });
    guest.vm.kill()?;
    drop(guest);
    for seconds in [0, 3, 6, 10, 15, 25] {
        let guest = boot(&disk)?;
        std::thread::sleep(Duration::from_secs(seconds));
        guest.vm.kill()?;
    }
    let guest = boot(&disk)?;
    checks.check("quadlets are up after the last of seven cuts", || {
        quadlets::run(&guest, "core")?;
        kube::is_up(&guest)
    });
    checks.finish(&guest)
}
