// SPDX-License-Identifier: Apache-2.0
//! `make ext`: more programs for a machine, as one read-only image that the machine can be given
//! without being built anew (docs/guide/extensions.md).
//!
//! An extension has the files of the requested packages and the libraries that these need. Files
//! that the userland has already are left out, and so are files that only other packages have. No
//! maintainer script is run.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

pub mod additions;
mod jobs;
pub mod manifest;
mod materials;
mod names;
mod request;
pub mod table;

use crate::arch::Arch;
use crate::fetch::{BuildConfig, PackageTree};
use crate::package_metadata::{self, Fetched};
use crate::progress::{Step, megabytes};
use crate::stamp::{self, Inputs};
use crate::tree::{Node, Source, Tree};
use crate::{elf, erofs, fsutil, image, overlay, paths, userland};
pub use jobs::build;
use manifest::Manifest;
pub use request::Request;
use table::ALTERNATIVES;

/// Files by which packages declare users (sysusers.d(5)).
const SYSUSERS: &str = "usr/lib/sysusers.d/";

/// Returns the images of the extensions in the comma-separated `list`. Extensions of the table
/// are made; others must exist.
///
/// # Errors
/// An extension cannot be made or does not exist.
pub fn images(config: &BuildConfig, list: &str) -> Result<Vec<PathBuf>> {
    let names = list.split(',').filter(|name| !name.is_empty());
    let image = |name: &str| match Request::new(name, "") {
        Ok(request) => make(&request.config(config), &request),
        Err(error) => {
            let dirs = [paths::extensions_of(config.kernel), paths::extensions()];
            let mut made = dirs.iter().map(|dir| dir.join(format!("{name}.erofs")));
            made.find(|image| image.exists()).ok_or(error)
        }
    };
    names.map(image).collect()
}

/// Returns the path of an image's manifest.
pub fn manifest_of(image: &Path) -> PathBuf {
    image.with_extension("manifest")
}

/// Makes an extension unless it is up to date. Returns the path of its image; the manifest is in
/// the same directory.
///
/// # Errors
/// A step of the build failed.
pub fn make(config: &BuildConfig, request: &Request) -> Result<PathBuf> {
    let step = Step::new("ext", 1, 2);
    let debian = config.fetch_userland(&step)?;
    let fetched = config.fetch_extension(&request.name, &request.packages, &step)?;
    let mut extension = assemble(&debian, &fetched, config, request)?;
    let additions = &request.additions;
    let (modules_key, linux) = additions.add_to(&mut extension, &debian, config, &step)?;
    ensure_content(&extension)?;
    let step = Step::new("ext", 2, 2);
    let image = request.image_path(config);
    let trees = (&fetched, linux.as_ref());
    let document = || materials::describe(trees, config, &image, &extension.manifest);
    let keys = [&debian.key, &fetched.key, &modules_key];
    if pack(&debian, &extension, &keys.map(String::as_str), &image)? {
        step.note(&format!(
            "{}: {}, {} files, {} unpacked",
            image.display(),
            megabytes(fsutil::size(&image)?),
            erofs::count(&extension.tree).1,
            megabytes(extension.tree.size()?)
        ));
        document()?;
    } else if !materials::path(&image)?.exists() {
        document()?;
    }
    Ok(image)
}

/// Fetches the packages of extensions of the table unless they are there.
///
/// # Errors
/// A name is not in the table, or its packages cannot be fetched.
pub fn fetch(names: &[&str], config: &BuildConfig, step: &Step) -> Result<Vec<PackageTree>> {
    let fetch = |name: &&str| {
        let request = Request::new(name, "")?;
        config.fetch_extension(&request.name, &request.packages, step)
    };
    names.iter().map(fetch).collect()
}

/// Unpacked content of an extension.
#[derive(Debug, Default)]
pub struct Extension {
    /// Files.
    pub tree: Tree,
    /// Description.
    pub manifest: Manifest,
}

/// Packs an extension unless the image is up to date, and writes the manifest. Returns true if the
/// extension was packed.
///
/// # Errors
/// A file cannot be read or written, or mkfs.erofs failed.
pub fn pack(
    debian: &PackageTree,
    extension: &Extension,
    keys: &[&str],
    image: &Path,
) -> Result<bool> {
    let text = |size, sha256: &str| extension.manifest.text(size, sha256);
    let mut inputs = Inputs::new();
    inputs.add("image", erofs::extension_key(&extension.tree, keys));
    inputs.add("manifest", text(0, ""));
    let packed = stamp::make(image, &inputs.finish(), |to| {
        erofs::make_extension(debian, &extension.tree, to)
    })?;
    let manifest = manifest_of(image);
    if packed || !manifest.exists() {
        let text = text(fsutil::size(image)?, &stamp::file_digest(image)?);
        fs::write(&manifest, text).with_context(|| format!("write {}", manifest.display()))?;
    }
    Ok(packed)
}

fn assemble(
    debian: &PackageTree,
    fetched: &PackageTree,
    config: &BuildConfig,
    request: &Request,
) -> Result<Extension> {
    let owners = package_metadata::owners(&fetched.root)?;
    let included = |path: &&str| {
        !request.leaves_out(path, debian.arch)
            && fs::symlink_metadata(fetched.root.join(path)).is_ok()
    };
    let packages = package_metadata::packages(&fetched.root)?;
    let machine = package_metadata::packages(&debian.root)?;
    let included_packages = request.included(&packages, &machine);
    let requested: Vec<&str> = owners
        .iter()
        .filter(|(_, package)| included_packages.contains(package.as_str()))
        .map(|(path, _)| path.as_str())
        .collect();
    let paths: Vec<&str> = requested.iter().copied().filter(included).collect();
    let mut base = image::base(debian)?;
    overlay::apply(&mut base, &paths::files())?;
    let mut tree = without_base(&userland::closure(fetched, &paths)?, &base);
    add_alternatives(&mut tree);
    let needs = needed_libraries(&tree, &base, debian.arch)?;
    let is_declaration = |path: &&str| path.starts_with(SYSUSERS);
    let declared: Vec<&str> = requested.into_iter().filter(is_declaration).collect();
    let users = additions::users(&tree, &fetched.root, &declared)?;
    let manifest = Manifest {
        name: request.name.clone(),
        suite: config.suite.clone(),
        architecture: debian.arch.debian,
        libc: libc_version(&machine)?,
        needs,
        users,
        packages: used_packages(&tree, &owners, &packages),
        ..Manifest::default()
    };
    Ok(Extension { tree, manifest })
}

/// Refuses an extension without a file.
fn ensure_content(extension: &Extension) -> Result<()> {
    let mut entries = extension.tree.iter();
    ensure!(
        entries.any(|(_, entry)| entry.node != Node::Dir),
        "{}: nothing is left: the machine has all of it",
        extension.manifest.name
    );
    Ok(())
}

/// Returns the part of `selected` that the machine does not have. Real commands replace those of
/// busybox.
fn without_base(selected: &Tree, base: &Tree) -> Tree {
    let is_applet = |path: &str| {
        let node = base.get(path).map(|entry| &entry.node);
        matches!(node, Some(Node::Link(to)) if to.ends_with("busybox"))
    };
    let mut tree = Tree::new();
    for (path, entry) in selected.iter() {
        let new = entry.node != Node::Dir && (!base.has(path) || is_applet(path));
        if new {
            tree.put(path, entry.node.clone(), entry.mode);
        }
    }
    tree
}

fn add_alternatives(tree: &mut Tree) {
    for (program, names) in ALTERNATIVES {
        let Some((dir, file)) = program.rsplit_once('/').filter(|_| tree.has(program)) else {
            continue;
        };
        for name in *names {
            let path = format!("{dir}/{name}");
            if !tree.has(&path) {
                tree.link(&path, file);
            }
        }
    }
}

/// Returns the libraries that the extension's programs need and only the machine has.
fn needed_libraries(tree: &Tree, base: &Tree, arch: &Arch) -> Result<Vec<String>> {
    let mut libraries = BTreeSet::new();
    for (_, entry) in tree.iter() {
        let Node::File(Source::Path(file)) = &entry.node else {
            continue;
        };
        libraries.extend(elf::needs(file)?.libraries);
    }
    libraries.retain(|name| base.has(&format!("{}/{name}", arch.libraries)));
    Ok(libraries.into_iter().collect())
}

/// Returns the version of the C library without Debian's revision.
fn libc_version(packages: &[Fetched]) -> Result<String> {
    let libc = packages.iter().find(|p| p.name == "libc6");
    let libc = libc.context("no libc6 among the packages")?;
    let version = libc.version.split('-').next().unwrap_or_default();
    Ok(version.to_owned())
}

/// Returns the packages that files of the tree are from.
fn used_packages(
    tree: &Tree,
    owners: &BTreeMap<String, String>,
    packages: &[Fetched],
) -> Vec<Fetched> {
    let names: BTreeSet<&String> = tree
        .iter()
        .filter_map(|(path, _)| owners.get(path))
        .collect();
    let used = packages
        .iter()
        .filter(|package| names.contains(&package.name));
    used.cloned().collect()
}

#[cfg(test)]
mod tests;
