// SPDX-License-Identifier: Apache-2.0
//! Methods that list, show and change containers.

use varlink::{Value, json};

use super::api::{
    Action, Api, Kind, Outcome, dictionary, elements, filters, not_found, number, object, query,
    request, string, strings, switch,
};
use super::parameters::Parameters;
use super::time::{rfc3339, running_for};

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
    result["mounts"] = elements(&inspected["Mounts"]).iter().map(mount).collect();
    Ok(json!({ "container": result }))
}

fn mount(mount: &Value) -> Value {
    json!({
        "destination": string(mount, "Destination"),
        "type": string(mount, "Type"),
        "source": string(mount, "Source"),
        "options": strings(mount, "Options"),
    })
}

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

/// Returns the structure `Container` of an entry of podman's list.
fn container(entry: &Value) -> Value {
    let names = dictionary(entry, "Namespaces");
    let namespace = |name: &str| string(&names, name);
    let mounts = strings(entry, "Mounts").into_iter().map(|destination| {
        json!({ "destination": destination, "type": "", "source": "", "options": [] })
    });
    json!({
        "id": string(entry, "Id"),
        "image": string(entry, "Image"),
        "imageid": string(entry, "ImageID"),
        "command": strings(entry, "Command"),
        "createdat": string(entry, "Created"),
        "runningfor": running_for(number(entry, "StartedAt")),
        "status": old_state(&string(entry, "State")),
        "ports": elements(&entry["Ports"]).iter().map(port).collect::<Vec<_>>(),
        "rootfssize": number(&entry["Size"], "rootFsSize"),
        "rwsize": number(&entry["Size"], "rwSize"),
        "names": strings(entry, "Names").join(","),
        "labels": dictionary(entry, "Labels"),
        "mounts": mounts.collect::<Vec<_>>(),
        "containerrunning": string(entry, "State") == "running",
        "namespaces": {
            "user": namespace("User"), "uts": namespace("Uts"), "pidns": namespace("Pidns"),
            "pid": number(entry, "Pid").to_string(), "cgroup": namespace("Cgroup"),
            "net": namespace("Net"), "mnt": namespace("Mnt"), "ipc": namespace("Ipc"),
        },
    })
}

fn port(port: &Value) -> Value {
    json!({
        "host_port": number(port, "host_port").to_string(),
        "host_ip": string(port, "host_ip"),
        "protocol": string(port, "protocol"),
        "container_port": number(port, "container_port").to_string(),
    })
}

/// `Ps`: containers as text for a table.
pub(super) fn ps(api: &Api, parameters: Parameters<'_>) -> Outcome<Value> {
    let no_members = varlink::Map::new();
    let options = parameters
        .structure("opts")?
        .unwrap_or(Parameters(&no_members));
    let last = match (options.flag("latest")?, options.number("last")?) {
        (true, _) => "1".to_owned(),
        (false, count @ 1..) => count.to_string(),
        _ => String::new(),
    };
    let pairs = [
        ("all", switch(options.flag("all")?)),
        ("size", switch(options.flag("size")?)),
        ("pod", "true"),
        ("namespace", "true"),
        ("sync", switch(options.flag("sync")?)),
        ("last", last.as_str()),
        ("filters", &filters(&options.list("filters")?)),
    ];
    let listed = api.get(Kind::None, "", format!("containers/json{}", query(&pairs)))?;
    let containers: Vec<Value> = elements(&listed).iter().map(row).collect();
    Ok(json!({ "containers": containers }))
}

/// Returns the structure `PsContainer` of an entry of podman's list.
fn row(entry: &Value) -> Value {
    let names = dictionary(entry, "Namespaces");
    let namespace = |name: &str| string(&names, name);
    let ports = elements(&entry["Ports"]).iter().map(|port| {
        let host = string(port, "host_ip");
        let host = if host.is_empty() { "0.0.0.0" } else { &host };
        let (outside, inside) = (number(port, "host_port"), number(port, "container_port"));
        format!("{host}:{outside}->{inside}/{}", string(port, "protocol"))
    });
    json!({
        "id": string(entry, "Id"), "image": string(entry, "Image"),
        "command": strings(entry, "Command").join(" "),
        "created": string(entry, "CreatedAt"),
        "ports": ports.collect::<Vec<_>>().join(", "),
        "names": strings(entry, "Names").join(","),
        "isInfra": entry["IsInfra"] == true,
        "status": string(entry, "Status"),
        "state": old_state(&string(entry, "State")),
        "pidNum": number(entry, "Pid"),
        "rootFsSize": number(&entry["Size"], "rootFsSize"),
        "rwSize": number(&entry["Size"], "rwSize"),
        "pod": string(entry, "Pod"),
        "createdAt": string(entry, "Created"),
        "exitedAt": rfc3339(number(entry, "ExitedAt")),
        "startedAt": rfc3339(number(entry, "StartedAt")),
        "labels": dictionary(entry, "Labels"),
        "nsPid": number(entry, "Pid").to_string(),
        "cgroup": namespace("Cgroup"), "ipc": namespace("Ipc"), "mnt": namespace("Mnt"),
        "net": namespace("Net"), "pidNs": namespace("Pidns"), "user": namespace("User"),
        "uts": namespace("Uts"),
        "mounts": strings(entry, "Mounts").join(" "),
    })
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

/// `InspectContainer`: the answer of podman as text.
pub(super) fn inspect(api: &Api, parameters: Parameters<'_>) -> Outcome<Value> {
    let found = api.inspect(CONTAINER, parameters.text("name")?)?;
    Ok(json!({ "container": found.to_string() }))
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
    Ok(json!({ "config": found.to_string() }))
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
