// SPDX-License-Identifier: Apache-2.0
//! Programs of the host that a command runs to their end.

use anyhow::{Context, Result, bail};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

/// Runs a program, and returns its output. The error of a program that fails is its message.
pub fn output(command: &mut Command) -> Result<String> {
    log::debug!("run {command:?}");
    let name = command.get_program().to_string_lossy().into_owned();
    let output = match command.output() {
        Err(error) if error.kind() == ErrorKind::NotFound && find(&name).is_none() => {
            bail!("{name} is not in PATH, and is needed for this")
        }
        other => other.with_context(|| format!("start {name}"))?,
    };
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let prefix = format!("{name}: ");
        // Most programs begin with their name.
        let said = plain(&said);
        bail!("{prefix}{}", said.strip_prefix(&prefix).unwrap_or(&said));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Joins the lines of a message. A guest may have written it, and it goes to the user's terminal.
fn plain(said: &str) -> String {
    let lines = said.lines().map(vmm::without_controls);
    let lines: Vec<_> = lines.filter(|line| !line.trim().is_empty()).collect();
    lines.join("; ")
}

/// Runs a program.
pub fn run(command: &mut Command) -> Result<()> {
    output(command).map(|_| ())
}

/// Returns the path of a program in `PATH`. As for execvp(3), a file without permission to execute is ignored.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_missing_is_named() {
        let error = output(&mut Command::new("no-such-program")).expect_err("it is missing");
        assert_eq!(
            error.to_string(),
            "no-such-program is not in PATH, and is needed for this"
        );
    }

    #[test]
    fn a_message_is_one_line_without_escape_sequences() {
        let mut sh = Command::new("sh");
        sh.args(["-c", r"printf 'sh: a\033[2Jb\r\n\nc\n' >&2; exit 1"]);
        let error = output(&mut sh).expect_err("it fails");
        assert_eq!(error.to_string(), "sh: a[2Jb; c");
    }
}
