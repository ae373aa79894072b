//! Programs of the fetched Debian tree, run on the host through their own loader and
//! libraries: what comes out does not depend on the host's versions of anything.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::elf;
use crate::fetch::{BuildConfig, PackageTree};

const LOADER: &str = "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2";
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";
const DIRECTORIES: &[&str] = &["usr/bin", "usr/sbin", "usr/libexec/docker/cli-plugins"];

/// A command for the tool `name` (`mkfs.erofs`, `podman-remote`, `docker`, …) of the
/// tree that the environment's `SUITE=` and `MIRROR=` select. The tree must have been
/// fetched: `make image` does.
pub fn command(name: &str) -> Result<Command> {
    let debian = BuildConfig::from_env()?.userland_tree();
    if !debian.root.exists() {
        bail!(
            "{name}: no tools yet at {}; run `make image` first",
            debian.root.display()
        );
    }
    command_in(&debian, name)
}

/// The same in a tree at hand.
pub fn command_in(debian: &PackageTree, name: &str) -> Result<Command> {
    let program = find(&debian.root, name)?;
    if elf::needs(&program)?.interpreter.is_none() {
        return Ok(Command::new(program));
    }
    let mut command = Command::new(debian.root.join(LOADER));
    command.args(["--argv0", name, "--library-path"]);
    command.arg(debian.root.join(LIBRARIES)).arg(program);
    Ok(command)
}

fn find(root: &Path, name: &str) -> Result<PathBuf> {
    DIRECTORIES
        .iter()
        .map(|dir| root.join(dir).join(name))
        .find(|path| path.exists())
        .with_context(|| format!("{name} is in none of {DIRECTORIES:?} of {}", root.display()))
}

/// Runs a command to its end; when it fails, the error holds what it said.
pub fn run(command: &mut Command, what: &str) -> Result<Vec<u8>> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{what}: start {}", command.get_program().display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{what}: {}: {}", output.status, said.trim());
    }
    Ok(output.stdout)
}
