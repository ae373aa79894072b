// SPDX-License-Identifier: Apache-2.0
//! Modules and lists of the userland image. The kernel has the early modules from the initrd before there is a
//! userland, so that their files are left out, and the lists have them as built in: modprobe(8) of kmod in a
//! container finds no dependencies of a module at all where the file of one is missing.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::files::{LISTS, depmod};
use super::{EARLY, closure_in};
use crate::fetch::PackageTree;
use crate::fsutil;

/// Lists that the userland is without: nothing in the machine reads them. modprobe(8) of a container reads the
/// others.
const UNREAD: &[(&str, &str)] = &[
    ("modules.order", "input of depmod, which runs on the host"),
    ("modules.builtin.modinfo", "the same; modinfo(8)"),
    ("modules.symbols", "text of the next, for people"),
    (
        "modules.symbols.bin",
        "aliases `symbol:…`, which only drivers of DVB cards request",
    ),
];

/// Returns the directory of the userland's modules beside those of the machine.
pub fn directory(modules: &Path, release: &str) -> PathBuf {
    modules.join("userland/usr/lib/modules").join(release)
}

/// Makes that directory from the modules and lists in `modules`: links to the same files, and lists of its own.
pub fn make(debian: &PackageTree, release: &str, modules: &Path) -> Result<()> {
    let to = directory(modules, release);
    link(&modules.join("usr/lib/modules").join(release), &to)?;
    depmod(debian, release, &modules.join("userland/usr"), None)?;
    UNREAD
        .iter()
        .try_for_each(|(name, _)| fsutil::remove(&to.join(name)))
}

/// Links the modules, and lists the early ones as built in. Returns the paths of those, in the order of loading.
pub fn link(from: &Path, to: &Path) -> Result<Vec<String>> {
    let early = closure_in(from, EARLY)?;
    let is_left_out = |path: &str| early.iter().any(|early| early == path);
    link_tree(from, to, Path::new(""), &is_left_out)?;
    let builtin = to.join("modules.builtin");
    let text =
        fs::read_to_string(&builtin).with_context(|| format!("read {}", builtin.display()))?;
    // The file is a link.
    fs::remove_file(&builtin)?;
    let text = text + &early.join("\n") + "\n";
    fs::write(&builtin, text).with_context(|| format!("write {}", builtin.display()))?;
    Ok(early)
}

/// Links the files of a directory, without those that depmod(8) makes and those that are left out, by paths
/// relative to the first directory.
fn link_tree(
    from: &Path,
    to: &Path,
    below: &Path,
    is_left_out: &dyn Fn(&str) -> bool,
) -> Result<()> {
    let dir = from.join(below);
    for entry in fs::read_dir(&dir).with_context(|| format!("read {}", dir.display()))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            link_tree(from, to, &path, is_left_out)?;
            continue;
        }
        let name = path.to_string_lossy();
        let is_made = name.starts_with("modules.") && !LISTS.contains(&&*name);
        if is_made || is_left_out(&name) {
            continue;
        }
        let target = to.join(&path);
        fs::create_dir_all(target.parent().unwrap_or(to))?;
        fs::hard_link(from.join(&path), &target)
            .with_context(|| format!("link {}", target.display()))?;
    }
    Ok(())
}
