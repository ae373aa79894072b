// SPDX-License-Identifier: Apache-2.0
//! Specifiers of unit files (systemd.unit(5), "Specifiers").

use super::unit_error::{Result, UnitError};

/// Values of the specifiers of one unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Specifiers {
    /// Name of the unit, with its suffix: `web@1.service`.
    pub unit: String,
    /// Owner of the unit.
    pub user: Owner,
    /// Name of the owner's group.
    pub group: String,
    /// Text of os-release(5).
    pub os_release: String,
    /// Host name.
    pub host: String,
    /// Machine id.
    pub machine_id: String,
    /// Boot id, without hyphens.
    pub boot_id: String,
    /// Release of the kernel.
    pub release: String,
    /// File that the unit was made from.
    pub source: String,
}

/// Owner of the unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// User id; 0 for the machine's own units.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// User name.
    pub name: String,
    /// Home directory.
    pub home: String,
}

impl Owner {
    /// Returns the runtime directory: `XDG_RUNTIME_DIR` of a user, /run for the machine.
    #[must_use]
    pub fn runtime_dir(&self) -> String {
        match self.uid {
            0 => "/run".to_owned(),
            uid => format!("{}/{uid}", sys::paths::USER_RUNTIME_DIRS),
        }
    }
}

impl Specifiers {
    /// Name of the unit without its suffix.
    fn name(&self) -> &str {
        self.unit.rsplit_once('.').map_or(&self.unit, |(n, _)| n)
    }

    /// Parts of the name before and after the `@` of an instance.
    fn parts(&self) -> (&str, &str) {
        self.name().split_once('@').unwrap_or((self.name(), ""))
    }

    /// Replaces the specifiers in `text`. A `%` that no letter or digit follows is kept (specifier_printf() of
    /// src/shared/specifier.c).
    ///
    /// # Errors
    /// A specifier is unknown, or not supported.
    pub fn expand(&self, text: &str) -> Result<String> {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            out.push_str(before);
            let is_one = |c: &char| *c == '%' || c.is_ascii_alphanumeric();
            let Some(specifier) = after.chars().next().filter(is_one) else {
                out.push('%');
                rest = after;
                continue;
            };
            let value = self.value(specifier);
            out.push_str(&value.ok_or(UnitError::Specifier(specifier))?);
            rest = after.get(1..).unwrap_or_default();
        }
        out.push_str(rest);
        without_nul(out)
    }

    fn value(&self, specifier: char) -> Option<String> {
        let (prefix, instance) = self.parts();
        let is_user = self.user.uid != 0;
        let below = |system: &str, home: &str| match is_user {
            true => format!("{}/{home}", self.user.home),
            false => system.to_owned(),
        };
        Some(match specifier {
            '%' => "%".to_owned(),
            'n' => self.unit.clone(),
            'N' => self.name().to_owned(),
            'p' => prefix.to_owned(),
            'P' => unescaped(prefix),
            'i' => instance.to_owned(),
            'I' => unescaped(instance),
            'j' => last_part(prefix).to_owned(),
            'J' => unescaped(last_part(prefix)),
            'f' if instance.is_empty() => format!("/{}", unescaped(prefix)),
            'f' => format!("/{}", unescaped(instance)),
            't' => self.user.runtime_dir(),
            'h' => self.user.home.clone(),
            'u' => self.user.name.clone(),
            'U' => self.user.uid.to_string(),
            'G' => self.user.gid.to_string(),
            's' => "/bin/bash".to_owned(),
            'g' => self.group.clone(),
            // The machine has no pretty host name, for which systemd takes the other one.
            'H' | 'q' => self.host.clone(),
            'l' => self.host.split('.').next().unwrap_or_default().to_owned(),
            'S' => below("/var/lib", ".local/state"),
            'C' => below("/var/cache", ".cache"),
            'L' => below("/var/log", ".local/state/log"),
            'E' => below("/etc", ".config"),
            'D' => below("/usr/share", ".local/share"),
            'y' => self.source.clone(),
            'Y' => self
                .source
                .rsplit_once('/')
                .unwrap_or_default()
                .0
                .to_owned(),
            other => return self.of_machine(other),
        })
    }

    /// Returns the value of a specifier that is the same for all units.
    fn of_machine(&self, specifier: char) -> Option<String> {
        Some(match specifier {
            'T' => "/tmp".to_owned(),
            'V' => "/var/tmp".to_owned(),
            'a' => sys::arch::ARCH.systemd.to_owned(),
            'm' => self.machine_id.clone(),
            'b' => self.boot_id.clone(),
            'v' => self.release.clone(),
            'o' => self.of_system("ID"),
            'w' => self.of_system("VERSION_ID"),
            'W' => self.of_system("VARIANT_ID"),
            'B' => self.of_system("BUILD_ID"),
            'M' => self.of_system("IMAGE_ID"),
            'A' => self.of_system("IMAGE_VERSION"),
            _ => return None,
        })
    }

    /// Returns a value of os-release(5), which is empty if the file has none.
    fn of_system(&self, key: &str) -> String {
        let mut lines = self.os_release.lines();
        let value = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        value
            .unwrap_or_default()
            .trim_matches(['"', '\''])
            .to_owned()
    }
}

/// Part of a name after its last hyphen.
fn last_part(name: &str) -> &str {
    name.rsplit_once('-').map_or(name, |(_, last)| last)
}

/// Returns the name of the unit of a path, without its suffix (systemd-escape(1), `--path`): `/` is `-`, and each
/// byte except letters, digits, `:`, `_` and a `.` that is not the first is an escape.
pub fn escaped_path(path: &str) -> String {
    let mut out = String::new();
    for byte in path.trim_matches('/').bytes() {
        match byte {
            b'/' => out.push('-'),
            b'.' if !out.is_empty() => out.push('.'),
            b':' | b'_' => out.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            _ => out.push_str(&format!("\\x{byte:02x}")),
        }
    }
    out
}

/// Undoes the escapes of a unit's name: `-` is `/`, `\x2d` is `-` (systemd-escape(1)).
fn unescaped(name: &str) -> String {
    let mut out = Vec::new();
    let mut rest = name.as_bytes();
    while let [first, after @ ..] = rest {
        let escape = rest.strip_prefix(b"\\x").and_then(|hex| hex.get(..2));
        let byte =
            escape.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        rest = match byte {
            Some(byte) => {
                out.push(byte);
                after.get(3..).unwrap_or_default()
            }
            None => {
                out.push(if *first == b'-' { b'/' } else { *first });
                after
            }
        };
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Refuses a NUL, which the escapes of a unit's name may have, and no program or path takes.
fn without_nul(text: String) -> Result<String> {
    match text.contains('\0') {
        true => Err("the name of the unit has a NUL".into()),
        false => Ok(text),
    }
}

#[cfg(test)]
#[path = "specifiers/tests.rs"]
mod tests;
