// SPDX-License-Identifier: Apache-2.0
//! One measured boot, from power on to power off.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use vmm::{Artifacts, Board, Disk, Machine};

use crate::reading::{self, Reading};

/// Limit in real time of a boot with two containers, which takes a minute on an idle host.
const BOOT: Duration = Duration::from_secs(400);
/// QEMU's clock options. While the guest waits, its clock follows the host's. With sleep=off, as in
/// boots without a disk, the clock would jump to the guest's next timer, seconds away, whenever the
/// guest waits for the disk (docs/measured/bench.md has both, measured).
pub(crate) const WAITS: &[&str] = &["-icount", "shift=0,sleep=on"];
/// Limit in real time from the button to the end.
const POWER_OFF: Duration = Duration::from_secs(120);

/// Second processor. Under the instruction clock, QEMU runs all processors in one thread, in turn
/// (docs/devel/tcg-icount.rst in QEMU's source). The last of two `-smp` counts.
const SECOND_PROCESSOR: &[&str] = &["-smp", "2"];

/// Boots on a board with one processor or two, waits for the probe's results, and presses the power button. The
/// console's log and QEMU's files stay in `dir`.
pub fn once(
    boot: &Artifacts,
    board: Board,
    append: &str,
    disk: &Path,
    two_cpus: bool,
    dir: &Path,
) -> Result<Reading> {
    let machine = Machine::new(boot)
        .board(board)
        .icount(true)
        .qemu_args(WAITS)
        .qemu_args(if two_cpus { SECOND_PROCESSOR } else { &[] })
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
