// SPDX-License-Identifier: Apache-2.0
//! Variables of /etc/environment, which pam_env(8) gives to sessions elsewhere: Lima writes those of its
//! configuration and of the host there, such as proxies. Here PID 1 writes the environment of sessions from flags,
//! and sshd reads that file for each client; the variables that flags do not set are added.

use std::path::Path;

use sys::error::Result;
use sys::files::{read_text, replace};
use sys::paths::{SESSION_PROFILE, SESSION_SSHD_CONFIG};

use super::environment_d::{ENVIRONMENT, read};

/// Start of a line of sshd_config(5) with variables.
const SET_ENV: &str = "    SetEnv ";

/// Gives the variables to sessions that begin from now on.
///
/// # Errors
/// A file cannot be read or written.
pub fn apply() -> Result<()> {
    let variables = read(Path::new(ENVIRONMENT))?;
    for (path, with) in [
        (
            SESSION_SSHD_CONFIG,
            sshd_with as fn(&str, &[(String, String)]) -> String,
        ),
        (SESSION_PROFILE, profile_with),
    ] {
        let before = read_text(path)?;
        let after = with(&before, &variables);
        if after != before {
            replace(Path::new(path), after.as_bytes(), 0o644)?;
        }
    }
    Ok(())
}

/// Returns sshd's lines with the variables that a line does not have.
fn sshd_with(text: &str, variables: &[(String, String)]) -> String {
    let add = |line: &str| {
        let mut line = line.to_owned();
        if !line.starts_with(SET_ENV) {
            return line + "\n";
        }
        for (name, value) in variables {
            let has = |start: &str| line.contains(&format!("{start}{name}="));
            if !has(" ") && !has(" \"") {
                let value = value.replace('\\', "\\\\").replace('"', "\\\"");
                line += &format!(" \"{name}={value}\"");
            }
        }
        line + "\n"
    };
    text.lines().map(add).collect()
}

/// Returns the script of login shells with those of the variables added that it does not export.
fn profile_with(text: &str, variables: &[(String, String)]) -> String {
    let mut text = text.to_owned();
    for (name, value) in variables {
        if !text
            .lines()
            .any(|line| line.starts_with(&format!("export {name}=")))
        {
            text += &format!("export {name}='{}'\n", value.replace('\'', "'\\''"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_flags_stay_and_others_are_added_once() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let all = [
            pair("PATH", "/x"),
            pair("A", "1"),
            pair("TZ", "it's \"b\\s\""),
        ];
        let sshd = "Match User me\n    SetEnv \"PATH=/bin\" XDG_RUNTIME_DIR=/run/user/1 \"A=2\"\n\
                    Match all\n    SetEnv \"PATH=/bin\"\n";
        let more = r#" "TZ=it's \"b\\s\"""#;
        let want = format!(
            "Match User me\n    SetEnv \"PATH=/bin\" XDG_RUNTIME_DIR=/run/user/1 \"A=2\"{more}\n\
             Match all\n    SetEnv \"PATH=/bin\" \"A=1\"{more}\n"
        );
        assert_eq!(sshd_with(sshd, &all), want);
        assert_eq!(sshd_with(&want, &all), want);
        let profile = profile_with("export PATH='/bin'\n", &all);
        assert_eq!(
            profile,
            "export PATH='/bin'\nexport A='1'\nexport TZ='it'\\''s \"b\\s\"'\n"
        );
        assert_eq!(profile_with(&profile, &all), profile);
    }
}
