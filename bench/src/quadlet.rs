// SPDX-License-Identifier: Apache-2.0
//! One quadlet: the time from PID 1 to the first instruction of its container, here and with systemd, which
//! both read the same file with podman's own generator (docs/measured/bench.md, "A quadlet").

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use initramfs::progress::Step;
use initramfs::stamp::{self, Inputs};
use vmm::{Artifacts, Disk, Machine};

use crate::boot::WAITS;
use crate::figures::{Figures, QUADLET, Spread};
use crate::image::files;
use crate::peers::Peer;
use crate::reading;

/// Name of the case, for `CASE=`.
pub const NAME: &str = "quadlet";
/// Limit in real time of a boot with one container.
const BOOT: Duration = Duration::from_secs(400);
/// Message of the container.
const MARK: &str = "bench: in the container";
/// Message of the kernel at the start of PID 1.
const PID1: &str = "Run /init as init process";
/// File of the quadlet in the peer.
const FILE: &str = "root/etc/containers/systemd/bench.container";
/// Name of the file on the data disk, the place of quadlets of this system.
const ON_DISK: &str = "/boot2podman/quadlet/bench.container";

/// Machine that is measured.
pub struct Candidate<'a> {
    /// Name in the tables.
    pub name: &'static str,
    /// Kernel and initrd.
    pub files: Artifacts,
    /// Words on the kernel's command line.
    pub append: &'a str,
}

/// Boots each candidate the given number of times, in turn, and returns the figures by name.
pub fn measure(
    candidates: &[Candidate<'_>],
    disk: &Path,
    runs: usize,
    dir: &Path,
    step: &Step,
) -> Result<BTreeMap<String, Figures>> {
    let mut all: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for run in 1..=runs {
        for candidate in candidates {
            let name = candidate.name;
            let dir = dir.join(format!("{NAME}-{name}-{run}"));
            let time = once(candidate, disk, &dir).with_context(|| name.to_owned())?;
            step.note(&format!("{name} {run}/{runs}: {} ms", time / 1_000));
            all.entry(name).or_default().push(time);
        }
    }
    let figures = |(name, times): (&str, Vec<u64>)| {
        let spread = Spread::of(times)?;
        let figure = (QUADLET[0].name.to_owned(), spread);
        Some((name.to_owned(), [figure].into()))
    };
    Ok(all.into_iter().filter_map(figures).collect())
}

/// Returns the time in microseconds of one boot.
fn once(candidate: &Candidate<'_>, disk: &Path, dir: &Path) -> Result<u64> {
    let vm = Machine::new(&candidate.files)
        .icount(true)
        .qemu_args(WAITS)
        .dir(dir)
        .append(candidate.append)
        .disk(Disk::raw(disk).snapshot())
        .start()?;
    let whole = |console: &str| {
        let (_, after) = console.split_once(MARK)?;
        after.contains('\n').then_some(())
    };
    vm.screen()?
        .wait(0, BOOT, "the container's message", whole)?;
    time(&vm.console()).with_context(|| format!("{}", dir.join("console.log").display()))
}

fn time(console: &str) -> Result<u64> {
    let (from, to) = (
        reading::moment(console, PID1)?,
        reading::moment(console, MARK)?,
    );
    Ok(to.saturating_sub(from))
}

/// Makes the data disk from that of the other cases: with the quadlet, and without the hook that starts
/// the probe.
pub fn disk(from: &Path, dir: &Path) -> Result<PathBuf> {
    let disk = dir.join("data-quadlet.img");
    let quadlet = files(NAME).join(FILE);
    let mut inputs = Inputs::new();
    inputs.add_file("disk", from)?.add_file("file", &quadlet)?;
    stamp::make(&disk, &inputs.finish(), |to| {
        std::fs::copy(from, to).with_context(|| format!("copy {}", from.display()))?;
        for command in [
            "rm /boot2podman/bootsync.sh".to_owned(),
            "mkdir /boot2podman/quadlet".to_owned(),
            format!("write {} {ON_DISK}", quadlet.display()),
        ] {
            debugfs(to, &["-w", "-R", &command])?;
        }
        let written = debugfs(to, &["-R", &format!("cat {ON_DISK}")])?;
        ensure!(
            written == std::fs::read(&quadlet)?,
            "debugfs has not written {ON_DISK}"
        );
        Ok(())
    })?;
    Ok(disk)
}

fn debugfs(disk: &Path, words: &[&str]) -> Result<Vec<u8>> {
    let out = Command::new("/usr/sbin/debugfs")
        .args(words)
        .arg(disk)
        .output();
    let out = out.context("cannot start debugfs: is e2fsprogs installed?")?;
    ensure!(out.status.success(), "debugfs {words:?}: {out:?}");
    Ok(out.stdout)
}

/// Returns the candidates: this system, and the peer with its initrd.
pub fn candidates(
    ours: &Artifacts,
    initrd: PathBuf,
    peer: &'static Peer,
) -> [Candidate<'static>; 2] {
    let theirs = Artifacts {
        kernel: ours.kernel.clone(),
        initrd,
    };
    [
        Candidate {
            name: "boot2podman",
            files: ours.clone(),
            append: "",
        },
        Candidate {
            name: "systemd",
            files: theirs,
            append: peer.append,
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_between_two_lines_of_the_kernel() {
        let console = "[    1.500000] Run /init as init process\r\n[    4.750001] bench: in the container\r\n";
        assert_eq!(time(console).expect("whole"), 3_250_001);
        let why = time(&console.replace("in the", "out of")).expect_err("no container");
        assert!(why.to_string().contains(MARK), "{why}");
    }

    #[test]
    fn the_container_says_what_is_waited_for() {
        let text = std::fs::read_to_string(files(NAME).join(FILE)).expect("the file");
        assert!(text.contains(MARK), "{text}");
    }
}
