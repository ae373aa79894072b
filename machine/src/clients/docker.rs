// SPDX-License-Identifier: Apache-2.0
//! docker's contexts: a directory for each, named by the SHA-256 of its name (docker/cli,
//! cli/context/store).

use super::{Places, edit, owns, url};
use crate::fault::Fault;
use crate::store::Machine;
use crate::store::dirs::{make_private, remove_all};
use crate::store::files;
use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::PathBuf;

/// Name of docker's own context, which stands for the host's engine whatever the files say (docker/cli,
/// cli/command/defaultcontextstore.go).
const RESERVED: &str = "default";

/// Returns the name of a machine's context: the machine's, unless docker reserves it or finds it too short
/// (`restrictedNamePattern` of docker/cli, cli/context/store/store.go).
#[must_use]
pub fn context_name(name: &str) -> String {
    match name == RESERVED || name.len() < 2 {
        true => format!("podman-machine-{name}"),
        false => name.to_owned(),
    }
}

/// Returns the file of a context.
#[must_use]
pub fn meta(places: &Places, name: &str) -> PathBuf {
    let hex = disk::uuid::hex(&Sha256::digest(name));
    places
        .docker
        .join("contexts/meta")
        .join(hex)
        .join("meta.json")
}

fn host_of(places: &Places, name: &str) -> Option<String> {
    let text = fs::read_to_string(meta(places, name)).ok()?;
    let value: Value = serde_json::from_str(&text).ok()?;
    Some(
        value["Endpoints"]["docker"]["Host"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
    )
}

/// Refuses a context that has the machine's name and was made by another program.
pub fn refuse_foreign(places: &Places, machine: &Machine) -> Result<()> {
    let name = &context_name(&machine.name);
    match host_of(places, name).filter(|host| !owns(machine, host)) {
        Some(other) => Err(Fault::new(format!(
            "Error: docker has a context \"{name}\" for {other}: remove it first"
        ))
        .into()),
        None => Ok(()),
    }
}

fn is_known(places: &Places, machine: &Machine) -> bool {
    host_of(places, &context_name(&machine.name)).is_some_and(|host| owns(machine, &host))
}

/// Removes the context that an earlier version wrote under a name that docker does not take.
fn remove_unusable(places: &Places, machine: &Machine) -> Result<bool> {
    let name = &machine.name;
    let is_unusable = context_name(name) != *name;
    if !is_unusable || !host_of(places, name).is_some_and(|host| owns(machine, &host)) {
        return Ok(false);
    }
    let file = meta(places, name);
    remove_all(file.parent().context("no directory")?)?;
    Ok(true)
}

/// Adds the context of a machine.
pub fn add(places: &Places, machine: &Machine, default: bool) -> Result<()> {
    let (name, url) = (context_name(&machine.name), url(machine));
    refuse_foreign(places, machine)?;
    remove_unusable(places, machine)?;
    let file = meta(places, &name);
    make_private(file.parent().context("no directory")?)?;
    let context = json!({
        "Name": name,
        "Metadata": {"Description": format!("podman-machine {}", machine.name)},
        "Endpoints": {"docker": {"Host": url, "SkipTLSVerify": false}},
    });
    files::replace(&file, context.to_string().as_bytes())?;
    if default {
        edit(&places.docker.join("config.json"), |config| {
            config.insert("currentContext".to_owned(), json!(name));
            Ok(true)
        })?;
    }
    Ok(())
}

/// Gives the context of a machine, and the choice of it, to the machine that it becomes. A context
/// that another program made is refused before anything changes.
pub fn rename(places: &Places, from: &Machine, to: &Machine) -> Result<()> {
    if !is_known(places, from) {
        return Ok(());
    }
    let default = is_current(places, from);
    add(places, to, default)?;
    remove(places, from).map(|_| ())
}

/// Gives the context of a machine its present URL. The file is not written if it has it.
pub fn refresh(places: &Places, machine: &Machine) -> Result<()> {
    if remove_unusable(places, machine)? {
        return add(places, machine, false);
    }
    let name = context_name(&machine.name);
    match is_known(places, machine) && host_of(places, &name) != Some(url(machine)) {
        true => add(places, machine, false),
        false => Ok(()),
    }
}

fn is_current(places: &Places, machine: &Machine) -> bool {
    let text = fs::read_to_string(places.docker.join("config.json")).unwrap_or_default();
    let config: Value = serde_json::from_str(&text).unwrap_or_default();
    config["currentContext"] == json!(context_name(&machine.name))
}

/// Removes the context of a machine.
pub fn remove(places: &Places, machine: &Machine) -> Result<bool> {
    let had_unusable = remove_unusable(places, machine)?;
    if !is_known(places, machine) {
        return Ok(had_unusable);
    }
    let name = context_name(&machine.name);
    let config = places.docker.join("config.json");
    if config.exists() {
        edit(&config, |config| {
            let current = config.get("currentContext") == Some(&json!(name));
            if current {
                config.remove("currentContext");
            }
            Ok(current)
        })?;
    }
    let file = meta(places, &name);
    remove_all(file.parent().context("no directory")?)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_has_a_name_that_docker_takes() {
        for (name, expected) in [
            ("box", "box"),
            ("ab", "ab"),
            ("Default", "Default"),
            ("default", "podman-machine-default"),
            ("a", "podman-machine-a"),
        ] {
            assert_eq!(context_name(name), expected);
        }
    }
}
