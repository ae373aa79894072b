// SPDX-License-Identifier: Apache-2.0
//! Data disk of a machine: a qcow2 file with internal snapshots, by qemu-img(1).

use crate::driver::{Snapshot, SnapshotChange};
use crate::tool;
use anyhow::{Context, Result};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Name of the program for disks.
pub(super) const QEMU_IMG: &str = "qemu-img";

/// Makes an empty disk.
pub(super) fn create(disk: &Path, bytes: u64) -> Result<()> {
    let mut create = Command::new(QEMU_IMG);
    create.args(["create", "-q", "-f", "qcow2", "-o", "lazy_refcounts=off"]);
    tool::run(create.arg(disk).arg(bytes.to_string()))
}

/// Makes a disk larger.
pub(super) fn grow(disk: &Path, bytes: u64) -> Result<()> {
    let mut resize = Command::new(QEMU_IMG);
    resize.args(["resize", "-q", "-f", "qcow2"]);
    tool::run(resize.arg(disk).arg(bytes.to_string()))
}

/// Makes, restores or removes the snapshot `tag`.
pub(super) fn change_snapshots(disk: &Path, change: SnapshotChange, tag: &str) -> Result<()> {
    let option = match change {
        SnapshotChange::Create => "-c",
        SnapshotChange::Restore => "-a",
        SnapshotChange::Remove => "-d",
    };
    let mut snapshot = Command::new(QEMU_IMG);
    tool::run(snapshot.args(["snapshot", option, tag]).arg(disk))
}

/// Returns the snapshots of a disk, also while the machine runs.
pub(super) fn snapshots(disk: &Path) -> Result<Vec<Snapshot>> {
    Ok(parse_snapshots(&info(disk)?))
}

/// Returns the size of the disk that the guest sees, in bytes.
pub(super) fn virtual_size(disk: &Path) -> Result<u64> {
    let size = info(disk)?["virtual-size"].as_u64();
    size.with_context(|| format!("qemu-img reports no size of {}", disk.display()))
}

fn info(disk: &Path) -> Result<Value> {
    // `-U` (--force-share) reads while QEMU holds its lock: the list of snapshots is that from before or from after a
    // change, never a mixture.
    let mut info = Command::new(QEMU_IMG);
    let text = tool::output(info.args(["info", "-U", "--output=json"]).arg(disk))?;
    Ok(serde_json::from_str(&text)?)
}

/// Finds the snapshots in the output of `qemu-img info`.
fn parse_snapshots(info: &Value) -> Vec<Snapshot> {
    let all = info["snapshots"].as_array().into_iter().flatten();
    let known = all.filter_map(|snapshot| {
        Some(Snapshot {
            tag: snapshot["name"].as_str()?.to_owned(),
            memory_bytes: snapshot["vm-state-size"].as_u64()?,
            created: snapshot["date-sec"].as_u64()?,
        })
    });
    known.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn snapshots_of_a_disk() {
        let info = json!({"snapshots": [
            {"name": ".suspended", "vm-state-size": 9, "date-sec": 1, "id": "1"},
            {"name": "own.a", "vm-state-size": 3 << 20, "date-sec": 5, "id": "2"},
            {"name": "own.b", "date-sec": 5, "id": "3"},
        ]});
        let found = parse_snapshots(&info);
        let named: Vec<_> = found
            .iter()
            .map(|s| (s.tag.as_str(), s.memory_bytes))
            .collect();
        assert_eq!(named, [(".suspended", 9), ("own.a", 3 << 20)]);
        assert_eq!(parse_snapshots(&json!({})), []);
    }
}
