// SPDX-License-Identifier: Apache-2.0
//! Flags of the machine that the user sets.

use crate::fault::Fault;
use crate::store::config::MachineConfig;
use crate::store::field;
use anyhow::{Context, Result, bail};

/// Flags of which a machine may have several values, one on each line: the repeatable flags of `config::FLAGS`.
const REPEATABLE: [&str; 2] = ["ssh_key", "share"];

/// Adds a flag of the machine. A further value of a repeatable flag is added to its earlier values.
pub fn add(config: &mut MachineConfig, text: &str) -> Result<()> {
    let (name, value) = parse(text)?;
    let known = config.flags.iter_mut().find(|(other, _)| *other == name);
    match known {
        Some((_, lines)) if REPEATABLE.contains(&name.as_str()) => {
            *lines = format!("{}\n{value}", lines.trim_end());
            Ok(())
        }
        _ => set(config, &name, value),
    }
}

/// Parses `NAME=VALUE`.
pub fn parse(text: &str) -> Result<(String, &str)> {
    let pair = text.split_once('=');
    let (name, value) = pair.with_context(|| format!("--flag {text}: must be NAME=VALUE"))?;
    let name = name.strip_prefix("b2p.").unwrap_or(name);
    if !field::is_flag_name(name) {
        bail!("--flag {text}: the name of a flag has lower-case letters, digits and _");
    }
    Ok((name.to_owned(), value))
}

/// Sets a flag of the machine and replaces its earlier values; an empty value removes the flag.
pub fn set(config: &mut MachineConfig, name: &str, value: &str) -> Result<()> {
    if name == "machine" {
        return Err(Fault::new("Error: flag machine: podman-machine itself sets it").into());
    }
    if name == "user" {
        // The account that the keeper logs in to: `NAME[:UID]`.
        let login = value.split(':').next().unwrap_or_default();
        let login = if login.is_empty() { "core" } else { login };
        login.clone_into(&mut config.user);
    }
    config.flags.retain(|(other, _)| other != name);
    if !value.is_empty() {
        config.flags.push((name.to_owned(), value.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_repeatable_flags_are_added() {
        let mut config = MachineConfig::new("box");
        for text in [
            "ssh_key=a b",
            "tz=UTC",
            "ssh_key=c d",
            "tz=CET",
            "user=tc:1001",
        ] {
            add(&mut config, text).expect(text);
        }
        let flags: Vec<String> = config
            .flags
            .iter()
            .map(|(n, v)| format!("{n}={v}"))
            .collect();
        assert_eq!(flags, ["ssh_key=a b\nc d", "tz=CET", "user=tc:1001"]);
        assert_eq!(config.user, "tc");
        set(&mut config, "user", "").expect("taken back");
        set(&mut config, "ssh_key", "e f").expect("one");
        assert_eq!((config.user.as_str(), config.flags.len()), ("core", 2));
        assert!(add(&mut config, "b2p.machine=x").is_err());
    }
}
