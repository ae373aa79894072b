// SPDX-License-Identifier: Apache-2.0
//! Environment of sessions of people who log in. PID 1 writes it, and a helper that has found new variables.

use std::path::Path;

use config::Config;

use crate::error::Result;
use crate::files::replace;
use crate::paths::{SESSION_PROFILE, SESSION_SSHD_CONFIG, USER_RUNTIME_DIRS};

/// PATH of commands over ssh, which read no profile: people's tools call programs of sbin by
/// name.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin";

/// Writes the environment of sessions.
///
/// # Errors
/// A file cannot be written.
pub fn write_environment(config: &Config) -> Result<()> {
    let variables = config.variables();
    let sshd = sshd_config(config, &variables);
    replace(Path::new(SESSION_SSHD_CONFIG), sshd.as_bytes(), 0o644)?;
    let profile = profile_script(&variables);
    replace(Path::new(SESSION_PROFILE), profile.as_bytes(), 0o644)
}

/// Returns the SetEnv lines of sshd. The first SetEnv that applies is the only one
/// (sshd_config(5)), so each block has all variables. Rootless podman needs its runtime
/// directory.
fn sshd_config(config: &Config, variables: &[(String, String)]) -> String {
    let Config { user, uid, .. } = config;
    let path = variables.iter().find(|(name, _)| name == "PATH");
    let path = path.map_or(DEFAULT_PATH, |(_, value)| value);
    let mut others = String::new();
    for (name, value) in variables.iter().filter(|(name, _)| name != "PATH") {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"");
        others += &format!(" \"{name}={value}\"");
    }
    let path = path.replace('"', "");
    format!(
        "Match User {user}\n    SetEnv \"PATH={path}\" XDG_RUNTIME_DIR={USER_RUNTIME_DIRS}/{uid}{others}\n\
         Match all\n    SetEnv \"PATH={path}\"{others}\n"
    )
}

/// Returns the variables as a script for login shells of every kind.
fn profile_script(variables: &[(String, String)]) -> String {
    let export = |(name, value): &(String, String)| {
        format!("export {name}='{}'\n", value.replace('\'', "'\\''"))
    };
    variables.iter().map(export).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(n, v): &(&str, &str)| ((*n).to_owned(), (*v).to_owned());
        all.iter().map(owned).collect()
    }

    #[test]
    fn sshd_config_sets_all_variables() {
        let all = pairs(&[("A", "one two"), ("B", r#"q"b\s"#)]);
        let user = |name: &str, uid| Config {
            user: name.to_owned(),
            uid,
            ..Config::default()
        };
        let text = sshd_config(&user("me", 501), &all);
        let more = r#" "A=one two" "B=q\"b\\s""#;
        let path = format!("SetEnv \"PATH={DEFAULT_PATH}\"");
        assert_eq!(
            text,
            format!(
                "Match User me\n    {path} XDG_RUNTIME_DIR=/run/user/501{more}\n\
                 Match all\n    {path}{more}\n"
            )
        );
        let own = sshd_config(
            &user("core", 1000),
            &pairs(&[("PATH", "/opt/bin:/usr/bin")]),
        );
        assert!(own.contains("SetEnv \"PATH=/opt/bin:/usr/bin\" XDG") && !own.contains("sbin"));
    }

    #[test]
    fn profile_script_exports_the_same_variables() {
        let text = profile_script(&pairs(&[("A", "it's"), ("B", "")]));
        assert_eq!(text, "export A='it'\\''s'\nexport B=''\n");
    }
}
