//! `make ext`: more programs for a machine, as one read-only image that the machine
//! can be given without being made anew (docs/guide/extensions.md).
//!
//! An extension has the files of the packages that are named, and the libraries that
//! these need; what the userland has already is left out, and so is everything that only
//! other packages have. No maintainer script is run.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

pub mod manifest;
pub mod table;

use crate::elf;
use crate::erofs;
use crate::fetch::{Debian, Wanted};
use crate::package_metadata::{self, Fetched};
use crate::progress::{Step, megabytes};
use crate::stamp::{self, Inputs};
use crate::tree::{Node, Source, Tree};
use crate::{image, overlay, paths, userland};
use manifest::Manifest;
use table::{ALTERNATIVES, KNOWN, LEFT_OUT, USERS};

/// What is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The extension's name.
    pub name: String,
    /// Debian's packages.
    pub packages: Vec<String>,
}

/// Where extensions are put.
pub fn dir() -> PathBuf {
    paths::out().join("ext")
}

/// `NAME=… PKGS=…`, or the names of extensions from the table.
///
/// # Errors
/// What went wrong, with the step.
pub fn main(names: &[String]) -> Result<()> {
    let var = |name| std::env::var(name).unwrap_or_default();
    let wishes = match names {
        [] => vec![Wish::read(&var("NAME"), &var("PKGS"))?],
        names => names
            .iter()
            .map(|name| Wish::read(name, ""))
            .collect::<Result<_>>()?,
    };
    let wanted = Wanted::from_env()?;
    let _lock = stamp::lock(&paths::out())?;
    wishes
        .iter()
        .try_for_each(|wish| make(&wanted, wish).map(drop))
}

/// Images of the extensions in `list`, with commas between: made if the table has them,
/// else there.
///
/// # Errors
/// One cannot be made, or is not there.
pub fn listed(wanted: &Wanted, list: &str) -> Result<Vec<PathBuf>> {
    let names = list.split(',').filter(|name| !name.is_empty());
    let one = |name: &str| {
        let image = dir().join(format!("{name}.erofs"));
        match Wish::read(name, "") {
            Ok(wish) => make(wanted, &wish),
            Err(_) if image.exists() => Ok(image),
            Err(error) => Err(error),
        }
    };
    names.map(one).collect()
}

/// What stands beside an image.
pub fn manifest_of(image: &Path) -> PathBuf {
    image.with_extension("manifest")
}

impl Wish {
    /// Reads `NAME=` and `PKGS=`; without the latter the table is asked.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn read(name: &str, packages: &str) -> Result<Self> {
        let known = || KNOWN.iter().map(|k| k.name).collect::<Vec<_>>().join(", ");
        ensure!(
            is_name(name),
            "NAME={name}: an extension's name has a-z, 0-9 and -, 32 at the most; without \
             PKGS= it is one of {}",
            known()
        );
        let mut all: Vec<String> = packages.split_whitespace().map(str::to_owned).collect();
        if let Some(bad) = all.iter().find(|package| !is_package(package)) {
            bail!("PKGS: {bad} is not a name of a package");
        }
        let row = KNOWN.iter().find(|k| k.name == name);
        match row {
            // Or it would be made anew by who means the table's, as `make iso EXT=` does.
            Some(row) if !all.is_empty() => bail!(
                "NAME={name} is {}; other packages have another name",
                row.packages.join(" ")
            ),
            Some(row) => all = row.packages.iter().map(|p| (*p).to_owned()).collect(),
            None => ensure!(
                !all.is_empty(),
                "NAME={name} needs PKGS=; without, it is one of {}",
                known()
            ),
        }
        let name = name.to_owned();
        let packages = all;
        Ok(Wish { name, packages })
    }
}

/// As `b2p.ext=` takes it.
fn is_name(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=32).contains(&name.len()) && !name.starts_with('-') && name.bytes().all(fits)
}

/// Debian policy, 5.6.1.
fn is_package(name: &str) -> bool {
    let first = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    name.bytes().next().is_some_and(first) && name.bytes().all(|b| first(b) || b"+-.".contains(&b))
}

/// Makes one unless it is current; its image, the manifest being beside it.
///
/// # Errors
/// What went wrong.
pub fn make(wanted: &Wanted, wish: &Wish) -> Result<PathBuf> {
    let step = Step::of("ext", 1, 2);
    let debian = wanted.fetch(&step)?;
    let fetched = wanted.fetch_extension(&wish.name, &wish.packages, &step)?;
    let made = assemble(&debian, &fetched, wanted, wish)?;
    let step = Step::of("ext", 2, 2);
    let image = dir().join(format!("{}.erofs", wish.name));
    if pack(&debian, &made, &[&debian.key, &fetched.key], &image)? {
        let unpacked = megabytes(made.tree.size()?);
        let bytes = megabytes(fs::metadata(&image)?.len());
        let (image, count) = (image.display(), erofs::count(&made.tree).1);
        step.note(&format!(
            "{image}: {bytes}, {count} files, {unpacked} unpacked"
        ));
    }
    Ok(image)
}

/// What an extension is, before it is packed.
#[derive(Debug, Default)]
pub struct Made {
    /// Its files.
    pub tree: Tree,
    /// What is said of it.
    pub manifest: Manifest,
}

/// Packs it, unless the image is current, and writes the manifest. Tells whether it did.
///
/// # Errors
/// What went wrong.
pub fn pack(debian: &Debian, made: &Made, keys: &[&str], image: &Path) -> Result<bool> {
    let text = |size, sha256: &str| made.manifest.text(size, sha256);
    let mut inputs = Inputs::new();
    inputs.add("image", erofs::extension_key(&made.tree, keys));
    inputs.add("manifest", text(0, ""));
    let packed = stamp::make(image, &inputs.finish(), |to| {
        erofs::extension(debian, &made.tree, to)
    })?;
    let manifest = manifest_of(image);
    if packed || !manifest.exists() {
        let text = text(fs::metadata(image)?.len(), &stamp::file_digest(image)?);
        fs::write(&manifest, text).with_context(|| format!("write {}", manifest.display()))?;
    }
    Ok(packed)
}

fn assemble(debian: &Debian, fetched: &Debian, wanted: &Wanted, wish: &Wish) -> Result<Made> {
    let owners = package_metadata::owners(&fetched.root)?;
    let there = |path: &&str| {
        !LEFT_OUT.iter().any(|begin| path.starts_with(begin))
            && fs::symlink_metadata(fetched.root.join(path)).is_ok()
    };
    let of = owners.iter().filter(|(_, p)| wish.packages.contains(p));
    let named: Vec<&str> = of.map(|(path, _)| path.as_str()).filter(there).collect();
    let mut base = image::base(debian)?;
    overlay::lay(&mut base, &paths::files())?;
    let all = userland::closure(&fetched.root, &named)?;
    let mut tree = beyond(&base, &all);
    link(&mut tree);
    if tree.iter().all(|(_, entry)| entry.node == Node::Dir) {
        bail!("{}: nothing is left: the machine has it all", wish.name);
    }
    let needs = needs(&tree, &base)?;
    let users = USERS.iter().filter(|(program, _)| tree.has(program));
    let manifest = Manifest {
        name: wish.name.clone(),
        suite: wanted.suite.clone(),
        libc: libc(&package_metadata::packages(&debian.root)?)?,
        needs,
        users: users.map(|(_, user)| (*user).to_owned()).collect(),
        packages: packages(&tree, &owners, &package_metadata::packages(&fetched.root)?),
    };
    Ok(Made { tree, manifest })
}

/// What of `all` the machine does not have. Busybox's commands give way to real ones.
fn beyond(base: &Tree, all: &Tree) -> Tree {
    let applet = |path: &str| {
        let node = base.get(path).map(|entry| &entry.node);
        matches!(node, Some(Node::Link(to)) if to.ends_with("busybox"))
    };
    let mut tree = Tree::new();
    for (path, entry) in all.iter() {
        let new = entry.node != Node::Dir && (!base.has(path) || applet(path));
        if new {
            tree.put(path, entry.node.clone(), entry.mode);
        }
    }
    tree
}

fn link(tree: &mut Tree) {
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

/// The libraries that its programs find in the machine only.
fn needs(tree: &Tree, base: &Tree) -> Result<Vec<String>> {
    let mut all = BTreeSet::new();
    for (_, entry) in tree.iter() {
        let Node::File(Source::Path(file)) = &entry.node else {
            continue;
        };
        all.extend(elf::needs(file)?.libraries);
    }
    let of_base = |name: &String| base.has(&format!("{}/{name}", elf::LIBRARIES));
    Ok(all.into_iter().filter(of_base).collect())
}

/// The C library's version, as it says it itself.
fn libc(versions: &[Fetched]) -> Result<String> {
    let mut all = versions.iter();
    let libc = all
        .find(|p| p.name == "libc6")
        .context("no libc6 among the packages")?;
    let version = libc.version.split('-').next().unwrap_or_default();
    Ok(version.to_owned())
}

/// Whose files it has.
fn packages(tree: &Tree, owners: &BTreeMap<String, String>, all: &[Fetched]) -> Vec<Fetched> {
    let names: BTreeSet<&String> = tree
        .iter()
        .filter_map(|(path, _)| owners.get(path))
        .collect();
    let of_it = all.iter().filter(|package| names.contains(&package.name));
    of_it.cloned().collect()
}

#[cfg(test)]
mod tests;
