// SPDX-License-Identifier: Apache-2.0
//! Units that no generator writes: those of kube files and compose projects on the data disk.

use std::path::Path;

use super::generator::Output;
use super::specifiers::Owner;
use super::{compose, kube};

/// Returns true if the owner has kube files or compose projects, which are the machine's.
#[must_use]
pub fn has_files(owner: &Owner) -> bool {
    owner.uid == 0 && (kube::has_files() || compose::has_files())
}

/// Adds the units to those of the generator.
pub fn add(owner: &Owner, output: &mut Output) {
    if owner.uid != 0 {
        return;
    }
    for made in [
        kube::units(Path::new(kube::DIR)),
        compose::units(Path::new(compose::DIR)),
    ] {
        output.units += &made.units;
        output.faults.extend(made.faults);
    }
}

/// Returns true for a name that a unit may have without escapes (systemd.unit(5)).
#[must_use]
pub fn is_plain(name: &str) -> bool {
    let is_letter = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    !name.is_empty() && !name.starts_with(['.', '-']) && name.bytes().all(is_letter)
}

/// Returns the names in a directory, sorted, without hidden ones.
#[must_use]
pub fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
    sys::sort::sort(&mut names);
    names
}
