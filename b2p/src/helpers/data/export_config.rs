// SPDX-License-Identifier: Apache-2.0
//! Copies the configuration on the data disk to the directory from which PID 1 reads it
//! ([`sys::paths::DISK_CONFIG_DIR`]): a disk may hang, and PID 1 must not.

use sys::config_sources::MAX_ENTRY_BYTES;
use sys::error::{Doing, Result};
use sys::files::replace;
use sys::paths::DISK_CONFIG_DIR;
use sys::service_names::{REGISTRIES, configured_on_disk};

use super::errors::combine;
use crate::common::paths::Paths;
use crate::common::user_text;
use crate::helpers::compat::{boot_script, profile};

/// Files to copy: the name of the copy, and candidates on the disk, of which the first that
/// exists is taken.
const FILES: &[(&str, &[&str])] = &[
    ("config", &["config"]),
    // etc/hostname is the place of boot2docker and its clients.
    ("hostname", &["hostname", "etc/hostname"]),
];

/// Copies everything that exists.
///
/// # Errors
/// A file cannot be read, or is too long; the others are copied.
pub fn all(paths: &Paths) -> Result<()> {
    let mut errors = Vec::new();
    for (name, candidates) in FILES {
        errors.extend(copy(paths, name, candidates).err());
    }
    errors.extend(environment(paths).err());
    errors.extend(services_on_disk(paths).err());
    combine(errors)
}

fn copy(paths: &Paths, name: &str, candidates: &[&str]) -> Result<()> {
    let state_dir = paths.state_dir();
    let mut contents = candidates
        .iter()
        .filter_map(|file| user_text::read(&state_dir.join(file), MAX_ENTRY_BYTES).transpose());
    match contents.next() {
        Some(bytes) => export(paths, name, &bytes?),
        None => Ok(()),
    }
}

fn export(paths: &Paths, name: &str, bytes: &[u8]) -> Result<()> {
    replace(&paths.at(DISK_CONFIG_DIR).join(name), bytes, 0o600)
}

/// Exports the variables of the profile.
fn environment(paths: &Paths) -> Result<()> {
    let profile = paths.state_dir().join("profile");
    let Some(script) = user_text::read(&profile, MAX_ENTRY_BYTES)? else {
        return Ok(());
    };
    // A copy, which has line ends of Unix.
    let copy = paths.runtime().join("profile.sh");
    replace(&copy, &script, 0o600)?;
    let lines = profile::exports(&copy, &paths.runtime().join("profile"));
    let _ = std::fs::remove_file(&copy);
    export(paths, "environment", lines.on(profile)?.as_bytes())
}

/// Exports the names of the services for which the disk has a file. The service itself checks the
/// content of the file.
fn services_on_disk(paths: &Paths) -> Result<()> {
    let is_on_disk = |service: &&str| {
        let path = match *service {
            REGISTRIES => paths.state_dir().join("registries.conf.d"),
            name => boot_script::path(&paths.state_dir(), name),
        };
        path.symlink_metadata().is_ok()
    };
    let names = configured_on_disk().filter(is_on_disk);
    let lines: String = names.map(|name| format!("{name}\n")).collect();
    match lines.is_empty() {
        true => Ok(()),
        false => export(paths, "hooks", lines.as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::{Temp, why};
    use std::fs;

    #[test]
    fn existing_files_are_exported_and_missing_ones_make_no_directory() {
        let temp = Temp::new();
        let paths = Paths::below(temp.dir());
        let state_dir = paths.state_dir();
        fs::create_dir_all(state_dir.join("etc")).unwrap();
        all(&paths).unwrap();
        assert!(!paths.at(DISK_CONFIG_DIR).exists());
        fs::write(state_dir.join("etc/hostname"), "old\n").unwrap();
        fs::write(state_dir.join("config"), "tz=UTC\n").unwrap();
        all(&paths).unwrap();
        let copies = || {
            let dir = paths.at(DISK_CONFIG_DIR);
            ["config", "hostname"].map(|name| fs::read_to_string(dir.join(name)).unwrap())
        };
        assert_eq!(copies(), ["tz=UTC\n", "old\n"]);
        fs::remove_file(state_dir.join("config")).unwrap();
        nix::unistd::mkfifo(&state_dir.join("config"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(why(all(&paths)).contains("not a file"));
        fs::remove_file(state_dir.join("config")).unwrap();
        fs::write(state_dir.join("hostname"), "new\n").unwrap();
        fs::write(state_dir.join("config"), vec![b'#'; 64 * 1024 + 1]).unwrap();
        assert!(why(all(&paths)).contains("longer"));
        assert_eq!(copies(), ["tz=UTC\n", "new\n"]);
    }
}
