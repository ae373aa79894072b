// SPDX-License-Identifier: Apache-2.0
//! Kernel modules of an extension: those that the machine's image lacks, and their part of the
//! index, which `sys::modules` reads beside the machine's own.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::files::{depmod, unpack};
use super::{Modules, name_of, read_index};
use crate::fetch::PackageTree;
use crate::fsutil;
use crate::stamp::{self, Inputs};

/// Lists of the index, which have one line for each module or alias.
const LISTS: &[&str] = &["dep", "alias", "softdep"];

impl Modules {
    /// Unpacks the named modules and their dependencies, without the modules of the machine.
    /// Returns a directory with `usr/lib/modules/<release>/`, where `ext/<extension>.dep`, `.alias`
    /// and `.softdep` are the lines that depmod(8) has for them.
    ///
    /// # Errors
    /// The kernel has no such module, the machine has all of them, or a file cannot be read or
    /// written.
    pub fn of_extension(
        &self,
        debian: &PackageTree,
        linux: &PackageTree,
        extension: &str,
        names: &[String],
    ) -> Result<PathBuf> {
        let mut inputs = Inputs::new();
        inputs.add("machine", &self.key);
        inputs.add("names", names.join(" "));
        let dir = self.dir.with_file_name(format!("ext-{extension}"));
        stamp::make(&dir, &inputs.finish(), |to| {
            let all = to.join("all");
            depmod(debian, &self.release, &linux.root.join("usr"), Some(&all))?;
            let lists = all.join("lib/modules").join(&self.release);
            let index = read_index(&lists, linux, &self.release)?;
            let machine = read(&self.root().join("modules.dep"))?;
            let machine: BTreeSet<String> = machine.lines().map(line_name).collect();
            let mut paths = index.closure(names.iter().map(String::as_str))?;
            paths.retain(|path| !machine.contains(&name_of(path)));
            ensure!(
                !paths.is_empty(),
                "{}: the machine has all of these modules",
                names.join(" ")
            );
            let target = to.join("usr/lib/modules").join(&self.release);
            unpack(linux, &self.release, &paths, &target)?;
            let own: BTreeSet<String> = paths.iter().map(|path| name_of(path)).collect();
            write_lists(&lists, &own, &target.join("ext").join(extension))?;
            fsutil::remove(&all)
        })?;
        Ok(dir)
    }
}

/// Copies the lines of the modules `own` from each list of depmod(8).
fn write_lists(lists: &Path, own: &BTreeSet<String>, to: &Path) -> Result<()> {
    fs::create_dir_all(to.parent().unwrap_or(to)).with_context(|| format!("{}", to.display()))?;
    for list in LISTS {
        let text = read(&lists.join(format!("modules.{list}")))?;
        let lines = text.lines().filter(|line| is_of(list, line, own));
        let text: String = lines
            .map(|line| line.replace(".ko.xz", ".ko") + "\n")
            .collect();
        let path = to.with_added_extension(list);
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

/// Returns true if a line of a list is about one of the modules.
fn is_of(list: &str, line: &str, own: &BTreeSet<String>) -> bool {
    let word = |n: usize| line.split(' ').nth(n).unwrap_or_default();
    match list {
        "dep" => own.contains(&line_name(line)),
        "alias" => own.contains(&name_of(line.rsplit(' ').next().unwrap_or_default())),
        _ => word(0) == "softdep" && own.contains(&name_of(word(1))),
    }
}

/// Returns the name of the module that a line of modules.dep is about.
fn line_name(line: &str) -> String {
    name_of(line.split(':').next().unwrap_or_default())
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_the_own_modules_are_chosen() {
        let own: BTreeSet<String> = ["nfs".to_owned(), "nfs_acl".to_owned()].into();
        for (list, line, expected) in [
            ("dep", "kernel/fs/nfs/nfs.ko.xz: kernel/net/x.ko.xz", true),
            ("dep", "kernel/fs/nfs_common/nfs-acl.ko.xz:", true),
            (
                "dep",
                "kernel/fs/nfs/nfsv4.ko.xz: kernel/fs/nfs/nfs.ko.xz",
                false,
            ),
            ("alias", "alias fs-nfs nfs", true),
            ("alias", "alias fs-nfs4 nfsv4", false),
            ("softdep", "softdep nfs pre: rpcsec", true),
            ("softdep", "# Soft dependencies nfs", false),
        ] {
            assert_eq!(is_of(list, line, &own), expected, "{line}");
        }
    }
}
