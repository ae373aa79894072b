// SPDX-License-Identifier: Apache-2.0
//! Directories of a unit (systemd.exec(5), "RuntimeDirectory="), which exist before its first command runs.

use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use sys::error::{Doing, Result as SysResult};

use super::specifiers::Specifiers;
use super::unit::{Unit, is_true};
use super::unit_error::{Result, UnitError};
use super::words;

/// Section of the keys.
const SERVICE: &str = "Service";
/// Key, key of the mode, variable with the paths, and specifier of the directory above.
const KINDS: [(&str, &str, &str, &str); 5] = [
    (
        "RuntimeDirectory",
        "RuntimeDirectoryMode",
        "RUNTIME_DIRECTORY",
        "%t",
    ),
    (
        "StateDirectory",
        "StateDirectoryMode",
        "STATE_DIRECTORY",
        "%S",
    ),
    (
        "CacheDirectory",
        "CacheDirectoryMode",
        "CACHE_DIRECTORY",
        "%C",
    ),
    ("LogsDirectory", "LogsDirectoryMode", "LOGS_DIRECTORY", "%L"),
    (
        "ConfigurationDirectory",
        "ConfigurationDirectoryMode",
        "CONFIGURATION_DIRECTORY",
        "%E",
    ),
];
/// Key by which the runtime directories outlive the unit.
const PRESERVE: &str = "RuntimeDirectoryPreserve";

/// A directory of a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    /// Variable that names the directory.
    pub variable: &'static str,
    /// Path.
    pub path: String,
    /// Permissions.
    mode: u32,
    /// The end of the unit removes the directory.
    is_removed: bool,
}

/// Returns true for a key of the section `[Service]` that is read here.
#[must_use]
pub fn is_key(key: &str) -> bool {
    key == PRESERVE
        || KINDS
            .iter()
            .any(|(of, mode, ..)| [*of, *mode].contains(&key))
}

/// Returns the directories of a unit.
///
/// # Errors
/// A path leads out of the directory above, or a mode is no octal number.
pub fn of(unit: &Unit, specifiers: &Specifiers) -> Result<Vec<Directory>> {
    let preserve = unit.last(SERVICE, PRESERVE);
    let is_kept = preserve.is_some_and(|value| value == "restart" || is_true(value));
    let mut directories = Vec::new();
    for (key, mode_key, variable, above) in KINDS {
        let mode = unit.last(SERVICE, mode_key).unwrap_or("0755");
        let octal = u32::from_str_radix(mode, 8)
            .ok()
            .filter(|mode| *mode <= 0o7777);
        let mode = octal.ok_or_else(|| UnitError::value(mode_key, mode, "an octal number"))?;
        for value in unit.all(SERVICE, key) {
            for word in words::split(value).map_err(|why| why.of(key))? {
                // The second part is a link to the directory, which is not made here.
                let name = word.text.split(':').next().unwrap_or_default();
                let name = specifiers.expand(name)?;
                let is_below = !name.starts_with('/') && !name.split('/').any(|part| part == "..");
                if name.is_empty() || !is_below {
                    return Err(UnitError::value(
                        key,
                        &name,
                        "a path below the directory of the key",
                    ));
                }
                directories.push(Directory {
                    variable,
                    path: format!("{}/{name}", specifiers.expand(above)?),
                    mode,
                    is_removed: above == "%t" && !is_kept,
                });
            }
        }
    }
    Ok(directories)
}

/// Returns the variables with the paths.
#[must_use]
pub fn variables(directories: &[Directory]) -> Vec<(String, String)> {
    let of = |variable: &str| {
        let paths = directories.iter().filter(|d| d.variable == variable);
        let paths: Vec<&str> = paths.map(|d| d.path.as_str()).collect();
        (!paths.is_empty()).then(|| (variable.to_owned(), paths.join(":")))
    };
    KINDS
        .iter()
        .filter_map(|(_, _, variable, _)| of(variable))
        .collect()
}

/// Makes the directories.
///
/// # Errors
/// A directory cannot be made.
pub fn make(directories: &[Directory]) -> SysResult<()> {
    for directory in directories {
        let path = Path::new(&directory.path);
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o755).create(path).on(path)?;
        fs::set_permissions(path, Permissions::from_mode(directory.mode)).on(path)?;
    }
    Ok(())
}

/// Removes the directories that end with the unit.
pub fn remove(directories: &[Directory]) {
    for directory in directories.iter().filter(|d| d.is_removed) {
        let _ = fs::remove_dir_all(&directory.path);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::Temp;
    use crate::helpers::quadlet::specifiers::Owner;

    fn read(lines: &str) -> Result<Vec<Directory>> {
        let specifiers = Specifiers {
            unit: "web.service".to_owned(),
            ..Specifiers::default()
        };
        of(&Unit::parse(&format!("[Service]\n{lines}\n")), &specifiers)
    }

    #[test]
    fn directories_have_a_path_a_mode_and_a_variable() {
        let all =
            read("StateDirectory=%N a/b:c\nStateDirectoryMode=0700\nRuntimeDirectory=web").unwrap();
        let paths: Vec<(&str, u32, bool)> = all
            .iter()
            .map(|d| (d.path.as_str(), d.mode, d.is_removed))
            .collect();
        let right = [
            ("/run/web", 0o755, true),
            ("/var/lib/web", 0o700, false),
            ("/var/lib/a/b", 0o700, false),
        ];
        assert_eq!(paths, right);
        let of_state = ("STATE_DIRECTORY", "/var/lib/web:/var/lib/a/b");
        let variables = variables(&all);
        let pairs: Vec<(&str, &str)> = variables.iter().map(|(n, v)| (&**n, &**v)).collect();
        assert_eq!(pairs, [("RUNTIME_DIRECTORY", "/run/web"), of_state]);
        for value in ["yes", "restart"] {
            let kept = read(&format!(
                "RuntimeDirectory=web\nRuntimeDirectoryPreserve={value}"
            ));
            assert!(!kept.unwrap()[0].is_removed, "{value}");
        }
        for wrong in [
            "StateDirectory=/x",
            "LogsDirectory=a/../b",
            "CacheDirectoryMode=9",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn directories_of_a_user_are_in_the_home() {
        let specifiers = Specifiers {
            unit: "web.service".to_owned(),
            user: Owner {
                uid: 1000,
                home: "/home/core".to_owned(),
                ..Owner::default()
            },
            ..Specifiers::default()
        };
        let unit = Unit::parse("[Service]\nStateDirectory=web\n");
        let path = &of(&unit, &specifiers).unwrap()[0].path;
        assert_eq!(path, "/home/core/.local/state/web");
    }

    #[test]
    fn the_end_removes_runtime_directories_alone() {
        let temp = Temp::new();
        let directory = |name: &str, is_removed| Directory {
            variable: "",
            path: temp.path(name).display().to_string(),
            mode: 0o750,
            is_removed,
        };
        let all = [directory("run/web", true), directory("state", false)];
        make(&all).unwrap();
        make(&all).unwrap();
        let mode = fs::metadata(temp.path("run/web"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o7777, 0o750);
        remove(&all);
        assert!(!temp.path("run/web").exists() && temp.path("state").exists());
    }
}
