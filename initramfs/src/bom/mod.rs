//! The bill of materials: every package of which something is in the machine, with its
//! version, licence and hash. It is written three times: into `manifest.json`, as an
//! [`spdx`] document, and as a list in the machine, for `b2p version --verbose`.

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

/// Where the list is in the machine. `b2p/src/version.rs` reads it.
pub const LIST: &str = "usr/share/boot2podman/packages.tsv";

/// Packages that no file of the userland's tree leads to.
const BESIDE: &[(&str, &str)] = &[
    (
        "busybox-static",
        "in the initrd's head, mounted over an empty file",
    ),
    (
        "ca-certificates",
        "its certificates are in one file, made here",
    ),
];

/// Where a component comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The kernel's package, with its modules.
    Kernel,
    /// A package of Debian's.
    #[default]
    Debian,
    /// A Rust crate.
    Crate,
    /// What Rust's compiler brings along.
    Rust,
    /// A file that was made here, and has a document of its own.
    Made,
}

/// Something that is in the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Component {
    /// Where it comes from.
    pub kind: Kind,
    /// Its name there.
    pub name: String,
    /// Its version.
    pub version: String,
    /// An SPDX expression, as its makers declare it; `NOASSERTION` where they do not.
    pub licence: String,
    /// SHA-256 of the .deb or .crate; empty for what is no file of its own.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sha256: String,
    /// Its home page; may be empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub homepage: String,
    /// The source package that Debian built it from, with its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<(String, String)>,
    /// Source packages of which code is linked into it.
    #[serde(skip)]
    pub contains: Vec<(String, String)>,
    /// What each `LicenseRef-` in the licence stands for.
    #[serde(skip)]
    pub texts: BTreeMap<String, String>,
}

/// Everything that is in the machine, which has the userland `tree` and this kernel.
///
/// # Errors
/// When a package or its copyright file cannot be read, or cargo does not answer.
pub fn collect(
    debian: &PackageTree,
    linux: &PackageTree,
    tree: &Tree,
    target: Target,
) -> Result<Vec<Component>> {
    let used = used(debian, tree)?;
    let mut all = kernel(linux)?;
    for package in package_metadata::packages(&debian.root)? {
        if used.contains(&package.name) {
            all.push(of_debian(Kind::Debian, debian, package)?);
        }
    }
    all.extend(crates::all(target)?);
    all.sort_by(|a, b| (a.kind, &a.name, &a.version).cmp(&(b.kind, &b.name, &b.version)));
    Ok(all)
}

/// Of what comes with the kernel only the kernel is unpacked: an image that Debian
/// built, or the sources that we built one of. The package without a version of its own
/// in the name holds nothing.
fn kernel(linux: &PackageTree) -> Result<Vec<Component>> {
    let is = |p: &Fetched| {
        let rest = p.name.strip_prefix("linux-image-");
        let rest = rest.or(p.name.strip_prefix("linux-source-"));
        rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    let packages = package_metadata::packages(&linux.root)?
        .into_iter()
        .filter(is);
    packages
        .map(|p| of_debian(Kind::Kernel, linux, p))
        .collect()
}

fn of_debian(kind: Kind, tree: &PackageTree, package: Fetched) -> Result<Component> {
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

/// The names of the packages that files of the tree come from.
fn used(debian: &PackageTree, tree: &Tree) -> Result<BTreeSet<String>> {
    let owners = package_metadata::owners(&debian.root)?;
    let mut used: BTreeSet<String> = BESIDE.iter().map(|(name, _)| (*name).into()).collect();
    for (_, entry) in tree.iter() {
        let Node::File(Source::Path(from)) = &entry.node else {
            continue;
        };
        // Others are modules, which are the kernel's.
        let Ok(path) = from.strip_prefix(&debian.root) else {
            continue;
        };
        let owner = owners.get(&*path.to_string_lossy());
        let owner = owner
            .with_context(|| format!("/{} is in the machine and in no package", path.display()))?;
        used.insert(owner.clone());
    }
    Ok(used)
}

/// The list that is in the machine: kind, name, version, licence, between tabs.
pub fn list(components: &[Component]) -> String {
    let line = |c: &Component| {
        let kind = match c.kind {
            Kind::Kernel => "kernel",
            Kind::Debian => "debian",
            Kind::Crate => "crate",
            Kind::Rust => "rust",
            Kind::Made => "made",
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
    fn only_what_is_in_the_tree_counts() -> Result<()> {
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
        let debian = PackageTree {
            root: root.clone(),
            key: String::new(),
        };
        let mut tree = Tree::new();
        tree.file("usr/bin/bash", &root.join("usr/bin/bash"), 0o755);
        let used = used(&debian, &tree)?;
        assert_eq!(
            used.iter().map(String::as_str).collect::<Vec<_>>(),
            &names[..3]
        );
        let package = package_metadata::packages(&root)?.remove(0);
        let bash = of_debian(Kind::Debian, &debian, package)?;
        assert_eq!(list(&[bash]), "debian\tbash\t1\tGPL-3.0-or-later\n");
        tree.file("usr/bin/stray", &root.join("usr/bin/stray"), 0o755);
        let error = super::used(&debian, &tree).expect_err("nobody's");
        assert!(error.to_string().contains("/usr/bin/stray"), "{error}");
        Ok(())
    }
}
