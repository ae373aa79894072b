// SPDX-License-Identifier: Apache-2.0
//! podman's file of connections, `podman-connections.json` (podman-system-connection(1)).

use super::{Places, edit, guard, owns, url};
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
            if let Some(other) = known.filter(|other| !owns(machine, other)) {
                return Err(taken(&name, other).into());
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

/// Gives the connections of a machine, and the default if it is one of them, to the machine that it
/// becomes. A name that another program has added is refused before anything changes.
pub fn rename(places: &Places, from: &Machine, to: &Machine) -> Result<()> {
    if !places.connections.exists() {
        return Ok(());
    }
    let _guard = guard(&places.connections)?;
    edit(&places.connections, |file| {
        let part = object(file, "Connection")?;
        let default = part
            .get("Default")
            .and_then(Value::as_str)
            .map(str::to_owned);
        let all = object(part, "Connections")?;
        let mut moved = Vec::new();
        for (old, new) in names(from).into_iter().zip(names(to)) {
            if !all.get(&old).is_some_and(|known| is_own(known, from)) {
                continue;
            }
            all.remove(&old);
            if let Some(other) = all.get(&new) {
                return Err(taken(&new, other["URI"].as_str().unwrap_or_default()).into());
            }
            all.insert(new.clone(), json!({"URI": url(to)}));
            moved.push((old, new));
        }
        let new = moved.iter().find(|(old, _)| default.as_ref() == Some(old));
        if let Some((_, new)) = new {
            part.insert("Default".to_owned(), json!(new));
        }
        Ok(!moved.is_empty())
    })?;
    Ok(())
}

/// Gives the connections of a machine its present URL. The file is not written if they have it.
pub fn refresh(places: &Places, machine: &Machine) -> Result<()> {
    let text = std::fs::read_to_string(&places.connections).unwrap_or_default();
    let file: Value = serde_json::from_str(&text).unwrap_or_default();
    let all = &file["Connection"]["Connections"];
    let is_old = |name: &String| is_own(&all[name], machine) && all[name]["URI"] != url(machine);
    match names(machine).iter().any(is_old) {
        true => rename(places, machine, machine),
        false => Ok(()),
    }
}

fn is_own(connection: &Value, machine: &Machine) -> bool {
    let uri = connection["URI"].as_str();
    uri.is_some_and(|uri| owns(machine, uri))
}

fn taken(name: &str, uri: &str) -> Fault {
    Fault::new(format!(
        "Error: podman has a connection \"{name}\" to {uri}: remove it first"
    ))
}

/// Removes the connections of a machine, and the default if it is one of them.
pub fn remove(places: &Places, machine: &Machine) -> Result<bool> {
    if !places.connections.exists() {
        return Ok(false);
    }
    let _guard = guard(&places.connections)?;
    edit(&places.connections, |file| {
        let part = object(file, "Connection")?;
        let all = object(part, "Connections")?;
        let before = all.len();
        all.retain(|name, value| !(names(machine).contains(name) && is_own(value, machine)));
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
