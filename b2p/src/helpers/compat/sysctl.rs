// SPDX-License-Identifier: Apache-2.0
//! `sysctl`: busybox's, and `--system`, which Lima's boot script gives and busybox does not know.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use sys::error::{Doing, Error, Result};

use super::conf_files;
use crate::common::terminal::print_error;
use crate::common::tool;

const BUSYBOX: &str = "/usr/bin/busybox";
/// Time limit of one file.
const LIMIT: Duration = Duration::from_secs(10);
/// Directories of settings, of which a later one takes precedence (sysctl(8), `--system`).
const DIRS: &[&str] = &["/usr/lib/sysctl.d", "/run/sysctl.d", "/etc/sysctl.d"];
const LAST_FILE: &str = "/etc/sysctl.conf";

/// Executes busybox's sysctl; returns the exit status of a failure.
pub fn main(args: &[String]) -> i32 {
    let Some(arguments) = translated(args, || files(Path::new("/"))) else {
        return 0;
    };
    let why = Command::new(BUSYBOX).arg("sysctl").args(arguments).exec();
    print_error(&format!("sysctl: {BUSYBOX}: {why}"));
    1
}

/// Applies one file of settings.
///
/// # Errors
/// A setting is refused, or there is none of that name.
pub fn load(path: &str) -> Result<()> {
    let done = tool::run(BUSYBOX, &["sysctl", "-p", path], LIMIT)?;
    match done.code {
        Some(0) => Ok(()),
        _ => Err(Error::invalid(done.last_lines)).on(path),
    }
}

/// Returns busybox's arguments; `None` if no file has a setting.
fn translated(args: &[String], files: impl FnOnce() -> Vec<PathBuf>) -> Option<Vec<PathBuf>> {
    if !args.iter().any(|arg| arg == "--system") {
        return Some(args.iter().map(PathBuf::from).collect());
    }
    let files = files();
    let options = ["-e", "-p"].map(PathBuf::from).into_iter();
    (!files.is_empty()).then(|| options.chain(files).collect())
}

/// Returns the files in the order of their application. Of files with one name, that of the last
/// directory counts.
fn files(root: &Path) -> Vec<PathBuf> {
    let below = |path: &str| root.join(path.trim_start_matches('/'));
    let mut all: Vec<PathBuf> = Vec::new();
    for dir in DIRS {
        for file in conf_files(&below(dir)) {
            all.retain(|other| other.file_name() != file.file_name());
            all.push(file);
        }
    }
    sys::sort::sort_by(&mut all, |a, b| a.file_name().cmp(&b.file_name()));
    all.extend(Some(below(LAST_FILE)).filter(|file| file.exists()));
    all
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::Temp;
    use std::fs;

    #[test]
    fn files_by_name_and_the_last_of_one_name() {
        let temp = Temp::new();
        for file in [
            "usr/lib/sysctl.d/50-a.conf",
            "etc/sysctl.d/50-a.conf",
            "run/sysctl.d/10-b.conf",
            "etc/sysctl.d/99-lima.conf",
            "etc/sysctl.d/README",
            "etc/sysctl.conf",
        ] {
            fs::create_dir_all(temp.path(file).parent().unwrap()).unwrap();
            fs::write(temp.path(file), "").unwrap();
        }
        let want = [
            "run/sysctl.d/10-b.conf",
            "etc/sysctl.d/50-a.conf",
            "etc/sysctl.d/99-lima.conf",
            "etc/sysctl.conf",
        ];
        assert_eq!(files(temp.dir()), want.map(|file| temp.path(file)));
    }

    #[test]
    fn only_system_is_translated() {
        let args = |line: &str| -> Vec<String> { line.split(' ').map(str::to_owned).collect() };
        let words = |line: &str, files: &[&str]| {
            let files = files.iter().map(PathBuf::from).collect();
            let words = translated(&args(line), || files)?;
            let words = words.iter().map(|word| word.display().to_string());
            Some(words.collect::<Vec<_>>().join(" "))
        };
        assert_eq!(words("-w a.b=1", &["x"]).as_deref(), Some("-w a.b=1"));
        assert_eq!(words("--system", &["x", "y"]).as_deref(), Some("-e -p x y"));
        assert_eq!(words("-q --system", &[]), None);
    }
}
