// SPDX-License-Identifier: Apache-2.0
//! Variables of the environment of a unit.

use super::words;

/// Sets a variable in place of one of the same name.
pub fn set(env: &mut Vec<(String, String)>, name: &str, value: &str) {
    env.retain(|(other, _)| other != name);
    env.push((name.to_owned(), value.to_owned()));
}

/// Reads a file of variables (systemd.exec(5), "EnvironmentFile="). Lines that are no assignment are
/// ignored.
#[must_use]
pub fn env_file(text: &str) -> Vec<(String, String)> {
    let joined = text.replace("\\\n", "");
    let lines = joined.lines().map(str::trim);
    let lines = lines.filter(|line| !line.starts_with(['#', ';']));
    let mut env = Vec::new();
    for (name, value) in lines.filter_map(|line| line.split_once('=')) {
        let (name, value) = (name.trim(), value.trim());
        let quoted = ['"', '\'']
            .iter()
            .find_map(|q| value.strip_prefix(*q)?.strip_suffix(*q));
        if words::is_variable(name) {
            set(&mut env, name, quoted.unwrap_or(value));
        }
    }
    env
}
