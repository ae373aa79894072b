// SPDX-License-Identifier: Apache-2.0
//! Bill of materials of an extension: the packages that its files are from, with the kernel of its modules.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::manifest::Manifest;
use crate::artifact::Artifact;
use crate::bom::medium::spdx_name;
use crate::bom::{ComponentKind, debian_component, kernel, spdx, time};
use crate::fetch::{BuildConfig, PackageTree};
use crate::fsutil;
use crate::package_metadata::Fetched;

/// Returns the path of the document of an image.
///
/// # Errors
/// The path has no name.
pub fn path(image: &Path) -> Result<PathBuf> {
    Ok(image.with_file_name(spdx_name(&fsutil::file_name(image)?)))
}

/// Writes the document of `image`, which has files of the packages that its manifest names, and modules of the
/// kernel in the second tree, to the directory of the image.
///
/// # Errors
/// A file cannot be read or written.
pub fn describe(
    (tree, linux): (&PackageTree, Option<&PackageTree>),
    config: &BuildConfig,
    image: &Path,
    manifest: &Manifest,
) -> Result<()> {
    let component = |p: &Fetched| debian_component(ComponentKind::Debian, tree, p.clone());
    let components = manifest.packages.iter().map(component);
    let mut components = components.collect::<Result<Vec<_>>>()?;
    if let Some(linux) = linux {
        components.extend(kernel(linux)?);
    }
    let name = fsutil::file_name(image)?;
    let document = spdx::Document {
        suite: &config.suite,
        artifacts: &[Artifact::of(image, &name)?],
        components: &components,
        created: time::source(),
    };
    fsutil::replace_text(&path(image)?, &document.text()?)
}
