// SPDX-License-Identifier: Apache-2.0
//! Conditions and assertions of a unit (systemd.unit(5), "Conditions and Asserts"), which are judged at each
//! start. A unit whose condition does not hold is left out; one whose assertion does not hold fails.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::specifiers::Specifiers;
use super::unit::{Assignment, Unit};
use super::unit_error::Result;

/// Property that a condition requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Property {
    /// The path exists.
    Exists,
    /// The path is a directory.
    Directory,
    /// The path is a symbolic link.
    Link,
    /// The path is a mount point.
    MountPoint,
    /// The file system of the path can be written.
    ReadWrite,
    /// The path is a directory with an entry.
    DirectoryNotEmpty,
    /// The path is a file with content.
    FileNotEmpty,
    /// The path is a file that can be executed.
    Executable,
    /// The kernel command line has the parameter, or a value of the name.
    CommandLine,
    /// The host has the name, or the machine id.
    Host,
    /// The machine has the architecture, in the words of systemd.
    Architecture,
    /// The owner of the unit has the name or number.
    User,
}

/// Keys without their prefix `Condition` or `Assert`, and the property of each.
const PROPERTIES: &[(&str, Property)] = &[
    ("PathExists", Property::Exists),
    ("PathIsDirectory", Property::Directory),
    ("PathIsSymbolicLink", Property::Link),
    ("PathIsMountPoint", Property::MountPoint),
    ("PathIsReadWrite", Property::ReadWrite),
    ("DirectoryNotEmpty", Property::DirectoryNotEmpty),
    ("FileNotEmpty", Property::FileNotEmpty),
    ("FileIsExecutable", Property::Executable),
    ("KernelCommandLine", Property::CommandLine),
    ("Host", Property::Host),
    ("Architecture", Property::Architecture),
    ("User", Property::User),
];

/// A condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Line of the unit, without blanks.
    pub line: String,
    /// Required property.
    pub property: Property,
    /// Value of the property.
    pub value: String,
    /// The property must not hold (prefix `!`).
    is_negated: bool,
    /// One of all conditions with the prefix `|` suffices.
    is_trigger: bool,
}

/// Returns true for the key of a condition or an assertion that is judged.
#[must_use]
pub fn is_key(key: &str) -> bool {
    ["Condition", "Assert"]
        .iter()
        .any(|prefix| property(key, prefix).is_some())
}

fn property(key: &str, prefix: &str) -> Option<Property> {
    let name = key.strip_prefix(prefix)?;
    let row = PROPERTIES.iter().find(|(of, _)| *of == name);
    row.map(|(_, property)| *property)
}

/// Returns the conditions of a unit, or its assertions: those whose keys begin with `prefix`. An empty one
/// withdraws all earlier ones, of any kind.
///
/// # Errors
/// A specifier is unknown.
pub fn of(unit: &Unit, prefix: &str, specifiers: &Specifiers) -> Result<Vec<Condition>> {
    let mut conditions = Vec::new();
    let all = unit.assignments().iter();
    for Assignment { key, value, .. } in all.filter(|a| a.section == "Unit") {
        if value.is_empty() && key.starts_with(prefix) {
            conditions.clear();
        } else if let Some(property) = property(key, prefix) {
            let rest = value.strip_prefix('|');
            let (is_trigger, text) = (rest.is_some(), rest.unwrap_or(value));
            let rest = text.trim_start().strip_prefix('!');
            conditions.push(Condition {
                line: format!("{key}={text}"),
                property,
                value: specifiers.expand(rest.unwrap_or(text).trim())?,
                is_negated: rest.is_some(),
                is_trigger,
            });
        }
    }
    Ok(conditions)
}

/// Returns the line of a condition that does not hold and should.
#[must_use]
pub fn failing(conditions: &[Condition], holds: impl Fn(&Condition) -> bool) -> Option<&str> {
    let is_met = |c: &Condition| holds(c) != c.is_negated;
    let mut required = conditions.iter().filter(|c| !c.is_trigger);
    let mut triggers = conditions.iter().filter(|c| c.is_trigger);
    let missing = required.find(|c| !is_met(c));
    let last = triggers.clone().next_back();
    let missing = missing.or_else(|| last.filter(|_| !triggers.any(is_met)));
    missing.map(|c| c.line.as_str())
}

/// Returns true if the property holds on this machine.
#[must_use]
pub fn holds(condition: &Condition, specifiers: &Specifiers) -> bool {
    let value = condition.value.as_str();
    let path = Path::new(value);
    let metadata = || fs::metadata(path).ok();
    match condition.property {
        Property::Exists => path.exists(),
        Property::Directory => path.is_dir(),
        Property::Link => path.is_symlink(),
        Property::MountPoint => is_mount_point(path),
        Property::ReadWrite => is_writable(path),
        Property::DirectoryNotEmpty => fs::read_dir(path).is_ok_and(|mut d| d.next().is_some()),
        Property::FileNotEmpty => metadata().is_some_and(|m| m.is_file() && m.len() > 0),
        Property::Executable => {
            metadata().is_some_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
        }
        Property::CommandLine => {
            let line = fs::read_to_string("/proc/cmdline").unwrap_or_default();
            has_word(&line, value)
        }
        Property::Host => [&specifiers.host, &specifiers.machine_id]
            .iter()
            .any(|name| name.eq_ignore_ascii_case(value)),
        Property::Architecture => is_architecture(value),
        Property::User => {
            let user = &specifiers.user;
            user.name == value || user.uid.to_string() == value
        }
    }
}

/// Returns true if the directory is on another file system than its parent, or is `/`.
fn is_mount_point(path: &Path) -> bool {
    let device = |path: &Path| fs::symlink_metadata(path).ok().map(|m| m.dev());
    match path.parent() {
        None => true,
        Some(parent) => device(path).is_some() && device(path) != device(parent),
    }
}

fn is_writable(path: &Path) -> bool {
    use nix::sys::statvfs::{FsFlags, statvfs};
    statvfs(path).is_ok_and(|fs| !fs.flags().contains(FsFlags::ST_RDONLY))
}

fn has_word(line: &str, value: &str) -> bool {
    let is = |word: &str| match value.contains('=') {
        true => word == value,
        false => word.split('=').next() == Some(value),
    };
    line.split_whitespace().any(is)
}

fn is_architecture(value: &str) -> bool {
    value == sys::arch::ARCH.systemd || value == "native"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(text: &str, true_values: &str) -> Option<String> {
        let unit = Unit::parse(&format!("[Unit]\n{text}\n"));
        let conditions = of(&unit, "Condition", &Specifiers::default()).unwrap_or_default();
        let holds = |c: &Condition| true_values.split(' ').any(|value| value == c.value);
        failing(&conditions, holds).map(str::to_owned)
    }

    #[test]
    fn all_conditions_and_one_trigger_must_hold() {
        for (text, true_values, right) in [
            ("", "", None),
            ("ConditionPathExists=/a", "/a", None),
            ("ConditionPathExists=/a", "", Some("ConditionPathExists=/a")),
            ("ConditionPathExists=!/a", "", None),
            (
                "ConditionPathExists=!/a",
                "/a",
                Some("ConditionPathExists=!/a"),
            ),
            (
                "ConditionPathExists=/a\nConditionHost=b",
                "/a",
                Some("ConditionHost=b"),
            ),
            ("ConditionPathExists=|/a\nConditionHost=|b", "b", None),
            ("ConditionPathExists=|!/a\nConditionHost=|b", "", None),
            (
                "ConditionPathExists=|/a\nConditionHost=|b",
                "",
                Some("ConditionHost=b"),
            ),
            ("ConditionPathExists=/a\nConditionPathExists=", "", None),
            ("AssertPathExists=/a", "", None),
            // An empty one withdraws all earlier ones, of any kind (systemd.unit(5)).
            ("ConditionHost=b\nConditionPathExists=", "", None),
            ("ConditionHost=b\nConditionFrob=\nAssertHost=", "", None),
            (
                "ConditionHost=b\nAssertHost=\nConditionHost=c",
                "b",
                Some("ConditionHost=c"),
            ),
        ] {
            assert_eq!(missing(text, true_values).as_deref(), right, "{text}");
        }
    }

    #[test]
    fn properties_of_this_machine() {
        let temp = crate::common::testing::Temp::new();
        let file = temp.path("file");
        let _ = fs::write(&file, "x");
        let specifiers = Specifiers {
            host: "box".to_owned(),
            ..Specifiers::default()
        };
        let file = file.display().to_string();
        let dir = temp.dir().display().to_string();
        for (key, value, right) in [
            ("PathExists", file.as_str(), true),
            ("PathExists", "/none", false),
            ("PathIsDirectory", &dir, true),
            ("PathIsDirectory", &file, false),
            ("PathIsMountPoint", "/proc", true),
            ("PathIsMountPoint", &dir, false),
            ("DirectoryNotEmpty", &dir, true),
            ("FileNotEmpty", &file, true),
            ("FileIsExecutable", &file, false),
            ("Host", "BOX", true),
            ("User", "1", false),
            ("Architecture", "native", true),
        ] {
            let unit = Unit::parse(&format!("[Unit]\nCondition{key}={value}\n"));
            let conditions = of(&unit, "Condition", &specifiers).unwrap_or_default();
            let held = conditions.iter().map(|c| holds(c, &specifiers));
            assert_eq!(held.collect::<Vec<_>>(), [right], "{key}={value}");
        }
        assert!(has_word("quiet a=b ro", "a") && has_word("quiet a=b", "a=b"));
        assert!(!has_word("quiet a=b", "a=c") && !has_word("ab", "a"));
    }
}
