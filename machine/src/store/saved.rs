// SPDX-License-Identifier: Apache-2.0
//! Saved memory of a machine: where it is, and on which hardware it can continue.
//!
//! Memory and disk are kept by one internal snapshot of the qcow2 file, so that they are of the same
//! moment whatever is cut. The file `state/complete` says that the snapshot is whole and that the
//! machine has not run since; it is removed before the processors run again. The file
//! `state/pending` exists from before the snapshot of a suspension until after its removal: without
//! `complete`, such a snapshot is of no use, and the next start removes it.

use super::Machine;
use super::contested_ports::ContestedPorts;
use super::files;
use super::record::Forward;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Tag of the snapshot that a suspension makes. Tags of the user's snapshots begin with [`USER_PREFIX`].
pub const SUSPENDED: &str = ".suspended";
/// Beginning of the tags of snapshots that the user names: a tag is never taken for a number.
pub const USER_PREFIX: &str = "own.";

/// Memory of a machine in a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// Tag of the snapshot in the qcow2 file.
    pub tag: String,
    /// Hardware, one part per entry, as the driver describes it.
    pub hardware: Vec<String>,
    /// Published ports.
    #[serde(default)]
    pub forwards: Vec<Forward>,
    /// Ports that the user had configured then: a later configuration may have given some of them up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub own: Vec<Forward>,
    /// Ports that two containers have asked for.
    #[serde(
        rename = "contest",
        default,
        skip_serializing_if = "ContestedPorts::is_empty"
    )]
    pub contested_ports: ContestedPorts,
    /// Degraded lines of the boot.
    #[serde(default)]
    pub degraded: Vec<String>,
    /// True for the memory of a template: the machine has no identity yet, and is not ready.
    #[serde(default)]
    pub template: bool,
    /// True if the guest had been ready with its data disk.
    #[serde(default)]
    pub ready_on_disk: bool,
    /// Time in seconds since 1970.
    pub at: u64,
}

impl Saved {
    /// Returns the image of which the memory is, by its name in the cache.
    #[must_use]
    pub fn image(&self) -> Option<&str> {
        let mut parts = self.hardware.iter();
        parts.find_map(|part| part.strip_prefix("image "))
    }
}

/// Says in a draft that its disk may have the snapshot of a suspension.
pub fn mark_pending(draft: &Path) -> Result<()> {
    super::dirs::make_private(&draft.join("state"))?;
    files::replace(&draft.join("state/pending"), b"")
}

impl Machine {
    /// Returns the memory from which the next start continues.
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
        mark_pending(&self.dir)
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

/// Returns what keeps a memory of one hardware from continuing with another.
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

    #[test]
    fn the_mark_of_a_saved_state_is_written_and_removed() {
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
            own: Vec::new(),
            degraded: Vec::new(),
            template: false,
            contested_ports: ContestedPorts::default(),
            ready_on_disk: true,
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
