// SPDX-License-Identifier: Apache-2.0
//! podman's file of connections, `podman-connections.json` (podman-system-connection(1)).

use super::{Places, edit, guard, url};
use crate::fault::Fault;
use crate::store::Machine;
use crate::store::dirs::make_private;
use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

/// Returns the names of a machine's connections. The API is that of root; podman's own machines
/// have a name for it, too.
fn names(machine: &Machine) -> [String; 2] {
    [machine.name.clone(), format!("{}-root", machine.name)]
}

/// Adds the connections of a machine.
pub fn add(places: &Places, machine: &Machine, default: bool) -> Result<()> {
    let dir = places.connections.parent().context("no directory")?;
    make_private(dir)?;
    let _guard = guard(&places.connections)?;
    let url = url(machine);
    edit(&places.connections, |file| {
        let part = object(file, "Connection")?;
        let all = object(part, "Connections")?;
        for name in names(machine) {
            let known = all.get(&name).and_then(|known| known["URI"].as_str());
            if let Some(other) = known.filter(|other| *other != url) {
                let text = format!(
                    "Error: podman has a connection \"{name}\" to {other}: remove it first"
                );
                return Err(Fault::new(text).into());
            }
            all.insert(name, json!({"URI": url}));
        }
        if default {
            part.insert("Default".to_owned(), json!(machine.name));
        }
        Ok(true)
    })?;
    Ok(())
}

/// Removes the connections of a machine, and the default if it is one of them.
pub fn remove(places: &Places, machine: &Machine) -> Result<bool> {
    if !places.connections.exists() {
        return Ok(false);
    }
    let _guard = guard(&places.connections)?;
    let url = url(machine);
    edit(&places.connections, |file| {
        let part = object(file, "Connection")?;
        let all = object(part, "Connections")?;
        let before = all.len();
        all.retain(|name, value| !(names(machine).contains(name) && value["URI"] == json!(url)));
        let removed = all.len() < before;
        let default = part
            .get("Default")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if removed && names(machine).iter().any(|name| name == default) {
            part.insert("Default".to_owned(), json!(""));
        }
        Ok(removed)
    })
}

/// Returns the object at a key, made if it is missing.
fn object<'a>(file: &'a mut Map<String, Value>, key: &str) -> Result<&'a mut Map<String, Value>> {
    let value = file.entry(key).or_insert_with(|| json!({}));
    if value.is_null() {
        *value = json!({});
    }
    value
        .as_object_mut()
        .with_context(|| format!("podman's connections: {key} is not an object"))
}
