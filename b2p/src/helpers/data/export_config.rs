//! What the data disk says of the configuration, copied to where PID 1 reads it
//! ([`sys::paths::DISK_CONFIG_DIR`]): a disk may hang, and PID 1 must not.

use sys::config_sources::MAX_ENTRY_BYTES;
use sys::files;
use sys::paths::DISK_CONFIG_DIR;
use sys::service_names::{CONFIGURED_ON_DISK, REGISTRIES};

use crate::common::paths::Paths;
use crate::common::regular_file;
use crate::helpers::compat::{boot_script, profile};

/// What is copied: its name there, and where it is, the first that is.
const FILES: &[(&str, &[&str])] = &[
    ("config", &["config"]),
    // The second is where boot2docker and its clients had it.
    ("hostname", &["hostname", "etc/hostname"]),
];

/// Copies what is there.
///
/// # Errors
/// What could not be read, or is too long.
pub fn all(paths: &Paths) -> Result<(), String> {
    let mut wrong = Vec::new();
    for (name, froms) in FILES {
        let read = froms
            .iter()
            .map(|from| regular_file::read(&paths.state().join(from), MAX_ENTRY_BYTES));
        let Some(outcome) = read.filter_map(Result::transpose).next() else {
            continue;
        };
        let to = paths.at(DISK_CONFIG_DIR).join(name);
        let done = outcome.and_then(|bytes| files::replace(&to, &bytes, 0o600));
        wrong.extend(done.err().map(String::from));
    }
    wrong.extend(environment(paths).err());
    wrong.extend(hooks(paths).err());
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(wrong.join("; ")),
    }
}

fn environment(paths: &Paths) -> Result<(), String> {
    let path = paths.state().join("profile");
    if path.symlink_metadata().is_err() {
        return Ok(());
    }
    if !path.is_file() {
        return Err(format!("{}: not a file", path.display()));
    }
    let lines = profile::exports(&path, &paths.runtime().join("profile"))?;
    Ok(files::replace(
        &paths.at(DISK_CONFIG_DIR).join("environment"),
        lines.as_bytes(),
        0o600,
    )?)
}

/// The names of those that are there.
fn hooks(paths: &Paths) -> Result<(), String> {
    // What is no script, its service says.
    let there = |name: &&&str| {
        let path = match **name {
            REGISTRIES => paths.state().join("registries.conf.d"),
            name => boot_script::path(&paths.state(), name),
        };
        path.symlink_metadata().is_ok()
    };
    let names: String = CONFIGURED_ON_DISK
        .iter()
        .filter(there)
        .map(|n| format!("{n}\n"))
        .collect();
    match names.is_empty() {
        true => Ok(()),
        false => Ok(files::replace(
            &paths.at(DISK_CONFIG_DIR).join("hooks"),
            names.as_bytes(),
            0o600,
        )?),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;

    #[test]
    fn what_is_there_is_handed_over_and_what_is_not_costs_nothing() {
        let root = std::env::temp_dir().join(format!("b2p-handover-{}", std::process::id()));
        let paths = Paths::below(root);
        let state = paths.state();
        fs::create_dir_all(state.join("etc")).unwrap();
        all(&paths).unwrap();
        assert!(!paths.at(DISK_CONFIG_DIR).exists());
        fs::write(state.join("etc/hostname"), "old\n").unwrap();
        fs::write(state.join("config"), "tz=UTC\n").unwrap();
        all(&paths).unwrap();
        let kept = |name: &str| fs::read_to_string(paths.at(DISK_CONFIG_DIR).join(name)).unwrap();
        assert_eq!(
            (kept("config"), kept("hostname")),
            ("tz=UTC\n".into(), "old\n".into())
        );
        fs::remove_file(state.join("config")).unwrap();
        nix::unistd::mkfifo(&state.join("config"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(all(&paths).unwrap_err().contains("not a file"));
        fs::remove_file(state.join("config")).unwrap();
        fs::write(state.join("hostname"), "new\n").unwrap();
        fs::write(state.join("config"), vec![b'#'; 64 * 1024 + 1]).unwrap();
        assert!(all(&paths).unwrap_err().contains("longer"));
        assert_eq!(
            (kept("config"), kept("hostname")),
            ("tz=UTC\n".into(), "new\n".into())
        );
        fs::remove_dir_all(paths.root()).unwrap();
    }
}
