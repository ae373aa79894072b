// SPDX-License-Identifier: Apache-2.0
//! Variables of /etc/environment, which pam_env(8) gives to sessions elsewhere: Lima writes those of its
//! configuration and of the host there, such as proxies. Here PID 1 writes the environment of sessions, from flags, the
//! data disk and the copy that is made here, and sshd reads it for each client.

use std::fs;
use std::path::Path;

use sys::error::{Error, Result};
use sys::files::{read_bounded, replace};
use sys::paths::{DISK_CONFIG_DIR, ETC_ENVIRONMENT};
use sys::{config_sources, session};

use super::environment_d::{self, ENVIRONMENT, MAX_BYTES};

/// Returns true if a file has variables that [`apply`] gives to podman or to sessions.
#[must_use]
pub fn is_source(path: &str) -> bool {
    path == ENVIRONMENT || path.starts_with(environment_d::DIR)
}

/// Gives the variables to every podman, and to sessions that begin from now on.
///
/// # Errors
/// A file cannot be read or written.
pub fn apply() -> Result<()> {
    let of_podman = environment_d::apply();
    let errors = [of_podman.err(), of_sessions().err()];
    Error::join(errors.into_iter().flatten().collect())
}

fn of_sessions() -> Result<()> {
    if !note(Path::new("/"))? {
        return Ok(());
    }
    session::write_environment(&config_sources::read().0).inspect_err(|_| {
        // The next call tries again.
        let _ = fs::remove_file(Path::new(DISK_CONFIG_DIR).join(ETC_ENVIRONMENT));
    })
}

/// Copies the variables to where every reader of the configuration finds them. Returns true if they are others
/// than before.
///
/// # Errors
/// A file cannot be read or written.
pub fn note(root: &Path) -> Result<bool> {
    let at = |path: &str| root.join(path.trim_start_matches('/'));
    let mut variables = environment_d::read(&at(ENVIRONMENT))?;
    // That of sessions is the machine's.
    variables.retain(|(name, _)| name != "PATH");
    let lines = variables.iter().map(|(n, v)| format!("{n}={v}\n"));
    let lines: String = lines.collect();
    let copy = at(DISK_CONFIG_DIR).join(ETC_ENVIRONMENT);
    let before = read_bounded(&copy, MAX_BYTES).unwrap_or_default();
    let is_new = before != lines.as_bytes();
    if is_new {
        replace(&copy, lines.as_bytes(), 0o600)?;
    }
    Ok(is_new)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::Temp;

    #[test]
    fn a_copy_follows_the_file() {
        let temp = Temp::new();
        let copy = temp.dir().join(&DISK_CONFIG_DIR[1..]).join(ETC_ENVIRONMENT);
        assert_eq!(note(temp.dir()), Ok(false));
        assert!(!copy.exists(), "nothing is made of nothing");
        fs::create_dir(temp.path("etc")).unwrap();
        let file = temp.path("etc/environment");
        fs::write(&file, "PATH=/x\n#LIMA-START\nA=\"b c\"\nB=it's\n").unwrap();
        assert_eq!(note(temp.dir()), Ok(true));
        assert_eq!(fs::read_to_string(&copy).unwrap(), "A=b c\nB=it's\n");
        assert_eq!(note(temp.dir()), Ok(false));
        fs::write(&file, "A=other\n").unwrap();
        assert_eq!(note(temp.dir()), Ok(true));
        assert_eq!(fs::read_to_string(&copy).unwrap(), "A=other\n");
        fs::remove_file(&file).unwrap();
        assert_eq!(note(temp.dir()), Ok(true));
        assert_eq!(fs::read_to_string(&copy).unwrap(), "");
    }

    #[test]
    fn files_with_variables() {
        for (path, is) in [
            ("/etc/environment", true),
            ("/etc/environment.d/a.conf", true),
            ("/etc/environments", false),
            ("/etc/profile.d/a.sh", false),
        ] {
            assert_eq!(is_source(path), is, "{path}");
        }
    }
}
