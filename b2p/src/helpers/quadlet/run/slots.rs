// SPDX-License-Identifier: Apache-2.0
//! Bound of the units that begin at the same time: a podman that starts a container takes tens of
//! megabytes; a hundred at the same time exhaust the memory of a small machine. A unit holds a slot, which is the lock of a file,
//! from its first command until the unit is ready, or for a time, so that a unit that pulls an image does not delay the
//! others.

use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use nix::fcntl::{Flock, FlockArg};
use sys::clock::Millis;

/// Longest time for which a slot is held, in milliseconds.
pub const HOLD_MS: Millis = 15_000;
/// Memory in bytes for each unit that begins.
const BYTES_PER_UNIT: u64 = 96 << 20;

/// A slot. The drop of the value gives the slot back.
#[derive(Debug)]
pub struct Slot(#[expect(dead_code, reason = "the lock is held until it is dropped")] Flock<File>);

/// Returns how many units begin at the same time on a machine.
#[must_use]
pub fn count(cpus: usize, memory: u64) -> usize {
    let by_memory = memory / BYTES_PER_UNIT;
    let by_memory = usize::try_from(by_memory).unwrap_or(usize::MAX);
    cpus.saturating_mul(4).min(by_memory).clamp(2, 64)
}

/// Result of an attempt to take a slot.
#[derive(Debug)]
pub enum Taken {
    /// The slot.
    Slot(Slot),
    /// A slot cannot be opened: nothing is bounded.
    Unbounded,
    /// Others hold all slots.
    None,
}

/// Takes one of `count` slots in a directory.
#[must_use]
pub fn take(dir: &Path, count: usize) -> Taken {
    // An existing directory is accepted.
    let mut builder = DirBuilder::new();
    let _ = builder.recursive(true).mode(0o700).create(dir);
    for n in 0..count {
        let path = dir.join(n.to_string());
        let mut options = File::options();
        let Ok(file) = options.create(true).truncate(false).write(true).open(path) else {
            return Taken::Unbounded;
        };
        if let Ok(lock) = Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            return Taken::Slot(Slot(lock));
        }
    }
    Taken::None
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn slot_count_by_processors_and_memory() {
        for (cpus, mib, right) in [
            (2, 512, 5),
            (2, 0, 2),
            (2, 8_000, 8),
            (1, 100, 2),
            (64, 1 << 20, 64),
        ] {
            assert_eq!(count(cpus, mib << 20), right, "{cpus} {mib}");
        }
    }

    #[test]
    fn take_fails_when_all_slots_are_taken() {
        let temp = crate::common::testing::Temp::new();
        let dir = temp.path("slots");
        let first = take(&dir, 2);
        let second = take(&dir, 2);
        assert!(matches!(
            (&first, &second),
            (Taken::Slot(_), Taken::Slot(_))
        ));
        assert!(matches!(take(&dir, 2), Taken::None));
        drop(first);
        assert!(matches!(take(&dir, 2), Taken::Slot(_)));
        assert!(matches!(take(Path::new("/proc/none"), 2), Taken::Unbounded));
        let mode = std::fs::metadata(&dir).map_or(0, |m| m.permissions().mode());
        assert_eq!(mode & 0o7777, 0o700, "another user could hold the slots");
    }
}
