//! `manifest.json`: what the artifacts are and what they were made from.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::bom::Component;
use crate::stamp;

/// The whole manifest.
#[derive(Debug, Serialize)]
pub struct Manifest {
    /// boot2podman's version.
    pub version: &'static str,
    /// The Debian release.
    pub suite: String,
    /// The kernel's release.
    pub kernel: String,
    /// How PID 1 was linked.
    pub init_target: &'static str,
    /// Every file that was made.
    pub artifacts: Vec<Artifact>,
    /// Every package of which something is in the machine.
    pub packages: Vec<Component>,
}

/// A file that was made.
#[derive(Debug, Serialize)]
pub struct Artifact {
    /// Its name under out/.
    pub name: String,
    /// Its bytes.
    pub size: u64,
    /// Its hash.
    pub sha256: String,
}

impl Artifact {
    /// Measures a file.
    pub fn of(path: &Path, name: &str) -> Result<Self> {
        let size = fs::metadata(path)
            .with_context(|| format!("stat {}", path.display()))?
            .len();
        Ok(Artifact {
            name: name.to_string(),
            size,
            sha256: stamp::file_digest(path)?,
        })
    }
}

/// Writes the manifest, in place of the old one at once.
pub fn write(manifest: &Manifest, path: &Path) -> Result<()> {
    let mut text = serde_json::to_string_pretty(manifest)?;
    text.push('\n');
    write_text(&text, path)
}

/// Writes a text, in place of an older one at once; one that says the same stays.
pub fn write_text(text: &str, path: &Path) -> Result<()> {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    let temporary = path.with_extension("tmp");
    fs::write(&temporary, text).with_context(|| format!("write {}", temporary.display()))?;
    fs::rename(&temporary, path).with_context(|| format!("rename to {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

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
            kernel: "6.12".into(),
            init_target: "x",
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
