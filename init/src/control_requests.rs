// SPDX-License-Identifier: Apache-2.0
//! Requests of clients over the control socket, and the answers.

use std::path::Path;

use control::{LastExit, Name, PendingClient, Request, ShutdownKind};
use log::info;
use services::manager::LoadError;
use services::supervisor::DefinitionError;
use services::{ExitStatus, Manager, Millis, ServiceId};
use sys::clock::now;
use sys::error::{Doing, Error, Result};
use sys::files;
use sys::service_names::{CONSOLE_PREFIX, RESCUE_PREFIX};

use crate::accounts;
use crate::context::Context;
use crate::data_disk;
use crate::event_sources::Event;
use crate::service_table;
use crate::state::{ScheduledShutdown, SystemState};

/// Usual size of a status report, in bytes.
const STATUS_BYTES: usize = 4096;

/// Accepts clients, and answers those that have sent a request.
pub fn serve(context: &mut Context<'_>, _: &Event) {
    let Some(server) = context.sources.control.as_mut() else {
        return;
    };
    server.accept(now());
    for (client, request) in server.requests() {
        match request {
            Ok(Request::Follow) => context.sources.follow(client),
            Ok(request) => {
                let outcome = execute(context.state, context.manager, &request);
                reply(client, outcome);
            }
            Err(why) => control::answer(client, &control::refusal(&why.to_string())),
        }
    }
}

fn reply(client: PendingClient, outcome: Result<String>) {
    let text = match outcome {
        Ok(lines) => [control::OK, &lines].concat(),
        Err(why) => control::refusal(&why.to_string()),
    };
    control::answer(client, &text);
}

/// Executes a request; returns the lines of the answer.
fn execute(state: &mut SystemState, manager: &mut Manager, request: &Request) -> Result<String> {
    match request {
        Request::Status => return Ok(report(state, manager, Some(now()))),
        // `serve` answers this request, because the connection stays open.
        Request::Follow => {}
        Request::Start(name) => note(manager, name, services::Input::Start)?,
        Request::Stop(name) => note(manager, name, services::Input::Stop)?,
        Request::Restart(name) => note(manager, name, services::Input::Restart)?,
        Request::Reset(name) => note(manager, name, services::Input::ResetFailed)?,
        Request::Load(name) => load(state, manager, name)?,
        Request::Unload(name) => unload(state, manager, name)?,
        Request::Shutdown(kind, 0) => state.shutdown = Some(*kind),
        Request::Shutdown(kind, seconds) => schedule(state, *kind, *seconds),
        Request::Cancel => cancel(state)?,
        Request::Rescue => rescue(manager),
    }
    Ok(String::new())
}

fn note(manager: &mut Manager, name: &Name, input: fn(ServiceId) -> services::Input) -> Result<()> {
    let name = name.as_str();
    let id = manager.supervisor().find(name);
    let id = id.ok_or_else(|| Error::invalid(format!("there is no service {name}")))?;
    if let Some(why) = manager.supervisor().invalid(id) {
        return Err(Error::invalid(why.to_string()));
    }
    manager.note(now(), input(id));
    Ok(())
}

/// Loads the file of a user service. A file with a fault is listed as degraded. A service that
/// runs, and therefore cannot change, is not listed: the service runs as its earlier file defines.
fn load(state: &mut SystemState, manager: &mut Manager, name: &Name) -> Result<()> {
    let supervisor = manager.supervisor();
    let id = supervisor.find(name.as_str());
    if id.is_some_and(|id| supervisor.is_user_service(id)) {
        let allowed = supervisor.may_add(name.as_str());
        allowed.map_err(|why| Error::invalid(why.to_string()))?;
    }
    let loaded = load_file(manager, name);
    let what = format!("service {}", name.as_str());
    state.degraded.set_err(&what, loaded.as_ref());
    if loaded.is_ok() {
        // The earlier definition may have failed; the service is off now.
        state.degraded.set(name.as_str(), []);
    }
    loaded
}

/// Requests that a user service is stopped and forgotten, and removes its degraded lines.
fn unload(state: &mut SystemState, manager: &mut Manager, name: &Name) -> Result<()> {
    let supervisor = manager.supervisor();
    let id = supervisor.find(name.as_str());
    if id.is_some_and(|id| !supervisor.is_user_service(id)) {
        let why = "a built-in service has this name";
        return Err(Error::invalid(format!("{name}: {why}")));
    }
    note(manager, name, services::Input::Unload)?;
    state.degraded.set(&format!("service {name}"), []);
    state.degraded.set(name.as_str(), []);
    Ok(())
}

/// Loads the copies of the file, and of the files of users and groups, that the client has put into
/// RAM: PID 1 waits for no disk. All user services are loaded in this way, quadlets included.
///
/// # Errors
/// The name is reserved, the file or a file of users or groups cannot be read, or the file has faults.
pub fn load_file(manager: &mut Manager, name: &Name) -> Result<()> {
    if service_table::is_reserved(name.as_str()) {
        let why = LoadError::Definition(name.as_str().to_owned(), DefinitionError::NameTaken);
        return Err(Error::invalid(why.to_string()));
    }
    let path = Path::new(control::SERVICES).join(name.as_str());
    // One byte more than the limit is read, so that a longer file is refused and not cut.
    let max_bytes = services::service_file::MAX_FILE_BYTES as u64 + 1;
    let bytes = files::read_bounded(&path, max_bytes).on(&path)?;
    let [passwd, group] = control::ACCOUNT_COPIES.map(|(_, copy)| accounts::copy(copy));
    let loaded = manager.load(name.as_str(), &bytes, &passwd?, &group?);
    loaded.map_err(|why| Error::invalid(why.to_string()))?;
    Ok(())
}

fn schedule(state: &mut SystemState, kind: ShutdownKind, seconds: u32) {
    let at = now().saturating_add(u64::from(seconds) * 1000);
    state.scheduled = Some(ScheduledShutdown { kind, at });
    info!("{} in {seconds} s", kind.word());
}

fn cancel(state: &mut SystemState) -> Result<()> {
    let scheduled = state.scheduled.take();
    scheduled.ok_or_else(|| Error::invalid("nothing is scheduled"))?;
    info!("the scheduled shutdown is cancelled");
    Ok(())
}

/// Replaces the services on the consoles by shells. The other services keep running.
fn rescue(manager: &mut Manager) {
    for id in manager.supervisor().ids() {
        let name = manager
            .supervisor()
            .definition(id)
            .map_or("", |def| def.name);
        if name.starts_with(CONSOLE_PREFIX) {
            manager.note(now(), services::Input::Stop(id));
        } else if name.starts_with(RESCUE_PREFIX) {
            manager.note(now(), services::Input::Start(id));
        }
    }
}

/// Returns the state of the machine and of every service at `now`, as lines (docs/reference/control.md).
pub fn report(state: &mut SystemState, manager: &Manager, now: Option<Millis>) -> String {
    let mut out = String::with_capacity(STATUS_BYTES);
    let data = data_disk::place(state);
    control::MachineInfo {
        version: env!("CARGO_PKG_VERSION"),
        data: &data,
        now,
        started: Some(state.started),
        ready: state.ready,
    }
    .write(&mut out);
    for phase in &state.phases {
        control::Phase {
            name: phase.name,
            start_us: phase.start_us,
            took_us: phase.took_us,
        }
        .write(&mut out);
    }
    for id in manager.supervisor().ids() {
        service(manager, id).write(&mut out);
    }
    for degraded in state.degraded.iter() {
        let (what, why) = (&degraded.what, &degraded.why);
        control::Degraded { what, why }.write(&mut out);
    }
    if let Some(ScheduledShutdown { kind, at }) = state.scheduled {
        control::Shutdown { kind, at }.write(&mut out);
    }
    out
}

fn service(manager: &Manager, id: ServiceId) -> control::Service<'_> {
    let status = services::ServiceStatus::of(manager.supervisor(), id);
    let def = manager.supervisor().definition(id);
    control::Service {
        since: Some(status.since),
        pid: status.pid.and_then(|pid| pid.try_into().ok()),
        restarts: Some(status.restarts.into()),
        last: status.last.map(last_exit),
        asked: status.asked,
        spawned: status.spawned,
        ready: status.ready,
        next: status.next,
        late: def.map(|def| def.late_ms),
        grace: def.map(|def| def.grace_ms),
        user: def.and_then(|def| Some(def.user?.uid.into())),
        is_user_service: manager.supervisor().is_user_service(id),
        ..control::Service::new(status.name, status.state)
    }
}

fn last_exit(status: ExitStatus) -> LastExit {
    match status {
        ExitStatus::Exited(code) => LastExit::Exited(code),
        ExitStatus::Killed(signal) => LastExit::Killed(signal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_machine_are_reserved_whatever_is_selected() {
        let mut manager = Manager::new(Vec::new(), None, |_, _| {});
        for (name, is_reserved) in [
            ("data", true),
            ("ignition", true),
            ("timers", true),
            ("console-log", true),
            ("rescue-db", true),
            ("console", false),
            ("database", false),
        ] {
            let name = Name::new(name).expect("a name");
            let why = load_file(&mut manager, &name).expect_err("no file");
            let taken = why
                .to_string()
                .contains(": a built-in service has this name");
            assert_eq!(taken, is_reserved, "{name:?}: {why}");
        }
    }
}
