// SPDX-License-Identifier: Apache-2.0
//! `make install`: `podman-machine` with the image of this build, its manual pages and completions.
//!
//! `PREFIX=` is the directory that the program looks for its image in, `/usr/local` by default;
//! `DESTDIR=` stands before it where a package is made (GNU Coding Standards, "DESTDIR").

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::paths::{INITRD, SHA256SUMS, VMLINUZ};
use crate::programs::{self, Target};
use crate::progress::{Step, megabytes};
use crate::{fsutil, image, paths, sums};

/// Name of the program.
const PROGRAM: &str = "podman-machine";
/// Directory of the image below the prefix.
const IMAGE: &str = "share/boot2podman";

/// Builds and installs everything.
///
/// # Errors
/// A step of the build fails, or a file cannot be written.
pub fn install() -> Result<()> {
    image::build()?;
    let prefix = prefix(&|name| std::env::var(name).ok());
    let step = Step::new("install", 1, 1);
    step.note(&format!("{PROGRAM} for {}", Target::choose().triple()));
    let program = programs::build_program(Target::choose(), PROGRAM)?;
    let installed = prefix.join("bin").join(PROGRAM);
    place(&program, &installed, 0o755)?;
    let files = [VMLINUZ, INITRD].map(|name| prefix.join(IMAGE).join(name));
    for file in &files {
        let name = file.file_name().context("a file without a name")?;
        place(&paths::out().join(name), file, 0o644)?;
    }
    let sums = prefix.join(IMAGE).join(SHA256SUMS);
    fs::write(&sums, sums::lines(&files)?).with_context(|| format!("write {}", sums.display()))?;
    pages(&prefix.join("share"))?;
    let size = megabytes(fsutil::size(&installed)?);
    step.note(&format!("{}: {size}", installed.display()));
    Ok(())
}

/// Returns the directory to install in. An empty variable counts as unset, as in make.
fn prefix(variable: &dyn Fn(&str) -> Option<String>) -> PathBuf {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    let prefix = set("PREFIX").unwrap_or_else(|| "/usr/local".to_owned());
    match set("DESTDIR") {
        Some(dir) => Path::new(&dir).join(prefix.trim_start_matches('/')),
        None => PathBuf::from(prefix),
    }
}

/// Copies a file in one step: a machine that runs keeps the program that it was started with.
fn place(from: &Path, to: &Path, mode: u32) -> Result<()> {
    let copy = || -> std::io::Result<()> {
        fs::create_dir_all(to.parent().unwrap_or(to))?;
        let draft = to.with_extension("new");
        fs::copy(from, &draft)?;
        fs::set_permissions(&draft, Permissions::from_mode(mode))?;
        fs::rename(&draft, to)
    };
    copy().with_context(|| format!("install {} as {}", from.display(), to.display()))
}

/// Writes the manual pages and completions below `share`.
fn pages(share: &Path) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let mut command = Command::new(cargo);
    command.args([
        "run",
        "--quiet",
        "--package",
        PROGRAM,
        "--example",
        "pages",
        "--",
    ]);
    let share = std::path::absolute(share)?;
    let status = command.arg(share).current_dir(paths::root()).status()?;
    if !status.success() {
        bail!("manual pages and completions: {status}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::prefix;
    use std::path::Path;

    #[test]
    fn destdir_stands_before_the_prefix() {
        for (prefix_is, destdir, want) in [
            ("", "", "/usr/local"),
            ("/opt/b2p", "", "/opt/b2p"),
            ("", "/tmp/package", "/tmp/package/usr/local"),
            ("/usr", "/tmp/package/", "/tmp/package/usr"),
        ] {
            let variable = |name: &str| {
                let value = if name == "PREFIX" { prefix_is } else { destdir };
                Some(value.to_owned())
            };
            assert_eq!(prefix(&variable), Path::new(want));
        }
    }
}
