// SPDX-License-Identifier: Apache-2.0
//! The plain files of `initramfs/files/`, which replace those of the packages. `@VERSION@` in
//! os-release becomes the crate's version.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};

use crate::tree::Tree;

/// Copies the files in `from` into `tree`.
pub fn apply(tree: &mut Tree, from: &Path) -> Result<()> {
    apply_directory(tree, from, "")
}

fn apply_directory(tree: &mut Tree, from: &Path, prefix: &str) -> Result<()> {
    let entries = fs::read_dir(from).with_context(|| format!("read {}", from.display()))?;
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if prefix.is_empty() {
            name
        } else {
            format!("{prefix}/{name}")
        };
        let meta = entry.metadata()?;
        if meta.is_symlink() {
            tree.link(&path, &fs::read_link(entry.path())?.to_string_lossy());
        } else if meta.is_dir() {
            tree.dir(&path);
            apply_directory(tree, &entry.path(), &path)?;
        } else {
            let executable = meta.permissions().mode() & 0o100 != 0;
            let bytes = content(&entry.path(), &path)?;
            tree.bytes(&path, bytes, if executable { 0o755 } else { 0o644 });
        }
    }
    Ok(())
}

fn content(from: &Path, path: &str) -> Result<Vec<u8>> {
    let bytes = fs::read(from).with_context(|| format!("read {}", from.display()))?;
    if path != "usr/lib/os-release" {
        return Ok(bytes);
    }
    let text = String::from_utf8(bytes).with_context(|| format!("{}: UTF-8", from.display()))?;
    Ok(text
        .replace("@VERSION@", env!("CARGO_PKG_VERSION"))
        .into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{Node, Source};

    fn text(tree: &Tree, path: &str) -> String {
        match tree.get(path).map(|e| &e.node) {
            Some(Node::File(Source::Bytes(bytes))) => String::from_utf8_lossy(bytes).into_owned(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn our_files_are_there_and_the_version_is_filled_in() -> Result<()> {
        let mut tree = Tree::new();
        apply(&mut tree, &crate::paths::files())?;
        let release = text(&tree, "usr/lib/os-release");
        assert!(release.contains("ID=boot2podman\n"), "{release}");
        assert!(
            release.contains(concat!("VERSION_ID=", env!("CARGO_PKG_VERSION"))),
            "{release}"
        );
        Ok(())
    }

    #[test]
    fn no_account_has_a_password() -> Result<()> {
        let mut tree = Tree::new();
        apply(&mut tree, &crate::paths::files())?;
        for line in text(&tree, "etc/shadow").lines() {
            assert_eq!(line.split(':').nth(1), Some("*"), "{line}");
        }
        for line in text(&tree, "etc/passwd").lines() {
            assert_eq!(line.split(':').nth(1), Some("x"), "{line}");
        }
        Ok(())
    }
}
