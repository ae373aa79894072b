// SPDX-License-Identifier: Apache-2.0
//! Saved memory of a machine: where it is, and on which hardware it can go on.
//!
//! Memory and disk are kept by one internal snapshot of the qcow2 file, so that they are of the same
//! moment whatever is cut. The file `state/complete` says that the snapshot is whole and that the
//! machine has not run since; it is removed before the processors run again. The file
//! `state/pending` exists from before the snapshot of a suspension until after its removal: without
//! `complete`, such a snapshot is of no use, and the next start removes it.

use super::Machine;
use super::files;
use super::record::Forward;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

/// Tag of the snapshot that a suspension makes. Those of the owner begin with [`OWN`].
pub const SUSPENDED: &str = ".suspended";
/// Beginning of the tags of snapshots that the owner names: a tag is never taken for a number.
pub const OWN: &str = "own.";

/// Memory of a machine in a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// Tag of the snapshot in the qcow2 file.
    pub tag: String,
    /// Hardware, one part per entry ([`hardware`]).
    pub hardware: Vec<String>,
    /// Published ports.
    #[serde(default)]
    pub forwards: Vec<Forward>,
    /// Degraded lines of the boot.
    #[serde(default)]
    pub degraded: Vec<String>,
    /// True for the memory of a template: the machine has no identity yet, and is not ready.
    #[serde(default)]
    pub template: bool,
    /// Time in seconds since 1970.
    pub at: u64,
}

impl Machine {
    /// Returns the memory from which the next start goes on.
    pub fn saved(&self) -> Result<Option<Saved>> {
        let path = self.file("state/complete");
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            other => other.with_context(|| format!("read {}", path.display()))?,
        };
        let saved = serde_json::from_str(&text);
        saved.map(Some).with_context(|| path.display().to_string())
    }

    /// Says that a snapshot is whole, and that the machine has not run since.
    pub fn set_saved(&self, saved: &Saved) -> Result<()> {
        super::dirs::make_private(&self.file("state"))?;
        let text = serde_json::to_string_pretty(saved)?;
        files::replace(&self.file("state/complete"), text.as_bytes())
    }

    /// Forgets the memory: from now on a start boots.
    pub fn forget_saved(&self) -> Result<()> {
        self.forget("state/complete")
    }

    /// Says that there may be a snapshot of a suspension.
    pub fn set_pending(&self) -> Result<()> {
        super::dirs::make_private(&self.file("state"))?;
        files::replace(&self.file("state/pending"), b"")
    }

    /// Returns true if there may be a snapshot of a suspension.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.file("state/pending").exists()
    }

    /// Says that there is no snapshot of a suspension.
    pub fn forget_pending(&self) -> Result<()> {
        self.forget("state/pending")
    }

    fn forget(&self, name: &str) -> Result<()> {
        super::dirs::remove_all(&self.file(name))?;
        match self.file("state").exists() {
            true => files::sync_dir(&self.file("state")),
            false => Ok(()),
        }
    }

    /// Returns the path of the data disk.
    #[must_use]
    pub fn disk(&self) -> PathBuf {
        self.file("disk.qcow2")
    }
}

/// Options of QEMU that make up the hardware.
const OPTIONS: [&str; 6] = ["-machine", "-accel", "-cpu", "-m", "-smp", "-device"];

/// Returns the hardware that a memory needs: the version of QEMU, the options that make up the
/// board, the image, and the processor of the host where the guest sees it. The address of the
/// network card is a part of the memory.
#[must_use]
pub fn hardware(args: &[String], qemu: &str, image: &str, host_cpu: &str) -> Vec<String> {
    let pairs = args.iter().zip(args.iter().skip(1));
    let board = pairs.filter(|(option, _)| OPTIONS.contains(&option.as_str()));
    let mut parts = vec![format!("QEMU {qemu}"), format!("image {image}")];
    parts.extend(board.map(|(option, value)| format!("{option} {}", without_mac(value))));
    if parts.iter().any(|part| part == "-accel kvm") {
        parts.push(format!("processor {host_cpu}"));
    }
    parts
}

fn without_mac(device: &str) -> String {
    let parts = device.split(',').filter(|part| !part.starts_with("mac="));
    parts.collect::<Vec<_>>().join(",")
}

/// Returns what keeps a memory of one hardware from going on with another.
#[must_use]
pub fn difference(saved: &[String], now: &[String]) -> Option<String> {
    let missing = |of: &[String], other: &[String]| {
        let found = of.iter().find(|part| !other.contains(part));
        found.map_or_else(|| "none".to_owned(), String::clone)
    };
    let differs = saved.iter().any(|part| !now.contains(part))
        || now.iter().any(|part| !saved.contains(part));
    differs.then(|| {
        let (was, is) = (missing(saved, now), missing(now, saved));
        format!("it was saved with `{was}`, and the machine now has `{is}`")
    })
}

/// Returns the name of the host's processor.
#[must_use]
pub fn host_cpu() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("model name"));
    let name = line.and_then(|line| line.split_once(':'));
    name.map_or_else(String::new, |(_, name)| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(line: &str, qemu: &str) -> Vec<String> {
        let args: Vec<String> = line.split(' ').map(str::to_owned).collect();
        hardware(&args, qemu, "sha256-0", "a fast one")
    }

    #[test]
    fn a_memory_goes_on_with_its_own_hardware_alone() {
        let line =
            "-name box -accel tcg -m 1024M -smp 2 -netdev user,hostfwd=1 -device net,netdev=n";
        let saved = parts(line, "7.2");
        assert_eq!(difference(&saved, &saved), None);
        let port = parts(&line.replace("hostfwd=1", "hostfwd=2"), "7.2");
        assert_eq!(difference(&saved, &port), None, "ports are not hardware");
        let address = parts(&(line.to_owned() + ",mac=52:54:00:01:02:03"), "7.2");
        assert_eq!(
            difference(&saved, &address),
            None,
            "the memory has its address"
        );
        for (other, was, is) in [
            (parts(line, "8.0"), "QEMU 7.2", "QEMU 8.0"),
            (
                parts(&line.replace("1024M", "2048M"), "7.2"),
                "-m 1024M",
                "-m 2048M",
            ),
            (
                parts(&(line.to_owned() + " -device fs"), "7.2"),
                "none",
                "-device fs",
            ),
            (
                parts(&line.replace("-device net,netdev=n", ""), "7.2"),
                "-device net,netdev=n",
                "none",
            ),
        ] {
            let text = difference(&saved, &other).expect(was);
            assert!(
                text.contains(&format!("`{was}`")) && text.contains(&format!("`{is}`")),
                "{text}"
            );
        }
    }

    #[test]
    fn the_hosts_processor_counts_where_the_guest_sees_it() {
        let has = |line| parts(line, "7.2").contains(&"processor a fast one".to_owned());
        assert!(has("-accel kvm") && !has("-accel tcg"));
    }

    #[test]
    fn marks_come_and_go() {
        let tmp = tempfile::tempdir().expect("a directory");
        let dirs = super::super::Dirs {
            storage: tmp.path().into(),
            runtime: tmp.path().join("run"),
        };
        let machine = Machine::at(&dirs, "box");
        fs::create_dir_all(&machine.dir).expect("made");
        let saved = Saved {
            tag: SUSPENDED.into(),
            hardware: vec!["QEMU 7.2".into()],
            forwards: Vec::new(),
            degraded: Vec::new(),
            template: false,
            at: 1,
        };
        assert_eq!(machine.saved().expect("read"), None);
        machine.forget_saved().expect("nothing to forget");
        machine.set_pending().expect("written");
        machine.set_saved(&saved).expect("written");
        assert_eq!(machine.saved().expect("read"), Some(saved));
        machine.forget_saved().expect("removed");
        assert!(machine.saved().expect("read").is_none() && machine.is_pending());
        machine.forget_pending().expect("removed");
        assert!(!machine.is_pending());
        machine.set_pending().expect("written");
        fs::write(machine.file("state/complete"), "{").expect("written");
        assert!(machine.saved().is_err(), "a torn file is no memory");
    }
}
