// SPDX-License-Identifier: Apache-2.0
//! Files of kernel modules: from their packages into the image, and back for comparisons.

use std::fs;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use sys::modules::restore::restore;

use super::patch::patch;
use crate::fetch::PackageTree;
use crate::tools;

/// Files that depmod and PID 1 read beside the modules.
pub(super) const LISTS: &[&str] = &[
    "modules.order",
    "modules.builtin",
    "modules.builtin.modinfo",
];

/// Unpacks the modules with these paths, patches them and copies the lists.
pub fn unpack_all(linux: &PackageTree, release: &str, paths: &[String], to: &Path) -> Result<()> {
    let from = linux.root.join("usr/lib/modules").join(release);
    let to = to.join("usr/lib/modules").join(release);
    unpack(linux, release, paths, &to)?;
    for name in LISTS {
        fs::copy(from.join(name), to.join(name)).with_context(|| format!("copy {name}"))?;
    }
    Ok(())
}

/// Unpacks and patches the modules with these paths into the directory `to`.
pub fn unpack(linux: &PackageTree, release: &str, paths: &[String], to: &Path) -> Result<()> {
    let from = linux.root.join("usr/lib/modules").join(release);
    fs::create_dir_all(to).with_context(|| format!("make {}", to.display()))?;
    for path in paths {
        let target = to.join(path.trim_end_matches(".xz"));
        fs::create_dir_all(target.parent().unwrap_or(to))?;
        let original = read_module(&from.join(path))?;
        let bytes = patch(&original).with_context(|| format!("patch {path}"))?;
        fs::write(&target, bytes).with_context(|| format!("write {}", target.display()))?;
    }
    Ok(())
}

/// Copies a directory and restores the modules in the copy.
pub fn restore_all(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("make {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("read {}", from.display()))? {
        let (path, to) = (entry?.path(), to.to_path_buf());
        let to = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            restore_all(&path, &to)?;
            continue;
        }
        let mut bytes = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        let restored = restore(&mut bytes);
        ensure!(restored.is_ok(), "{}: a damaged record", path.display());
        fs::write(&to, bytes).with_context(|| format!("write {}", to.display()))?;
    }
    Ok(())
}

/// Returns the content of a module, unpacked.
///
/// # Errors
/// The file cannot be read or unpacked.
pub fn read_module(path: &Path) -> Result<Vec<u8>> {
    let packed = fs::read(path).with_context(|| format!("read {}", path.display()))?;
    if path.extension().is_none_or(|e| e != "xz") {
        return Ok(packed);
    }
    let mut bytes = Vec::with_capacity(packed.len() * 4);
    lzma_rust2::XzReader::new(packed.as_slice(), false)
        .read_to_end(&mut bytes)
        .with_context(|| format!("unpack {}", path.display()))?;
    Ok(bytes)
}

/// Runs depmod on `base`/lib/modules/`release`, with the output there or under `out`.
pub fn depmod(debian: &PackageTree, release: &str, base: &Path, out: Option<&Path>) -> Result<()> {
    let mut command = tools::command_in(debian, "depmod")?;
    command.arg("-b").arg(base);
    if let Some(out) = out {
        command.arg("-o").arg(out);
    }
    tools::run(command.arg(release), "depmod").map(drop)
}
