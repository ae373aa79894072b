// SPDX-License-Identifier: Apache-2.0
//! Bill of materials: every package of which a part is in the machine, with version, licence and
//! hash. The bill is written to `manifest.json`, to an [`spdx`] document, and to a list in the
//! machine for `b2p version --verbose`.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde::Serialize;

pub mod copyright;
pub mod crates;
pub mod licence;
pub mod medium;
pub mod spdx;
pub mod time;

use crate::fetch::PackageTree;
use crate::package_metadata::{self, Fetched};
use crate::programs::Target;
use crate::tree::{Node, Source, Tree};

/// Path of the list in the machine, for `b2p version` (b2p/src/client/version.rs).
pub const LIST: &str = "usr/share/boot2podman/packages.tsv";

/// Packages in the machine that own no file of the userland's tree.
const WITHOUT_FILES: &[(&str, &str)] = &[
    (
        "busybox-static",
        "in the initrd's head, mounted over an empty file",
    ),
    (
        "ca-certificates",
        "its certificates are in one file that the build makes",
    ),
];

/// Kind of a component.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ComponentKind {
    /// Kernel package, with its modules.
    Kernel,
    /// Debian package.
    #[default]
    Debian,
    /// Rust crate.
    Crate,
    /// Library that is part of Rust's compiler.
    Rust,
    /// File of this build that has a document of its own.
    Artifact,
}

/// Package, crate or file with a part in the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Component {
    /// Kind.
    pub kind: ComponentKind,
    /// Name in Debian or on crates.io.
    pub name: String,
    /// Version.
    pub version: String,
    /// SPDX expression, as the authors declare it; `NOASSERTION` if they do not.
    pub licence: String,
    /// SHA-256 of the .deb or .crate; empty for components without a file of their own.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sha256: String,
    /// Home page; may be empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub homepage: String,
    /// Debian source package with its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<(String, String)>,
    /// Source packages of which code is linked in.
    #[serde(skip)]
    pub contains: Vec<(String, String)>,
    /// Text of each `LicenseRef-` in the licence.
    #[serde(skip)]
    pub texts: BTreeMap<String, String>,
}

/// Returns the components of a machine with the userland `tree` and this kernel.
///
/// # Errors
/// A package or its copyright file cannot be read, or cargo failed.
pub fn collect(
    debian: &PackageTree,
    linux: &PackageTree,
    tree: &Tree,
    target: Target,
) -> Result<Vec<Component>> {
    let used = used_packages(debian, tree)?;
    let mut components = kernel(linux)?;
    for package in package_metadata::packages(&debian.root)? {
        if used.contains(&package.name) {
            components.push(debian_component(ComponentKind::Debian, debian, package)?);
        }
    }
    components.extend(crates::linked(target)?);
    components.sort_by(|a, b| (a.kind, &a.name, &a.version).cmp(&(b.kind, &b.name, &b.version)));
    Ok(components)
}

/// Returns the kernel's component: the package of Debian's image, or of the sources that the slim
/// kernel is compiled from. Nothing else is unpacked of a kernel's dependencies, and packages
/// without a version in their name are empty.
pub(crate) fn kernel(linux: &PackageTree) -> Result<Vec<Component>> {
    let is_kernel = |p: &Fetched| {
        let rest = p.name.strip_prefix("linux-image-");
        let rest = rest.or(p.name.strip_prefix("linux-source-"));
        rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    let packages = package_metadata::packages(&linux.root)?
        .into_iter()
        .filter(is_kernel);
    packages
        .map(|p| debian_component(ComponentKind::Kernel, linux, p))
        .collect()
}

pub(crate) fn debian_component(
    kind: ComponentKind,
    tree: &PackageTree,
    package: Fetched,
) -> Result<Component> {
    let text = package_metadata::copyright(&tree.root, &package.name)?;
    let licences = copyright::read(&package.source, &text);
    Ok(Component {
        kind,
        name: package.name,
        version: package.version,
        licence: licences.expression,
        sha256: package.sha256,
        homepage: package.homepage,
        source: Some((package.source, package.source_version)),
        contains: package.contains,
        texts: licences.texts,
    })
}

/// Returns the names of the packages that files of the tree are from.
fn used_packages(debian: &PackageTree, tree: &Tree) -> Result<BTreeSet<String>> {
    let owners = package_metadata::owners(&debian.root)?;
    let mut used: BTreeSet<String> = WITHOUT_FILES
        .iter()
        .map(|(name, _)| (*name).into())
        .collect();
    for (_, entry) in tree.iter() {
        let Node::File(Source::Path(from)) = &entry.node else {
            continue;
        };
        // The other files are the kernel's modules.
        let Ok(path) = from.strip_prefix(&debian.root) else {
            continue;
        };
        let owner = owners.get(&*path.to_string_lossy());
        let owner = owner
            .with_context(|| format!("/{} is in the machine, but in no package", path.display()))?;
        used.insert(owner.clone());
    }
    Ok(used)
}

/// Returns the list for the machine: kind, name, version and licence, separated by tabs.
pub fn list(components: &[Component]) -> String {
    let line = |c: &Component| {
        let kind = match c.kind {
            ComponentKind::Kernel => "kernel",
            ComponentKind::Debian => "debian",
            ComponentKind::Crate => "crate",
            ComponentKind::Rust => "rust",
            ComponentKind::Artifact => "made",
        };
        format!("{kind}\t{}\t{}\t{}\n", c.name, c.version, c.licence)
    };
    components.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn only_packages_with_files_in_the_tree_are_listed() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let root = dir.path().to_path_buf();
        let line = |name: &str| format!("{name}\t1\t{name}-src\t1\tsum\t\t, \n");
        let names = ["bash", "busybox-static", "ca-certificates", "unused"];
        fs::write(root.join("packages.tsv"), names.map(line).concat())?;
        fs::write(
            root.join("packages.files"),
            "bash\tbin/bash\nunused\tusr/bin/unused\n",
        )?;
        fs::create_dir_all(root.join("usr/share/doc/bash"))?;
        let text = "Format: 1.0\n\nFiles: *\nLicense: GPL-3+\n";
        fs::write(root.join("usr/share/doc/bash/copyright"), text)?;
        let debian = PackageTree::of_host(root.clone(), String::new());
        let mut tree = Tree::new();
        tree.file("usr/bin/bash", &root.join("usr/bin/bash"), 0o755);
        let used = used_packages(&debian, &tree)?;
        assert_eq!(
            used.iter().map(String::as_str).collect::<Vec<_>>(),
            &names[..3]
        );
        let package = package_metadata::packages(&root)?.remove(0);
        let bash = debian_component(ComponentKind::Debian, &debian, package)?;
        assert_eq!(list(&[bash]), "debian\tbash\t1\tGPL-3.0-or-later\n");
        tree.file("usr/bin/stray", &root.join("usr/bin/stray"), 0o755);
        let error = used_packages(&debian, &tree).expect_err("no package owns it");
        assert!(error.to_string().contains("/usr/bin/stray"), "{error}");
        Ok(())
    }
}
