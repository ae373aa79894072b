//! `SHA256SUMS`: the hash of everything under out/ that people take away, in the form
//! that `sha256sum -c` reads. Every target that makes such a file ends with it.

use std::path::Path;

use anyhow::Result;

use crate::bom::spdx;
use crate::{disk, iso, manifest, oci, stamp};

/// Its name under out/.
pub const NAME: &str = "SHA256SUMS";

/// What it speaks of, where it is there.
pub const FILES: &[&str] = &[
    "vmlinuz",
    "initrd.img",
    "manifest.json",
    spdx::NAME,
    iso::NAME,
    "boot2podman.iso.spdx.json",
    oci::DISK_IMAGE,
    disk::RAW,
    oci::KERNEL,
    oci::DISK,
];

/// Writes the sums of what there is in `out`.
///
/// # Errors
/// When a file cannot be read, or the sums cannot be written.
pub fn write(out: &Path) -> Result<()> {
    let mut text = String::new();
    for name in FILES {
        let file = out.join(name);
        if file.exists() {
            text += &format!("{}  {name}\n", stamp::file_digest(&file)?);
        }
    }
    manifest::write_text(&text, &out.join(NAME))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::process::Command;

    #[test]
    fn the_real_sha256sum_agrees() -> Result<()> {
        let dir = tempfile::tempdir()?;
        fs::write(dir.path().join("vmlinuz"), "kernel")?;
        fs::write(dir.path().join(iso::NAME), "disc")?;
        fs::write(dir.path().join("other"), "nobody's")?;
        write(dir.path())?;
        let sums = fs::read_to_string(dir.path().join(NAME))?;
        assert_eq!(sums.lines().count(), 2, "{sums}");
        let check = || {
            let mut command = Command::new("sha256sum");
            command
                .args(["--check", "--quiet", "--strict", NAME])
                .current_dir(dir.path());
            command.output().map(|o| o.status.success())
        };
        assert!(check()?);
        fs::write(dir.path().join("vmlinuz"), "another")?;
        assert!(!check()?);
        Ok(())
    }
}
