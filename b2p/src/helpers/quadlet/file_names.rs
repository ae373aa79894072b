// SPDX-License-Identifier: Apache-2.0
//! Names of files on the data disk that become units.

use std::path::Path;

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
