// SPDX-License-Identifier: Apache-2.0
//! Methods that show the state of one container or pod as podman 1 kept it, and mounts.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::Path;

use varlink::{Value, json};

use super::api::{
    Api, Kind, Outcome, dictionary, elements, error, number, object, occurred, query, request,
    string, switch,
};
use super::containers::old_state;
use super::parameters::Parameters;
use super::shape::{As, Field, shape, shapes};
use super::usage::measured;

/// Directory of links to the directories of sockets: the path of a socket has at most 107 bytes
/// (unix(7)), and those in podman's storage have more.
const SOCKETS: &str = "/run/podman/attach";

/// States of podman 1 in the order of their numbers.
const STATES: &[&str] = &[
    "unknown",
    "configured",
    "created",
    "running",
    "stopped",
    "paused",
    "exited",
    "removing",
];

/// Returns a text as the results of `ContainerConfig`, `ContainerStateData` and `Spec` have it.
fn config(value: &Value) -> Value {
    json!({ "config": value.to_string() })
}

/// `ContainerConfig`: those members of podman 1's structure that its client reads.
pub(super) fn container_config(api: &Api, parameters: Parameters<'_>) -> Outcome<Value> {
    let found = api.inspect(Kind::Container, parameters.text("name")?)?;
    let network = string(&found["HostConfig"], "NetworkMode");
    Ok(config(&json!({
        "id": string(&found, "Id"), "name": string(&found, "Name"), "pod": string(&found, "Pod"),
        "netNsCtr": network.strip_prefix("container:").unwrap_or_default(),
        "portMappings": port_mappings(&found["NetworkSettings"]["Ports"]),
        "stopTimeout": number(&found["Config"], "StopTimeout"),
        "labels": dictionary(&found["Config"], "Labels"),
        "rootfsImageID": string(&found, "Image"), "rootfsImageName": string(&found, "ImageName"),
    })))
}

/// Returns a list of what podman has by port and protocol, such as `80/tcp`.
pub(super) fn port_mappings(ports: &Value) -> Value {
    let ports = ports.as_object().into_iter().flatten();
    let mappings = ports.flat_map(|(port, hosts)| {
        let (inside, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
        elements(hosts).iter().map(move |host| {
            json!({
                "hostPort": string(host, "HostPort").parse().unwrap_or(0_u16),
                "containerPort": inside.parse().unwrap_or(0_u16), "protocol": protocol,
                "hostIP": string(host, "HostIp"),
            })
        })
    });
    mappings.collect()
}

/// `ContainerStateData`.
pub(super) fn container_state(api: &Api, parameters: Parameters<'_>) -> Outcome<Value> {
    let found = api.inspect(Kind::Container, parameters.text("name")?)?;
    let state = &found["State"];
    let word = string(state, "Status");
    let place = STATES.iter().position(|known| *known == old_state(&word));
    Ok(config(&json!({
        "state": place.unwrap_or(0), "exitCode": number(state, "ExitCode"),
        "exited": word == "exited", "oomKilled": state["OOMKilled"] == true,
        "pid": number(state, "Pid"), "conmonPid": number(state, "ConmonPid"),
        "startedTime": string(state, "StartedAt"), "finishedTime": string(state, "FinishedAt"),
    })))
}

/// `Spec`: those members of the OCI runtime's configuration that the client reads.
pub(super) fn spec(api: &Api, parameters: Parameters<'_>) -> Outcome<Value> {
    let found = api.inspect(Kind::Container, parameters.text("name")?)?;
    let settings = &found["Config"];
    let arguments = [&[found["Path"].clone()][..], elements(&found["Args"])].concat();
    Ok(config(&json!({
        "ociVersion": "1.0.0", "hostname": string(settings, "Hostname"),
        "process": {
            "terminal": settings["Tty"] == true, "cwd": string(settings, "WorkingDir"),
            "args": arguments,
            "env": elements(&settings["Env"]),
        },
    })))
}

/// `GetAttachSockets`: a container that was never started is initialized, which makes its sockets.
pub(super) fn attach_sockets(api: &Api, parameters: Parameters<'_>) -> Outcome<Value> {
    let name = parameters.text("name")?;
    let found = api.inspect(Kind::Container, name)?;
    let (id, dir) = (string(&found, "Id"), string(&found, "StaticDir"));
    if string(&found["State"], "Status") == "created" {
        let path = format!("{}/init", object(Kind::Container, &id)?);
        api.text(Kind::Container, name, &request("POST", path))?;
    }
    let link = link(Path::new(SOCKETS), &id, &dir);
    let link = link.map_err(|e| occurred(&format!("{SOCKETS}: {e}")))?;
    Ok(json!({ "sockets": {
        "container_id": id, "io_socket": format!("{link}/attach"), "control_socket": format!("{link}/ctl"),
    }}))
}

/// Makes a link to the directory of a container, and removes those of containers that are gone.
fn link(sockets: &Path, id: &str, dir: &str) -> std::io::Result<String> {
    fs::DirBuilder::new()
        .mode(0o700)
        .recursive(true)
        .create(sockets)?;
    for entry in fs::read_dir(sockets)?.flatten() {
        if !entry.path().exists() {
            let _ = fs::remove_file(entry.path());
        }
    }
    let link = sockets.join(super::http::part(id));
    match symlink(dir, &link) {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => return Err(e),
        _ => {}
    }
    Ok(link.to_string_lossy().into_owned())
}

/// `HealthCheckRun`.
pub(super) fn health(api: &Api, parameters: Parameters<'_>) -> Outcome<Value> {
    let name = parameters.text("nameOrID")?;
    let path = format!("{}/healthcheck", object(Kind::Container, name)?);
    let found = api.get(Kind::Container, name, path)?;
    Ok(json!({ "healthCheckStatus": string(&found, "Status") }))
}

#[rustfmt::skip]
const POD_CONFIG: &[Field] = &[
    ("id", "Id", As::Text), ("name", "Name", As::Text), ("namespace", "Namespace", As::Text), ("hostname", "Hostname", As::Text),
    ("labels", "Labels", As::Dictionary), ("cgroupParent", "CgroupParent", As::Text), ("created", "Created", As::Text),
];
#[rustfmt::skip]
const POD_STATE: &[Field] = &[
    ("status", "State", As::Text), ("infraContainerID", "InfraContainerID", As::Text), ("cgroupPath", "CgroupPath", As::Text),
];
const POD_CONTAINER: &[Field] = &[("id", "Id", As::Text), ("state", "State", As::Text)];

/// `InspectPod` and `PodStateData`: the answer of podman as text, with the three members of podman 1.
pub(super) fn inspect_pod(api: &Api, parameters: Parameters<'_>) -> Outcome<String> {
    let mut found = api.inspect(Kind::Pod, parameters.text("name")?)?;
    let (config, state) = (shape(&found, POD_CONFIG), shape(&found, POD_STATE));
    let containers = shapes(&found["Containers"], POD_CONTAINER);
    if let Value::Object(members) = &mut found {
        for (name, value) in [
            ("Config", config),
            ("State", state),
            ("Containers", containers),
        ] {
            members.insert(name.to_owned(), value);
        }
    }
    Ok(found.to_string())
}

/// `GetPodStats`: of the containers that run.
pub(super) fn pod_stats(api: &Api, parameters: Parameters<'_>) -> Outcome<Value> {
    let name = parameters.text("name")?;
    let found = api.inspect(Kind::Pod, name)?;
    let containers = elements(&found["Containers"]);
    if containers.is_empty() {
        return Err(error("NoContainersInPod", json!({ "name": name })));
    }
    let running = containers
        .iter()
        .filter(|c| string(c, "State") == "running");
    let stats = running.map(|c| measured(api, &string(c, "Id")));
    let stats = stats.collect::<Outcome<Vec<_>>>()?;
    match stats.is_empty() {
        true => Err(error("NoContainerRunning", json!({}))),
        false => Ok(json!({ "pod": string(&found, "Id"), "containers": stats })),
    }
}

/// `GetContainerStatsWithHistory`: the share of the processor since the previous look.
pub(super) fn stats_since(api: &Api, parameters: Parameters<'_>) -> Outcome<Value> {
    let no_members = varlink::Map::new();
    let previous = parameters
        .structure("previousStats")?
        .unwrap_or(Parameters(&no_members));
    let mut stats = super::usage::stats_of(api, previous.text("id")?)?;
    let since = |name: &str| -> Outcome<f64> {
        Ok(number(&stats, name).saturating_sub(previous.number(name)?) as f64)
    };
    let (used, passed) = (since("cpu_nano")?, since("system_nano")?);
    if previous.number("system_nano")? != 0 && used > 0.0 && passed > 0.0 {
        stats["cpu"] = json!(used / passed * 100.0);
    }
    Ok(json!({ "container": stats }))
}

/// `MountContainer`: the path is a text of its own.
pub(super) fn mount(api: &Api, parameters: Parameters<'_>) -> Outcome<Value> {
    let name = parameters.text("name")?;
    let request = request("POST", format!("{}/mount", object(Kind::Container, name)?));
    let path = api.text(Kind::Container, name, &request)?;
    let path = path.trim().trim_matches('"');
    Ok(json!({ "path": path }))
}

/// `UnmountContainer`.
pub(super) fn unmount(api: &Api, parameters: Parameters<'_>) -> Outcome<Value> {
    let name = parameters.text("name")?;
    let force = query(&[("force", switch(parameters.flag("force")?))]);
    let path = format!("{}/unmount{force}", object(Kind::Container, name)?);
    api.text(Kind::Container, name, &request("POST", path))?;
    Ok(json!({}))
}

/// `ListContainerMounts`.
pub(super) fn mounts(api: &Api, _: Parameters<'_>) -> Outcome<Value> {
    let found = api.get(Kind::None, "", "containers/showmounted".to_owned())?;
    Ok(json!({ "mounts": dictionary(&json!({ "all": found }), "all") }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::Temp;

    #[test]
    fn a_link_leads_to_the_sockets_and_ends_with_the_container() {
        let temp = Temp::new();
        let (sockets, one, two) = (temp.path("sockets"), temp.path("one"), temp.path("two"));
        fs::create_dir(&one).unwrap();
        fs::create_dir(&two).unwrap();
        for _ in 0..2 {
            let found = link(&sockets, "abc", one.to_str().unwrap()).unwrap();
            assert_eq!(fs::read_link(found).unwrap(), one);
        }
        fs::remove_dir(&one).unwrap();
        link(&sockets, "../x", two.to_str().unwrap()).unwrap();
        let names: Vec<_> = fs::read_dir(&sockets)
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert_eq!(names, ["%2E%2E%2Fx"]);
    }
}
