//! The thin edge: does what the supervisor says, and tells it what happened.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use log::{debug, error, info, warn};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid as NixPid, pipe2, read};

use crate::lines::Lines;
use crate::notify::{self, Notify};
use crate::row::{Ready, Service};
use crate::spawn::{self, Inherit};
use crate::state::{Action, Event, Id};
use crate::supervisor::Supervisor;
use crate::{Millis, Pid, Status, listen};

/// What became readable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// The notify socket.
    Notify,
    /// A watched listening socket.
    Listen(Id),
    /// A service's output.
    Output(Id),
    /// A child's word on why it could not be executed.
    Failure(Id),
}

/// Where a service's output lines go: its name and the line.
pub type Sink = fn(&str, &[u8]);

/// Descriptors of one service.
#[derive(Debug, Default)]
struct Wires {
    listen: Option<OwnedFd>,
    watched: bool,
    /// Both ends are kept: one pipe for all of its lives, so that what its
    /// children keep open after it costs no further descriptor.
    output: Option<(OwnedFd, OwnedFd)>,
    lines: Lines,
    failure: Option<OwnedFd>,
}

/// The supervisor with its descriptors and processes.
#[derive(Debug)]
pub struct Manager {
    /// What is decided.
    pub supervisor: Supervisor,
    wires: Vec<Wires>,
    notify: Option<Notify>,
    cgroups: Option<PathBuf>,
    sink: Sink,
}

impl Manager {
    /// Takes the rows. `cgroups` is the directory that gets a leaf for each.
    pub fn new(rows: Vec<Service>, cgroups: Option<&Path>, sink: Sink) -> Manager {
        let wires = rows.iter().map(|_| Wires::default()).collect();
        let wanted = rows.iter().any(|r| r.ready == Ready::Notify);
        let notify = wanted
            .then(|| Notify::bind(Path::new(notify::PATH)))
            .and_then(|bound| {
                let say = |e: &std::io::Error| {
                    error!(
                        "notify socket {}: {e}: no service can say READY=1",
                        notify::PATH
                    )
                };
                bound.inspect_err(say).ok()
            });
        let cgroups = cgroups.map(Path::to_path_buf);
        Manager {
            supervisor: Supervisor::new(rows),
            wires,
            notify,
            cgroups,
            sink,
        }
    }

    /// Binds the socket of every row that has one.
    ///
    /// # Errors
    /// The first that could not be bound, after all have been tried.
    pub fn bind_sockets(&mut self) -> Result<(), String> {
        let mut result = Ok(());
        for id in self.supervisor.ids() {
            let Some(socket) = self.supervisor.row(id).and_then(|r| r.socket) else {
                continue;
            };
            match (listen::bind_unix(&socket), self.wires.get_mut(id)) {
                (Ok(fd), Some(wires)) => wires.listen = Some(fd),
                (Err(why), _) if result.is_ok() => result = Err(why),
                _ => {}
            }
        }
        result
    }

    /// Closes every listening socket: whoever connects is refused from now on.
    pub fn close_sockets(&mut self) {
        for wires in &mut self.wires {
            wires.listen = None;
            wires.watched = false;
        }
    }

    /// What `poll(2)` is to watch.
    #[must_use]
    pub fn watched(&self) -> Vec<(Token, BorrowedFd<'_>)> {
        let mut all = Vec::with_capacity(self.wires.len() * 2 + 1);
        all.extend(self.notify.iter().map(|n| (Token::Notify, n.as_fd())));
        for (id, w) in self.wires.iter().enumerate() {
            let listen = w.listen.iter().filter(|_| w.watched);
            all.extend(listen.map(|f| (Token::Listen(id), f.as_fd())));
            all.extend(w.output.iter().map(|(r, _)| (Token::Output(id), r.as_fd())));
            all.extend(w.failure.iter().map(|f| (Token::Failure(id), f.as_fd())));
        }
        all
    }

    /// Something is readable.
    pub fn readable(&mut self, now: Millis, token: Token) {
        match token {
            Token::Notify => self.notified(now),
            Token::Listen(id) => self.event(now, Event::Connection(id)),
            Token::Output(id) => self.output(id),
            Token::Failure(id) => self.failure(id),
        }
    }

    /// A process ended. `true` if it was a service's.
    pub fn exited(&mut self, now: Millis, pid: Pid, status: Status) -> bool {
        let Some(id) = self.supervisor.owner(pid) else {
            return false;
        };
        self.last_words(id); // before the word on its end
        self.failure(id);
        self.event(now, Event::Exited(pid, status));
        true
    }

    /// Takes an event, acts, and feeds back what came of it.
    pub fn event(&mut self, now: Millis, event: Event) {
        for action in self.supervisor.handle(now, event) {
            self.act(now, action);
        }
    }

    fn act(&mut self, now: Millis, action: Action) {
        match action {
            Action::Spawn(id) => self.spawn(now, id),
            Action::Watch(id) => self.watch(id, true),
            Action::Unwatch(id) => self.watch(id, false),
            Action::Terminate(pid) => self.terminate(pid),
            Action::Kill(pid) => signal(pid, Signal::SIGKILL),
            Action::SayReady(id) => debug!("{}: ready", self.name(id)),
            Action::SayLate(id) => warn!("{}: still not ready", self.name(id)),
            Action::SayEnded(id, status, again) => self.say_ended(id, status, again),
        }
    }

    /// A shell on a terminal ignores SIGTERM and heeds SIGHUP; a stopped process
    /// sees neither before SIGCONT.
    fn terminate(&self, pid: Pid) {
        signal(pid, Signal::SIGTERM);
        let owner = self.supervisor.owner(pid);
        if owner
            .and_then(|id| self.supervisor.row(id))
            .is_some_and(|r| r.tty.is_some())
        {
            signal(pid, Signal::SIGHUP);
        }
        signal(pid, Signal::SIGCONT);
    }

    fn say_ended(&self, id: Id, status: Status, again: Option<Millis>) {
        let name = self.name(id);
        match again {
            None if status.success() => info!("{name}: {status}"),
            None => warn!("{name}: {status}"),
            Some(0) => debug!("{name}: {status}; its socket is listened on again"),
            Some(ms) => warn!("{name}: {status}; starts again in {ms} ms"),
        }
    }

    fn spawn(&mut self, now: Millis, id: Id) {
        match self.try_spawn(id) {
            Ok(pid) => self.event(now, Event::Spawned(id, pid)),
            Err(why) => {
                error!("{}: cannot be started: {why}", self.name(id));
                self.event(now, Event::SpawnFailed(id));
            }
        }
    }

    fn try_spawn(&mut self, id: Id) -> Result<Pid, std::io::Error> {
        let gone = || std::io::Error::from(std::io::ErrorKind::NotFound);
        let row = *self.supervisor.row(id).ok_or_else(gone)?;
        let cgroup = self.leaf(row.name);
        let wires = self.wires.get_mut(id).ok_or_else(gone)?;
        if row.tty.is_none() && wires.output.is_none() {
            wires.output = Some(output_pipe()?);
        }
        let inherit = Inherit {
            listen: wires.listen.as_ref().map(AsFd::as_fd),
            output: wires.output.as_ref().map(|(_, w)| w.as_fd()),
            cgroup: cgroup.as_ref().map(AsFd::as_fd),
            notify: (row.ready == Ready::Notify).then_some(notify::PATH),
        };
        let child = spawn::spawn(&row, &inherit)?;
        wires.failure = Some(child.failure);
        Ok(child.pid)
    }

    /// The open `cgroup.procs` of a service's leaf. Without one the service
    /// runs all the same, in PID 1's.
    fn leaf(&self, name: &str) -> Option<fs::File> {
        let dir = leaf_of(self.cgroups.as_ref()?.join(name));
        let open = || {
            fs::create_dir_all(&dir)?;
            fs::OpenOptions::new()
                .write(true)
                .open(dir.join("cgroup.procs"))
        };
        open()
            .map_err(|e| warn!("{name}: cgroup {}: {e}", dir.display()))
            .ok()
    }

    fn watch(&mut self, id: Id, on: bool) {
        let Some(wires) = self.wires.get_mut(id) else {
            return;
        };
        wires.watched = on && wires.listen.is_some();
        if on && !wires.watched {
            self.supervisor.give_up(id); // why it is not bound has been said
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
            if let Some(status) = &message.status {
                info!("{}: {status}", self.name(id));
            }
            if message.ready {
                self.event(now, Event::Ready(message.pid));
            }
        }
    }

    fn output(&mut self, id: Id) {
        let sink = self.sink;
        let name = self.supervisor.row(id).map_or("", |r| r.name);
        let Some(Wires {
            output: Some((end, _)),
            lines,
            ..
        }) = self.wires.get_mut(id)
        else {
            return;
        };
        let mut bytes = [0u8; 4096];
        // One buffer a turn: a flood cannot keep PID 1 from its other work.
        if let Ok(n) = read(&*end, &mut bytes) {
            lines.feed(bytes.get(..n).unwrap_or(&[]), |line| sink(name, line));
        }
    }

    /// What is left in the pipe, as far as sixteen buffers go, and a last line
    /// without its newline.
    fn last_words(&mut self, id: Id) {
        for _ in 0..16 {
            self.output(id);
        }
        let sink = self.sink;
        let name = self.name(id);
        if let Some(wires) = self.wires.get_mut(id) {
            wires.lines.flush(|line| sink(name, line));
        }
    }

    fn failure(&mut self, id: Id) {
        let Some(end) = self.wires.get_mut(id).and_then(|w| w.failure.take()) else {
            return;
        };
        let mut record = [0u8; 8];
        match read(&end, &mut record) {
            Ok(n) => {
                if let Some((stage, errno)) = spawn::failure(record.get(..n).unwrap_or(&[])) {
                    let what = self.supervisor.row(id).and_then(|r| r.argv.first());
                    error!(
                        "{}: {stage:?} of {}: {errno}",
                        self.name(id),
                        what.unwrap_or(&"?")
                    );
                }
            }
            // Neither failed nor executed yet: keep watching.
            Err(nix::errno::Errno::EAGAIN) => {
                if let Some(w) = self.wires.get_mut(id) {
                    w.failure = Some(end);
                }
            }
            Err(_) => {}
        }
    }

    fn name(&self, id: Id) -> &'static str {
        self.supervisor.row(id).map_or("?", |r| r.name)
    }
}

/// The group below `dir` that can take a process. `podman run --cgroups=split`
/// turns the group it is called from into an inner one, and an inner group takes
/// none (cgroup-v2.rst, "No Internal Process Constraint").
fn leaf_of(mut dir: PathBuf) -> PathBuf {
    for _ in 0..8 {
        let control = fs::read_to_string(dir.join("cgroup.subtree_control"));
        if control.is_ok_and(|c| !c.trim().is_empty()) {
            dir.push("main");
        }
    }
    dir
}

/// Only our end is non-blocking: a program is not prepared for EAGAIN on its
/// standard output. One that floods waits for us, never we for it.
fn output_pipe() -> nix::Result<(OwnedFd, OwnedFd)> {
    let (ours, theirs) = pipe2(OFlag::O_CLOEXEC)?;
    fcntl(&ours, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok((ours, theirs))
}

fn signal(pid: Pid, signal: Signal) {
    // Not yet reaped, so the pid is still its own. ESRCH cannot be; any other
    // error has no remedy, and the deadline comes round again.
    let _ = kill(NixPid::from_raw(pid), signal);
}
