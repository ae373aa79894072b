// SPDX-License-Identifier: Apache-2.0
//! Parts of an extension that are in none of its packages: kernel modules, plain files such as
//! services and configuration, and users.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::Extension;
use super::manifest::SERVICES;
use super::names::{MAX_NAME, is_name};
use super::table::{KNOWN, USERS};
use crate::fetch::{BuildConfig, PackageTree};
use crate::modules::{self, name_of};
use crate::progress::Step;
use crate::tree::Tree;
use crate::{image, overlay, paths};

/// Additions that are requested for an extension.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Additions {
    /// Extensions that are added before this one.
    pub needs: Vec<String>,
    /// Kernel modules.
    pub modules: Vec<String>,
    /// Modules among them that are loaded when the extension is added.
    pub loaded: Vec<String>,
    /// Directory of plain files; empty for none.
    pub files: String,
}

impl Additions {
    /// Returns the additions of a row of the table; none if there is no such row.
    pub fn of_table(name: &str) -> Self {
        let Some(known) = KNOWN.iter().find(|known| known.name == name) else {
            return Self::default();
        };
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let files = paths::extension_files(name);
        Additions {
            needs: owned(known.needs),
            modules: owned(known.modules),
            loaded: owned(known.loaded),
            files: match files.is_dir() {
                true => files.to_string_lossy().into_owned(),
                false => String::new(),
            },
        }
    }

    /// Returns the additions that `NEEDS=`, `MODULES=`, `LOAD=` and `FILES=` ask for. Modules of `LOAD=`
    /// are included.
    ///
    /// # Errors
    /// A name is not valid, or the directory does not exist.
    pub fn of_variables(var: impl Fn(&str) -> String) -> Result<Self> {
        let words = |name| -> Vec<String> {
            let text = var(name);
            text.split_whitespace().map(str::to_owned).collect()
        };
        let (needs, loaded) = (words("NEEDS"), words("LOAD"));
        if let Some(bad) = needs.iter().find(|name| !is_name(name)) {
            bail!("NEEDS: {bad} is not a name of an extension");
        }
        let mut modules = words("MODULES");
        modules.extend(loaded.iter().cloned());
        if let Some(bad) = modules.iter().find(|name| !is_module(name)) {
            bail!("MODULES: {bad} is not a name of a kernel module");
        }
        let files = var("FILES");
        ensure!(
            files.is_empty() || Path::new(&files).is_dir(),
            "FILES={files}: there is no such directory"
        );
        Ok(Additions {
            needs,
            modules,
            loaded,
            files,
        })
    }

    /// Returns true if there is nothing besides packages.
    pub fn is_empty(&self) -> bool {
        self.modules.is_empty() && self.files.is_empty()
    }

    /// Adds the modules, with the release of their kernel, and the files with their services. Returns a
    /// hash of the modules, which is empty without any, and the kernel that they are from.
    ///
    /// # Errors
    /// The kernel has no such module, or a file cannot be read.
    pub fn add_to(
        &self,
        extension: &mut Extension,
        debian: &PackageTree,
        config: &BuildConfig,
        step: &Step,
    ) -> Result<(String, Option<PackageTree>)> {
        let (mut key, mut kernel) = (String::new(), None);
        let (tree, manifest) = (&mut extension.tree, &mut extension.manifest);
        if !self.modules.is_empty() {
            let linux = crate::kernel::fetch(config, step)?;
            let machine = modules::prepare(debian, &linux, config.kernel, step)?;
            let dir = machine.of_extension(debian, &linux, &manifest.name, &self.modules)?;
            image::add_directory(tree, &dir, "")?;
            key = format!("{} {}", machine.key, self.modules.join(" "));
            manifest.kernel = Some(machine.release);
            kernel = Some(linux);
        }
        manifest.modules = self.loaded.iter().map(|name| name_of(name)).collect();
        manifest.extensions.clone_from(&self.needs);
        if !self.files.is_empty() {
            overlay::apply(tree, Path::new(&self.files))?;
        }
        manifest.services = services(tree);
        Ok((key, kernel))
    }
}

/// Returns the names of the service files in a tree.
fn services(tree: &Tree) -> Vec<String> {
    let names = tree.iter().filter_map(|(path, _)| {
        let name = path.strip_prefix(SERVICES)?.strip_prefix('/')?;
        Some(name.to_owned())
    });
    names.collect()
}

/// Returns the users of programs in the tree by the table, and those that files of sysusers.d(5)
/// declare, with a fixed number if there is one.
///
/// # Errors
/// A file cannot be read.
pub fn users(tree: &Tree, root: &Path, declared: &[&str]) -> Result<Vec<String>> {
    let of_programs = USERS.iter().filter(|(program, _)| tree.has(program));
    let mut users: Vec<String> = of_programs.map(|(_, user)| (*user).to_owned()).collect();
    for path in declared {
        let path = root.join(path);
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        users.extend(text.lines().filter_map(sysuser));
    }
    users.sort();
    users.dedup_by(|b, a| a.split(' ').next() == b.split(' ').next());
    Ok(users)
}

/// Returns the user of a line `u NAME ID …` of sysusers.d(5). An ID that is not a number leaves the
/// choice to the machine.
fn sysuser(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    let kind = words.next()?;
    let name = words.next().filter(|_| matches!(kind, "u" | "u!"))?;
    let number = words.next().and_then(|id| id.parse::<u32>().ok());
    Some(match number {
        Some(number) => format!("{name} {number}"),
        None => name.to_owned(),
    })
}

/// Returns true for a name of a kernel module.
fn is_module(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    (1..=2 * MAX_NAME).contains(&name.len()) && name.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_read_or_refused() -> Result<()> {
        let of = |pairs: &[(&str, &str)]| {
            Additions::of_variables(|name| {
                let pair = pairs.iter().find(|(known, _)| *known == name);
                pair.map_or_else(String::new, |(_, value)| (*value).to_owned())
            })
        };
        let additions = of(&[
            ("NEEDS", "git compile"),
            ("MODULES", "nfs"),
            ("LOAD", "cifs"),
        ])?;
        assert_eq!(additions.needs, ["git", "compile"]);
        assert_eq!(additions.modules, ["nfs", "cifs"]);
        assert_eq!(additions.loaded, ["cifs"]);
        assert!(!additions.is_empty() && of(&[("NEEDS", "git")])?.is_empty());
        for pair in [
            ("NEEDS", "libc.so"),
            ("MODULES", "a/b"),
            ("FILES", "/none/such"),
        ] {
            assert!(of(&[pair]).is_err(), "{pair:?}");
        }
        Ok(())
    }

    #[test]
    fn services_and_users_are_found() -> Result<()> {
        let mut tree = Tree::new();
        tree.bytes(
            &format!("{SERVICES}/statd"),
            "exec /usr/sbin/rpc.statd\n",
            0o644,
        );
        tree.bytes("usr/bin/tcpdump", "", 0o755);
        assert_eq!(services(&tree), ["statd"]);
        assert_eq!(users(&tree, Path::new("/"), &[])?, ["tcpdump"]);
        for (line, expected) in [
            ("u _rpc - \"user\" /run/rpcbind", Some("_rpc")),
            ("u! statd 104 -", Some("statd 104")),
            ("u x 1:2", Some("x")),
            ("g x -", None),
            ("# u x", None),
            ("", None),
        ] {
            assert_eq!(sysuser(line).as_deref(), expected, "{line}");
        }
        Ok(())
    }
}
