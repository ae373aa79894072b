// SPDX-License-Identifier: Apache-2.0
//! Recovery from a crash of PID 1: the new execution takes over the services that still run.
//!
//! The saved state ([`crate::saved_state`]) names the requested services, and the kernel's cgroups contain the
//! processes of the running services: a process counts if it is a child of PID 1 in the cgroup of the service. A
//! service that has ended meanwhile is reaped and started again by its policy.

use std::os::fd::OwnedFd;
use std::path::Path;

use control::{Name, ShutdownKind};
use services::manager::InheritedPipes;
use services::{Manager, Millis};
use sys::clock::now;
use sys::modules::Modules;
use sys::signals::Signals;
use sys::uevent::UeventSocket;
use sys::{config_sources, kmsg, syscall};

use crate::boot::{DEVICES, EARLY_DRIVERS};
use crate::event_sources::EventSources;
use crate::saved_state::{SavedService, SavedState};
use crate::service_table::{self, Platform};
use crate::state::SystemState;
use crate::state_file::take_inherited;
use crate::{control_requests, crash, data_disk, degraded, rescue, root, shutdown, startup};

/// Pause before the services are taken over, after the second crash in a row, in milliseconds. The
/// pause doubles with each further crash: a crash loop costs little, and ends by itself.
const PAUSE_MS: Millis = 1_000;
/// Longest pause, in milliseconds.
const MAX_PAUSE_MS: Millis = 30_000;

/// Crashes in a row after which the saved state is no longer kept for the next crash: the state may be their cause.
const MAX_TAKEOVERS: u8 = 3;
/// Message of the rescue shell after a crash, on a machine without a userland.
const NO_USERLAND: &str = "`reboot` restarts the machine";

/// Continues after a crash: the services continue, and so does a shutdown that had begun.
pub fn run(signals: Signals, crashes: u8, shutdown: Option<ShutdownKind>) -> ! {
    let mut inherited = crash::inherited();
    kmsg::init_logger(log::LevelFilter::Info);
    let mut sources = EventSources::new(signals);
    if let Some(kind) = shutdown {
        shut_down_without_services(kind, &mut sources);
    }
    sources.buttons.open_all();
    let pause = pause_ms(crashes);
    if let Some(kind) = sources.wait_for_shutdown(now().saturating_add(pause)) {
        shut_down_without_services(kind, &mut sources);
    }
    crash::set_paused();
    // The previous execution may have read a SIGCHLD and not have reaped: PID 1 reaps without a signal.
    sources.reap_pending = true;
    let mut state = SystemState::new();
    root::restore_container(!syscall::in_initial_namespaces());
    state.config = config_sources::read().0;
    log::set_max_level(kmsg::level_filter(state.config.loglevel));
    let (file, text) = take_inherited(&mut inherited);
    // The saved state is kept for a crash during the take-over, unless it may be the cause of the crashes.
    state.state_file = file.filter(|_| crashes <= MAX_TAKEOVERS);
    let saved = SavedState::parse(&text);
    let lines = saved.iter().flat_map(|saved| &saved.degraded);
    lines.for_each(|line| state.degraded.restore(line));
    // The child that loaded these drivers belonged to the previous execution; the drivers are loaded anew.
    state.degraded.set(EARLY_DRIVERS, []);
    let crash = crash_line(crashes, pause);
    state.degraded.set("init", [("init", crash.as_str())]);
    match saved {
        Some(saved) => take_over(state, sources, &saved, inherited),
        None if root::has_userland() => {
            let pipes = InheritedPipes::of(inherited);
            startup::continue_boot(&mut state, &mut sources, Some(pipes))
        }
        None => rescue::serve_forever(&mut state, &mut sources, Vec::new(), NO_USERLAND),
    }
}

/// Returns the degraded line about the crash.
fn crash_line(crashes: u8, pause: Millis) -> String {
    let times = match crashes {
        1 => "once".to_owned(),
        n => format!("{n} times"),
    };
    format!(
        "PID 1 crashed ({times} in a row) and was started again after {pause} ms: the services continue; please report the lines before this one"
    )
}

/// Shuts the machine down. The services are not taken over: the shutdown ends them as it ends all other processes.
fn shut_down_without_services(kind: ShutdownKind, sources: &mut EventSources) -> ! {
    let mut no_services = Manager::new(Vec::new(), None, kmsg::write_service_line);
    sources.reap_pending = true;
    shutdown::run(kind, &mut no_services, sources)
}

/// Returns the time in milliseconds for which PID 1 waits before it takes the services over.
fn pause_ms(crashes: u8) -> Millis {
    match crashes {
        0 | 1 => 0,
        n => (PAUSE_MS << (n - 2).min(8)).min(MAX_PAUSE_MS),
    }
}

fn take_over(
    mut state: SystemState,
    mut sources: EventSources,
    saved: &SavedState<'_>,
    inherited: Vec<OwnedFd>,
) -> ! {
    state.started = saved.started;
    state.ready = saved.ready;
    state.scheduled = saved.scheduled;
    state.verify_modules = saved.verify_modules;
    (
        state.ready_reported_on_virtio_port,
        state.ready_reported_on_vsock,
    ) = (
        saved.ready_reported_on_virtio_port,
        saved.ready_reported_on_vsock,
    );
    data_disk::load_report(&mut state);
    reopen_devices(&mut state, &mut sources);
    let defs = service_table::select(&state.config, &Platform::detect(&state.config));
    let cgroups = Path::new(sys::paths::SERVICE_CGROUPS);
    let mut manager = Manager::new(defs, Some(cgroups), kmsg::write_service_line);
    let mut pipes = InheritedPipes::of(inherited);
    for service in &saved.services {
        take_over_service(&mut manager, service, &mut pipes);
    }
    drop(pipes);
    state
        .degraded
        .set_err(degraded::CONTROL, sources.bind_control());
    if state.ready.is_some() {
        state.degraded.publish();
    }
    startup::serve(&mut state, &mut sources, &mut manager)
}

/// Opens the sources of device events again, and examines devices that have appeared meanwhile.
fn reopen_devices(state: &mut SystemState, sources: &mut EventSources) {
    let uevents = UeventSocket::open();
    state.degraded.set_err(DEVICES, uevents.as_ref());
    sources.uevents = uevents.ok();
    if root::outside_container() {
        state.modules = Modules::open(Path::new("/")).ok();
    }
    if let Some(modules) = state.modules.as_mut() {
        modules.configure(&state.config.blacklist, state.verify_modules);
    }
    state.load_missing_drivers();
}

fn take_over_service(
    manager: &mut Manager,
    service: &SavedService<'_>,
    pipes: &mut InheritedPipes,
) {
    let found = |manager: &Manager| manager.supervisor().find(service.name);
    if found(manager).is_none()
        && let Some(name) = Name::new(service.name)
        && let Err(e) = control_requests::load_file(manager, &name)
    {
        log::warn!("{}: {e}", service.name);
    }
    if let Some(id) = found(manager) {
        manager.take_over(now(), id, service.state, service.pid, pipes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_loop_is_slowed_down_with_a_bound() {
        let pauses: Vec<Millis> = (1..=9).map(pause_ms).collect();
        assert_eq!(
            pauses,
            [
                0, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000
            ]
        );
        assert_eq!(pause_ms(u8::MAX), MAX_PAUSE_MS);
    }
}
