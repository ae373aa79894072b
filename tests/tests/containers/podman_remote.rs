// SPDX-License-Identifier: Apache-2.0
//! Methods of `io.podman` that podman-remote 1.9.3 calls on an ordinary day, against the real podman: lists, logs,
//! events, images, builds, volumes and pods; and the end of the service in the middle of a call.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests::registry::{HOST, Plain};
use tests::{Checks, Guest, eventually, image};

use super::SOON;
use super::varlink::call;

pub fn all(guest: &Guest, checks: &mut Checks) {
    checks.check("varlink: lists and look-ups of a container", || {
        looks(guest)
    });
    checks.check("varlink: logs are followed", || logs(guest));
    checks.check("varlink: events are streamed", || events(guest));
    checks.check("varlink: images are pulled, tagged and removed", || {
        images(guest)
    });
    checks.check("varlink: a build has its pull policy", || builds(guest));
    checks.check("varlink: volumes and pods", || {
        volumes(guest)?;
        pods(guest)
    });
    checks.check("varlink: a service that is killed in a call", || {
        killed(guest)
    });
}

/// Calls a method that may reply several times; returns all replies.
fn replies(guest: &Guest, method: &str, parameters: &Value) -> Result<Vec<Value>> {
    let line = format!("varlink call -m io.podman.{method} '{parameters}'");
    let found = guest.sh(&line)?;
    let replies = serde_json::Deserializer::from_str(&found).into_iter();
    replies.collect::<Result<_, _>>().context(found.clone())
}

/// Calls a method that fails; returns the name of the error and its parameters.
fn fails(guest: &Guest, method: &str, parameters: &Value) -> Result<String> {
    let line = format!("varlink call -m io.podman.{method} '{parameters}' 2>&1");
    let output = guest.ssh("root", &line)?;
    ensure!(output.status.code() == Some(12), "{method}: {output:?}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Reads the text of JSON that a reply has.
fn inner(reply: &Value) -> Result<Value> {
    let text = reply.as_str().with_context(|| reply.to_string())?;
    Ok(serde_json::from_str(text)?)
}

fn looks(guest: &Guest) -> Result<()> {
    let script = "echo one; sleep 1; echo two >&2; exec sleep 1000";
    super::detached(
        guest,
        "looks",
        &["--health-cmd=true"],
        &["sh", "-c", script],
    )?;
    let id = guest.podman(&["inspect", "--format", "{{.Id}}", "looks"])?;
    let listed = call(
        guest,
        "Ps",
        &json!({"opts": {"last": -1, "sort": "created"}}),
    )?;
    let mut containers = listed["containers"].as_array().into_iter().flatten();
    let looks = containers.find(|c| c["names"] == "looks");
    let looks = looks.with_context(|| listed.to_string())?;
    ensure!(
        looks["state"] == "running" && looks["image"] == image::NAME && looks["pidNum"] != 0,
        "{looks}"
    );
    ensure!(
        id.starts_with(looks["id"].as_str().unwrap_or("-")),
        "{looks}"
    );
    let found = call(guest, "GetContainersByContext", &json!({"args": ["looks"]}))?;
    ensure!(found["containers"] == json!([id]), "{found}");
    let error = fails(guest, "GetContainersByContext", &json!({"args": ["none"]}))?;
    ensure!(error.contains("io.podman.ContainerNotFound"), "{error}");
    let found = call(
        guest,
        "GetContainersByStatus",
        &json!({"status": ["running"]}),
    )?;
    ensure!(found["containerS"].to_string().contains(&id), "{found}");
    let name = json!({"name": "looks"});
    let config = inner(&call(guest, "ContainerConfig", &name)?["config"])?;
    ensure!(config["id"] == *id && config["name"] == "looks", "{config}");
    let spec = inner(&call(guest, "Spec", &name)?["config"])?;
    ensure!(
        spec["process"]["terminal"] == false && spec["process"]["args"][0] == "sh",
        "{spec}"
    );
    for (method, name, exists) in [
        ("ContainerExists", "looks", 0),
        ("ContainerExists", "none", 1),
        ("ImageExists", image::NAME, 0),
        ("ImageExists", "none", 1),
    ] {
        let found = call(guest, method, &json!({ "name": name }))?;
        ensure!(found["exists"] == exists, "{method} {name}: {found}");
    }
    processes(guest, &id)
}

/// Processes, figures and changes of the container `looks`, and the life of one that was not started.
fn processes(guest: &Guest, id: &str) -> Result<()> {
    let top = json!({"nameOrID": "looks", "descriptors": ["pid", "comm"]});
    let top = call(guest, "Top", &top)?;
    let header = top["top"][0].as_str().unwrap_or_default();
    ensure!(
        header.contains("PID")
            && top["top"][1]
                .as_str()
                .is_some_and(|row| row.contains("sleep")),
        "{top}"
    );
    let health = call(guest, "HealthCheckRun", &json!({"nameOrID": "looks"}))?;
    ensure!(health["healthCheckStatus"] == "healthy", "{health}");
    let before = call(guest, "GetContainerStats", &json!({"name": "looks"}))?;
    let history = json!({ "previousStats": before["container"] });
    let after = call(guest, "GetContainerStatsWithHistory", &history)?;
    ensure!(
        after["container"]["id"] == id && after["container"]["name"] == "looks",
        "{after}"
    );
    guest.podman(&["exec", "looks", "touch", "/touched"])?;
    let changes = call(guest, "Diff", &json!({"name": "looks"}))?;
    let touched = json!({"path": "/touched", "changeType": "A"});
    let changes = changes["diffs"].as_array().cloned().unwrap_or_default();
    ensure!(changes.contains(&touched), "{changes:?}");
    let create = json!({"create": {"args": [image::NAME, "sleep", "1000"], "name": "later"}});
    call(guest, "CreateContainer", &create)?;
    call(guest, "InitContainer", &json!({"name": "later"}))?;
    let later = call(guest, "GetContainer", &json!({"id": "later"}))?;
    // The word of podman 1 for a container that is initialized.
    ensure!(later["container"]["status"] == "created", "{later}");
    call(
        guest,
        "RemoveContainer",
        &json!({"name": "later", "force": true}),
    )
    .map(drop)
}

/// The log of a container that has ended, one that goes on, and the file's lines. The end is a reply without a text, at
/// which podman-remote stops.
fn logs(guest: &Guest) -> Result<()> {
    // podman-remote sends the zero time of Go, and a negative number for all lines.
    let of = |name: &str, follow: bool| {
        json!({"names": [name], "follow": follow, "latest": false,
            "since": "0001-01-01T00:00:00Z", "tail": -1, "timestamps": true})
    };
    let lines = |found: Vec<Value>| -> Vec<String> {
        let line = |reply: Value| {
            let log = &reply["log"];
            let part = |name: &str| log[name].as_str().unwrap_or("?").to_owned();
            format!("{} {}", part("device"), part("msg"))
        };
        found.into_iter().map(line).collect()
    };
    let found = lines(replies(guest, "GetContainersLogs", &of("looks", false))?);
    ensure!(found == ["stdout one", "stderr two", " "], "{found:?}");
    let script = "for i in 1 2 3; do echo $i; sleep 1; done";
    super::detached(guest, "ticks", &[], &["sh", "-c", script])?;
    let found = lines(replies(guest, "GetContainersLogs", &of("ticks", true))?);
    ensure!(
        found == ["stdout 1", "stdout 2", "stdout 3", " "],
        "{found:?}"
    );
    let name = json!({"name": "ticks"});
    let file = call(guest, "GetContainerLogs", &name)?;
    let second = file["container"][1].as_str().unwrap_or_default();
    ensure!(second.ends_with(" stdout F 2\n"), "{file}");
    guest.podman(&["wait", "ticks"])?;
    let followed = replies(guest, "GetContainerLogs", &name)?;
    let count = followed.iter().filter(|r| r["container"] != json!([]));
    ensure!(count.count() == 3, "{followed:?}");
    guest
        .podman(&["rm", "--force", "--time=0", "looks", "ticks"])
        .map(drop)
}

/// Follows events while a container starts again and again: the stream begins at some moment.
const FOLLOW: &str = "varlink call -m io.podman.GetEvents '{\"filter\": [\"event=start\"]}' >/run/events 2>/run/said & p=$!; \
    while [ ! -s /run/events ]; do podman start --attach short; done; ";

fn events(guest: &Guest) -> Result<()> {
    guest.sh(&format!(
        "podman create --network=none --name short {} true",
        image::NAME
    ))?;
    let said = guest.sh(&format!(
        "{FOLLOW} kill -INT $p; wait $p; echo $?; cat /run/events"
    ))?;
    let (status, events) = said.split_once('\n').with_context(|| said.clone())?;
    let mut events = serde_json::Deserializer::from_str(events).into_iter::<Value>();
    let event = events.next().context("no event")??;
    let event = &event["events"];
    ensure!(
        event["name"] == "short" && event["status"] == "start" && event["type"] == "container",
        "{event}"
    );
    ensure!(status == "0", "Ctrl-C: {status}");
    let past = call(
        guest,
        "GetEvents",
        &json!({"filter": ["container=short"], "since": "1h"}),
    )?;
    ensure!(past["events"]["name"] == "short", "{past}");
    Ok(())
}

/// A pull shows its progress; the image has names, a tree and a history, and is removed.
fn images(guest: &Guest) -> Result<()> {
    let registry = Plain::start()?;
    // Another image than the one that other checks use.
    registry.offer(1)?;
    let at = format!("{HOST}:{}", registry.port);
    // A podman that runs has read its registries.
    guest.sh(&format!(
        "printf '[[registry]]\\nlocation = \"{at}\"\\ninsecure = true\\n' \
         >/etc/containers/registries.conf.d/90-far.conf; b2p restart podman"
    ))?;
    let name = format!("{at}/web:1");
    let pulled = replies(guest, "PullImage", &json!({ "name": name }))?;
    let (last, before) = pulled.split_last().context("no reply")?;
    let id = last["reply"]["id"].as_str().unwrap_or_default().to_owned();
    ensure!(!before.is_empty() && id.len() == 64, "{pulled:?}");
    let image = call(guest, "GetImage", &json!({ "id": id }))?;
    ensure!(image["image"]["repoTags"] == json!([name]), "{image}");
    let tree = call(guest, "ImageTree", &json!({ "name": id }))?;
    let tree = tree["tree"].as_str().unwrap_or_default();
    ensure!(tree.contains(&id[..12]), "{tree}");
    call(
        guest,
        "TagImage",
        &json!({"name": id, "tagged": "localhost/other:2"}),
    )?;
    let filter = json!({"filters": ["reference=localhost/other"]});
    let listed = call(guest, "ListImagesWithFilters", &filter)?;
    ensure!(listed["images"][0]["id"] == *id, "{listed}");
    call(
        guest,
        "UntagImage",
        &json!({"name": id, "tag": "localhost/other:2"}),
    )?;
    ensure!(call(guest, "ImageExists", &json!({"name": "localhost/other:2"}))?["exists"] == 1);
    let found = call(
        guest,
        "SearchImages",
        &json!({"query": format!("{at}/we"), "limit": 5}),
    )?;
    ensure!(
        found["results"][0]["name"] == format!("{at}/web"),
        "{found}"
    );
    let gone = call(
        guest,
        "RemoveImageWithResponse",
        &json!({"name": id, "force": true}),
    )?;
    ensure!(
        gone["response"]["deleted"] == *id && gone["response"]["untagged"] == json!([name]),
        "{gone}"
    );
    let push = json!({"name": image::NAME, "tag": format!("{at}/pushed:1")});
    let pushed = replies(guest, "PushImage", &push)?;
    let asked = registry.asked();
    ensure!(
        asked
            .iter()
            .any(|line| line.starts_with("PUT /v2/pushed/manifests/1 ")),
        "{pushed:?}: {asked:?}"
    );
    let error = fails(guest, "PullImage", &json!({"name": format!("{at}/web:2")}))?;
    ensure!(error.contains("io.podman.ErrorOccurred"), "{error}");
    guest.sh("rm /etc/containers/registries.conf.d/90-far.conf; b2p restart podman")?;
    // An archive is a file of the machine.
    guest.podman(&["image", "tag", image::NAME, "localhost/archived:1"])?;
    guest.sh("podman save --output /tmp/archived.tar localhost/archived:1 && podman rmi localhost/archived:1")?;
    let archive = json!({"name": "docker-archive:/tmp/archived.tar"});
    let loaded = replies(guest, "PullImage", &archive)?;
    let id = guest.podman(&["inspect", "--format", "{{.Id}}", "localhost/archived:1"])?;
    ensure!(loaded[0]["reply"]["id"] == *id, "{loaded:?}");
    guest
        .sh("rm /tmp/archived.tar; podman rmi localhost/archived:1")
        .map(drop)
}

/// The base image is there, and no registry has one: a build that pulls always fails, and one that never pulls does not.
fn builds(guest: &Guest) -> Result<()> {
    guest.sh(&format!(
        "mkdir /tmp/context && printf 'FROM {}\\nLABEL a=b\\n' >/tmp/context/Containerfile && \
         tar -cf /tmp/context.tar -C /tmp/context . && rm -r /tmp/context",
        image::NAME
    ))?;
    let build = |policy: &str| {
        json!({"build": {"contextDir": "/tmp/context.tar", "dockerfiles": ["Containerfile"], "pullPolicy": policy,
            "output": "localhost/built:1", "layers": true}})
    };
    let refused = fails(guest, "BuildImage", &build("PullAlways"))?;
    ensure!(refused.contains("io.podman.ErrorOccurred"), "{refused}");
    for policy in ["PullNever", "PullIfMissing", ""] {
        let built = replies(guest, "BuildImage", &build(policy))?;
        let (last, before) = built.split_last().context("no reply")?;
        ensure!(!before.is_empty(), "{policy}: {built:?}");
        let image = call(guest, "InspectImage", &json!({"name": last["image"]["id"]}))?;
        let image = inner(&image["image"])?;
        ensure!(image["Labels"]["a"] == "b", "{policy}: {image}");
    }
    guest
        .sh("rm /tmp/context.tar; podman rmi localhost/built:1")
        .map(drop)
}

fn volumes(guest: &Guest) -> Result<()> {
    let options = json!({"options": {"volumeName": "remote", "labels": {"a": "b"}}});
    let made = call(guest, "VolumeCreate", &options)?;
    ensure!(made["volumeName"] == "remote", "{made}");
    let volume = call(guest, "InspectVolume", &json!({"name": "remote"}))?;
    ensure!(inner(&volume["volume"])?["Name"] == "remote", "{volume}");
    let listed = call(guest, "GetVolumes", &json!({"args": ["remote"]}))?;
    ensure!(listed["volumes"][0]["labels"]["a"] == "b", "{listed}");
    let gone = call(
        guest,
        "VolumeRemove",
        &json!({"options": {"volumes": ["remote", "none"]}}),
    )?;
    ensure!(
        gone["successes"] == json!(["remote"]) && gone["failures"]["none"].is_string(),
        "{gone}"
    );
    call(guest, "VolumeCreate", &options)?;
    let pruned = call(guest, "VolumesPrune", &json!({}))?;
    ensure!(
        pruned["prunedNames"].to_string().contains("remote"),
        "{pruned}"
    );
    Ok(())
}

fn pods(guest: &Guest) -> Result<()> {
    let create = json!({"create": {"name": "remote", "infra": true, "infraCommand": "/pause",
        "infraImage": "k8s.gcr.io/pause:3.2", "share": ["ipc", "net", "uts"]}});
    let pod = call(guest, "CreatePod", &create)?;
    let name = json!({"name": "remote"});
    call(guest, "StartPod", &name)?;
    let running = call(guest, "GetPodsByStatus", &json!({"statuses": ["Running"]}))?;
    ensure!(running["pods"] == json!([pod["pod"]]), "{running}");
    let latest = call(guest, "GetPodsByContext", &json!({"latest": true}))?;
    ensure!(latest["pods"] == json!([pod["pod"]]), "{latest}");
    let top = json!({"latest": true, "descriptors": ["pid", "comm"]});
    let top = call(guest, "TopPod", &top)?;
    ensure!(
        top["stats"].as_array().is_some_and(|rows| rows.len() >= 2),
        "{top}"
    );
    call(
        guest,
        "RemovePod",
        &json!({"name": "remote", "force": true}),
    )
    .map(drop)
}

/// A client whose service is killed gets an error; PID 1 holds the socket, and the next call has a new process. No
/// process of the first stays.
fn killed(guest: &Guest) -> Result<()> {
    let sockets = "stat -c %i /run/podman/io.podman /run/org.varlink.resolver";
    let before = guest.sh(sockets)?;
    let script = format!(
        "{FOLLOW} k=$(ps -e -o pid,args | awk '/[b]2p varlink-podman/ {{print $1}}'); kill -9 $k; wait $p; echo $? $k; cat /run/said"
    );
    let said = guest.sh(&script)?;
    let (first, error) = said.split_once('\n').with_context(|| said.clone())?;
    let (status, killed) = first.split_once(' ').with_context(|| said.clone())?;
    ensure!(status == "14" && error == "Connection closed.", "{said}");
    eventually(SOON, || call(guest, "GetVersion", &json!({})).map(drop))?;
    let now = guest.pids("b2p varlink-podman")?;
    ensure!(
        now.len() == 1 && now[0].to_string() != killed,
        "{killed} became {now:?}"
    );
    ensure!(guest.sh(sockets)? == before, "the sockets are other ones");
    guest.podman(&["rm", "short"])?;
    // podman saw the end of the connection, and the failure is no reason for a degraded machine.
    let degraded = guest.sh("grep varlink /run/boot2podman/degraded || true")?;
    ensure!(degraded.is_empty(), "{degraded}");
    Ok(())
}
