// SPDX-License-Identifier: Apache-2.0
//! Paths that a client may name: those of the spool, and files directly in /tmp or /var/tmp.

use std::path::Path;

/// Directories in which a client may name files.
const PUBLIC: &[&str] = &["/tmp", "/var/tmp"];
/// Number of bytes of a random name.
pub const NAME_BYTES: usize = 16;

/// Returns true if a path has the form of those that the spool in `dir` makes.
#[must_use]
pub fn is_spooled(dir: &Path, path: &str) -> bool {
    let Some((parent, name)) = path.rsplit_once('/') else {
        return false;
    };
    let is_digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    dir.to_str() == Some(parent) && name.len() == 2 * NAME_BYTES && name.bytes().all(is_digit)
}

/// Returns true if a path is directly in /tmp or /var/tmp.
#[must_use]
pub fn is_public(path: &str) -> bool {
    let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
    PUBLIC.contains(&dir) && !matches!(name, "" | "." | "..") && !name.contains('\0')
}
