// SPDX-License-Identifier: Apache-2.0
//! Requests of extensions: their names, packages, and paths that are left out.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Result, bail, ensure};

use super::additions::Additions;
use super::names::{MAX_NAME, is_name, is_package};
use super::table::{KNOWN, LEFT_OUT};
use crate::arch::Arch;
use crate::fetch::BuildConfig;
use crate::package_metadata::Fetched;
use crate::packages::Kernel;
use crate::paths;

/// Extension to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Name of the extension.
    pub name: String,
    /// Debian packages.
    pub packages: Vec<String>,
    /// True if the files of packages that these depend on are included ([`table::Known::whole`]).
    pub whole: bool,
    /// Content that is in no package.
    pub additions: Additions,
}

impl Request {
    /// Reads `NAME=`, `PKGS=` and the variables of [`Additions`]; without any of them, the table has the
    /// content.
    ///
    /// # Errors
    /// A variable is not valid.
    pub fn of_variables(var: impl Fn(&str) -> String) -> Result<Self> {
        let (name, packages) = (var("NAME"), var("PKGS"));
        let additions = Additions::of_variables(&var)?;
        match packages.is_empty() && additions.is_empty() {
            true => Request::new(&name, ""),
            false => Request::with(&name, &packages, additions),
        }
    }

    /// Checks a name and packages, separated by spaces; without packages, the table has them.
    ///
    /// # Errors
    /// The name is not valid or not in the table, or a package's name is not valid.
    pub fn new(name: &str, packages: &str) -> Result<Self> {
        Request::with(name, packages, Additions::of_table(name))
    }

    fn with(name: &str, packages: &str, additions: Additions) -> Result<Self> {
        let known_names = || KNOWN.iter().map(|k| k.name).collect::<Vec<_>>().join(", ");
        ensure!(
            is_name(name),
            "NAME={name}: an extension's name has a-z, 0-9 and -, {MAX_NAME} at the most; without \
             PKGS= it is one of {}",
            known_names()
        );
        let mut packages: Vec<String> = packages.split_whitespace().map(str::to_owned).collect();
        if let Some(bad) = packages.iter().find(|package| !is_package(package)) {
            bail!("PKGS: {bad} is not a name of a package");
        }
        let known = KNOWN.iter().find(|known| known.name == name);
        match known {
            // `make iso EXT=` would replace such an extension by that of the table.
            Some(known) if !packages.is_empty() => bail!(
                "NAME={name} is {}; other packages have another name",
                known.packages.join(" ")
            ),
            Some(known) => packages = known.packages.iter().map(|p| (*p).to_owned()).collect(),
            None => ensure!(
                !packages.is_empty() || !additions.is_empty(),
                "NAME={name} needs PKGS=, MODULES= or FILES=; without, it is one of {}",
                known_names()
            ),
        }
        let name = name.to_owned();
        let whole = known.is_some_and(|known| known.whole);
        Ok(Request {
            name,
            packages,
            whole,
            additions,
        })
    }

    /// Returns true if the extension has kernel modules.
    pub(super) fn has_modules(&self) -> bool {
        !self.additions.modules.is_empty()
    }

    /// Returns the configuration for the selected kernel, or for another one if only that has the
    /// modules.
    pub(super) fn config(&self, selected: &BuildConfig) -> BuildConfig {
        let all = self.configs(selected);
        let same = all.iter().find(|config| config.kernel == selected.kernel);
        same.or(all.first()).unwrap_or(selected).clone()
    }

    /// Returns a configuration for each kernel that the extension is made for.
    pub(super) fn configs(&self, selected: &BuildConfig) -> Vec<BuildConfig> {
        let known = KNOWN.iter().find(|known| known.name == self.name);
        let kernels = match known {
            Some(known) if self.has_modules() => known.kernels,
            _ => std::slice::from_ref(&selected.kernel),
        };
        let with = |kernel: &Kernel| BuildConfig {
            kernel: *kernel,
            ..selected.clone()
        };
        kernels.iter().map(with).collect()
    }

    /// Returns the path of the image: modules make an extension one of their kernel.
    pub(super) fn image_path(&self, config: &BuildConfig) -> PathBuf {
        let dir = match self.additions.modules.is_empty() {
            true => paths::extensions(),
            false => paths::extensions_of(config.kernel),
        };
        dir.join(format!("{}.erofs", self.name))
    }
}

impl Request {
    /// Returns true if the tables leave the path out on a machine of this architecture.
    pub(super) fn leaves_out(&self, path: &str, arch: &Arch) -> bool {
        let known = KNOWN.iter().find(|known| known.name == self.name);
        let (only, without) = known.map_or((&[][..], &[][..]), |k| (k.only, k.without));
        let is_of = |patterns: &[&str]| {
            let mut patterns = patterns.iter();
            patterns.any(|pattern| matches(&pattern.replace("{foreign}", arch.foreign), path))
        };
        LEFT_OUT.iter().any(|prefix| path.starts_with(prefix))
            || is_of(without)
            || !only.is_empty() && !is_of(only)
    }

    /// Returns the names of the packages whose files are included.
    pub(super) fn included<'a>(
        &'a self,
        fetched: &'a [Fetched],
        machine: &[Fetched],
    ) -> BTreeSet<&'a str> {
        let is_new = |name: &str| machine.iter().all(|p| p.name != name);
        let depended = fetched.iter().map(|p| p.name.as_str());
        let depended = depended.filter(|name| self.whole && is_new(name));
        let requested = self.packages.iter().map(String::as_str);
        requested.chain(depended).collect()
    }
}

/// Returns true if the path has the form of the pattern, in which `*` stands for any characters.
pub(super) fn matches(pattern: &str, path: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == path;
    };
    let Some(path) = path.strip_prefix(first) else {
        return false;
    };
    let mut ends = path.char_indices().map(|(at, _)| at).chain([path.len()]);
    ends.any(|at| path.get(at..).is_some_and(|path| matches(rest, path)))
}
