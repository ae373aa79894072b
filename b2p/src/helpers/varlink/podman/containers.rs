// SPDX-License-Identifier: Apache-2.0
//! Methods that list, show and change containers.

use varlink::{Value, json};

use super::api::{
    Action, Api, Kind, Outcome, elements, filters, not_found, number, object, query, request,
    string, strings, switch,
};
use super::inspection;
use super::parameters::Parameters;
use super::shape::{As, Field, shape, shapes};
use super::time::running_for;

const CONTAINER: Kind = Kind::Container;

/// Returns all containers, with sizes and namespaces, as podman lists them.
pub(super) fn all(api: &Api, filters: &str) -> Outcome<Value> {
    let pairs = [
        ("all", "true"),
        ("size", "true"),
        ("namespace", "true"),
        ("filters", filters),
    ];
    api.get(Kind::None, "", format!("containers/json{}", query(&pairs)))
}

/// `ListContainers`.
pub(super) fn list(api: &Api, _: Parameters<'_>) -> Outcome<Value> {
    let listed = all(api, "")?;
    let containers: Vec<Value> = elements(&listed).iter().map(container).collect();
    Ok(json!({ "containers": containers }))
}

/// `GetContainer`.
pub(super) fn get(api: &Api, parameters: Parameters<'_>) -> Outcome<Value> {
    let name = parameters.text("id")?;
    let inspected = api.inspect(CONTAINER, name)?;
    let id = string(&inspected, "Id");
    let listed = all(api, &filters(&[format!("id={id}")]))?;
    let found = elements(&listed)
        .iter()
        .find(|entry| string(entry, "Id") == id);
    let found = found.ok_or_else(|| not_found(CONTAINER, name, "no such container"))?;
    let mut result = container(found);
    // The list has destinations only.
    result["mounts"] = shapes(&inspected["Mounts"], MOUNT);
    Ok(json!({ "container": result }))
}

#[rustfmt::skip]
const MOUNT: &[Field] = &[
    ("destination", "Destination", As::Text), ("type", "Type", As::Text), ("source", "Source", As::Text),
    ("options", "Options", As::Texts),
];

/// `GetContainersByStatus`; the reply's name is the one of the interface.
pub(super) fn by_status(api: &Api, parameters: Parameters<'_>) -> Outcome<Value> {
    let states = parameters.list("status")?;
    let states: Vec<String> = states
        .iter()
        .map(|state| format!("status={}", new_state(state)))
        .collect();
    let listed = all(api, &filters(&states))?;
    let containers: Vec<Value> = elements(&listed).iter().map(container).collect();
    Ok(json!({ "containerS": containers }))
}

/// `GetContainersByContext`: all, the latest, or those of some names.
pub(super) fn by_context(api: &Api, parameters: Parameters<'_>) -> Outcome<Value> {
    let ids: Vec<String> = if parameters.flag("all")? || parameters.flag("latest")? {
        let last = if parameters.flag("all")? { "" } else { "1" };
        let path = format!(
            "containers/json{}",
            query(&[("all", "true"), ("last", last)])
        );
        let listed = api.get(Kind::None, "", path)?;
        elements(&listed)
            .iter()
            .map(|entry| string(entry, "Id"))
            .collect()
    } else {
        let names = parameters.list("args")?;
        names
            .iter()
            .map(|name| api.id(CONTAINER, name))
            .collect::<Outcome<_>>()?
    };
    Ok(json!({ "containers": ids }))
}

#[rustfmt::skip]
const CONTAINER_FIELDS: &[Field] = &[
    ("id", "Id", As::Text), ("image", "Image", As::Text), ("imageid", "ImageID", As::Text),
    ("command", "Command", As::Texts), ("createdat", "Created", As::Text), ("names", "Names", As::Joined(",")),
    ("labels", "Labels", As::Dictionary),
];
const SIZE: &[Field] = &[
    ("rootfssize", "rootFsSize", As::Int),
    ("rwsize", "rwSize", As::Int),
];
#[rustfmt::skip]
const NAMESPACES: &[Field] = &[
    ("user", "User", As::Text), ("uts", "Uts", As::Text), ("pidns", "Pidns", As::Text),
    ("cgroup", "Cgroup", As::Text), ("net", "Net", As::Text), ("mnt", "Mnt", As::Text), ("ipc", "Ipc", As::Text),
];
#[rustfmt::skip]
const PORT: &[Field] = &[
    ("host_port", "host_port", As::IntText), ("host_ip", "host_ip", As::Text), ("protocol", "protocol", As::Text),
    ("container_port", "container_port", As::IntText),
];

/// Returns the structure `Container` of an entry of podman's list.
fn container(entry: &Value) -> Value {
    let mut container = shape(entry, CONTAINER_FIELDS);
    add(&mut container, shape(&entry["Size"], SIZE));
    let mut namespaces = shape(&entry["Namespaces"], NAMESPACES);
    namespaces["pid"] = number(entry, "Pid").to_string().into();
    container["namespaces"] = namespaces;
    let mounts = strings(entry, "Mounts").into_iter().map(|destination| {
        let mut mount = shape(&Value::Null, MOUNT);
        mount["destination"] = destination.into();
        mount
    });
    container["mounts"] = mounts.collect();
    let state = string(entry, "State");
    container["status"] = old_state(&state).into();
    container["containerrunning"] = (state == "running").into();
    container["runningfor"] = running_for(number(entry, "StartedAt")).into();
    container["ports"] = shapes(&entry["Ports"], PORT);
    container
}

/// Adds the members of one structure to another.
pub(super) fn add(to: &mut Value, members: Value) {
    if let (Value::Object(to), Value::Object(members)) = (to, members) {
        to.extend(members);
    }
}

/// Returns the word of 2020 for a state.
pub(super) fn old_state(state: &str) -> &str {
    match state {
        "created" => "configured",
        "initialized" => "created",
        state => state,
    }
}

/// Returns today's word for a state of 2020.
fn new_state(state: &str) -> &str {
    match state {
        "configured" => "created",
        "created" => "initialized",
        state => state,
    }
}

/// `InspectContainer`: the answer of podman as text, with the types of podman 1.
pub(super) fn inspect(api: &Api, parameters: Parameters<'_>) -> Outcome<Value> {
    let found = api.inspect(CONTAINER, parameters.text("name")?)?;
    Ok(json!({ "container": inspection::of_podman_1(found).to_string() }))
}

/// `ContainerInspectData`.
pub(super) fn inspect_data(api: &Api, parameters: Parameters<'_>) -> Outcome<Value> {
    let name = parameters.text("name")?;
    let size = query(&[("size", switch(parameters.flag("size")?))]);
    let found = api.get(
        CONTAINER,
        name,
        format!("{}/json{size}", object(CONTAINER, name)?),
    )?;
    Ok(json!({ "config": inspection::of_podman_1(found).to_string() }))
}

/// Actions on one container.
pub(super) const ACTIONS: &[Action] = &[
    ("StartContainer", "start", None),
    ("StopContainer", "stop", Some(("timeout", "timeout"))),
    ("RestartContainer", "restart", Some(("timeout", "timeout"))),
    ("KillContainer", "kill", Some(("signal", "signal"))),
    ("PauseContainer", "pause", None),
    ("UnpauseContainer", "unpause", None),
    ("InitContainer", "init", None),
];

/// Returns the value of an action's argument, or an empty text where it has none.
pub(super) fn argument_value(
    action: &str,
    argument: Option<(&str, &str)>,
    parameters: Parameters<'_>,
) -> Outcome<String> {
    let Some((parameter, _)) = argument else {
        return Ok(String::new());
    };
    // Zero is no signal, and -1 stood for the usual one.
    Ok(match (action, parameters.number(parameter)?) {
        ("kill", ..=0) => "15".to_owned(),
        (_, number) => number.to_string(),
    })
}

/// Does an action of [`ACTIONS`], and returns the whole id of the container.
pub(super) fn act(
    api: &Api,
    action: &str,
    argument: Option<(&str, &str)>,
    parameters: Parameters<'_>,
) -> Outcome<Value> {
    let name = parameters.text("name")?;
    let value = argument_value(action, argument, parameters)?;
    let pairs = [(argument.map_or("", |(_, name)| name), value.as_str())];
    let id = api.id(CONTAINER, name)?;
    let path = format!("{}/{action}{}", object(CONTAINER, &id)?, query(&pairs));
    api.text(CONTAINER, name, &request("POST", path))?;
    Ok(json!({ "container": id }))
}

/// `WaitContainer`: the interval is in nanoseconds.
pub(super) fn wait(
    api: &Api,
    parameters: Parameters<'_>,
    client: std::os::fd::BorrowedFd<'_>,
) -> Outcome<Value> {
    let name = parameters.text("name")?;
    let interval = match parameters.number("interval")? {
        nanoseconds @ 1.. => format!("{}ms", (nanoseconds / 1_000_000).max(1)),
        _ => String::new(),
    };
    let pairs = query(&[("condition", "stopped"), ("interval", &interval)]);
    let path = format!("{}/wait{pairs}", object(CONTAINER, name)?);
    let response = api.send(CONTAINER, name, &request("POST", path), Some(client))?;
    let body = response
        .whole()
        .map_err(|e| super::api::occurred(&e.to_string()))?;
    let code: i64 = String::from_utf8_lossy(&body).trim().parse().unwrap_or(-1);
    Ok(json!({ "exitcode": code }))
}

/// `RemoveContainer` and `EvictContainer`, which podman's API has no request for: to force the removal
/// comes nearest.
pub(super) fn remove(api: &Api, parameters: Parameters<'_>, evict: bool) -> Outcome<Value> {
    let name = parameters.text("name")?;
    let id = api.id(CONTAINER, name)?;
    let force = evict || parameters.flag("force")?;
    let pairs = query(&[
        ("force", switch(force)),
        ("v", switch(parameters.flag("removeVolumes")?)),
    ]);
    let path = format!("{}{pairs}", object(CONTAINER, &id)?);
    let removed = api.ask(CONTAINER, name, &request("DELETE", path))?;
    // An error of a single container is inside of a successful answer.
    let problem = elements(&removed)
        .iter()
        .map(|entry| string(entry, "Err"))
        .find(|e| !e.is_empty());
    match problem {
        Some(reason) => Err(super::api::occurred(&reason)),
        None => Ok(json!({ "container": id })),
    }
}

/// `DeleteStoppedContainers`.
pub(super) fn prune(api: &Api, _: Parameters<'_>) -> Outcome<Value> {
    let pruned = api.ask(
        Kind::None,
        "",
        &request("POST", "containers/prune".to_owned()),
    )?;
    Ok(json!({ "containers": pruned_ids(&pruned) }))
}

/// Returns the ids of a report of `prune` that have no error.
pub(super) fn pruned_ids(report: &Value) -> Vec<String> {
    let done = elements(report)
        .iter()
        .filter(|entry| string(entry, "Err").is_empty());
    done.map(|entry| string(entry, "Id")).collect()
}

/// `ContainerExists`: 0 stands for yes.
pub(super) fn exists(api: &Api, parameters: Parameters<'_>, kind: Kind) -> Outcome<Value> {
    let name = parameters.text("name")?;
    let path = format!("{}/exists", object(kind, name)?);
    match api.text(kind, name, &request("GET", path)) {
        Ok(_) => Ok(json!({ "exists": 0 })),
        Err(varlink::Failure::Reply(reply))
            if reply
                .error
                .as_deref()
                .is_some_and(|e| e.ends_with("NotFound")) =>
        {
            Ok(json!({ "exists": 1 }))
        }
        Err(failure) => Err(failure),
    }
}
