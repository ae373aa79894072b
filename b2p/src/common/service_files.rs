// SPDX-License-Identifier: Apache-2.0
//! Files of users' services, copied from the data disk to the directory from which PID 1 reads
//! them: if the disk hangs, this process hangs and PID 1 does not.

use std::fs;
use std::path::Path;

use control::{ACCOUNT_COPIES, Name};
use nix::errno::Errno;
use sys::error::{Doing, Error, Result};

use crate::common::user_text;

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
    sys::sort::sort(&mut file_names);
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
/// The file cannot be read, or has wrong lines, all of which the error lists.
pub fn check(user_files: &Path, name: &Name) -> Result<()> {
    let text = read(user_files, name)?;
    let [passwd, group] = ACCOUNT_COPIES.map(|(path, _)| read_account_file(path));
    let (passwd, group) = (passwd?, group?);
    let parsed = services::service_file::parse(name.as_str(), &text, &passwd, &group);
    parsed
        .map(drop)
        .map_err(|errors| Error::invalid(errors.to_string()))
}

/// Returns true if a file that PID 1 was given names times at which its service runs.
#[must_use]
pub fn has_times(loaded_files: &Path, name: &Name) -> bool {
    let text = read(loaded_files, name).unwrap_or_default();
    let [passwd, group] = ACCOUNT_COPIES.map(|(_, copy)| {
        let text = sys::files::read_text(loaded_files.join(copy));
        text.unwrap_or_default()
    });
    let parsed = services::service_file::parse(name.as_str(), &text, &passwd, &group);
    parsed.is_ok_and(|parsed| parsed.at.is_some())
}

/// Copies the user's file, in one step, to the directory from which PID 1 reads it, after copies of
/// the files of users and groups.
///
/// # Errors
/// A file cannot be read, or a copy cannot be written.
pub fn stage(user_files: &Path, loaded_files: &Path, name: &Name) -> Result<()> {
    let text = read(user_files, name)?;
    for (path, copy) in ACCOUNT_COPIES {
        let accounts = read_account_file(path)?;
        sys::files::replace(&loaded_files.join(copy), accounts.as_bytes(), 0o600)?;
    }
    sys::files::replace(&loaded_files.join(name.as_str()), &text, 0o600)
}

/// Removes the copy of a file that PID 1 has not taken.
pub fn unstage(loaded_files: &Path, name: &Name) {
    let _ = fs::remove_file(loaded_files.join(name.as_str()));
}

/// Returns the text of a user's file; `None` without one.
#[must_use]
pub fn text(user_files: &Path, name: &str) -> Option<String> {
    let bytes = read(user_files, &Name::new(name)?).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Returns the text of a file of users or groups; an empty one if there is none.
fn read_account_file(path: &str) -> Result<String> {
    match sys::files::read_text(path) {
        Err(why) if why.errno() == Some(Errno::ENOENT) => Ok(String::new()),
        text => text,
    }
}

fn read(dir: &Path, name: &Name) -> Result<Vec<u8>> {
    let path = dir.join(name.as_str());
    match user_text::read(&path, MAX_FILE_BYTES)? {
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
        assert!(!differs(&from, &to, &name("web")) && !has_times(&to, &name("web")));
        fs::write(from.join("web"), "exec /bin/other\n").unwrap();
        assert!(differs(&from, &to, &name("web")));
        fs::write(from.join("night"), "exec /bin/web\nat 03:30\n").unwrap();
        stage(&from, &to, &name("night")).unwrap();
        assert!(has_times(&to, &name("night")) && !has_times(&to, &name("none")));
        for path in [&from, &to] {
            fs::remove_file(path.join("night")).unwrap();
        }
        for bad in ["long", "pipe", "dir", "none"] {
            assert!(stage(&from, &to, &name(bad)).is_err(), "{bad}");
        }
        let in_ram = fs::read_dir(&to).unwrap().map(|e| e.unwrap().file_name());
        let mut in_ram: Vec<_> = in_ram.map(|name| name.into_string().unwrap()).collect();
        in_ram.sort_unstable();
        assert_eq!(in_ram, [".group", ".passwd", "web"]);
        for (path, copy) in ACCOUNT_COPIES {
            assert_eq!(fs::read(to.join(copy)).unwrap(), fs::read(path).unwrap());
            assert_eq!(Name::new(copy), None, "a service never has the name {copy}");
        }
        let names = ["dir", "long", "pipe", "web"].map(name).to_vec();
        assert_eq!(list(&from), (names, vec!["Web.txt".to_owned()]));
        assert_eq!(list(&temp.path("none")), (vec![], vec![]));
    }
}
