//! The loop that PID 1 lives in: one poll(2) over everything that can happen.
//!
//! Nothing in it waits for anything else. What takes time is a process of its
//! own, and what must not be waited for for ever has a deadline.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use log::{debug, info};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use services::manager::Token;
use services::{Event, Manager, Millis, State, reap};

use crate::power_button::PowerButtons;
use crate::service_table::names;
use crate::state::SystemState;
use crate::{control_requests, data_disk, disk_config, ready, shutdown};
use control::ShutdownKind;
use sys::clock::now;
use sys::signals::{Request, Signals};
use sys::uevent::{self, UeventSocket};

/// What became readable.
#[derive(Clone, Copy)]
enum Source {
    Signals,
    UeventSocket,
    Button,
    Control,
    Manager(Token),
}

/// Everything that the loop listens to besides the services.
#[derive(Debug)]
pub struct EventSources {
    /// Signals to PID 1.
    pub signals: Signals,
    /// Devices that come.
    pub uevents: Option<UeventSocket>,
    /// Power buttons.
    pub buttons: PowerButtons,
    /// The control channel.
    pub control: Option<control::Server>,
    /// Children have ended that are not reaped yet.
    pub reap_pending: bool,
}

impl EventSources {
    /// Opens the control channel. Without it signals still ask for an end.
    pub fn bind_control(&mut self, state: &mut SystemState) {
        match control::Server::bind(Path::new(control::PATH)) {
            Ok(server) => self.control = Some(server),
            Err(e) => state.degraded("control", &format!("{}: {e}", control::PATH)),
        }
    }

    /// Opens it again where its name is gone: by mistake, or because /run was full.
    /// Any signal gives the occasion, the end of a child too, so that nothing
    /// wakes PID 1 for it.
    fn rebind_control(&mut self) {
        let path = Path::new(control::PATH);
        if path.symlink_metadata().is_err()
            && let Ok(server) = control::Server::bind(path)
        {
            info!("{} was gone, and is there again", control::PATH);
            self.control = Some(server);
        }
    }
}

/// What a turn of the loop brought that is not the services' own affair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wakeup {
    /// Somebody asks for the machine to end.
    pub asked: Option<ShutdownKind>,
    /// The kernel has news of devices.
    pub devices: bool,
    /// Somebody has come to the control channel.
    pub control: bool,
    /// A signal came.
    pub signal: bool,
}

/// Runs until `done` says so after some event. Shutting down does not return.
pub fn run(
    state: &mut SystemState,
    manager: &mut Manager,
    sources: &mut EventSources,
    mut done: impl FnMut(&mut SystemState, &mut Manager) -> bool,
) {
    settle(state, manager);
    while !done(state, manager) {
        let until = state.scheduled.map(|s| s.at);
        let wakeup = wait(manager, sources, until);
        if wakeup.devices {
            on_device_events(state, sources);
        }
        settle(state, manager);
        state.loader.poll(state.modules.as_mut());
        let requested = if wakeup.control {
            control_requests::serve(state, manager, sources)
        } else {
            None
        };
        settle(state, manager);
        if wakeup.signal {
            sources.rebind_control();
        }
        let due = state.scheduled.filter(|s| s.at <= now());
        let asked = wakeup.asked.or(requested).or(due.map(|s| s.kind));
        if let Some(kind) = asked {
            shutdown::run(kind, manager, sources);
        }
    }
}

/// Reacts to what changed and moves the services, until nothing changes any more.
fn settle(state: &mut SystemState, manager: &mut Manager) {
    loop {
        let changes = manager.take_changes();
        if !changes.is_empty() {
            // Before any service that waits for the data disk starts.
            disk_config::apply_once(state, manager);
        }
        data_disk::follow(state, manager);
        ready::follow(state, manager);
        rerun_on_hotplug(state, manager);
        if !manager.settle(now()) {
            return;
        }
    }
}

/// Waits until something happens, `until` at the latest, and does what the services need.
pub fn poll_once(
    manager: &mut Manager,
    sources: &mut EventSources,
    until: Option<Millis>,
) -> Wakeup {
    let wakeup = wait(manager, sources, until);
    manager.settle_all(now());
    wakeup
}

/// Waits until something happens, `until` at the latest, and notes it.
fn wait(manager: &mut Manager, sources: &mut EventSources, until: Option<Millis>) -> Wakeup {
    let mut wakeup = Wakeup::default();
    for source in poll_sources(manager, sources, until) {
        match source {
            Source::Signals => {
                wakeup.asked = read_signals(sources).or(wakeup.asked);
                wakeup.signal = true;
            }
            Source::UeventSocket => wakeup.devices = true,
            Source::Control => wakeup.control = true,
            Source::Button => {
                if sources.buttons.read_press() {
                    wakeup.asked = Some(ShutdownKind::PowerOff);
                }
            }
            Source::Manager(token) => manager.readable(now(), token),
        }
    }
    if sources.reap_pending {
        sources.reap_pending = reap_children(manager);
    }
    manager.tick(now());
    wakeup
}

fn poll_sources(manager: &Manager, sources: &EventSources, until: Option<Millis>) -> Vec<Source> {
    let mut others: Vec<(Source, BorrowedFd<'_>)> = Vec::new();
    others.push((Source::Signals, sources.signals.as_fd()));
    others.extend(
        sources
            .uevents
            .iter()
            .map(|u| (Source::UeventSocket, u.as_fd())),
    );
    let control = sources.control.iter().flat_map(|c| c.fds(now()));
    others.extend(control.map(|fd| (Source::Control, fd)));
    others.extend(sources.buttons.fds().map(|fd| (Source::Button, fd)));
    // Children left over from the last turn are nothing to sleep over.
    let pause = sources.control.as_ref().and_then(|c| c.deadline(now()));
    let until = if sources.reap_pending {
        Some(0)
    } else {
        earliest(until, pause)
    };
    poll_fds(manager, &others, until)
}

fn poll_fds(
    manager: &Manager,
    others: &[(Source, BorrowedFd<'_>)],
    until: Option<Millis>,
) -> Vec<Source> {
    let mut sources: Vec<(Source, BorrowedFd<'_>)> = Vec::with_capacity(32);
    sources.extend(others.iter().copied());
    sources.extend(
        manager
            .watched()
            .into_iter()
            .map(|(t, fd)| (Source::Manager(t), fd)),
    );
    let mut fds: Vec<PollFd<'_>> = sources
        .iter()
        .map(|(_, fd)| PollFd::new(*fd, PollFlags::POLLIN))
        .collect();
    let deadline = earliest(manager.deadline(), until);
    match poll(&mut fds, poll_timeout(deadline)) {
        Ok(_) | Err(Errno::EINTR) => {}
        // ENOMEM: the kernel could not take the list. Come back, not at once.
        Err(e) => {
            debug!("poll: {e}");
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }
    let readable = fds.iter().map(|fd| fd.any() == Some(true));
    sources
        .iter()
        .zip(readable)
        .filter(|(_, r)| *r)
        .map(|((s, _), _)| *s)
        .collect()
}

fn earliest(a: Option<Millis>, b: Option<Millis>) -> Option<Millis> {
    [a, b].into_iter().flatten().min()
}

/// Milliseconds until `deadline`, rounded up so that it has passed on waking.
fn poll_timeout(deadline: Option<Millis>) -> PollTimeout {
    let Some(at) = deadline else {
        return PollTimeout::NONE;
    };
    let ms = at.saturating_add(1).saturating_sub(now()).min(3_600_000);
    i32::try_from(ms)
        .ok()
        .and_then(|ms| PollTimeout::try_from(ms).ok())
        .unwrap_or(PollTimeout::ZERO)
}

/// Takes the signals that came; how the machine is to end, if one of them asks.
fn read_signals(sources: &mut EventSources) -> Option<ShutdownKind> {
    let mut asked = None;
    for request in sources.signals.read_requests() {
        match request {
            Request::Reap => sources.reap_pending = true,
            Request::Shutdown(kind) => asked = Some(kind),
            Request::Nothing => {}
        }
    }
    asked
}

/// Ended children: ours go to the supervisor, orphans are only reaped. `true` if
/// some may be left.
pub fn reap_children(manager: &mut Manager) -> bool {
    reap::drain(|pid, status| {
        if !manager.exited(now(), pid, status) {
            debug!("orphan {pid}: {status}");
        }
    })
}

/// What has come since a service looked for it: it looks again, where it is asked for.
/// Before the ready line it sees for itself.
fn rerun_on_hotplug(state: &mut SystemState, manager: &mut Manager) {
    if state.ready.is_none() {
        return;
    }
    if state.folder && rerun_oneshots(manager, &[names::SHARE]) {
        state.folder = false;
    }
    // A drive on a slow bus, which nobody has waited for. Once is enough.
    let both = [names::CLOUD, names::CLOUD_SCRIPTS];
    if state.disc && (Path::new(sys::paths::CLOUD_DIR).exists() || rerun_oneshots(manager, &both)) {
        state.disc = false;
    }
}

/// Starts one-shots once more that have had their turn, where all of them rest; else
/// `false`.
fn rerun_oneshots(manager: &mut Manager, names: &[&str]) -> bool {
    let s = &manager.supervisor;
    let rests = |id: &services::ServiceId| s.state(*id).at_rest() && s.state(*id) != State::Off;
    let found = names.iter().map(|name| s.find(name).filter(rests));
    let Some(ids) = found.collect::<Option<Vec<_>>>() else {
        return false;
    };
    ids.iter()
        .for_each(|id| manager.note(now(), Event::Start(*id)));
    true
}

/// Drivers for devices that came, and buttons that came with them.
fn on_device_events(state: &mut SystemState, sources: &mut EventSources) {
    let Some(events) = sources.uevents.as_ref().map(UeventSocket::receive) else {
        return;
    };
    for event in events {
        match event {
            uevent::Uevent::Overrun => {
                state.loader.add_all();
                sources.buttons.open_all();
                state.data.last_block_seqnum = state.data.last_block_seqnum.saturating_add(1);
            }
            // Until then `b2p data` loads those, and waits for what they find: for
            // a driver that someone else is loading, the kernel lets nobody wait.
            uevent::Uevent::Modalias(alias) if state.ready.is_none() && uevent::is_disk(&alias) => {
            }
            uevent::Uevent::Modalias(alias) => state.loader.add(alias),
            uevent::Uevent::InputNode(name) => sources.buttons.open(&name),
            uevent::Uevent::BlockAdded(number) => state.data.last_block_seqnum = number,
            uevent::Uevent::SharedFolder => state.folder = true,
            uevent::Uevent::CdDrive => state.disc = true,
            uevent::Uevent::BlockRemoved(name) => data_disk::on_removed(state, &name),
        }
    }
}
