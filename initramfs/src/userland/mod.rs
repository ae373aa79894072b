// SPDX-License-Identifier: Apache-2.0
//! Content of the userland image: the [`table`] of paths, each with a reason, and their
//! dependencies. A symbolic link adds its target; an ELF file adds its loader and libraries. The
//! plain files of
//! `initramfs/files/` replace those of the packages at the end.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail};

pub mod table;

use crate::elf;
use crate::fetch::PackageTree;
use crate::tree::{Node, Tree};
use table::{BIND_TARGETS, DIRECTORIES, LINKS, MODES, PICKS};

/// Returns the tables' paths of the unpacked packages, with their dependencies.
pub fn select(debian: &PackageTree) -> Result<Tree> {
    let tables = [PICKS, debian.arch.picks].concat();
    select_from(debian, &tables)
}

/// Returns the paths of a table of paths and reasons, with their dependencies.
pub fn select_from(packages: &PackageTree, table: &[(&str, &str)]) -> Result<Tree> {
    let mut selection = Selection::new(packages);
    for (path, why) in table {
        selection
            .add(&path.replace("{libraries}", selection.libraries))
            .with_context(|| format!("userland table: /{path} ({why})"))?;
    }
    Ok(selection.tree)
}

/// Returns these paths of unpacked packages, with their dependencies. A link without a target is
/// included: another tree may have the target.
pub fn closure(packages: &PackageTree, paths: &[&str]) -> Result<Tree> {
    let root = &packages.root;
    let mut selection = Selection::new(packages);
    for path in paths {
        let from = root.join(path);
        match fs::read_link(&from) {
            Ok(target) if !root.join(join(path, &target.to_string_lossy())).exists() => {
                let path = selection.resolve_parents(path)?;
                selection.tree.link(&path, &target.to_string_lossy());
            }
            _ => selection.add(path).with_context(|| format!("/{path}"))?,
        }
    }
    Ok(selection.tree)
}

/// Adds the files of the tables that are in no package.
pub fn add_tables(tree: &mut Tree, root: &Path) -> Result<()> {
    for (path, _) in DIRECTORIES {
        tree.dir(path);
    }
    for (path, _) in BIND_TARGETS {
        tree.bytes(path, "", 0o755);
    }
    for (path, target, _) in LINKS {
        tree.link(path, target);
    }
    tree.bytes(
        "etc/ssl/certs/ca-certificates.crt",
        certificates(root)?,
        0o644,
    );
    Ok(())
}

/// Sets modes and owners by the table.
pub fn set_modes(tree: &mut Tree) -> Result<()> {
    MODES
        .iter()
        .try_for_each(|(path, mode, uid, gid, _)| tree.set_mode_and_owner(path, *mode, *uid, *gid))
}

/// Returns all of Mozilla's certificate authorities in one file, in the form of
/// update-ca-certificates(8).
fn certificates(root: &Path) -> Result<Vec<u8>> {
    let dir = root.join("usr/share/ca-certificates/mozilla");
    let mut files: Vec<PathBuf> = fs::read_dir(&dir)
        .with_context(|| format!("read {}", dir.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    files.sort();
    let mut bundle = Vec::new();
    for file in files {
        bundle.extend(fs::read(&file).with_context(|| format!("read {}", file.display()))?);
    }
    Ok(bundle)
}

/// Tree of selected paths.
struct Selection<'a> {
    root: &'a Path,
    /// Directory of libraries that no ELF header names.
    libraries: &'a str,
    tree: Tree,
    seen: BTreeSet<String>,
}

impl<'a> Selection<'a> {
    fn new(packages: &'a PackageTree) -> Self {
        Self {
            root: &packages.root,
            libraries: packages.arch.libraries,
            tree: Tree::new(),
            seen: BTreeSet::new(),
        }
    }

    /// Adds a path and its dependencies.
    fn add(&mut self, path: &str) -> Result<()> {
        let path = self.resolve_parents(path)?;
        if !self.seen.insert(path.clone()) {
            return Ok(());
        }
        let from = self.root.join(&path);
        let meta = fs::symlink_metadata(&from)
            .with_context(|| format!("/{path} is not in the packages"))?;
        if meta.is_symlink() {
            let target = fs::read_link(&from)?.to_string_lossy().into_owned();
            self.tree.link(&path, &target);
            let target_path = join(&path, &target);
            // systemd masks a unit by a link to /dev/null.
            return if target_path == "dev/null" || self.root.join(&target_path).is_dir() {
                Ok(())
            } else {
                self.add(&target_path)
            };
        }
        if meta.is_dir() {
            return self.add_directory(&path);
        }
        let executable = meta.permissions().mode() & 0o111 != 0;
        self.tree.put(
            &path,
            file_node(&from),
            if executable { 0o755 } else { 0o644 },
        );
        self.add_needs(&path)
    }

    fn add_directory(&mut self, path: &str) -> Result<()> {
        self.tree.dir(path);
        let mut names: Vec<_> = fs::read_dir(self.root.join(path))?
            .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
            .collect();
        names.sort();
        names
            .iter()
            .try_for_each(|name| self.add(&format!("{path}/{name}")))
    }

    fn add_needs(&mut self, path: &str) -> Result<()> {
        let needs = elf::needs(&self.root.join(path))?;
        if let Some(interpreter) = &needs.interpreter {
            self.add(interpreter.trim_matches('/'))?;
        }
        // A private library may need others of its own directory, which the loading program has
        // loaded before.
        let own_dir = path.rsplit_once('/').map_or("", |(dir, _)| dir);
        let search = [needs.search.as_slice(), &[format!("/{own_dir}")]].concat();
        for library in &needs.libraries {
            let found = elf::locate(self.root, library, &search, self.libraries)
                .with_context(|| format!("needed by /{path}"))?;
            self.add(&found)?;
        }
        Ok(())
    }

    /// Resolves links among the parents of a path (`lib/…`, `lib64/…`), so that each file has one
    /// name.
    fn resolve_parents(&self, path: &str) -> Result<String> {
        let path = path.trim_matches('/');
        let Some((parent, name)) = path.rsplit_once('/') else {
            return Ok(path.to_string());
        };
        let parent = self.resolve_parents(parent)?;
        let here = self.root.join(&parent);
        let parent = match fs::read_link(&here) {
            Ok(target) => join(&parent, &target.to_string_lossy()),
            Err(_) => parent,
        };
        if parent.starts_with("..") {
            bail!("/{path} leads out of the tree");
        }
        Ok(if parent.is_empty() {
            name.to_string()
        } else {
            format!("{parent}/{name}")
        })
    }
}

fn file_node(from: &Path) -> Node {
    Node::File(crate::tree::Source::Path(from.to_path_buf()))
}

/// Returns the path, from the tree's root, that a link at `path` with this target leads to.
fn join(path: &str, target: &str) -> String {
    let base = match target.strip_prefix('/') {
        Some(_) => PathBuf::new(),
        None => Path::new(path)
            .parent()
            .unwrap_or(Path::new(""))
            .to_path_buf(),
    };
    let mut parts: Vec<String> = Vec::new();
    for component in base.join(target.trim_start_matches('/')).components() {
        match component {
            Component::ParentDir => {
                parts.pop();
            }
            Component::Normal(name) => parts.push(name.to_string_lossy().into_owned()),
            _ => {}
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests;
