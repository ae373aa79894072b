// SPDX-License-Identifier: Apache-2.0
//! `SHA256SUMS`: the hash of every file under `out/` that people download, in the format of
//! sha256sum(1). Each target that makes such a file writes the list anew at its end.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::paths::SHA256SUMS;
use crate::{fsutil, paths, stamp};

/// Directories of extensions under `out/`: those without modules, and those of each kernel.
const EXTENSIONS: &[&str] = &["ext", "cloud/ext", "generic/ext", "slim/ext"];

/// Files to list if they exist.
pub const FILES: &[&str] = &[
    paths::VMLINUZ,
    paths::INITRD,
    paths::MANIFEST,
    paths::SPDX,
    paths::ISO,
    paths::ISO_SPDX,
    paths::QCOW2,
    paths::RAW_DISK,
    paths::KERNEL_OCI,
    paths::DISK_OCI,
    paths::MACHINE_OCI,
    paths::MACHINE_TAR,
];

/// Writes the checksums of the files that exist in `out`.
///
/// # Errors
/// A file cannot be read, or the list cannot be written.
pub fn write(out: &Path) -> Result<()> {
    let present = FILES.iter().map(|name| out.join(name));
    let present: Vec<PathBuf> = present.filter(|file| file.exists()).collect();
    let mut text = lines(&present)?;
    for dir in EXTENSIONS {
        let list = Path::new(dir).join(SHA256SUMS);
        if out.join(&list).exists() {
            let digest = stamp::file_digest(&out.join(&list))?;
            text += &format!("{digest}  {}\n", list.display());
        }
    }
    fsutil::replace_text(&out.join(SHA256SUMS), &text)
}

/// Writes the checksums of the extensions in each of their directories: images, manifests and bills
/// of materials, of the images `only` or of all that exist. Then writes the list of `out/`, which has the hashes of
/// these lists, so that one signature holds for all files. Returns the files that are in no list.
///
/// # Errors
/// A file cannot be read, or a list cannot be written.
pub fn write_extensions(out: &Path, only: Option<&[PathBuf]>) -> Result<Vec<PathBuf>> {
    let mut others = Vec::new();
    let dirs = EXTENSIONS.iter().map(|dir| out.join(dir));
    for dir in dirs.filter(|dir| dir.exists()) {
        let entries = fs::read_dir(&dir).with_context(|| format!("read {}", dir.display()))?;
        let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        let endings = ["erofs", "manifest", "json"].map(OsStr::new);
        files.retain(|file| file.extension().is_some_and(|end| endings.contains(&end)));
        files.sort();
        let is_listed = |file: &PathBuf| {
            only.is_none_or(|images| {
                images
                    .iter()
                    .any(|image| of_extension(file) == of_extension(image))
            })
        };
        let (files, rest): (Vec<_>, Vec<_>) = files.into_iter().partition(is_listed);
        others.extend(rest);
        let list = dir.join(SHA256SUMS);
        match files.is_empty() {
            true => fsutil::remove(&list)?,
            false => fsutil::replace_text(&list, &lines(&files)?)?,
        }
    }
    write(out)?;
    Ok(others)
}

/// Returns the path of a file of an extension without its endings; names of extensions have no dot.
fn of_extension(file: &Path) -> PathBuf {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.split('.').next().unwrap_or_default();
    file.with_file_name(stem)
}

/// Returns one line of sha256sum(1) for each file, with the file's name and no directory.
///
/// # Errors
/// A file cannot be read.
pub fn lines(files: &[PathBuf]) -> Result<String> {
    let line = |file: &PathBuf| {
        let digest = stamp::file_digest(file)?;
        Ok(format!("{digest}  {}\n", fsutil::file_name(file)?))
    };
    files.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn the_real_sha256sum_agrees() -> Result<()> {
        let dir = tempfile::tempdir()?;
        fs::write(dir.path().join(paths::VMLINUZ), "kernel")?;
        fs::write(dir.path().join(paths::ISO), "disc")?;
        fs::write(dir.path().join("other"), "nobody's")?;
        write(dir.path())?;
        let sums = fs::read_to_string(dir.path().join(SHA256SUMS))?;
        assert_eq!(sums.lines().count(), 2, "{sums}");
        let check = || {
            let mut command = Command::new("sha256sum");
            command
                .args(["--check", "--quiet", "--strict", SHA256SUMS])
                .current_dir(dir.path());
            command.output().map(|o| o.status.success())
        };
        assert!(check()?);
        let extensions = dir.path().join("generic/ext");
        fs::create_dir_all(&extensions)?;
        for name in [
            "a.erofs",
            "a.manifest",
            "a.erofs.spdx.json",
            ".a.erofs.stamp",
        ] {
            fs::write(extensions.join(name), name)?;
        }
        write_extensions(dir.path(), None)?;
        let sums = fs::read_to_string(extensions.join(SHA256SUMS))?;
        assert_eq!(sums.lines().count(), 3, "{sums}");
        assert!(check()?);
        // An extension is built again, and one is built for another kernel.
        fs::write(extensions.join("a.erofs"), "another")?;
        let slim = dir.path().join("slim/ext");
        fs::create_dir_all(&slim)?;
        fs::write(slim.join("b.erofs"), "b")?;
        write_extensions(dir.path(), None)?;
        assert!(check()?);
        let sums = fs::read_to_string(dir.path().join(SHA256SUMS))?;
        assert!(sums.contains("  slim/ext/SHA256SUMS\n"), "{sums}");
        // A release lists the extensions of the table, whatever other files are in the directory.
        let own = slim.join("b.erofs");
        let images = [extensions.join("a.erofs")];
        assert_eq!(write_extensions(dir.path(), Some(&images))?, [own]);
        assert!(check()? && !slim.join(SHA256SUMS).exists());
        let sums = fs::read_to_string(dir.path().join(SHA256SUMS))?;
        assert!(
            sums.contains("generic/ext/") && !sums.contains("slim"),
            "{sums}"
        );
        let sums = fs::read_to_string(extensions.join(SHA256SUMS))?;
        assert_eq!(sums.lines().count(), 3, "{sums}");
        fs::write(dir.path().join(paths::VMLINUZ), "another")?;
        assert!(!check()?);
        Ok(())
    }
}
