// SPDX-License-Identifier: Apache-2.0
//! Units with a file, including units that cannot run. `systemctl daemon-reload` ends no unit because its
//! file is wrong at the moment (systemctl(1)): only one whose file is gone is stopped.

use std::collections::{BTreeMap, BTreeSet};

use nix::errno::Errno;

use super::paths::template_of;
use super::plain::{self, is_off};
use super::unit::Unit;

/// Units of an owner, and the files of these units.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Present {
    units: BTreeSet<String>,
    off: BTreeSet<String>,
    sources: BTreeSet<String>,
}

impl Present {
    /// Reads the texts of units, by their names.
    pub fn of(texts: &BTreeMap<String, String>) -> Present {
        let mut present = Present::default();
        for (name, text) in texts {
            let unit = Unit::parse(text);
            let names = match is_off(&unit) {
                true => &mut present.off,
                false => &mut present.units,
            };
            names.insert(name.clone());
            present.sources.extend(source(&unit).map(str::to_owned));
        }
        present
    }

    /// Returns true if the unit of an earlier load is gone: the unit is switched off, its file is gone, or
    /// the file has become a unit of another name.
    pub fn lacks(&self, name: &str, unit: &Unit, exists: impl Fn(&str) -> bool) -> bool {
        let template = template_of(name);
        let mut names = [Some(name), template.as_deref()].into_iter().flatten();
        if names.clone().any(|name| self.off.contains(name)) {
            return true;
        }
        if names.any(|name| self.units.contains(name)) {
            return false;
        }
        let stays = |path: &str| exists(path) && !self.sources.contains(path);
        !source(unit).is_some_and(stays)
    }
}

/// Returns the file that a unit is made of.
fn source(unit: &Unit) -> Option<&str> {
    let path = unit.last(plain::PATH.0, plain::PATH.1);
    path.or_else(|| unit.last("Unit", "SourcePath"))
}

/// Returns true unless the file is known to be gone, or a link to /dev/null.
pub(super) fn exists(path: &str) -> bool {
    match std::fs::canonicalize(path) {
        Ok(path) => path != std::path::Path::new("/dev/null"),
        Err(why) => ![Errno::ENOENT, Errno::ENOTDIR]
            .map(|errno| Some(errno as i32))
            .contains(&why.raw_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_unit_whose_file_is_gone_is_lacking() {
        let texts = [
            ("refused.service", "[Service]\nUser=x\n"),
            ("web@.service", "[Service]\n"),
            ("off.service", "[X-Unit]\nPath=\n"),
            ("new.service", "[Unit]\nSourcePath=/q/renamed.container\n"),
        ];
        let texts = texts.map(|(name, text)| (name.to_owned(), text.to_owned()));
        let present = Present::of(&BTreeMap::from(texts));
        let exists = |path: &str| path != "/q/gone.container" && path != "/e/gone.service";
        for (name, text, right) in [
            // The generator has made the unit, which cannot run here.
            ("refused.service", "", false),
            (
                "web@2.service",
                "[Unit]\nSourcePath=/q/gone.container\n",
                false,
            ),
            // The generator has not made the unit: its file is wrong, or was lost with others.
            (
                "bad.service",
                "[Unit]\nSourcePath=/q/bad.container\n",
                false,
            ),
            ("plain.service", "[X-Unit]\nPath=/e/plain.service\n", false),
            (
                "gone.service",
                "[Unit]\nSourcePath=/q/gone.container\n",
                true,
            ),
            ("gone.service", "[X-Unit]\nPath=/e/gone.service\n", true),
            (
                "none@1.service",
                "[Unit]\nSourcePath=/q/gone.container\n",
                true,
            ),
            ("off.service", "[X-Unit]\nPath=/e/off.service\n", true),
            (
                "old.service",
                "[Unit]\nSourcePath=/q/renamed.container\n",
                true,
            ),
            ("unknown.service", "", true),
        ] {
            assert_eq!(
                present.lacks(name, &Unit::parse(text), exists),
                right,
                "{name}"
            );
        }
    }

    #[test]
    fn files_that_are_gone() {
        let temp = crate::common::testing::Temp::new();
        let path = |name: &str| temp.path(name).display().to_string();
        let _ = std::fs::write(temp.path("a"), "");
        let _ = std::os::unix::fs::symlink("/dev/null", temp.path("off"));
        let there = ["a", "off", "none", "a/b"].map(|name| exists(&path(name)));
        assert_eq!(there, [true, false, false, false]);
    }
}
