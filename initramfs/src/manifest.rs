// SPDX-License-Identifier: Apache-2.0
//! `manifest.json`: the artifacts of a build and their packages.

use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use crate::artifact::Artifact;
use crate::bom::Component;
use crate::fsutil;

/// Content of the file.
#[derive(Debug, Serialize)]
pub struct Manifest {
    /// Version of boot2podman.
    pub version: &'static str,
    /// Debian release.
    pub suite: String,
    /// Architecture of the machine.
    pub arch: &'static str,
    /// Release of the kernel.
    pub kernel: String,
    /// Rust target of PID 1 and its client.
    pub init_target: String,
    /// Files that were made.
    pub artifacts: Vec<Artifact>,
    /// Packages and crates of which code or data is in the machine.
    pub packages: Vec<Component>,
}

/// Replaces the manifest at `path`.
pub fn write(manifest: &Manifest, path: &Path) -> Result<()> {
    let mut text = serde_json::to_string_pretty(manifest)?;
    text.push('\n');
    fsutil::replace_text(path, &text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn an_artifact_is_measured_and_the_manifest_is_json() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let file = dir.path().join("vmlinuz");
        fs::write(&file, "abc")?;
        let artifact = Artifact::of(&file, "vmlinuz")?;
        assert_eq!(artifact.size, 3);
        assert!(
            artifact.sha256.starts_with("ba7816bf"),
            "{}",
            artifact.sha256
        );
        let manifest = Manifest {
            version: "1",
            suite: "trixie".into(),
            arch: "x86_64",
            kernel: "6.12".into(),
            init_target: "x".into(),
            artifacts: vec![artifact],
            packages: vec![Component {
                name: "podman".into(),
                version: "5.4.2".into(),
                ..Component::default()
            }],
        };
        let path = dir.path().join("manifest.json");
        write(&manifest, &path)?;
        let read: serde_json::Value = serde_json::from_str(&fs::read_to_string(path)?)?;
        assert_eq!(read["packages"][0]["version"], "5.4.2");
        assert_eq!(read["artifacts"][0]["size"], 3);
        Ok(())
    }
}
