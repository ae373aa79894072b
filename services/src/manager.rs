//! The thin edge: does what the supervisor says, and tells it what happened.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use log::{debug, error, info, warn};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid as NixPid;

use crate::cgroup::Cgroup;
use crate::notify::{self, Notify};
use crate::service::{KillMode, ReadyWhen, ServiceDef};
use crate::service_io::{self, ServiceIo, Word};
use crate::service_status::ServiceStatus;
use crate::spawn::{self, Inherit};
use crate::state::{Action, Event, ServiceId};
use crate::supervisor::Supervisor;
use crate::{ExitStatus, Millis, Pid, file, listen, sooner};

/// What became readable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// The notify socket.
    Notify,
    /// A watched listening socket.
    Listen(ServiceId),
    /// A service's output.
    Output(ServiceId),
    /// A child's word on why it could not be executed, or that it was.
    Failure(ServiceId),
    /// The descriptor on which a service says that it is ready.
    Ready(ServiceId),
}

/// Where a service's output lines go: its name and the line.
pub type Sink = fn(&str, &[u8]);

/// The supervisor with its descriptors and processes.
#[derive(Debug)]
pub struct Manager {
    /// What is decided.
    pub supervisor: Supervisor,
    wires: Vec<ServiceIo>,
    notify: Option<Notify>,
    cgroups: Option<PathBuf>,
    sink: Sink,
    /// No socket is bound any more.
    closed: bool,
}

impl Manager {
    /// Takes the rows. `cgroups` is the directory that gets a leaf for each.
    pub fn new(rows: Vec<ServiceDef>, cgroups: Option<&Path>, sink: Sink) -> Manager {
        Manager {
            wires: rows.iter().map(|_| ServiceIo::default()).collect(),
            supervisor: Supervisor::new(rows),
            notify: None,
            cgroups: cgroups.map(Path::to_path_buf),
            sink,
            closed: false,
        }
    }

    /// Takes a service file ([`file::parse`]) while the machine runs, in place of
    /// one of that name that is at rest. It is off.
    ///
    /// # Errors
    /// All that is wrong with it, a line each.
    pub fn load(
        &mut self,
        name: &str,
        bytes: &[u8],
        passwd: &str,
        group: &str,
    ) -> Result<ServiceId, Vec<String>> {
        let say = |why: &str| vec![format!("{name}: {why}")];
        // Before it is parsed: what is taken is never given back.
        self.supervisor.may_add(name).map_err(say)?;
        let row = file::parse(name, bytes, passwd, group)?.leak();
        self.take(row).map_err(say)
    }

    fn take(&mut self, row: ServiceDef) -> Result<ServiceId, &'static str> {
        let id = self.supervisor.add(row)?;
        if let Some(group) = self.group(row.name) {
            group.remove();
        }
        match self.wires.get_mut(id.index()) {
            // Its output stays: what an earlier one left may still write there.
            Some(wires) => (wires.listen, wires.watched) = (None, false),
            None => self.wires.push(ServiceIo::default()),
        }
        Ok(id)
    }

    /// Closes every listening socket, for good: whoever connects is refused.
    pub fn close_sockets(&mut self) {
        self.closed = true;
        for wires in &mut self.wires {
            wires.listen = None;
            wires.watched = false;
        }
    }

    /// Binds the socket of `id`, where it has one that is not bound yet, or whose
    /// name somebody has removed: then nobody could come.
    fn bind(&mut self, id: ServiceId) -> Result<(), String> {
        let socket = self.supervisor.definition(id).and_then(|r| r.socket);
        if let (Some(socket), Some(wires)) = (socket, self.wires.get_mut(id.index()))
            && (wires.listen.is_none() || !there(socket.path))
            && !self.closed
        {
            wires.listen = Some(listen::bind_unix(&socket)?);
        }
        Ok(())
    }

    /// What `poll(2)` is to watch.
    #[must_use]
    pub fn watched(&self) -> Vec<(Token, BorrowedFd<'_>)> {
        let mut all = Vec::with_capacity(self.wires.len() * 2 + 1);
        all.extend(self.notify.iter().map(|n| (Token::Notify, n.as_fd())));
        for (id, w) in self.supervisor.ids().zip(&self.wires) {
            let listen = w.listen.as_ref().filter(|_| w.watched);
            let each = [
                (Token::Listen(id), listen),
                (Token::Output(id), w.heard()),
                (Token::Failure(id), w.failure.as_ref()),
                (Token::Ready(id), w.ready.as_ref()),
            ];
            let there = each
                .into_iter()
                .filter_map(|(t, fd)| Some((t, fd?.as_fd())));
            all.extend(there);
        }
        all
    }

    /// When [`Event::Tick`] is due; none while nothing is to be waited for.
    #[must_use]
    pub fn deadline(&self) -> Option<Millis> {
        let first = self.supervisor.deadline();
        self.wires
            .iter()
            .map(ServiceIo::deadline)
            .fold(first, sooner)
    }

    /// The state of every service.
    #[must_use]
    pub fn report(&self) -> Vec<ServiceStatus> {
        let s = &self.supervisor;
        s.ids().map(|id| ServiceStatus::of(s, id)).collect()
    }

    /// Something is readable.
    pub fn readable(&mut self, now: Millis, token: Token) {
        match token {
            Token::Notify => self.notified(now),
            Token::Listen(id) => self.event(now, Event::Connection(id)),
            Token::Output(id) => self.output(id, |w, name, sink| w.hear(now, name, sink)),
            Token::Failure(id) => {
                if let Some(pid) = self.word(id) {
                    self.event(now, Event::Execed(pid));
                }
            }
            Token::Ready(id) => {
                let wires = self.wires.get_mut(id.index());
                if let Some(pid) = wires.and_then(|w| w.says_ready().then_some(w.pid)) {
                    self.event(now, Event::Ready(pid));
                }
            }
        }
    }

    /// A process ended. `true` if it was a service's.
    pub fn exited(&mut self, now: Millis, pid: Pid, status: ExitStatus) -> bool {
        let Some(id) = self.supervisor.owner(pid) else {
            return false;
        };
        // Before the word on its end: its own. That its program ran counts no more.
        self.output(id, |w, name, sink| w.last_words(now, name, sink));
        let _ = self.word(id);
        self.event(now, Event::Exited(pid, status));
        true
    }

    /// Takes an event, acts, and feeds back what came of it.
    pub fn event(&mut self, now: Millis, event: Event) {
        if event == Event::Tick {
            for id in self.supervisor.ids() {
                self.output(id, |w, name, sink| w.tick(now, name, sink));
            }
        }
        for action in self.supervisor.handle(now, event) {
            self.act(now, action);
        }
        self.close_unwanted();
    }

    /// A service at rest has no socket: who comes is refused (connect(2), send(2)).
    /// With one, a client would wait for an answer, and the eleventh syslog(3) of a
    /// sudo for room (sysctl net.unix.max_dgram_qlen), both for ever.
    fn close_unwanted(&mut self) {
        for (id, wires) in self.supervisor.ids().zip(&mut self.wires) {
            if self.supervisor.state(id).at_rest() {
                (wires.listen, wires.watched) = (None, false);
            }
        }
    }

    fn act(&mut self, now: Millis, action: Action) {
        match action {
            Action::Spawn(id) => self.spawn(now, id),
            Action::Watch(id) => self.watch(now, id),
            Action::Unwatch(id) => {
                self.wires
                    .get_mut(id.index())
                    .into_iter()
                    .for_each(|w| w.watched = false);
            }
            Action::Terminate(id, pid) => self.terminate(id, pid),
            Action::Kill(id, pid) => {
                signal(pid, Signal::SIGKILL);
                self.clean(id);
            }
            Action::Clean(id) => self.clean(id),
            Action::SayReady(id) => debug!("{}: ready", self.name(id)),
            Action::SayLate(id) => warn!("{}: still not ready", self.name(id)),
            Action::SayEnded(id, status, again) => self.say_ended(id, status, again),
            Action::SayLooping(id, count, ms) => {
                error!(
                    "{}: {count} times in a row it did not last; tried every {ms} ms or less often",
                    self.name(id)
                );
            }
        }
    }

    /// A shell on a terminal ignores SIGTERM and heeds SIGHUP; a stopped process
    /// sees neither before SIGCONT, a frozen one not before it is thawed.
    fn terminate(&self, id: ServiceId, pid: Pid) {
        let Some(row) = self.supervisor.definition(id) else {
            return;
        };
        let stop = Signal::try_from(row.stop_signal).unwrap_or(Signal::SIGTERM);
        let group = self.group(row.name);
        group.iter().for_each(Cgroup::thaw);
        signal(pid, stop);
        if row.tty.is_some() {
            signal(pid, Signal::SIGHUP);
        }
        signal(pid, Signal::SIGCONT);
        if let (Some(group), KillMode::Cgroup) = (group, row.kill) {
            group.signal(pid, &[stop, Signal::SIGCONT]);
        }
    }

    /// Nothing of it lives on, if that is how it ends.
    fn clean(&self, id: ServiceId) {
        let row = self
            .supervisor
            .definition(id)
            .filter(|r| r.kill == KillMode::Cgroup);
        if let Some(group) = row.and_then(|r| self.group(r.name)) {
            group.kill();
        }
    }

    fn group(&self, name: &str) -> Option<Cgroup> {
        self.cgroups.as_deref().map(|dir| Cgroup::of(dir, name))
    }

    fn say_ended(&self, id: ServiceId, status: ExitStatus, again: Option<Millis>) {
        let name = self.name(id);
        match again {
            None if status.success() => info!("{name}: {status}"),
            None => warn!("{name}: {status}"),
            Some(0) => debug!("{name}: {status}; there is more to come"),
            Some(ms) => warn!("{name}: {status}; starts again in {ms} ms"),
        }
    }

    fn spawn(&mut self, now: Millis, id: ServiceId) {
        match self.try_spawn(id) {
            Ok(pid) => self.event(now, Event::Spawned(id, pid)),
            Err(why) => {
                error!("{}: cannot be started: {why}", self.name(id));
                self.event(now, Event::SpawnFailed(id));
            }
        }
    }

    fn try_spawn(&mut self, id: ServiceId) -> io::Result<Pid> {
        let gone = || io::Error::from(io::ErrorKind::NotFound);
        let row = *self.supervisor.definition(id).ok_or_else(gone)?;
        self.bind(id).map_err(io::Error::other)?;
        let cgroup = self.leaf(&row);
        let notify = self.notify_for(&row);
        let wires = self.wires.get_mut(id.index()).ok_or_else(gone)?;
        if row.tty.is_none() && wires.output.is_none() {
            wires.output = Some(service_io::pipe()?);
        }
        let (ready, theirs) = match row.ready {
            ReadyWhen::Fd(_) => {
                service_io::pipe().map(|(ours, theirs)| (Some(ours), Some(theirs)))?
            }
            _ => (None, None),
        };
        let inherit = Inherit {
            listen: wires.listen.as_ref().map(AsFd::as_fd),
            output: wires.output.as_ref().map(|(_, w)| w.as_fd()),
            ready: theirs.as_ref().map(AsFd::as_fd),
            cgroup: cgroup.as_ref().map(AsFd::as_fd),
            notify,
        };
        let child = spawn::spawn(&row, &inherit)?;
        wires.attach(child.pid, child.failure, ready);
        Ok(child.pid)
    }

    /// Its leaf, open. Without one the service runs all the
    /// same, in PID 1's.
    fn leaf(&self, row: &ServiceDef) -> Option<fs::File> {
        let file = self.group(row.name)?.open(row.limits);
        file.inspect_err(|e| warn!("{}: cgroup: {e}", row.name))
            .ok()
    }

    /// The notify socket, bound when a first service wants it, and again where its
    /// name has been removed.
    fn notify_for(&mut self, row: &ServiceDef) -> Option<&'static str> {
        if row.ready != ReadyWhen::Notify {
            return None;
        }
        if self.notify.is_none() || !there(notify::PATH) {
            let bound = Notify::bind(Path::new(notify::PATH));
            self.notify = bound
                .inspect_err(|e| error!("{}: {e}: READY=1 cannot be said", notify::PATH))
                .ok();
        }
        Some(notify::PATH)
    }

    fn watch(&mut self, now: Millis, id: ServiceId) {
        match self.bind(id) {
            Ok(()) => self
                .wires
                .get_mut(id.index())
                .into_iter()
                .for_each(|w| w.watched = true),
            Err(why) => {
                error!("{}: {why}", self.name(id));
                self.supervisor.give_up(now, id);
            }
        }
    }

    fn notified(&mut self, now: Millis) {
        // Bounded: a sender that floods gets its turn again at the next poll.
        for _ in 0..64 {
            let Some(message) = self.notify.as_ref().and_then(Notify::receive) else {
                return;
            };
            let Some(id) = self.supervisor.owner(message.pid) else {
                continue;
            };
            if let Some(status) = message.status {
                self.output(id, |w, name, sink| {
                    if w.rate.pass(now) {
                        sink(name, status.as_bytes());
                    }
                });
            }
            if message.ready {
                self.event(now, Event::Ready(message.pid));
            }
        }
    }

    fn output(&mut self, id: ServiceId, act: impl FnOnce(&mut ServiceIo, &str, Sink)) {
        let (name, sink) = (self.name(id), self.sink);
        if let Some(wires) = self.wires.get_mut(id.index()) {
            act(wires, name, sink);
        }
    }

    /// Says what went wrong before exec. The pid if nothing did.
    fn word(&mut self, id: ServiceId) -> Option<Pid> {
        let row = self.supervisor.definition(id)?;
        let (name, what) = (row.name, row.argv.first().copied().unwrap_or("?"));
        let wires = self.wires.get_mut(id.index())?;
        // A word on the cgroup, then one on another step, then the end of file.
        for _ in 0..3 {
            match wires.word() {
                Word::Nothing => return None,
                Word::Runs => return Some(wires.pid),
                Word::Failed(failed) => failed.iter().flatten().for_each(|f| {
                    error!("{name}: {:?} of {what}: {}", f.stage, f.errno);
                }),
            }
        }
        None
    }

    fn name(&self, id: ServiceId) -> &'static str {
        self.supervisor.definition(id).map_or("?", |r| r.name)
    }
}

fn there(path: &str) -> bool {
    fs::symlink_metadata(path).is_ok()
}

fn signal(pid: Pid, signal: Signal) {
    // Not yet reaped, so the pid is still its own. ESRCH cannot be; any other
    // error has no remedy, and the deadline comes round again.
    let _ = kill(NixPid::from_raw(pid), signal);
}

mod revise;
