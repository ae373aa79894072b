//! One measured boot, from power on to power off.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use vmm::{Artifacts, Disk, Machine};

use crate::reading::{self, Reading};

/// Real time for a boot with two containers: a minute on a host with nothing else to do.
const BOOT: Duration = Duration::from_secs(400);
/// While the guest only waits, its clock goes at the host's pace. With sleep=off, as
/// boots without a disk have it, the clock would jump to the guest's next timer, seconds
/// away, whenever the guest waits for the disk (docs/measured/bench.md has both, measured).
pub(crate) const WAITS: &[&str] = &["-icount", "shift=0,sleep=on"];
/// Real time for the way from the button to the end.
const POWER_OFF: Duration = Duration::from_secs(120);

/// Boots, waits for the probe's results, presses the power button. The console's log
/// and all else of the boot stay in `dir`.
pub fn once(boot: &Artifacts, append: &str, disk: &Path, dir: &Path) -> Result<Reading> {
    let machine = Machine::new(boot)
        .icount(true)
        .qemu_args(WAITS)
        .dir(dir)
        .append(append)
        .disk(Disk::raw(disk).snapshot());
    let vm = machine.start()?;
    let screen = vm.screen()?;
    let done = screen.wait(0, BOOT, "the probe's results", reading::finished)?;
    if let Err(why) = done {
        bail!("the probe: {why}\n{}", vm.tail());
    }
    vm.power_button()?;
    vm.wait_exit(POWER_OFF)?;
    let console = vm.console();
    reading::read(&console).with_context(|| format!("{}", dir.join("console.log").display()))
}
