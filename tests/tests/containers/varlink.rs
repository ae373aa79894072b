// SPDX-License-Identifier: Apache-2.0
//! `io.podman` with other bytes after the reply: streams of containers, and files.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests::{Checks, Guest, image};

const SOCKET: &str = "unix:/run/podman/io.podman";

pub fn all(guest: &Guest, checks: &mut Checks) {
    checks.check("varlink: attach starts a container", || attach(guest));
    checks.check("varlink: exec in a container", || exec(guest));
    checks.check("varlink: files go to the machine and back", || files(guest));
    checks.check("varlink: state, mounts and sockets of a container", || {
        state(guest)
    });
    checks.check("varlink: an inspection has the types of podman 1", || {
        inspection(guest)
    });
}

/// Calls a method that replies once.
pub fn call(guest: &Guest, method: &str, parameters: &Value) -> Result<Value> {
    let found = guest.sh(&format!("varlink call io.podman.{method} '{parameters}'"))?;
    serde_json::from_str(&found).context(found)
}

/// Calls a method with `upgrade`, sends bytes, and returns those that follow the reply. `bridge` with one
/// service copies any bytes.
fn upgrade(
    guest: &Guest,
    method: &str,
    parameters: &Value,
    bytes: &[u8],
) -> Result<(Value, Vec<u8>)> {
    let call =
        json!({"method": format!("io.podman.{method}"), "parameters": parameters, "upgrade": true});
    let octal: String = bytes.iter().map(|byte| format!("\\{byte:03o}")).collect();
    let line = format!("printf '%s\\000{octal}' '{call}' | varlink bridge -c {SOCKET}");
    let output = guest.ssh("root", &line)?;
    let end = output.stdout.iter().position(|byte| *byte == 0);
    let end = end.with_context(|| format!("{method}: no reply: {output:?}"))?;
    let reply = serde_json::from_slice(&output.stdout[..end])?;
    Ok((reply, output.stdout[end + 1..].to_vec()))
}

fn frame(number: u8, bytes: &[u8]) -> Vec<u8> {
    [
        &[number, 0, 0, 0][..],
        &(bytes.len() as u32).to_be_bytes(),
        bytes,
    ]
    .concat()
}

/// A line for the container and the end of its input, and the expected output: the line, and status
/// 7.
fn streams() -> (Vec<u8>, Vec<u8>) {
    let input = [frame(1, b"typed\n"), frame(5, b"EOF")].concat();
    (
        input,
        [frame(0, b"typed\n"), frame(4, &[0, 0, 0, 7])].concat(),
    )
}

fn attach(guest: &Guest) -> Result<()> {
    let create = json!({"create": {"args": [image::NAME, "sh", "-c", "cat; exit 7"], "interactive": true, "name": "attached"}});
    call(guest, "CreateContainer", &create)?;
    let (input, expected) = streams();
    let name = json!({"name": "attached", "start": true});
    let (reply, output) = upgrade(guest, "Attach", &name, &input)?;
    ensure!(
        reply["error"].is_null() && output == expected,
        "{reply} {:?}",
        output.escape_ascii()
    );
    let (reply, _) = upgrade(guest, "Attach", &json!({"name": "attached"}), b"")?;
    ensure!(
        reply["parameters"]["reason"] == "container must be running to attach",
        "{reply}"
    );
    call(guest, "RemoveContainer", &json!({"name": "attached"})).map(drop)
}

fn exec(guest: &Guest) -> Result<()> {
    super::detached(guest, "executes", &[], &["sleep", "1000"])?;
    let (input, expected) = streams();
    let options = json!({"opts": {"name": "executes", "cmd": ["sh", "-c", "cat; exit 7"]}});
    let (reply, output) = upgrade(guest, "ExecContainer", &options, &input)?;
    ensure!(
        reply["error"].is_null() && output == expected,
        "{reply} {:?}",
        output.escape_ascii()
    );
    let missing = json!({"opts": {"name": "none", "cmd": ["true"]}});
    let (reply, _) = upgrade(guest, "ExecContainer", &missing, b"")?;
    ensure!(reply["error"] == "io.podman.ContainerNotFound", "{reply}");
    Ok(())
}

/// An image is saved, received, sent and loaded; a path outside of the spool is refused.
fn files(guest: &Guest) -> Result<()> {
    let saved = call(
        guest,
        "ImageSave",
        &json!({"options": {"name": image::NAME}}),
    )?;
    let path = &saved["reply"]["id"];
    let (reply, archive) = upgrade(
        guest,
        "ReceiveFile",
        &json!({"path": path, "delete": true}),
        b"",
    )?;
    ensure!(
        reply["parameters"]["len"] == archive.len(),
        "{reply}: {} bytes",
        archive.len()
    );
    ensure!(archive.len() > 100_000, "{} bytes", archive.len());
    let (reply, answer) = upgrade(
        guest,
        "SendFile",
        &json!({"type": "", "length": 4}),
        b"text",
    )?;
    let sent = reply["parameters"]["file_handle"]
        .as_str()
        .unwrap_or_default();
    ensure!(answer == format!("{sent}:").into_bytes(), "{reply}");
    let content = guest.sh(&format!("cat {sent}; stat -c %a,%U $(dirname {sent})"))?;
    ensure!(content == "text700,root", "{content}");
    let saved = call(
        guest,
        "ImageSave",
        &json!({"options": {"name": image::NAME}}),
    )?;
    let load = json!({"inputFile": saved["reply"]["id"], "deleteFile": true});
    let loaded = call(guest, "LoadImage", &load)?;
    ensure!(loaded["reply"]["id"] == image::NAME, "{loaded}");
    for (method, parameters) in [
        ("ReceiveFile", json!({"path": "/etc/shadow"})),
        (
            "ReceiveFile",
            json!({"path": format!("{sent}/../../../../../etc/shadow")}),
        ),
        ("SendFile", json!({"length": i64::MAX})),
    ] {
        let (reply, rest) = upgrade(guest, method, &parameters, b"")?;
        ensure!(
            reply["error"] == "io.podman.ErrorOccurred" && rest.is_empty(),
            "{method}: {reply}"
        );
    }
    guest.sh("rm -r /var/lib/boot2podman/varlink").map(drop)
}

fn state(guest: &Guest) -> Result<()> {
    let name = json!({"name": "executes"});
    let text = call(guest, "ContainerStateData", &name)?;
    let state: Value = serde_json::from_str(text["config"].as_str().unwrap_or_default())?;
    ensure!(state["state"] == 3 && state["pid"].is_u64(), "{state}");
    let sockets = call(guest, "GetAttachSockets", &name)?;
    let path = sockets["sockets"]["io_socket"].as_str().unwrap_or_default();
    ensure!(path.len() <= 107, "{path}");
    guest.sh(&format!("test -S {path}"))?;
    let mounted = call(guest, "MountContainer", &name)?;
    guest.sh(&format!("test -d {}/bin", mounted["path"]))?;
    let mounts = call(guest, "ListContainerMounts", &json!({}))?;
    ensure!(
        mounts["mounts"]
            .as_object()
            .is_some_and(|mounts| !mounts.is_empty()),
        "{mounts}"
    );
    call(guest, "UnmountContainer", &name)?;
    let kube = call(guest, "GenerateKube", &name)?;
    let pod: Value = serde_json::from_str(kube["pod"]["pod"].as_str().unwrap_or_default())?;
    ensure!(
        pod["kind"] == "Pod" && pod["spec"]["containers"][0]["image"] == image::NAME,
        "{kube}"
    );
    ensure!(kube["pod"]["service"] == "{}", "{kube}");
    // podman replies to the request, and misses criu, which is in an extension.
    let checkpoint = format!("varlink call io.podman.ContainerCheckpoint '{name}'");
    let refused = guest.ssh("root", &checkpoint)?;
    let why = String::from_utf8_lossy(&refused.stdout).to_lowercase();
    ensure!(
        refused.status.code() == Some(12) && why.contains("criu"),
        "{refused:?}"
    );
    let exported = call(
        guest,
        "ExportContainer",
        &json!({"name": "executes", "path": "/tmp/executes.tar"}),
    )?;
    ensure!(exported["tarfile"] == "/tmp/executes.tar", "{exported}");
    guest.sh("test -s /tmp/executes.tar && rm /tmp/executes.tar")?;
    call(
        guest,
        "RemoveContainer",
        &json!({"name": "executes", "force": true}),
    )
    .map(drop)
}

/// podman-remote 1.9.3 decodes an inspection into structures, and panicked where a member had another type: limits
/// are numbers without a sign, a signal is a number, an entrypoint is a text, and ports are a list.
fn inspection(guest: &Guest) -> Result<()> {
    let options = "--ulimit core=-1:-1 --ulimit nofile=64:128 --stop-signal SIGRTMIN+3 --entrypoint '[\"sh\",\"-c\"]' \
        --publish 18089:80 --memory 64m --cpus 0.5 --tmpfs /t --device /dev/null --add-host a:10.0.0.1 --log-opt max-size=1m";
    guest.sh(&format!(
        "podman create --name shapes {options} {} true",
        image::NAME
    ))?;
    guest.sh(&format!("podman create --name plain {} true", image::NAME))?;
    for name in ["shapes", "plain"] {
        for (method, result) in [
            ("InspectContainer", "container"),
            ("ContainerInspectData", "config"),
        ] {
            let found = call(guest, method, &json!({ "name": name }))?;
            let found: Value = serde_json::from_str(found[result].as_str().unwrap_or_default())?;
            let host = &found["HostConfig"];
            let limits = host["Ulimits"].as_array().context("Ulimits")?;
            for limit in limits {
                ensure!(limit["Soft"].is_u64() && limit["Hard"].is_u64(), "{limit}");
            }
            ensure!(name == "plain" || limits.len() >= 2, "{host}");
            ensure!(
                found["Config"]["StopSignal"].is_u64(),
                "{}",
                found["Config"]
            );
            let entrypoint = &found["Config"]["Entrypoint"];
            ensure!(
                entrypoint.is_string() || entrypoint.is_null(),
                "{entrypoint}"
            );
            let ports = &found["NetworkSettings"]["Ports"];
            ensure!(ports.is_array() || ports.is_null(), "{ports}");
        }
    }
    guest.sh("podman rm shapes plain").map(drop)
}
