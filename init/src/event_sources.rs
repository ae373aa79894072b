// SPDX-License-Identifier: Apache-2.0
//! Sources of the events that wake PID 1: one poll(2) over signals, uevents, power buttons,
//! the control socket and the descriptors of the services.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;

use control::{PendingClient, ShutdownKind};
use log::{debug, info};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use services::manager::Token;
use services::state::Change;
use services::{ExitStatus, Manager, Millis, Pid, reap};
use sys::clock::now;
use sys::error::{Doing, Result};
use sys::signals::{Request, Signals};
use sys::syscall::Child;
use sys::uevent::{Uevent, UeventSocket};

use crate::child_end::ChildEnd;
use crate::orphan_wait::EpollSet;
use crate::power_button::PowerButtons;

/// Longest sleep until a deadline, in milliseconds: one hour. The value must fit into the int of poll(2).
const MAX_SLEEP_MS: Millis = 3_600_000;
/// Number of descriptors that are usually polled.
const USUAL_DESCRIPTORS: usize = 32;
/// Number of children of no service that end in one sleep before PID 1 waits by epoll(7) and not by poll(2). The
/// creation of the epoll set costs as much as three calls of poll(2); a wait on the set costs a third of a call of
/// poll(2).
const ORPHANS_BEFORE_EPOLL: u32 = 8;
/// Pause after poll(2) has failed for lack of memory.
const POLL_ERROR_PAUSE: Duration = Duration::from_millis(100);

/// Event that PID 1 reacts to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The state of a service changed, or the service has written its file of degraded lines.
    Service(Change),
    /// All gates of the ready line are ready, have failed, or are late.
    NoGatePending,
    /// A device appeared, vanished or needs a driver, or uevents were lost.
    Device(Uevent),
    /// The child that loads early drivers ([`sys::uevent::is_early`]) has ended, after the time limit of its phase.
    EarlyDriversLoaded,
    /// A client of the control socket waits for an answer.
    ControlRequest,
    /// A power button was pressed.
    PowerButton,
    /// A signal requests a shutdown.
    ShutdownSignal(ShutdownKind),
    /// PID 1 received a signal, also SIGCHLD.
    Signal,
}

/// Descriptor that became readable.
#[derive(Clone, Copy)]
enum Readable {
    Signals,
    Uevents,
    PowerButton,
    EarlyDrivers,
    Control,
    Service(Token),
}

/// Outcome of one sleep of PID 1.
#[derive(Default)]
struct Wakeup {
    /// Descriptors that are readable. Signals have been read.
    readable: Vec<Readable>,
    /// Requests that the signals make.
    requests: Vec<Request>,
    /// Reaped process of a service, or reaped child whose exit status is kept.
    ended: Option<(Pid, ExitStatus)>,
}

impl Wakeup {
    /// Replaces the content, and reads the signals if there are any. The lists keep their memory.
    fn set(&mut self, readable: impl Iterator<Item = Readable>, signals: &Signals) {
        self.readable.clear();
        self.readable.extend(readable);
        self.requests.clear();
        let is_signal = |source: &Readable| matches!(source, Readable::Signals);
        if self.readable.iter().any(is_signal) {
            signals.read_requests(&mut self.requests);
        }
    }
}

/// Sources of events. The descriptors of the services are in [`Manager`], which each poll is given.
#[derive(Debug)]
pub struct EventSources {
    signals: Signals,
    /// Device events of the kernel.
    pub uevents: Option<UeventSocket>,
    /// Power buttons.
    pub buttons: PowerButtons,
    /// Child that still loads early drivers.
    pub early_drivers: Option<Child>,
    /// Control channel.
    pub control: Option<control::Server>,
    /// True if children may have ended that are not reaped yet.
    pub reap_pending: bool,
    /// True if the end of a child that belongs to no service ends the sleep. Otherwise such children are reaped, and
    /// the sleep continues.
    pub wakes_for_any_child: bool,
    /// Child whose exit status is kept, and that status once the child is reaped.
    kept_status: Option<(Pid, Option<ExitStatus>)>,
}

impl EventSources {
    /// Creates sources of signals alone.
    #[must_use]
    pub fn new(signals: Signals) -> EventSources {
        EventSources {
            signals,
            uevents: None,
            buttons: PowerButtons::default(),
            early_drivers: None,
            control: None,
            reap_pending: false,
            wakes_for_any_child: true,
            kept_status: None,
        }
    }

    /// Binds the control socket. Without the socket, signals still request a shutdown.
    ///
    /// # Errors
    /// The socket cannot be bound.
    pub fn bind_control(&mut self) -> Result<()> {
        let path = Path::new(control::PATH);
        self.control = Some(control::Server::bind(path).on(path)?);
        Ok(())
    }

    /// Binds the control socket again if the path of its socket does not exist: the path was removed, or an earlier
    /// bind failed because /run was full.
    pub fn rebind_control(&mut self) {
        let name_is_gone = Path::new(control::PATH).symlink_metadata().is_err();
        if name_is_gone && self.bind_control().is_ok() {
            info!("{} was missing and is bound again", control::PATH);
        }
    }

    /// Keeps a client of the control socket, which is notified of changes.
    pub fn follow(&mut self, client: PendingClient) {
        if let Some(server) = &mut self.control {
            server.follow(client);
        }
    }

    /// Closes the sources that a shutdown does not read, and lets the end of any child end the sleep, because a
    /// shutdown waits for every process.
    pub fn close_for_shutdown(&mut self) {
        self.wakes_for_any_child = true;
        self.uevents = None;
        self.early_drivers = None;
        self.control = None;
    }

    /// Sleeps until an event, or until `until` at the latest. Passes the events of services to
    /// `manager` and returns the others.
    pub fn poll_once(&mut self, manager: &mut Manager, until: Option<Millis>) -> Vec<Event> {
        let mut events = Vec::new();
        let wakeup = self.sleep(manager, until);
        for readable in wakeup.readable {
            match readable {
                Readable::Signals => {}
                Readable::Uevents => {
                    let uevents = self.uevents.iter().flat_map(UeventSocket::receive);
                    events.extend(uevents.map(Event::Device));
                }
                // One event for all clients.
                Readable::Control if matches!(events.last(), Some(Event::ControlRequest)) => {}
                Readable::Control => events.push(Event::ControlRequest),
                Readable::EarlyDrivers => {
                    self.early_drivers = None;
                    events.push(Event::EarlyDriversLoaded);
                }
                Readable::PowerButton => {
                    let pressed = self.buttons.read_press();
                    events.extend(pressed.then_some(Event::PowerButton));
                }
                Readable::Service(token) => manager.readable(now(), token),
            }
        }
        self.note_requests(&wakeup.requests, &mut events);
        if let Some((pid, status)) = wakeup.ended {
            note_end(&mut self.kept_status, manager, pid, status);
        }
        if self.reap_pending {
            self.reap_children(manager);
        }
        manager.tick(now());
        events
    }

    /// Sleeps until a signal or a button requests a shutdown, or until `until`. Reaps no child, because the services
    /// are not taken over yet, and clears `reap_pending`: the caller sets it again before the next
    /// [`EventSources::poll_once`].
    pub fn wait_for_shutdown(&mut self, until: Millis) -> Option<ShutdownKind> {
        let no_services = Manager::new(Vec::new(), None, |_, _| {});
        self.wakes_for_any_child = true;
        while now() < until {
            let mut events = Vec::new();
            let wakeup = self.sleep(&no_services, Some(until));
            let is_button = |source: &Readable| matches!(source, Readable::PowerButton);
            if wakeup.readable.iter().any(is_button) && self.buttons.read_press() {
                return Some(ShutdownKind::PowerOff);
            }
            self.note_requests(&wakeup.requests, &mut events);
            let kind = events.iter().find_map(|event| match event {
                Event::ShutdownSignal(kind) => Some(*kind),
                _ => None,
            });
            if kind.is_some() {
                return kind;
            }
            self.reap_pending = false;
        }
        None
    }

    /// Reaps children that have ended, and passes the ends of services to `manager`. If more
    /// children remain, `reap_pending` is set.
    pub fn reap_children(&mut self, manager: &mut Manager) {
        let kept = &mut self.kept_status;
        self.reap_pending = reap::drain(|pid, status| note_end(kept, manager, pid, status));
    }

    /// Keeps the exit status of `child`, which is reaped with all others. Called before the next
    /// reaping.
    pub fn keep_status_of(&mut self, child: &Child) {
        self.kept_status = Some((child.pid(), None));
    }

    /// Returns the end of the child of the last [`EventSources::keep_status_of`].
    pub fn end_of(&self, child: &Child) -> ChildEnd {
        if !child.exited_within(0) {
            return ChildEnd::Running;
        }
        // The end of a child is visible before the child is reaped: other ended children may be reaped first.
        let kept = self.kept_status.and_then(|(_, status)| status);
        let status = kept.or_else(|| reap::take(child.pid()));
        ChildEnd::of(status.is_some_and(|status| status.success()))
    }

    fn note_requests(&mut self, requests: &[Request], events: &mut Vec<Event>) {
        for request in requests {
            match request {
                Request::Reap => self.reap_pending = true,
                Request::Shutdown(kind) => events.push(Event::ShutdownSignal(*kind)),
                Request::Nothing => {}
            }
        }
        events.extend((!requests.is_empty()).then_some(Event::Signal));
    }

    /// Sleeps until an event, or until `until` at the latest. A child of no service, such as an orphan, is reaped
    /// without leaving the sleep, and so costs neither a new list of descriptors nor a check of every service.
    fn sleep(&self, manager: &Manager, until: Option<Millis>) -> Wakeup {
        let watched = self.watched(manager);
        let fds = || watched.iter().map(|(_, fd)| *fd);
        let mut poll_fds: Vec<PollFd<'_>> =
            fds().map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        let deadline = self.deadline(manager, until);
        let (mut set, mut orphans) = (None, 0);
        let mut wakeup = Wakeup::default();
        loop {
            let wait = |set: &EpollSet<'_>| set.wait_for_last_alone(poll_timeout(deadline));
            if set.as_ref().is_some_and(wait) {
                wakeup.set([Readable::Signals].into_iter(), &self.signals);
            } else {
                poll_until(&mut poll_fds, deadline);
                let polled = watched.iter().zip(&poll_fds);
                let readable = polled.filter(|(_, poll_fd)| poll_fd.any() == Some(true));
                wakeup.set(readable.map(|((source, _), _)| *source), &self.signals);
            }
            let is_only_reaping = matches!(wakeup.readable[..], [Readable::Signals])
                && wakeup.requests == [Request::Reap];
            if self.wakes_for_any_child || !is_only_reaping {
                return wakeup;
            }
            let (ended, more) = self.reap_others(manager);
            if more || deadline.is_some_and(|deadline| deadline <= now()) {
                return Wakeup { ended, ..wakeup };
            }
            orphans += 1;
            if orphans == ORPHANS_BEFORE_EPOLL {
                set = EpollSet::of(fds());
            }
        }
    }

    /// Reaps children until one is the process of a service, or the child whose exit status is kept. Returns that child
    /// with its exit status, and true if more children may have ended.
    fn reap_others(&self, manager: &Manager) -> (Option<(Pid, ExitStatus)>, bool) {
        let mut ended = None;
        let is_kept = |pid| self.kept_status.is_some_and(|(kept, _)| kept == pid);
        let more = reap::drain_until(|pid, status| {
            let is_known = is_kept(pid) || manager.supervisor().find_by_pid(pid).is_some();
            match is_known {
                true => ended = Some((pid, status)),
                false => debug!("child {pid}, of no service: {status}"),
            }
            is_known
        });
        (ended, more)
    }

    /// Descriptors to poll, in the order in which they are read. Signals are last: the end of a
    /// child is handled after its last output, and the control socket is bound again after its
    /// clients have had their answers.
    fn watched<'a>(&'a self, manager: &'a Manager) -> Vec<(Readable, BorrowedFd<'a>)> {
        let mut watched = Vec::with_capacity(USUAL_DESCRIPTORS);
        watched.extend(self.uevents.iter().map(|u| (Readable::Uevents, u.as_fd())));
        if let Some(server) = &self.control {
            watched.extend(server.fds(now()).map(|fd| (Readable::Control, fd)));
        }
        let drivers = self.early_drivers.iter();
        watched.extend(drivers.map(|child| (Readable::EarlyDrivers, child.as_fd())));
        watched.extend(self.buttons.fds().map(|fd| (Readable::PowerButton, fd)));
        let services = manager.watched().into_iter();
        watched.extend(services.map(|(token, fd)| (Readable::Service(token), fd)));
        watched.push((Readable::Signals, self.signals.as_fd()));
        watched
    }

    /// Returns the time until which PID 1 may sleep.
    fn deadline(&self, manager: &Manager, until: Option<Millis>) -> Option<Millis> {
        let control = self.control.as_ref().and_then(|c| c.deadline(now()));
        let reap = self.reap_pending.then_some(0);
        let deadlines = [manager.deadline(), until, control, reap];
        deadlines.into_iter().flatten().min()
    }
}

/// Notes the end of a child, which is reaped.
fn note_end(
    kept: &mut Option<(Pid, Option<ExitStatus>)>,
    manager: &mut Manager,
    pid: Pid,
    status: ExitStatus,
) {
    match kept {
        Some((child, exit)) if *child == pid => *exit = Some(status),
        _ if manager.exited(now(), pid, status) => {}
        _ => debug!("child {pid}, of no service: {status}"),
    }
}

/// Sleeps until a descriptor is readable, or until `deadline` at the latest.
fn poll_until(poll_fds: &mut [PollFd<'_>], deadline: Option<Millis>) {
    match poll(poll_fds, poll_timeout(deadline)) {
        Ok(_) | Err(Errno::EINTR) => {}
        // ENOMEM: the kernel has no memory for its copy of the list.
        Err(e) => {
            debug!("poll: {e}");
            std::thread::sleep(POLL_ERROR_PAUSE);
        }
    }
}

/// Returns the time until `deadline`, at most [`MAX_SLEEP_MS`]. The time is a millisecond longer, because `now()` is
/// rounded down: PID 1 would otherwise wake before the deadline and sleep again. A deadline of 0 is due at once.
fn poll_timeout(deadline: Option<Millis>) -> PollTimeout {
    let Some(deadline) = deadline else {
        return PollTimeout::NONE;
    };
    if deadline == 0 {
        return PollTimeout::ZERO;
    }
    let ms = deadline.saturating_add(1).saturating_sub(now());
    let ms = i32::try_from(ms.min(MAX_SLEEP_MS)).unwrap_or(i32::MAX);
    PollTimeout::try_from(ms).unwrap_or(PollTimeout::ZERO)
}
