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

use crate::power_button::Buttons;
use crate::state::Machine;
use crate::{catalog, control_requests, data_disk, disk_config, ready, shutdown};
use sys::clock::now;
use sys::signals::{How, Request, Signals};
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
pub struct Ears {
    /// Signals to PID 1.
    pub signals: Signals,
    /// Devices that come.
    pub uevents: Option<UeventSocket>,
    /// Power buttons.
    pub buttons: Buttons,
    /// The control channel.
    pub control: Option<control::Server>,
    /// Children have ended that are not reaped yet.
    pub more: bool,
}

impl Ears {
    /// Opens the control channel. Without it signals still ask for an end.
    pub fn listen(&mut self, machine: &mut Machine) {
        match control::Server::bind(Path::new(control::PATH)) {
            Ok(server) => self.control = Some(server),
            Err(why) => machine.degraded("control", &why),
        }
    }

    /// Opens it again where its name is gone: by mistake, or because /run was full.
    /// Any signal gives the occasion, the end of a child too, so that nothing
    /// wakes PID 1 for it.
    fn listen_again(&mut self) {
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
pub struct Turn {
    /// Somebody asks for the machine to end.
    pub asked: Option<How>,
    /// The kernel has news of devices.
    pub devices: bool,
    /// Somebody has come to the control channel.
    pub control: bool,
    /// A signal came.
    pub signal: bool,
}

/// Runs until `done` says so after some event. Shutting down does not return.
pub fn run(
    machine: &mut Machine,
    manager: &mut Manager,
    ears: &mut Ears,
    mut done: impl FnMut(&mut Machine, &mut Manager) -> bool,
) {
    while !done(machine, manager) {
        let until = machine.scheduled.map(|s| s.at);
        let turn = turn_of(manager, ears, until, |manager| {
            disk_config::take(machine, manager)
        });
        if turn.devices {
            devices(machine, ears);
        }
        data_disk::follow(machine, manager);
        ready::follow(machine, manager);
        late_comers(machine, manager);
        machine.loader.poll(machine.modules.as_mut());
        let requested = if turn.control {
            control_requests::serve(machine, manager, ears)
        } else {
            None
        };
        if turn.signal {
            ears.listen_again();
        }
        let due = machine.scheduled.filter(|s| s.at <= now());
        let asked = turn.asked.or(requested).or(due.map(|s| s.how));
        if let Some(how) = asked {
            shutdown::run(how, manager, ears);
        }
    }
}

/// Sleeps until something happens, `until` at the latest, and does what the
/// services need.
pub fn turn(manager: &mut Manager, ears: &mut Ears, until: Option<Millis>) -> Turn {
    turn_of(manager, ears, until, |_| {})
}

/// The same; `first` sees what there is before the end of any child counts.
fn turn_of(
    manager: &mut Manager,
    ears: &mut Ears,
    until: Option<Millis>,
    first: impl FnOnce(&mut Manager),
) -> Turn {
    let mut turn = Turn::default();
    for source in wait(manager, ears, until) {
        match source {
            Source::Signals => {
                turn.asked = signals(ears).or(turn.asked);
                turn.signal = true;
            }
            Source::UeventSocket => turn.devices = true,
            Source::Control => turn.control = true,
            Source::Button => {
                if ears.buttons.pressed() {
                    turn.asked = Some(How::PowerOff);
                }
            }
            Source::Manager(token) => manager.readable(now(), token),
        }
    }
    if ears.more {
        first(manager);
        ears.more = collect(manager);
    }
    manager.event(now(), Event::Tick);
    turn
}

fn wait(manager: &Manager, ears: &Ears, until: Option<Millis>) -> Vec<Source> {
    let mut others: Vec<(Source, BorrowedFd<'_>)> = Vec::new();
    others.push((Source::Signals, ears.signals.as_fd()));
    others.extend(
        ears.uevents
            .iter()
            .map(|u| (Source::UeventSocket, u.as_fd())),
    );
    let control = ears.control.iter().flat_map(|c| c.fds(now()));
    others.extend(control.map(|fd| (Source::Control, fd)));
    others.extend(ears.buttons.fds().map(|fd| (Source::Button, fd)));
    // Children left over from the last turn are nothing to sleep over.
    let pause = ears.control.as_ref().and_then(|c| c.deadline(now()));
    let until = if ears.more {
        Some(0)
    } else {
        earlier(until, pause)
    };
    wait_until(manager, &others, until)
}

fn wait_until(
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
    let deadline = earlier(manager.deadline(), until);
    match poll(&mut fds, timeout(deadline)) {
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

fn earlier(a: Option<Millis>, b: Option<Millis>) -> Option<Millis> {
    [a, b].into_iter().flatten().min()
}

/// Milliseconds until `deadline`, rounded up so that it has passed on waking.
fn timeout(deadline: Option<Millis>) -> PollTimeout {
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
fn signals(ears: &mut Ears) -> Option<How> {
    let mut asked = None;
    for request in ears.signals.read_requests() {
        match request {
            Request::Reap => ears.more = true,
            Request::Shutdown(how) => asked = Some(how),
            Request::Nothing => {}
        }
    }
    asked
}

/// Ended children: ours go to the supervisor, orphans are only reaped. `true` if
/// some may be left.
pub fn collect(manager: &mut Manager) -> bool {
    reap::drain(|pid, status| {
        if !manager.exited(now(), pid, status) {
            debug!("orphan {pid}: {status}");
        }
    })
}

/// What has come since a service looked for it: it looks again, where it is asked for.
/// Before the ready line it sees for itself.
fn late_comers(machine: &mut Machine, manager: &mut Manager) {
    if machine.ready.is_none() {
        return;
    }
    if machine.folder && again(manager, &[catalog::SHARES]) {
        machine.folder = false;
    }
    // A drive on a slow bus, which nobody has waited for. Once is enough.
    let both = [catalog::CLOUD.name, catalog::CLOUD_SCRIPTS.name];
    if machine.disc && (Path::new(catalog::CLOUDED).exists() || again(manager, &both)) {
        machine.disc = false;
    }
}

/// Starts one-shots once more that have had their turn, where all of them rest; else
/// `false`.
fn again(manager: &mut Manager, names: &[&str]) -> bool {
    let s = &manager.supervisor;
    let rests = |id: &services::Id| s.state(*id).at_rest() && s.state(*id) != State::Off;
    let found = names.iter().map(|name| s.find(name).filter(rests));
    let Some(ids) = found.collect::<Option<Vec<_>>>() else {
        return false;
    };
    ids.iter()
        .for_each(|id| manager.event(now(), Event::Start(*id)));
    true
}

/// Drivers for devices that came, and buttons that came with them.
fn devices(machine: &mut Machine, ears: &mut Ears) {
    let Some(events) = ears.uevents.as_ref().map(UeventSocket::receive) else {
        return;
    };
    for event in events {
        match event {
            uevent::Uevent::Overrun => {
                machine.loader.add_all();
                ears.buttons.find();
                machine.data.heard = machine.data.heard.saturating_add(1);
            }
            // Until then `b2p data` loads those, and waits for what they find: for
            // a driver that someone else is loading, the kernel lets nobody wait.
            uevent::Uevent::Modalias(alias)
                if machine.ready.is_none() && uevent::is_disk(&alias) => {}
            uevent::Uevent::Modalias(alias) => machine.loader.add(alias),
            uevent::Uevent::InputNode(name) => ears.buttons.add(&name),
            uevent::Uevent::BlockAdded(number) => machine.data.heard = number,
            uevent::Uevent::SharedFolder => machine.folder = true,
            uevent::Uevent::CdDrive => machine.disc = true,
            uevent::Uevent::BlockRemoved(name) => data_disk::gone(machine, &name),
        }
    }
}
