// SPDX-License-Identifier: Apache-2.0
//! The least memory (`-m`) with which this system boots and runs a container, by bisection.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use initramfs::boot::menu::INITRD_SHARE;
use initramfs::progress::Step;
use vmm::{Artifacts, Disk, Machine};

use crate::boot::WAITS;
use crate::figures::{Figures, MEMORY, Spread};

/// Name of the case, for `CASE=`.
pub const NAME: &str = "memory";
/// Command lines that are compared, that of the boot menus first: name, words. `initramfs_options=` sets the options of the
/// tmpfs into which the kernel unpacks the initrd (init/do_mounts.c): half of the memory without it.
const KINDS: &[(&str, &str)] = &[
    ("as shipped", INITRD_SHARE),
    ("without initramfs_options=", ""),
];
/// Distance of the sizes that are tried, in MiB.
const STEP: u32 = 8;
/// Sizes in steps: too small for the kernel and the initrd, and large enough for each of them.
const RANGE: (u32, u32) = (12, 32);
/// Limit in real time of a boot that may come to nothing.
const BOOT: Duration = Duration::from_secs(240);
/// Messages after which no container will run: of the kernel, of PID 1 and of the probe.
const ENDS: &[&str] = &["Kernel panic", "rescue shell on", "bench: failed"];

/// Finds the least memory for each of the command lines.
pub fn measure(
    files: &Artifacts,
    disk: &Path,
    dir: &Path,
    step: &Step,
) -> Result<BTreeMap<String, Figures>> {
    let mut all = BTreeMap::new();
    for (name, words) in KINDS {
        let mut runs = |steps: u32| -> Result<bool> {
            let mib = steps * STEP;
            let runs = once(files, words, disk, mib, &dir.join(format!("{NAME}-{mib}")))?;
            let said = if runs { "runs" } else { "does not run" };
            step.note(&format!("{name}: a container {said} with -m {mib}"));
            Ok(runs)
        };
        ensure!(
            runs(RANGE.1)?,
            "{name}: no container with -m {}",
            RANGE.1 * STEP
        );
        let mib = u64::from(least(RANGE, &mut runs)? * STEP);
        if let (Some(figure), Some(spread)) = (MEMORY.first(), Spread::of(vec![mib])) {
            all.insert(
                (*name).to_owned(),
                [(figure.name.to_owned(), spread)].into(),
            );
        }
    }
    Ok(all)
}

/// Returns the least number above the first that succeeds, if the first fails, the second succeeds, and each number
/// above one that succeeds does.
fn least(range: (u32, u32), succeeds: &mut dyn FnMut(u32) -> Result<bool>) -> Result<u32> {
    let (mut fails, mut works) = range;
    while works - fails > 1 {
        let middle = fails.midpoint(works);
        match succeeds(middle)? {
            true => works = middle,
            false => fails = middle,
        }
    }
    Ok(works)
}

/// Returns true if the machine runs the probe's first container.
fn once(files: &Artifacts, words: &str, disk: &Path, mib: u32, dir: &Path) -> Result<bool> {
    let vm = Machine::new(files)
        .icount(true)
        .qemu_args(WAITS)
        .dir(dir)
        .memory_mib(mib)
        .append(words)
        .disk(Disk::raw(disk).snapshot())
        .start()?;
    // A machine that finds no memory may neither run a container nor report why.
    let end = vm.screen()?.wait(0, BOOT, "a container", outcome);
    Ok(end.unwrap_or(false))
}

/// Returns true for a console with a container, and false for one without hope.
fn outcome(console: &str) -> Option<bool> {
    let runs = console.contains("bench: the first container has run");
    let ends = ENDS.iter().any(|end| console.contains(end));
    (runs || ends).then_some(runs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_that_succeeds_is_found_at_either_end() {
        for limit in [13, 14, 22, 27, 31, 32] {
            let mut tried = 0;
            let found = least(RANGE, &mut |steps| {
                tried += 1;
                Ok(steps >= limit)
            });
            assert_eq!(found.expect("no error"), limit);
            assert!(tried <= 5, "{tried}");
        }
    }

    #[test]
    fn a_console_has_a_container_or_an_end() {
        assert_eq!(
            outcome("bench: the first container has run\r\n"),
            Some(true)
        );
        assert_eq!(outcome("bench: the API has answered\r\n"), None);
        assert_eq!(
            outcome("Kernel panic - not syncing: System is deadlocked"),
            Some(false)
        );
    }
}
