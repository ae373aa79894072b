//! What goes into the userland image: the [`table`] of paths, each with a why, and the
//! rules that follow from it — symbolic links bring their targets, ELF files their loader and
//! libraries. The plain files of `initramfs/files/` are laid over it at the end.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail};

pub mod table;

use crate::elf;
use crate::tree::{Node, Tree};
use table::{BIND_TARGETS, DIRECTORIES, LINKS, MODES, PICKS};

/// Picks the table's paths out of the unpacked packages, with all they need.
pub fn select(root: &Path) -> Result<Tree> {
    select_from(root, PICKS)
}

/// The same by another table.
pub fn select_from(root: &Path, picks: &[(&str, &str)]) -> Result<Tree> {
    let mut selection = Selection {
        root,
        tree: Tree::new(),
        seen: BTreeSet::new(),
    };
    for (path, why) in picks {
        selection
            .pick(path)
            .with_context(|| format!("userland table: /{path} ({why})"))?;
    }
    Ok(selection.tree)
}

/// Picks these paths out of unpacked packages, with all they need. A link that leads to
/// what is not there is a link: others may have it.
pub fn closure(root: &Path, paths: &[&str]) -> Result<Tree> {
    let mut selection = Selection {
        root,
        tree: Tree::new(),
        seen: BTreeSet::new(),
    };
    for path in paths {
        let from = root.join(path);
        match fs::read_link(&from) {
            Ok(target) if !root.join(join(path, &target.to_string_lossy())).exists() => {
                let path = selection.resolve_parents(path)?;
                selection.tree.link(&path, &target.to_string_lossy());
            }
            _ => selection.pick(path).with_context(|| format!("/{path}"))?,
        }
    }
    Ok(selection.tree)
}

/// Adds what the tables say beyond the packages.
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

/// Sets the modes and owners that are not the plain ones.
pub fn set_modes(tree: &mut Tree) -> Result<()> {
    MODES
        .iter()
        .try_for_each(|(path, mode, uid, gid, _)| tree.own(path, *mode, *uid, *gid))
}

/// All of Mozilla's certificate authorities in one file, as update-ca-certificates
/// would make it.
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

struct Selection<'a> {
    root: &'a Path,
    tree: Tree,
    seen: BTreeSet<String>,
}

impl Selection<'_> {
    /// Takes a path and all that follows from it.
    fn pick(&mut self, path: &str) -> Result<()> {
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
            let follows = join(&path, &target);
            // A unit of systemd's that leads to /dev/null is masked.
            return if follows == "dev/null" || self.root.join(&follows).is_dir() {
                Ok(())
            } else {
                self.pick(&follows)
            };
        }
        if meta.is_dir() {
            return self.pick_directory(&path);
        }
        let executable = meta.permissions().mode() & 0o111 != 0;
        self.tree.put(
            &path,
            file_node(&from),
            if executable { 0o755 } else { 0o644 },
        );
        self.pick_needs(&path)
    }

    fn pick_directory(&mut self, path: &str) -> Result<()> {
        self.tree.dir(path);
        let mut names: Vec<_> = fs::read_dir(self.root.join(path))?
            .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
            .collect();
        names.sort();
        names
            .iter()
            .try_for_each(|name| self.pick(&format!("{path}/{name}")))
    }

    fn pick_needs(&mut self, path: &str) -> Result<()> {
        let needs = elf::needs(&self.root.join(path))?;
        if let Some(interpreter) = &needs.interpreter {
            self.pick(interpreter.trim_matches('/'))?;
        }
        // A private library that names others relies on who loaded it to have them.
        let beside = path.rsplit_once('/').map_or("", |(dir, _)| dir);
        let search = [needs.search.as_slice(), &[format!("/{beside}")]].concat();
        for library in &needs.libraries {
            let found = elf::locate(self.root, library, &search)
                .with_context(|| format!("needed by /{path}"))?;
            self.pick(&found)?;
        }
        Ok(())
    }

    /// The same path with linked parents (`lib/…`, `lib64/…`) followed, so that each
    /// file has one name.
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

/// Where a link at `path` that says `target` leads, from the tree's root.
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
