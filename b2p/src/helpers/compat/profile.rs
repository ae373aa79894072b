// SPDX-License-Identifier: Apache-2.0
//! `profile` on the data disk, a feature of boot2docker: a shell script whose exported variables
//! are in the environment of the engine and of sessions. The script runs once, at boot.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use sys::error::{Doing, Error, Result};
use sys::files::read_bounded;

use crate::common::tool;

/// Time limit of the script, which only sets variables.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Most bytes of an environment that are read; execve(2) bounds one below that.
const MAX_ENVIRONMENT_BYTES: u64 = 8 << 20;
/// Variables that a shell sets by itself.
const SET_BY_SHELL: &[&str] = &["PWD", "OLDPWD", "SHLVL", "_"];
/// Environment of the script. A variable that the script does not change is not exported.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"),
    ("HOME", "/root"),
    ("LANG", "C.UTF-8"),
];
/// Reads the script `$1`, and writes the environment to the file `$2`.
const SHELL_COMMAND: &str = r#". "$1" && exec env -0 >"$2""#;

/// Returns the variables that the script at `path` exports, a line `NAME=value` each. The
/// environment passes through the file at `scratch`.
///
/// # Errors
/// The script fails, or exceeds the time limit, or a value cannot stand in a line; no variable
/// is taken then.
pub fn exports(path: &Path, scratch: &Path) -> Result<String> {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", SHELL_COMMAND, "profile"]);
    shell.arg(path).arg(scratch).current_dir("/");
    shell.env_clear().envs(ENVIRONMENT.iter().copied());
    let finished = tool::run_command(&mut shell, TIMEOUT);
    // The script could have put anything there.
    let environment = read_bounded(scratch, MAX_ENVIRONMENT_BYTES).unwrap_or_default();
    let _ = fs::remove_file(scratch);
    let finished = finished.on(path)?;
    if finished.code != Some(0) {
        return Err(Error::invalid(finished.last_lines))
            .doing("it fails")
            .on(path);
    }
    let (lines, unusable) = exported_lines(&environment);
    match unusable.is_empty() {
        true => Ok(lines),
        false => Err(Error::invalid(format!(
            "{} has a control character in it",
            unusable.join(", ")
        )))
        .on(path),
    }
}

/// Splits the output of `env -0` into the lines of variables that the script has set, and the
/// names of those whose value cannot stand in a line.
fn exported_lines(environment: &[u8]) -> (String, Vec<String>) {
    let text = String::from_utf8_lossy(environment);
    let (mut lines, mut unusable) = (String::new(), Vec::new());
    for (name, value) in text.split('\0').filter_map(|v| v.split_once('=')) {
        if SET_BY_SHELL.contains(&name) || ENVIRONMENT.contains(&(name, value)) {
            continue;
        }
        match value.chars().any(char::is_control) {
            true => unusable.push(name.to_owned()),
            false => lines += &format!("{name}={value}\n"),
        }
    }
    (lines, unusable)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::{Temp, why};

    #[test]
    fn only_exports_of_the_profile_are_read() {
        let temp = Temp::new();
        let (path, scratch) = (temp.path("profile"), temp.path("scratch"));
        let of = |text: &str| {
            fs::write(&path, text).unwrap();
            exports(&path, &scratch)
        };
        let text =
            "echo noise\nPLAIN=1\nexport HTTP_PROXY=\"http://p:1\" A='b c=d'\nPATH=$PATH:/opt\n";
        let exported = of(text).unwrap();
        let mut lines: Vec<_> = exported.lines().collect();
        lines.sort_unstable();
        let path_line = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/opt";
        assert_eq!(lines, ["A=b c=d", "HTTP_PROXY=http://p:1", path_line]);
        assert_eq!(of("").unwrap(), "");
        assert!(why(of("false")).contains("it fails"));
        assert!(why(of("export A=1\nif\n")).contains("profile"));
        assert!(why(of("export A='1\n2'")).ends_with("profile: A has a control character in it"));
    }
}
