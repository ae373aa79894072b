//! What clients ask of PID 1 over the control channel, and what they are told.

use std::path::Path;

use control::{LastExit, Name, PendingClient, Request, ShutdownKind};
use log::info;
use services::{Event, ExitStatus, Manager, ServiceId};

use crate::events::EventSources;
use crate::ready;
use crate::state::{Scheduled, SystemState};
use sys::clock::now;
use sys::files;

/// More than this of passwd(5) or group(5) is not read.
const ACCOUNTS: u64 = 1 << 20;

/// Takes in who has connected and answers who has spoken. How the machine is to
/// end, if one of them asks for that now.
pub fn serve(
    state: &mut SystemState,
    manager: &mut Manager,
    sources: &mut EventSources,
) -> Option<ShutdownKind> {
    let server = sources.control.as_mut()?;
    server.accept(now());
    let mut asked = None;
    for (client, request) in server.requests() {
        match request {
            Ok(Request::Shutdown(kind, 0)) => {
                control::answer(client, control::OK);
                asked = Some(kind);
            }
            Ok(request) => reply(client, done(state, manager, &request)),
            Err(why) => reply(client, Err(why.to_string())),
        }
    }
    asked
}

fn reply(client: PendingClient, outcome: Result<String, String>) {
    let text = match outcome {
        Ok(rest) => [control::OK, &rest].concat(),
        Err(why) => control::refusal(&why),
    };
    control::answer(client, &text);
}

fn done(
    state: &mut SystemState,
    manager: &mut Manager,
    request: &Request,
) -> Result<String, String> {
    match request {
        Request::Status => return Ok(report(state, manager)),
        Request::Start(name) => tell(manager, name, Event::Start)?,
        Request::Stop(name) => tell(manager, name, Event::Stop)?,
        Request::Restart(name) => tell(manager, name, Event::Restart)?,
        Request::Load(name) => {
            busy(manager, name)?;
            let loaded = load(manager, name);
            let what = format!("service {}", name.as_str());
            ready::update_degraded(state, &what, loaded.as_ref().err());
            loaded?;
        }
        Request::Shutdown(kind, seconds) => schedule(state, *kind, *seconds),
        Request::Cancel => cancel(state)?,
        Request::Rescue => rescue(manager),
    }
    Ok(String::new())
}

fn tell(manager: &mut Manager, name: &Name, event: fn(ServiceId) -> Event) -> Result<(), String> {
    let id = manager.supervisor.find(name.as_str());
    let id = id.ok_or_else(|| format!("there is no service {}", name.as_str()))?;
    if let Some(why) = manager.supervisor.invalid(id) {
        return Err(why.to_string());
    }
    manager.note(now(), event(id));
    Ok(())
}

/// A service that runs is what it was asked to be: that its next file cannot be
/// taken yet is for the one who asks, and no fault of the machine.
fn busy(manager: &Manager, name: &Name) -> Result<(), String> {
    let s = &manager.supervisor;
    match s.find(name.as_str()).filter(|id| s.is_user_service(*id)) {
        Some(_) => s.may_add(name.as_str()).map_err(|why| why.to_string()),
        None => Ok(()),
    }
}

/// The client has put the file into RAM: PID 1 waits for no disk.
fn load(manager: &mut Manager, name: &Name) -> Result<(), String> {
    let path = Path::new(control::SERVICES).join(name.as_str());
    let say = |e: std::io::Error| format!("{}: {e}", path.display());
    // One byte more than is allowed, so that it is refused and not cut.
    let bytes = files::read_bounded(&path, services::service_file::MAX_FILE_BYTES as u64 + 1)
        .map_err(say)?;
    let accounts = |path| {
        let bytes = files::read_bounded(Path::new(path), ACCOUNTS).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let (passwd, group) = (accounts("/etc/passwd"), accounts("/etc/group"));
    let loaded = manager.load(name.as_str(), &bytes, &passwd, &group);
    loaded.map(drop).map_err(|why| why.to_string())
}

fn schedule(state: &mut SystemState, kind: ShutdownKind, seconds: u32) {
    let at = now().saturating_add(u64::from(seconds) * 1000);
    state.scheduled = Some(Scheduled { kind, at });
    info!("{} in {seconds} s", kind.word());
}

fn cancel(state: &mut SystemState) -> Result<(), String> {
    state.scheduled.take().ok_or("nothing is scheduled")?;
    info!("the scheduled end is cancelled");
    Ok(())
}

/// Shells on the consoles in place of what runs there; the services go on.
fn rescue(manager: &mut Manager) {
    for id in manager.supervisor.ids() {
        let name = manager.supervisor.definition(id).map_or("", |r| r.name);
        if name.starts_with(sys::service_names::CONSOLE_PREFIX) {
            manager.note(now(), Event::Stop(id));
        } else if name.starts_with(sys::service_names::RESCUE_PREFIX) {
            manager.note(now(), Event::Start(id));
        }
    }
}

/// Everything there is to know, as lines.
fn report(state: &SystemState, manager: &Manager) -> String {
    let mut out = String::with_capacity(4096);
    control::MachineInfo {
        version: env!("CARGO_PKG_VERSION"),
        data: state.data.device.as_deref().unwrap_or("ram"),
        now: Some(now()),
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
    for id in manager.supervisor.ids() {
        service(manager, id).write(&mut out);
    }
    for degraded in &state.degraded {
        let (what, why) = (&degraded.what, &degraded.why);
        control::Degraded { what, why }.write(&mut out);
    }
    if let Some(scheduled) = state.scheduled {
        let Scheduled { kind, at } = scheduled;
        control::Shutdown { kind, at }.write(&mut out);
    }
    out
}

fn service(manager: &Manager, id: ServiceId) -> control::Service<'_> {
    let line = services::ServiceStatus::of(&manager.supervisor, id);
    let row = manager.supervisor.definition(id);
    control::Service {
        since: Some(line.since),
        pid: line.pid.and_then(|pid| pid.try_into().ok()),
        restarts: Some(line.restarts.into()),
        last: line.last.map(last),
        asked: line.asked,
        spawned: line.spawned,
        ready: line.ready,
        next: line.next,
        late: row.map(|r| r.late_ms),
        grace: row.map(|r| r.grace_ms),
        is_user_service: manager.supervisor.is_user_service(id),
        ..control::Service::new(line.name, line.state)
    }
}

fn last(status: ExitStatus) -> LastExit {
    match status {
        ExitStatus::Exited(code) => LastExit::Exited(code),
        ExitStatus::Killed(signal) => LastExit::Killed(signal),
    }
}
