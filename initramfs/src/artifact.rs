// SPDX-License-Identifier: Apache-2.0
//! A file that a build made, with its size and hash.

use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use crate::{fsutil, stamp};

/// An entry of the manifest and of the bills of materials.
#[derive(Debug, Serialize)]
pub struct Artifact {
    /// Name under `out/`.
    pub name: String,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 in hexadecimal digits.
    pub sha256: String,
}

impl Artifact {
    /// Measures the file at `path`.
    pub fn of(path: &Path, name: &str) -> Result<Self> {
        Ok(Artifact {
            name: name.to_string(),
            size: fsutil::size(path)?,
            sha256: stamp::file_digest(path)?,
        })
    }
}
