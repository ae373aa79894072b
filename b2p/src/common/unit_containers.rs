// SPDX-License-Identifier: Apache-2.0
//! Containers that the processes of a unit have started, such as those of a pod of `podman kube play`, whose names the
//! unit does not tell: a file for each unit, of the unit's owner.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Most containers of a unit that are noted, and the longest file with their names.
const MAX_NOTED: usize = 64;
const MAX_NOTED_BYTES: u64 = 32 << 10;

/// Path of the file of a service of a user.
#[must_use]
pub fn path(service: &str, uid: u32) -> PathBuf {
    let dir = match uid {
        0 => "/run".to_owned(),
        uid => format!("{}/{uid}", sys::paths::USER_RUNTIME_DIRS),
    };
    PathBuf::from(format!("{dir}/unit-{service}.containers"))
}

/// Notes a container. A file that is full begins anew: the name of a container may be another at each start.
pub fn note(path: &Path, container: &str) {
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let known = noted_in(path);
    if !container.chars().all(is_name) || known.iter().any(|name| name == container) {
        return;
    }
    let line = format!("{container}\n");
    let is_full = known.len() >= MAX_NOTED;
    let mut options = fs::OpenOptions::new();
    let options = options.create(true).append(!is_full).write(true);
    // The container runs without its name in the file as well.
    let _ = options
        .truncate(is_full)
        .open(path)
        .and_then(|mut file| file.write_all(line.as_bytes()));
}

/// Returns the containers of a file of [`note`], which may be a user's.
#[must_use]
pub fn noted_in(path: &Path) -> Vec<String> {
    let bytes = sys::files::read_whole(path, MAX_NOTED_BYTES).ok().flatten();
    let text = String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned();
    let names = text
        .lines()
        .filter(|name| !name.is_empty() && name.is_ascii());
    names.take(MAX_NOTED).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::testing::Temp;

    #[test]
    fn containers_that_a_unit_has_started_are_noted_once() {
        let temp = Temp::new();
        let path = temp.path("containers");
        for name in ["site-box", "site-db", "site-box", "a\nb", "a b"] {
            note(&path, name);
        }
        assert_eq!(noted_in(&path), ["site-box", "site-db"]);
        (0..MAX_NOTED).for_each(|n| note(&path, &n.to_string()));
        assert_eq!(noted_in(&path), ["62", "63"]);
        assert!(noted_in(&temp.path("none")).is_empty());
    }
}
