// SPDX-License-Identifier: Apache-2.0
//! docker's contexts: a directory for each, named by the SHA-256 of its name (docker/cli,
//! cli/context/store).

use super::{Places, edit, url};
use crate::fault::Fault;
use crate::store::Machine;
use crate::store::dirs::{make_private, remove_all};
use crate::store::files;
use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::PathBuf;

/// Returns the file of a context.
#[must_use]
pub fn meta(places: &Places, name: &str) -> PathBuf {
    let hash = Sha256::digest(name);
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
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

/// Adds the context of a machine.
pub fn add(places: &Places, machine: &Machine, default: bool) -> Result<()> {
    let (name, url) = (&machine.name, url(machine));
    if let Some(other) = host_of(places, name).filter(|host| *host != url) {
        let text = format!("Error: docker has a context \"{name}\" for {other}: remove it first");
        return Err(Fault::new(text).into());
    }
    let file = meta(places, name);
    make_private(file.parent().context("no directory")?)?;
    let context = json!({
        "Name": name,
        "Metadata": {"Description": format!("podman-machine {name}")},
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

/// Removes the context of a machine.
pub fn remove(places: &Places, machine: &Machine) -> Result<bool> {
    if host_of(places, &machine.name) != Some(url(machine)) {
        return Ok(false);
    }
    let config = places.docker.join("config.json");
    if config.exists() {
        edit(&config, |config| {
            let current = config.get("currentContext") == Some(&json!(machine.name));
            if current {
                config.remove("currentContext");
            }
            Ok(current)
        })?;
    }
    let file = meta(places, &machine.name);
    remove_all(file.parent().context("no directory")?)?;
    Ok(true)
}
