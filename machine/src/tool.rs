// SPDX-License-Identifier: Apache-2.0
//! Programs of the host that a command runs to their end.

use anyhow::{Context, Result, bail};
use std::os::unix::fs::MetadataExt;
use std::process::Command;

/// Runs a program, and returns its output. The error of a program that fails is its message.
pub fn output(command: &mut Command) -> Result<String> {
    log::debug!("run {command:?}");
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("start {name}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let prefix = format!("{name}: ");
        // Most programs begin with their name.
        let said = said.trim();
        bail!("{prefix}{}", said.strip_prefix(&prefix).unwrap_or(said));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a program.
pub fn run(command: &mut Command) -> Result<()> {
    output(command).map(|_| ())
}

/// Returns the path of a program in `PATH`. As for execvp(3), a file that nobody can execute is none.
#[must_use]
pub fn find(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|dir| dir.join(program))
        .find(|path| {
            path.metadata()
                .is_ok_and(|meta| meta.is_file() && meta.mode() & 0o111 != 0)
        })
}
