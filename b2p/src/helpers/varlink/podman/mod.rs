// SPDX-License-Identifier: Apache-2.0
//! `b2p varlink-podman`: the interface `io.podman` of podman 1, on top of podman's REST API.
//!
//! A method is a row of [`METHODS`], a function from parameters to results. What the API has no
//! request for replies with an error and the reason ([`REFUSED`]).

mod api;
mod attach;
mod build;
mod containers;
mod create;
mod files;
pub mod frames;
mod http;
mod images;
mod inspection;
mod others;
mod parameters;
pub mod paths;
mod ps;
mod shape;
mod spool;
mod state;
mod streams;
mod time;
mod usage;

use sys::paths::PODMAN_SOCKET;
use varlink::{
    Answer, Done, Exchange, Failure, Interface, Limits, Service, Value, error, json, map,
};

use api::{Api, Kind, Outcome, occurred};
use parameters::Parameters;

/// Description of the interface; a file, which the image compresses.
const DESCRIPTION_FILE: &str = "/usr/share/varlink/io.podman.varlink";
#[cfg(test)]
const DESCRIPTION: &str =
    include_str!("../../../../../initramfs/files/usr/share/varlink/io.podman.varlink");

/// Runs the service and returns the exit status.
#[must_use]
pub fn main(args: &[String]) -> i32 {
    let podman = Podman {
        api: Api {
            socket: PODMAN_SOCKET.into(),
            spool: spool::Spool::default(),
        },
        description: std::fs::read_to_string(DESCRIPTION_FILE).unwrap_or_default(),
    };
    let version = version().unwrap_or_default();
    let service = Service {
        vendor: "Atomic",
        product: "podman",
        version: &version,
        url: "https://github.com/containers/podman",
        interfaces: &[&podman],
    };
    super::run("varlink-podman", &service, args, Limits::PRIVILEGED)
}

/// Returns the version of the installed podman: clients show it. Its API would have to be started.
fn version() -> Option<String> {
    let output = std::process::Command::new("/usr/bin/podman")
        .arg("--version")
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    Some(text.trim().rsplit(' ').next()?.to_owned())
}

/// The interface `io.podman`.
struct Podman {
    api: Api,
    description: String,
}

impl Interface for Podman {
    fn name(&self) -> &str {
        "io.podman"
    }

    fn description(&self) -> &str {
        &self.description
    }

    fn call(&self, exchange: &mut Exchange<'_>) -> Answer {
        let call = exchange.call;
        let parameters = Parameters(&call.parameters);
        if let Some((_, run)) = METHODS.iter().find(|(name, _)| *name == exchange.method) {
            return results(run(&self.api, parameters));
        }
        if let Some((_, run)) = STREAMS.iter().find(|(name, _)| *name == exchange.method) {
            return results(run(&self.api, parameters, exchange));
        }
        if let Some((_, run)) = UPGRADES.iter().find(|(name, _)| *name == exchange.method) {
            return run(&self.api, parameters, exchange);
        }
        for (name, action, argument) in containers::ACTIONS {
            if *name == exchange.method {
                return results(containers::act(&self.api, action, *argument, parameters));
            }
        }
        for (name, action, argument) in others::POD_ACTIONS {
            if *name == exchange.method {
                return results(others::act_on_pod(&self.api, action, *argument, parameters));
            }
        }
        Err(refused(exchange.method))
    }
}

fn results(outcome: Outcome<Value>) -> Answer {
    outcome.map(|value| Done::Reply(map(value)))
}

/// Method that replies once: its name, and its function.
type Method = (&'static str, fn(&Api, Parameters<'_>) -> Outcome<Value>);

/// Methods that reply once.
#[rustfmt::skip]
const METHODS: &[Method] = &[
    ("GetVersion",              others::version),
    ("GetInfo",                 others::info),
    ("ListContainers",          containers::list),
    ("GetContainer",            containers::get),
    ("Ps",                      ps::ps),
    ("GetContainersByContext",  containers::by_context),
    ("GetContainersByStatus",   containers::by_status),
    ("CreateContainer",         |_, parameters| create::create(parameters)),
    ("InspectContainer",        containers::inspect),
    ("ContainerInspectData",    containers::inspect_data),
    ("RemoveContainer",         |api, parameters| containers::remove(api, parameters, false)),
    ("EvictContainer",          |api, parameters| containers::remove(api, parameters, true)),
    ("DeleteStoppedContainers", containers::prune),
    ("ContainerExists",         |api, parameters| containers::exists(api, parameters, Kind::Container)),
    ("Top",                     |api, parameters| {
        let (name, columns) = (parameters.text("nameOrID")?, parameters.list("descriptors")?);
        Ok(json!({ "top": usage::top(api, name, &columns, Kind::Container)? }))
    }),
    ("ListContainerProcesses",  |api, parameters| {
        let (name, columns) = (parameters.text("name")?, parameters.list("opts")?);
        Ok(json!({ "container": usage::top(api, name, &columns, Kind::Container)? }))
    }),
    ("ListContainerChanges",    usage::changes),
    ("Diff",                    usage::diff),
    ("GetContainerStats",       usage::stats),
    ("GetContainerStatsWithHistory", state::stats_since),
    ("GetPodStats",             state::pod_stats),
    ("HealthCheckRun",          state::health),
    ("GetAttachSockets",        state::attach_sockets),
    ("ContainerConfig",         state::container_config),
    ("ContainerStateData",      state::container_state),
    ("Spec",                    state::spec),
    ("MountContainer",          state::mount),
    ("UnmountContainer",        state::unmount),
    ("ListContainerMounts",     state::mounts),
    ("ListImages",              images::list),
    ("ListImagesWithFilters",   images::list),
    ("GetImage",                images::get),
    ("InspectImage",            images::inspect),
    ("HistoryImage",            images::history),
    ("TagImage",                |api, parameters| images::tag(api, parameters, "tag")),
    ("UntagImage",              |api, parameters| images::tag(api, parameters, "untag")),
    ("RemoveImage",             |api, parameters| images::remove(api, parameters, false)),
    ("RemoveImageWithResponse", |api, parameters| images::remove(api, parameters, true)),
    ("DeleteUnusedImages",      |api, parameters| images::prune(api, parameters, "images")),
    ("ImagesPrune",             |api, parameters| images::prune(api, parameters, "pruned")),
    ("ImageExists",             |api, parameters| containers::exists(api, parameters, Kind::Image)),
    ("ImageTree",               images::tree),
    ("SearchImages",            images::search),
    ("Commit",                  images::commit),
    ("CreatePod",               others::create_pod),
    ("ListPods",                others::pods),
    ("GetPod",                  others::get_pod),
    ("GetPodsByContext",        others::pods_by_context),
    ("GetPodsByStatus",         others::pods_by_status),
    ("InspectPod",              |api, parameters| Ok(json!({ "pod": state::inspect_pod(api, parameters)? }))),
    ("PodStateData",            |api, parameters| Ok(json!({ "config": state::inspect_pod(api, parameters)? }))),
    ("RemovePod",               others::remove_pod),
    ("TopPod",                  |api, parameters| {
        let (name, columns) = (parameters.text("pod")?, parameters.list("descriptors")?);
        Ok(json!({ "stats": usage::top(api, name, &columns, Kind::Pod)? }))
    }),
    ("VolumeCreate",            others::create_volume),
    ("VolumeRemove",            others::remove_volumes),
    ("GetVolumes",              others::volumes),
    ("InspectVolume",           others::inspect_volume),
    ("VolumesPrune",            others::prune_volumes),
];

/// Method that may reply more than once, or waits: its name, and its function.
type Stream = (
    &'static str,
    fn(&Api, Parameters<'_>, &mut Exchange<'_>) -> Outcome<Value>,
);

/// Methods that may reply more than once, or wait.
#[rustfmt::skip]
const STREAMS: &[Stream] = &[
    ("WaitContainer",     |api, parameters, exchange| containers::wait(api, parameters, exchange.connection.output())),
    ("GetContainerLogs",  streams::container_log),
    ("GetContainersLogs", streams::containers_log),
    ("GetEvents",         streams::events),
    ("PullImage",         images::pull),
    ("PushImage",         images::push),
    ("BuildImage",        build::image),
    ("ExportContainer",   files::export_container),
    ("ExportImage",       files::export_image),
    ("ImageSave",         files::save_image),
    ("ImportImage",       files::import_image),
    ("LoadImage",         files::load_image),
];

/// Method after whose reply the connection carries another protocol: its name, and its function.
type Upgrade = (
    &'static str,
    fn(&Api, Parameters<'_>, &Exchange<'_>) -> Outcome<Done>,
);

/// Methods after whose reply the connection carries another protocol.
#[rustfmt::skip]
const UPGRADES: &[Upgrade] = &[
    ("Attach",        attach::attach),
    ("ExecContainer", attach::exec),
    ("SendFile",      files::send),
    ("ReceiveFile",   files::receive),
];

/// Methods that reply with an error, and the reason.
#[rustfmt::skip]
const REFUSED: &[(&str, &str)] = &[
    ("Reset",               "the machine's PID 1 owns the storage: start the machine without its disk"),
    ("ContainerCheckpoint", "criu is not in the machine"),
    ("ContainerRestore",    "criu is not in the machine"),
    ("ContainerRunlabel",   "not implemented: use `podman container runlabel` over ssh"),
    ("GenerateKube",        "podman's API writes YAML, and this method JSON: use `podman kube generate` over ssh"),
];

/// Methods for podman's developers, and those that never were implemented.
const NOT_IMPLEMENTED: &[&str] = &[
    "AttachControl",
    "ContainerArtifacts",
    "GetLayersMapWithImageInfo",
    "BuildImageHierarchyMap",
    "CreateFromCC",
];

/// Returns the error for a method that has no function.
fn refused(method: &str) -> Failure {
    if let Some((_, reason)) = REFUSED.iter().find(|(name, _)| *name == method) {
        return occurred(reason);
    }
    match NOT_IMPLEMENTED.contains(&method) {
        true => Failure::new(
            error::METHOD_NOT_IMPLEMENTED,
            map(json!({ "method": method })),
        ),
        false => Failure::method(method),
    }
}

#[cfg(test)]
mod tests;
