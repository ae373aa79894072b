//! The bill of materials of a medium to boot from: a boot loader, beside kernel and
//! initrd, which have a document of their own.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{Component, Kind, of_debian, spdx, time};
use crate::artifact::Artifact;
use crate::fetch::PackageTree;
use crate::{fsutil, package_metadata};

/// Packages of which code is on a medium; the others of [`crate::packages::LOADERS`], and
/// what they need, are tools.
const ON_MEDIA: &[&str] = &["grub-pc-bin", "grub-efi-amd64-bin"];

/// The name of a medium's document.
pub fn spdx_name(medium: &str) -> String {
    format!("{medium}.spdx.json")
}

/// Writes the document of `medium` beside it: it was made with the loaders in `tree`
/// and holds `files`.
///
/// # Errors
/// When something cannot be read or written.
pub fn describe(tree: &PackageTree, suite: &str, medium: &Path, files: &[PathBuf]) -> Result<()> {
    let mut components = Vec::new();
    for package in package_metadata::packages(&tree.root)? {
        if ON_MEDIA.contains(&package.name.as_str()) {
            components.push(of_debian(Kind::Debian, tree, package)?);
        }
    }
    for file in files {
        let made = Artifact::of(file, &file_name(file)?)?;
        components.push(Component {
            kind: Kind::Made,
            name: made.name,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            licence: "NOASSERTION".to_owned(),
            sha256: made.sha256,
            ..Component::default()
        });
    }
    let of = file_name(medium)?;
    let document = spdx::Document {
        suite,
        artifacts: &[Artifact::of(medium, &of)?],
        components: &components,
        created: time::source(),
    };
    fsutil::replace_text(&medium.with_file_name(spdx_name(&of)), &document.text()?)
}

fn file_name(path: &Path) -> Result<String> {
    let name = path.file_name().context("a file has a name")?;
    Ok(name.to_string_lossy().into_owned())
}
