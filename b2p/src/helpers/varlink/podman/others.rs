// SPDX-License-Identifier: Apache-2.0
//! Methods of podman itself, of pods and of volumes.

use varlink::{Value, json};

use super::api::{
    Action, Api, Kind, Outcome, dictionary, elements, error, filters, number, object, occurred,
    post, query, request, string, strings, switch,
};
use super::containers::{argument_value, old_state};
use super::parameters::Parameters;
use super::shape::{As, Field, shape, shapes};
use super::time::rfc3339;

/// Version of the remote API, the only one that ever was.
const REMOTE_API: i64 = 1;

/// `GetVersion`.
pub(super) fn version(api: &Api, _: Parameters<'_>) -> Outcome<Value> {
    let found = api.get(Kind::None, "", "version".to_owned())?;
    let details = &found["Components"][0]["Details"];
    let built = string(&found, "BuildTime");
    // The seconds, where the text has the form of a date that is not RFC 3339.
    let built = match string(details, "BuildTime") {
        text if text.parse::<i64>().is_ok() => rfc3339(text.parse().unwrap_or(0)),
        _ => built,
    };
    Ok(json!({
        "version": string(&found, "Version"), "go_version": string(&found, "GoVersion"),
        "git_commit": string(&found, "GitCommit"), "built": built,
        "os_arch": format!("{}/{}", string(&found, "Os"), string(&found, "Arch")),
        "remote_api_version": REMOTE_API,
    }))
}

/// `GetInfo`.
pub(super) fn info(api: &Api, _: Parameters<'_>) -> Outcome<Value> {
    let found = api.get(Kind::None, "", "info".to_owned())?;
    let (host, store, version) = (&found["host"], &found["store"], &found["version"]);
    let registries = found["registries"].as_object();
    let marked = |mark: &str| -> Vec<String> {
        let entries = registries
            .into_iter()
            .flatten()
            .filter(|(_, entry)| entry[mark] == true);
        entries.map(|(name, _)| name.clone()).collect()
    };
    let mut info = json!({
        "host": shape(host, HOST), "store": shape(store, STORE), "podman": shape(version, PODMAN),
        "registries": {
            "search": strings(&found["registries"], "search"),
            "insecure": marked("Insecure"), "blocked": marked("Blocked"),
        },
    });
    info["host"]["distribution"] = shape(&host["distribution"], DISTRIBUTION);
    info["store"]["containers"] = number(&store["containerStore"], "number").into();
    info["store"]["images"] = number(&store["imageStore"], "number").into();
    info["store"]["graph_driver_options"] = dictionary(store, "graphOptions").to_string().into();
    info["store"]["graph_status"] = shape(&store["graphStatus"], GRAPH);
    info["podman"]["compiler"] = "gc".into();
    Ok(json!({ "info": info }))
}

#[rustfmt::skip]
const HOST: &[Field] = &[
    ("buildah_version", "buildahVersion", As::Text), ("mem_free", "memFree", As::Int), ("mem_total", "memTotal", As::Int),
    ("swap_free", "swapFree", As::Int), ("swap_total", "swapTotal", As::Int), ("arch", "arch", As::Text),
    ("cpus", "cpus", As::Int), ("hostname", "hostname", As::Text), ("kernel", "kernel", As::Text), ("os", "os", As::Text),
    ("uptime", "uptime", As::Text), ("eventlogger", "eventLogger", As::Text),
];
#[rustfmt::skip]
const DISTRIBUTION: &[Field] = &[("distribution", "distribution", As::Text), ("version", "version", As::Text)];
#[rustfmt::skip]
const STORE: &[Field] = &[
    ("graph_driver_name", "graphDriverName", As::Text), ("graph_root", "graphRoot", As::Text), ("run_root", "runRoot", As::Text),
];
#[rustfmt::skip]
const GRAPH: &[Field] = &[
    ("backing_filesystem", "Backing Filesystem", As::Text), ("native_overlay_diff", "Native Overlay Diff", As::Text),
    ("supports_d_type", "Supports d_type", As::Text),
];
#[rustfmt::skip]
const PODMAN: &[Field] = &[
    ("go_version", "GoVersion", As::Text), ("podman_version", "Version", As::Text), ("git_commit", "GitCommit", As::Text),
];

/// Lists pods, with filters.
fn listed(api: &Api, filters: &str) -> Outcome<Value> {
    api.get(
        Kind::None,
        "",
        format!("pods/json{}", query(&[("filters", filters)])),
    )
}

#[rustfmt::skip]
const POD: &[Field] = &[
    ("id", "Id", As::Text), ("name", "Name", As::Text), ("createdat", "Created", As::Text), ("cgroup", "Cgroup", As::Text),
    ("status", "Status", As::Text), ("labels", "Labels", As::Dictionary),
];

/// Returns the structure `ListPodData` of an entry of podman's list.
fn pod(entry: &Value) -> Value {
    let containers = elements(&entry["Containers"]);
    let inside = containers.iter().map(|container| {
        json!({
            "name": string(container, "Names"), "id": string(container, "Id"),
            "status": old_state(&string(container, "Status")),
        })
    });
    let mut pod = shape(entry, POD);
    pod["numberofcontainers"] = containers.len().to_string().into();
    pod["containersinfo"] = inside.collect();
    pod
}

/// `ListPods`.
pub(super) fn pods(api: &Api, _: Parameters<'_>) -> Outcome<Value> {
    let found = listed(api, "")?;
    Ok(json!({ "pods": elements(&found).iter().map(pod).collect::<Vec<_>>() }))
}

/// `GetPod`.
pub(super) fn get_pod(api: &Api, parameters: Parameters<'_>) -> Outcome<Value> {
    let name = parameters.text("name")?;
    let id = api.id(Kind::Pod, name)?;
    let found = listed(api, &filters(&[format!("id={id}")]))?;
    let entry = elements(&found).first();
    let entry = entry.ok_or_else(|| super::api::not_found(Kind::Pod, name, "no such pod"))?;
    Ok(json!({ "pod": pod(entry) }))
}

/// `GetPodsByStatus`. podman 1 wrote the words with a capital, and knew some that podman refuses today.
pub(super) fn pods_by_status(api: &Api, parameters: Parameters<'_>) -> Outcome<Value> {
    let states = parameters.list("statuses")?;
    let found = listed(api, "")?;
    let is_wanted = |pod: &&Value| {
        let state = string(pod, "Status");
        states
            .iter()
            .any(|wanted| wanted.eq_ignore_ascii_case(&state))
    };
    let pods = elements(&found).iter().filter(is_wanted);
    Ok(json!({ "pods": pods.map(|pod| string(pod, "Id")).collect::<Vec<_>>() }))
}

/// `GetPodsByContext`: all, the latest, or those of some names.
pub(super) fn pods_by_context(api: &Api, parameters: Parameters<'_>) -> Outcome<Value> {
    let (all, latest) = (parameters.flag("all")?, parameters.flag("latest")?);
    let ids: Vec<String> = match all || latest {
        true => {
            let found = listed(api, "")?;
            let mut entries: Vec<&Value> = elements(&found).iter().collect();
            sys::sort::sort_by(&mut entries, |a, b| {
                string(b, "Created").cmp(&string(a, "Created"))
            });
            let count = if all { entries.len() } else { 1 };
            entries
                .iter()
                .take(count)
                .map(|entry| string(entry, "Id"))
                .collect()
        }
        false => {
            let names = parameters.list("args")?;
            names
                .iter()
                .map(|name| api.id(Kind::Pod, name))
                .collect::<Outcome<_>>()?
        }
    };
    Ok(json!({ "pods": ids }))
}

/// `CreatePod`. Image and command of the infra container were ignored in 2020 as well: clients sent
/// `/pause`, which today's image does not have.
pub(super) fn create_pod(api: &Api, parameters: Parameters<'_>) -> Outcome<Value> {
    let no_members = varlink::Map::new();
    let create = parameters
        .structure("create")?
        .unwrap_or(Parameters(&no_members));
    let (infra, share) = (create.flag("infra")?, create.list("share")?);
    if !infra && !share.is_empty() {
        return Err(occurred(
            "share: a pod without an infra container shares no namespaces",
        ));
    }
    let mut body = json!({
        "name": create.text("name")?,
        "labels": create.0.get("labels").cloned().unwrap_or(Value::Null),
        "cgroup_parent": create.text("cgroupParent")?,
        "no_infra": !infra,
    });
    if !share.is_empty() {
        body["shared_namespaces"] = json!(share);
    }
    let ports = create.list("publish")?;
    if !ports.is_empty() {
        body["portmappings"] = ports
            .iter()
            .map(|text| port(text))
            .collect::<Outcome<Vec<_>>>()?
            .into();
    }
    let made = api.ask(Kind::Pod, create.text("name")?, &post("pods/create", &body))?;
    Ok(json!({ "pod": string(&made, "Id") }))
}

/// Parses `[[IP:]HOST:]CONTAINER[/PROTOCOL]`.
fn port(text: &str) -> Outcome<Value> {
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let mut parts = ports.rsplitn(3, ':');
    let number = |part: Option<&str>| match part {
        None | Some("") => Ok(0_u16),
        Some(part) => part
            .parse()
            .map_err(|_| occurred(&format!("publish: {text}: right is 8080:80/tcp"))),
    };
    let (inside, outside) = (number(parts.next())?, number(parts.next())?);
    if inside == 0 {
        return Err(occurred(&format!("publish: {text}: right is 8080:80/tcp")));
    }
    Ok(json!({
        "container_port": inside, "host_port": outside, "protocol": protocol,
        "host_ip": parts.next().unwrap_or(""),
    }))
}

/// Actions on one pod.
pub(super) const POD_ACTIONS: &[Action] = &[
    ("StartPod", "start", None),
    ("StopPod", "stop", Some(("timeout", "t"))),
    ("RestartPod", "restart", None),
    ("KillPod", "kill", Some(("signal", "signal"))),
    ("PausePod", "pause", None),
    ("UnpausePod", "unpause", None),
];

/// Does an action of [`POD_ACTIONS`], and returns the whole id of the pod.
pub(super) fn act_on_pod(
    api: &Api,
    action: &str,
    argument: Option<(&str, &str)>,
    parameters: Parameters<'_>,
) -> Outcome<Value> {
    let name = parameters.text("name")?;
    let value = argument_value(action, argument, parameters)?;
    let found = api.inspect(Kind::Pod, name)?;
    let id = string(&found, "Id");
    if elements(&found["Containers"]).is_empty() {
        return Err(error("NoContainersInPod", json!({ "name": name })));
    }
    let pairs = query(&[(argument.map_or("", |(_, name)| name), value.as_str())]);
    let path = format!("{}/{action}{pairs}", object(Kind::Pod, &id)?);
    let done = api.ask(Kind::Pod, name, &request("POST", path))?;
    let errors = elements(&done["Errs"]).iter();
    let errors: Vec<Value> = errors
        .filter_map(Value::as_str)
        .map(|reason| json!({ "containerid": "", "reason": reason }))
        .collect();
    match errors.is_empty() {
        true => Ok(json!({ "pod": id })),
        false => Err(error(
            "PodContainerError",
            json!({ "podname": name, "errors": errors }),
        )),
    }
}

/// `RemovePod`.
pub(super) fn remove_pod(api: &Api, parameters: Parameters<'_>) -> Outcome<Value> {
    let name = parameters.text("name")?;
    let id = api.id(Kind::Pod, name)?;
    let force = query(&[("force", switch(parameters.flag("force")?))]);
    api.ask(
        Kind::Pod,
        name,
        &request("DELETE", format!("{}{force}", object(Kind::Pod, &id)?)),
    )?;
    Ok(json!({ "pod": id }))
}

#[rustfmt::skip]
const VOLUME: &[Field] = &[
    ("name", "Name", As::Text), ("labels", "Labels", As::Dictionary), ("mountPoint", "Mountpoint", As::Text),
    ("driver", "Driver", As::Text), ("options", "Options", As::Dictionary),
];

/// `GetVolumes`: all, or those of some names.
pub(super) fn volumes(api: &Api, parameters: Parameters<'_>) -> Outcome<Value> {
    let names = parameters.list("args")?;
    let found = match parameters.flag("all")? || names.is_empty() {
        true => api.get(Kind::None, "", "volumes/json".to_owned())?,
        false => names
            .iter()
            .map(|name| api.inspect(Kind::Volume, name))
            .collect::<Outcome<Vec<_>>>()?
            .into(),
    };
    Ok(json!({ "volumes": shapes(&found, VOLUME) }))
}

/// `InspectVolume`: the answer of podman as text.
pub(super) fn inspect_volume(api: &Api, parameters: Parameters<'_>) -> Outcome<Value> {
    let found = api.inspect(Kind::Volume, parameters.text("name")?)?;
    Ok(json!({ "volume": found.to_string() }))
}

/// `VolumeCreate`.
pub(super) fn create_volume(api: &Api, parameters: Parameters<'_>) -> Outcome<Value> {
    let no_members = varlink::Map::new();
    let options = parameters
        .structure("options")?
        .unwrap_or(Parameters(&no_members));
    let member = |name: &str| options.0.get(name).cloned().unwrap_or(Value::Null);
    let body = json!({
        "Name": options.text("volumeName")?, "Driver": options.text("driver")?,
        "Label": member("labels"), "Options": member("options"),
    });
    let made = api.ask(Kind::None, "", &post("volumes/create", &body))?;
    Ok(json!({ "volumeName": string(&made, "Name") }))
}

/// `VolumeRemove`: each volume for itself.
pub(super) fn remove_volumes(api: &Api, parameters: Parameters<'_>) -> Outcome<Value> {
    let no_members = varlink::Map::new();
    let options = parameters
        .structure("options")?
        .unwrap_or(Parameters(&no_members));
    let force = query(&[("force", switch(options.flag("force")?))]);
    let names = match options.flag("all")? {
        false => options.list("volumes")?,
        true => {
            let found = api.get(Kind::None, "", "volumes/json".to_owned())?;
            elements(&found)
                .iter()
                .map(|entry| string(entry, "Name"))
                .collect()
        }
    };
    let (mut successes, mut failures) = (Vec::new(), varlink::Map::new());
    for name in names {
        let removal = object(Kind::Volume, &name).and_then(|path| {
            api.text(
                Kind::Volume,
                &name,
                &request("DELETE", format!("{path}{force}")),
            )
        });
        match removal {
            Ok(_) => successes.push(name),
            Err(varlink::Failure::Reply(reply)) => {
                let reason = reply.parameters.get("reason").cloned().unwrap_or_default();
                failures.insert(name, reason);
            }
            Err(lost) => return Err(lost),
        }
    }
    Ok(json!({ "successes": successes, "failures": failures }))
}

/// `VolumesPrune`.
pub(super) fn prune_volumes(api: &Api, _: Parameters<'_>) -> Outcome<Value> {
    let report = api.ask(Kind::None, "", &request("POST", "volumes/prune".to_owned()))?;
    let errors = elements(&report).iter().map(|entry| string(entry, "Err"));
    let errors: Vec<String> = errors.filter(|e| !e.is_empty()).collect();
    Ok(json!({ "prunedNames": super::containers::pruned_ids(&report), "prunedErrors": errors }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn ports_of_a_pod() {
        for (text, inside, outside, ip, protocol) in [
            ("80", 80, 0, "", "tcp"),
            ("8080:80/udp", 80, 8080, "", "udp"),
            ("127.0.0.1:8080:80", 80, 8080, "127.0.0.1", "tcp"),
            ("127.0.0.1::80", 80, 0, "127.0.0.1", "tcp"),
        ] {
            let expected = json!({"container_port": inside, "host_port": outside, "host_ip": ip, "protocol": protocol});
            assert_eq!(port(text).unwrap(), expected, "{text}");
        }
        for text in ["", "a", "8080:", "0", "70000:80", "80:b"] {
            assert!(port(text).is_err(), "{text}");
        }
    }
}
