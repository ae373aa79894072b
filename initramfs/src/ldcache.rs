// SPDX-License-Identifier: Apache-2.0
//! `/etc/ld.so.cache`, the index of libraries that saves the loader a search. ldconfig makes it
//! from a copy of the tree's libraries.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::elf::LIBRARIES;
use crate::fetch::PackageTree;
use crate::tree::{Node, Source, Tree};
use crate::{fsutil, tools};

/// Adds the index to `tree`; `scratch` is a directory for the copies.
pub fn add(debian: &PackageTree, tree: &mut Tree, scratch: &Path) -> Result<()> {
    fsutil::remove(scratch)?;
    copy_libraries(tree, scratch)?;
    let mut ldconfig = tools::command_in(debian, "ldconfig")?;
    // -X: the packages contain the links between the libraries already.
    ldconfig
        .arg("-r")
        .arg(scratch)
        .args(["-X", "-f", "/etc/ld.so.conf", "-C", "/cache"]);
    tools::run(&mut ldconfig, "ldconfig")?;
    let cache = scratch.join("cache");
    let bytes = fs::read(&cache).with_context(|| format!("read {}", cache.display()))?;
    tree.bytes("etc/ld.so.cache", bytes, 0o644);
    fsutil::remove(scratch)
}

fn copy_libraries(tree: &Tree, to: &Path) -> Result<()> {
    let dir = to.join(LIBRARIES);
    for dir in [&dir, &to.join("etc")] {
        fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
    }
    fs::write(to.join("etc/ld.so.conf"), format!("/{LIBRARIES}\n"))?;
    for (path, entry) in tree.iter() {
        let Some(name) = path
            .strip_prefix(LIBRARIES)
            .and_then(|p| p.strip_prefix('/'))
        else {
            continue;
        };
        let target = dir.join(name);
        match &entry.node {
            Node::File(Source::Path(from)) if !name.contains('/') => {
                fs::copy(from, &target).with_context(|| format!("copy {}", from.display()))?;
            }
            Node::Link(text) if !name.contains('/') => {
                std::os::unix::fs::symlink(text, &target)?;
            }
            _ => {}
        }
    }
    Ok(())
}
