// SPDX-License-Identifier: Apache-2.0
//! Bill of materials of a medium: the boot loader, and references to kernel and initrd, which
//! have a document of their own.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::{Component, ComponentKind, debian_component, spdx, time};
use crate::artifact::Artifact;
use crate::fetch::PackageTree;
use crate::{fsutil, package_metadata};

/// Returns the name of a medium's document.
pub fn spdx_name(medium: &str) -> String {
    format!("{medium}.spdx.json")
}

/// Writes the document of `medium`, which was made with the loaders in `tree` and contains `files`,
/// to the directory of the medium.
///
/// # Errors
/// A file cannot be read or written.
pub fn describe(tree: &PackageTree, suite: &str, medium: &Path, files: &[PathBuf]) -> Result<()> {
    let mut components = Vec::new();
    // The other packages of the tree are tools and dependencies.
    let on_media = |name: &str| tree.arch.loaders.iter().any(|(loader, _)| *loader == name);
    for package in package_metadata::packages(&tree.root)? {
        if on_media(&package.name) {
            components.push(debian_component(ComponentKind::Debian, tree, package)?);
        }
    }
    for file in files {
        let artifact = Artifact::of(file, &fsutil::file_name(file)?)?;
        components.push(Component {
            kind: ComponentKind::Artifact,
            name: artifact.name,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            licence: "NOASSERTION".to_owned(),
            sha256: artifact.sha256,
            ..Component::default()
        });
    }
    let medium_name = fsutil::file_name(medium)?;
    let document = spdx::Document {
        suite,
        artifacts: &[Artifact::of(medium, &medium_name)?],
        components: &components,
        created: time::source(),
    };
    fsutil::replace_text(
        &medium.with_file_name(spdx_name(&medium_name)),
        &document.text()?,
    )
}
