// SPDX-License-Identifier: Apache-2.0
//! PID 1's report and the flags as structures of the interface.

use std::path::Path;

use control::{LastExit, Report, Service};
use sys::paths::SERVICE_CGROUPS;
use varlink::{Failure, Value, json};

use super::no_such_service;
use crate::common::control_client::machine_state;
use crate::common::status;
use crate::common::usage::{self, Usage};

/// Returns the structure `Status`.
pub(super) fn status(report: &Report<'_>) -> Value {
    let machine = &report.machine;
    let degraded = report.degraded.iter();
    let degraded: Vec<Value> = degraded
        .map(|d| json!({ "what": d.what, "why": d.why }))
        .collect();
    let shutdown = report
        .shutdown
        .map(|s| json!({ "action": s.kind.word(), "at": s.at }));
    json!({
        "version": machine.version, "hostname": status::hostname(), "state": machine_state(report),
        "data": machine.data, "now": machine.now, "started": machine.started, "ready": machine.ready,
        "degraded": degraded, "shutdown": shutdown,
    })
}

/// Returns services as `Service`, in the order of the report or of the names.
///
/// # Errors
/// `NoSuchService` for a name that no service has.
pub(super) fn services(report: &Report<'_>, names: &[String]) -> Result<Vec<Value>, Failure> {
    let measured = |s: &Service<'_>| service(s, usage::of(Path::new(SERVICE_CGROUPS), s));
    match names {
        [] => Ok(report.services.iter().map(measured).collect()),
        names => {
            let find =
                |name: &String| status::find(report, name).ok_or_else(|| no_such_service(name));
            names.iter().map(|name| find(name).map(measured)).collect()
        }
    }
}

/// Returns the structure `Service`.
pub(super) fn service(s: &Service<'_>, usage: Usage) -> Value {
    let last = s.last.map(|last| match last {
        LastExit::Exited(status) => json!({ "how": "exited", "number": status }),
        LastExit::Killed(signal) => json!({ "how": "killed", "number": signal }),
    });
    json!({
        "name": s.name, "state": s.state.word(), "since": s.since, "pid": s.pid,
        "restarts": s.restarts.unwrap_or(0), "last": last, "user": s.user.filter(|uid| *uid != 0),
        "own": s.is_user_service, "asked": s.asked, "spawned": s.spawned, "ready": s.ready, "next": s.next,
        "memory": usage.memory, "cpu": usage.cpu_us,
    })
}

/// Returns the phases of the boot.
pub(super) fn phases(report: &Report<'_>) -> Vec<Value> {
    let phases = report.phases.iter();
    let phase = |p: &control::Phase<'_>| json!({ "name": p.name, "start": p.start_us, "duration": p.took_us });
    phases.map(phase).collect()
}

/// Returns all flags, with their values.
pub(super) fn flags() -> Vec<Value> {
    let settings = sys::config_sources::read_raw().with_sources(config::origins);
    let given = |origin: &config::Origin| json!({ "value": origin.value(), "source": origin.source.name(), "flag": origin.flag.as_str() });
    let flag = |(flag, origins): &(&config::Flag, Vec<config::Origin>)| {
        json!({
            "name": flag.name, "default": flag.default, "description": flag.description,
            "given": origins.iter().map(given).collect::<Vec<_>>(),
        })
    };
    settings.iter().map(flag).collect()
}
