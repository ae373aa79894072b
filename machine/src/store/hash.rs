// SPDX-License-Identifier: Apache-2.0
//! Hashes of files, in hexadecimal digits.

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Returns the SHA-256 of a file, in hexadecimal digits.
pub fn sha256(path: &Path) -> Result<String> {
    let mut file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    let mut hash = Sha256::new();
    let mut part = vec![0; 1 << 16];
    loop {
        match file.read(&mut part)? {
            0 => return Ok(disk::uuid::hex(&hash.finalize())),
            len => hash.update(part.get(..len).unwrap_or_default()),
        }
    }
}
