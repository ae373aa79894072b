// SPDX-License-Identifier: Apache-2.0
//! State besides containers that outlives the boot: the identity of the machine, its random
//! seed, its keys and its configuration. Each file is the old or the new one after a power cut.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use sys::error::{Doing, Result};
use sys::files::read_whole;

use super::trigger::Trigger;
use super::{export_config, hostkey, keys, user_files};
use crate::common::paths::Paths;
use crate::common::{atomic_file, user_text};

/// Bytes of a random seed.
const SEED_BYTES: usize = 512;

/// Longest file that is read, in bytes.
const MAX_BYTES: u64 = 64 * 1024;

/// Transfers all parts; returns the outcome of each.
pub fn all(paths: &Paths, trigger: Trigger) -> Vec<(&'static str, Result<()>)> {
    let seed = paths.state_dir().join("random-seed");
    vec![
        ("machine-id", machine_id(paths, trigger)),
        ("random seed", random_seed(&seed, Path::new("/dev/urandom"))),
        ("host key", host_key(paths, trigger)),
        ("certificates", user_files::certificates(paths)),
        ("registries", user_files::registry_certificates(paths)),
        ("configuration", configuration(paths, trigger)),
        ("authorized keys", keys::merge(paths)),
    ]
}

/// Gives the disk's id to the machine, or the machine's to the disk. A machine that runs keeps
/// its id, which others have seen.
fn machine_id(paths: &Paths, trigger: Trigger) -> Result<()> {
    let stored = paths.state_dir().join("machine-id");
    let used = paths.at("/etc/machine-id");
    let current = sys::files::read_text(&used).unwrap_or_default();
    let text = user_text::read(&stored, MAX_BYTES)?;
    match text.and_then(|text| String::from_utf8(text).ok()) {
        Some(id) if is_id(&id) && (id == current || trigger == Trigger::Hotplug) => Ok(()),
        Some(id) if is_id(&id) => sys::files::replace(&used, id.as_bytes(), 0o444),
        _ if is_id(&current) => atomic_file::replace(&stored, current.as_bytes(), 0o444),
        _ => Ok(()),
    }
}

/// Returns true for 32 hexadecimal digits and a newline (machine-id(5)).
fn is_id(text: &str) -> bool {
    let digits = text.strip_suffix('\n').unwrap_or_default();
    digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Gives the disk's host key to the machine, unless sshd runs with another one.
fn host_key(paths: &Paths, trigger: Trigger) -> Result<()> {
    if trigger == Trigger::Boot {
        hostkey::install(paths)?;
    }
    hostkey::store(paths)
}

/// Exports the disk's configuration, which applies from the boot on: that of a disk that appears
/// later applies from the next boot on.
fn configuration(paths: &Paths, trigger: Trigger) -> Result<()> {
    match trigger {
        Trigger::Boot => export_config::all(paths),
        Trigger::Hotplug => Ok(()),
    }
}

/// Adds the disk's seed to the kernel's random pool, without credit for its entropy: a copied
/// disk has a copied seed. A new seed replaces the used one before a program can read random
/// numbers and lose the power (random(4)).
fn random_seed(path: &Path, pool: &Path) -> Result<()> {
    if let Some(mut bytes) = read_whole(path, MAX_BYTES)? {
        bytes.truncate(SEED_BYTES);
        let mut pool_file = File::options().write(true).open(pool).on(pool)?;
        pool_file.write_all(&bytes).on(pool)?;
    }
    let mut fresh = [0; SEED_BYTES];
    let read = File::open(pool).and_then(|mut file| file.read_exact(&mut fresh));
    read.on(pool)?;
    atomic_file::replace(path, &fresh, 0o600)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::Temp;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn paths(temp: &Temp) -> Paths {
        let paths = Paths::below(temp.dir());
        for dir in [paths.state_dir(), paths.at("/etc"), paths.runtime()] {
            fs::create_dir_all(dir).unwrap();
        }
        paths
    }

    #[test]
    fn a_valid_machine_id_of_the_disk_wins() {
        let temp = Temp::new();
        let paths = paths(&temp);
        let stored = paths.state_dir().join("machine-id");
        let used = paths.at("/etc/machine-id");
        let (a, b) = ("a".repeat(32) + "\n", "b".repeat(32) + "\n");
        let text = |path: &Path| fs::read_to_string(path).unwrap();
        fs::write(&used, &a).unwrap();
        machine_id(&paths, Trigger::Boot).unwrap();
        assert_eq!(text(&stored), a);
        fs::write(&used, &b).unwrap();
        machine_id(&paths, Trigger::Hotplug).unwrap();
        assert_eq!(text(&used), b, "it runs");
        machine_id(&paths, Trigger::Boot).unwrap();
        assert_eq!(text(&used), a);
        fs::remove_file(&stored).unwrap();
        fs::write(&stored, "half").unwrap();
        fs::remove_file(&used).unwrap();
        fs::write(&used, &b).unwrap();
        machine_id(&paths, Trigger::Boot).unwrap();
        assert_eq!(text(&stored), b);
    }

    /// A disk full of fifos, and of links to devices: each is named, and none is waited for.
    #[test]
    fn entries_that_are_no_files_are_named_and_left_alone() {
        for name in ["fifo", "link", "directory"] {
            let temp = Temp::new();
            let paths = paths(&temp);
            let state_dir = paths.state_dir();
            fs::create_dir_all(state_dir.join("ssh")).unwrap();
            fs::write(paths.at("/etc/machine-id"), "a".repeat(32) + "\n").unwrap();
            let files = [
                "machine-id",
                "random-seed",
                "config",
                "hostname",
                "profile",
                "authorized_keys",
                "ssh/ssh_host_ed25519_key",
            ];
            for file in files {
                let path = state_dir.join(file);
                match name {
                    "fifo" => nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap(),
                    "link" => std::os::unix::fs::symlink("/dev/zero", &path).unwrap(),
                    _ => fs::create_dir(&path).unwrap(),
                }
            }
            let errors = all(&paths, Trigger::Boot).into_iter();
            let errors: Vec<String> = errors
                .filter_map(|(_, outcome)| Some(outcome.err()?.to_string()))
                .collect();
            let errors = errors.join("; ");
            let why = match name {
                "link" => "a symbolic link that leads off its disk",
                _ => "not a file: a ",
            };
            for file in files {
                let named = format!("{}: {why}", state_dir.join(file).display());
                assert!(errors.contains(&named), "{name} {file}: {errors}");
            }
            assert!(state_dir.join("machine-id").symlink_metadata().is_ok());
        }
    }

    #[test]
    fn a_seed_is_used_once() {
        let temp = Temp::new();
        let path = paths(&temp).state_dir().join("random-seed");
        let seed = || {
            random_seed(&path, Path::new("/dev/urandom")).unwrap();
            fs::read(&path).unwrap()
        };
        let (first, second) = (seed(), seed());
        assert!(first.len() == SEED_BYTES && second.len() == SEED_BYTES && first != second);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
