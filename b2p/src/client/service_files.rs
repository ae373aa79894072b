// SPDX-License-Identifier: Apache-2.0
//! Files of users' services, copied from the data disk to the directory from which PID 1 reads
//! them: if the disk hangs, this process hangs and PID 1 does not.

use std::fs;
use std::path::Path;

use control::Name;
use nix::errno::Errno;
use sys::error::{Doing, Error, Result};

use crate::common::owner_text;

/// Longest service file, in bytes.
const MAX_FILE_BYTES: u64 = 16 * 1024;
/// Most directory entries that are read.
const MAX_FILES: usize = 256;

/// Returns true if the user has a service file of this name.
#[must_use]
pub fn exists(user_files: &Path, name: &Name) -> bool {
    user_files.join(name.as_str()).exists()
}

/// Returns the names of the user's service files, sorted, and those file names that are not
/// names of services. Hidden files and backups of editors are neither.
#[must_use]
pub fn list(user_files: &Path) -> (Vec<Name>, Vec<String>) {
    let entries = fs::read_dir(user_files).into_iter().flatten().flatten();
    let mut file_names: Vec<String> = entries
        .take(MAX_FILES)
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with('.') && !name.ends_with('~'))
        .collect();
    file_names.sort_unstable();
    let mut names = Vec::new();
    file_names.retain(|file_name| match Name::new(file_name) {
        Some(name) => {
            names.push(name);
            false
        }
        None => true,
    });
    (names, file_names)
}

/// Returns true if the user's file has another text than the one that PID 1 was last given.
#[must_use]
pub fn differs(user_files: &Path, loaded_files: &Path, name: &Name) -> bool {
    read(user_files, name).ok() != read(loaded_files, name).ok()
}

/// Checks that PID 1 would accept the user's file.
///
/// # Errors
/// The file cannot be read, or lines of it are wrong; the error lists all of them.
pub fn check(user_files: &Path, name: &Name) -> Result<()> {
    let text = read(user_files, name)?;
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let (passwd, group) = (read("/etc/passwd"), read("/etc/group"));
    let parsed = services::service_file::parse(name.as_str(), &text, &passwd, &group);
    parsed
        .map(drop)
        .map_err(|errors| Error::invalid(errors.to_string()))
}

/// Copies the user's file to the directory from which PID 1 reads it, in one step.
///
/// # Errors
/// The file cannot be read, or the copy cannot be written.
pub fn stage(user_files: &Path, loaded_files: &Path, name: &Name) -> Result<()> {
    let text = read(user_files, name)?;
    sys::files::replace(&loaded_files.join(name.as_str()), &text, 0o600)
}

fn read(dir: &Path, name: &Name) -> Result<Vec<u8>> {
    let path = dir.join(name.as_str());
    match owner_text::read(&path, MAX_FILE_BYTES)? {
        Some(text) => Ok(text),
        None => Err(Errno::ENOENT).on(path),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::Temp;
    use nix::sys::stat::Mode;

    #[test]
    fn plain_short_files_are_put_whole() {
        let temp = Temp::new();
        let (from, to) = (temp.path("own"), temp.path("run/services"));
        fs::create_dir_all(from.join("dir")).unwrap();
        fs::write(from.join("web"), "exec /bin/web\n").unwrap();
        fs::write(from.join("Web.txt"), "").unwrap();
        fs::write(from.join(".web.swp"), "").unwrap();
        fs::write(from.join("long"), vec![b'x'; 16 * 1024 + 1]).unwrap();
        nix::unistd::mkfifo(&from.join("pipe"), Mode::S_IRWXU).unwrap();
        let name = |n| Name::new(n).unwrap();
        assert!(differs(&from, &to, &name("web")) && exists(&from, &name("web")));
        stage(&from, &to, &name("web")).unwrap();
        assert_eq!(fs::read(to.join("web")).unwrap(), b"exec /bin/web\n");
        assert!(!differs(&from, &to, &name("web")));
        fs::write(from.join("web"), "exec /bin/other\n").unwrap();
        assert!(differs(&from, &to, &name("web")));
        for bad in ["long", "pipe", "dir", "none"] {
            assert!(stage(&from, &to, &name(bad)).is_err(), "{bad}");
        }
        assert_eq!(fs::read_dir(&to).unwrap().count(), 1);
        let names = ["dir", "long", "pipe", "web"].map(name).to_vec();
        assert_eq!(list(&from), (names, vec!["Web.txt".to_owned()]));
        assert_eq!(list(&temp.path("none")), (vec![], vec![]));
    }
}
