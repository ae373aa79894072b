// SPDX-License-Identifier: Apache-2.0
//! Programs of a fetched package tree, run on the host with the tree's loader and libraries, so
//! that the result does not depend on the host's versions. For this purpose, a tree of another
//! architecture is accompanied by a tree of the host's.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::arch::Arch;
use crate::elf;
use crate::fetch::{BuildConfig, PackageTree};

/// Directories of tools in the tree.
const DIRECTORIES: &[&str] = &["usr/bin", "usr/sbin", "usr/libexec/docker/cli-plugins"];

/// Returns a command for the tool `name` (`mkfs.erofs`, `podman-remote`, `docker`, …) of the
/// userland tree that `SUITE=` and `MIRROR=` select.
///
/// # Errors
/// The tree has not been fetched yet, or has no such tool.
pub fn command(name: &str) -> Result<Command> {
    let debian = BuildConfig::from_env()?.userland_tree();
    if !debian.tools.exists() {
        bail!(
            "{name}: no tools yet in {}; run `make image` first",
            debian.tools.display()
        );
    }
    command_in(&debian, name)
}

/// Returns a command for the tool `name` that works on a tree.
///
/// # Errors
/// The tree has no such tool.
pub fn command_in(debian: &PackageTree, name: &str) -> Result<Command> {
    let (root, host) = (&debian.tools, Arch::host());
    let program = find(root, name)?;
    if elf::needs(&program)?.interpreter.is_none() {
        return Ok(Command::new(program));
    }
    let mut command = Command::new(root.join(host.loader));
    let libraries = root.join(host.libraries);
    let mut path = libraries.clone().into_os_string();
    path.push(":");
    // systemd's programs have a library of their own there.
    path.push(libraries.join("systemd"));
    command.args(["--argv0", name, "--library-path"]);
    command.arg(path).arg(program);
    Ok(command)
}

fn find(root: &Path, name: &str) -> Result<PathBuf> {
    DIRECTORIES
        .iter()
        .map(|dir| root.join(dir).join(name))
        .find(|path| path.exists())
        .with_context(|| format!("{name} is in none of {DIRECTORIES:?} of {}", root.display()))
}

/// Runs a command and returns its standard output.
///
/// # Errors
/// The command failed; the error contains its standard error.
pub fn run(command: &mut Command, name: &str) -> Result<Vec<u8>> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{name}: start {}", command.get_program().display()))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("{name}: {}: {}", output.status, stderr.trim());
    }
    Ok(output.stdout)
}
