// SPDX-License-Identifier: Apache-2.0
//! Actions of the supervisor: start, signal and clean up processes, bind and watch sockets.

use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use log::{error, warn};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{Shutdown, shutdown};
use nix::unistd::Pid as NixPid;
use sys::error::{Error, Result};
use sys::syscall::close_in_child;

use super::Manager;
use crate::cgroup::Cgroup;
use crate::notify::{self, Notify};
use crate::service::{KillMode, ReadyWhen, ServiceDef};
use crate::service_io;
use crate::spawn::{self, Inherit};
use crate::state::{Action, Input, ServiceId};
use crate::{Millis, Pid, listen};

impl Manager {
    /// Carries out `action`, and notes its outcome.
    pub(super) fn act(&mut self, now: Millis, action: Action) {
        match action {
            Action::Spawn(id) => self.spawn(now, id),
            Action::Watch(id) => self.watch(now, id),
            Action::Unwatch(id) => {
                if let Some(io) = self.io.get_mut(id.index()) {
                    io.watched = false;
                }
                self.note(now, Input::Unwatched(id));
            }
            Action::Terminate(id, pid) => self.terminate(id, pid),
            Action::Kill(id, pid) => {
                signal(pid, Signal::SIGKILL);
                self.kill_remaining(id);
            }
            Action::KillRemaining(id) => self.kill_remaining(id),
        }
    }

    fn spawn(&mut self, now: Millis, id: ServiceId) {
        match self.try_spawn(id) {
            Ok(pid) => self.note(now, Input::Spawned(id, pid)),
            Err(why) => {
                error!("{}: cannot be started: {why}", self.name(id));
                self.note(now, Input::SpawnFailed(id));
            }
        }
    }

    fn try_spawn(&mut self, id: ServiceId) -> Result<Pid> {
        let unknown = || Error::invalid("there is no such service");
        let def = *self.supervisor.definition(id).ok_or_else(unknown)?;
        self.bind(id)?;
        let cgroup = self.open_cgroup(&def)?;
        let notify = self.bind_notify(&def);
        let io = self.io.get_mut(id.index()).ok_or_else(unknown)?;
        if def.tty.is_none() && io.output.is_none() {
            io.output = Some(service_io::pipe()?);
        }
        let (ready, ready_write) = match def.ready {
            ReadyWhen::Fd(_) => {
                service_io::pipe().map(|(read, write)| (Some(read), Some(write)))?
            }
            _ => (None, None),
        };
        let inherit = Inherit {
            listen: io.listen.as_ref().map(AsFd::as_fd),
            output: io.output.as_ref().map(|(_, write)| write.as_fd()),
            ready: ready_write.as_ref().map(AsFd::as_fd),
            cgroup: cgroup.as_ref().map(AsFd::as_fd),
            notify,
        };
        let child = spawn::spawn(&def, &inherit)?;
        io.attach(child.pid, child.failure, ready);
        Ok(child.pid)
    }

    fn watch(&mut self, now: Millis, id: ServiceId) {
        let bound = self.bind(id);
        if let Err(why) = &bound {
            error!("{}: {why}", self.name(id));
        }
        if let Some(io) = self.io.get_mut(id.index()) {
            io.watched = bound.is_ok();
        }
        let answer = match bound {
            Ok(()) => Input::Watching(id),
            Err(_) => Input::WatchFailed(id),
        };
        self.note(now, answer);
    }

    /// Binds the socket of a service, if the service has a socket that is not bound yet, or whose name was removed so
    /// that no client could connect. After [`Manager::close_sockets`] there is no socket, and the call succeeds: during
    /// the shutdown an armed service has nothing to listen on.
    fn bind(&mut self, id: ServiceId) -> Result<()> {
        let socket = self.supervisor.definition(id).and_then(|d| d.socket);
        if let (Some(socket), Some(io)) = (socket, self.io.get_mut(id.index()))
            && (io.listen.is_none() || !listen::has_name(&socket))
            && !self.sockets_closed
        {
            io.listen = Some(listen::bind_unix(&socket)?);
        }
        Ok(())
    }

    /// Closes the listening sockets for good, except those of the services that `keeps` names: clients are refused.
    pub fn close_sockets(&mut self, keeps: impl Fn(&ServiceDef) -> bool) {
        self.sockets_closed = true;
        let services = (0..).map(ServiceId::new).zip(&mut self.io);
        let closed = services.filter(|(id, _)| {
            let def = self.supervisor.definition(*id);
            !def.is_some_and(&keeps)
        });
        let sockets = closed.filter_map(|(_, io)| io.take_socket());
        close_in_child(sockets.collect());
    }

    /// Closes the sockets of services at rest, so that clients are refused (connect(2), send(2)).
    /// Otherwise a client would wait for ever: for an answer, or, as syslog(3) does, for room in the queue of a
    /// datagram socket (10 datagrams, sysctl net.unix.max_dgram_qlen).
    pub(super) fn close_sockets_at_rest(&mut self) {
        let services = (0..).map(ServiceId::new).zip(&mut self.io);
        let at_rest = services.filter(|(id, _)| self.supervisor.state(*id).at_rest());
        let sockets: Vec<_> = at_rest.filter_map(|(_, io)| io.take_socket()).collect();
        for socket in &sockets {
            // No process of the service has the socket. Clients are refused from now on.
            let _ = shutdown(socket.as_raw_fd(), Shutdown::Both);
        }
        close_in_child(sockets);
    }

    /// Binds the notify socket for the first service that uses it, and again if its name was
    /// removed. Returns the path of the socket if the service uses it.
    pub(super) fn bind_notify(&mut self, def: &ServiceDef) -> Option<&'static str> {
        if def.ready != ReadyWhen::Notify {
            return None;
        }
        if self.notify.is_none() || !exists(notify::PATH) {
            let old = self.notify.take().map(OwnedFd::from);
            close_in_child(old.into_iter().collect());
            let bound = Notify::bind(Path::new(notify::PATH));
            self.notify = bound
                .inspect_err(|e| error!("{}: {e}: services cannot report READY=1", notify::PATH))
                .ok();
        }
        Some(notify::PATH)
    }

    /// Asks a process to end. A shell on a terminal ignores SIGTERM and obeys SIGHUP; a stopped
    /// process handles neither before SIGCONT, a frozen one not before its cgroup is thawed.
    fn terminate(&self, id: ServiceId, pid: Pid) {
        let Some(def) = self.supervisor.definition(id) else {
            return;
        };
        let stop = Signal::try_from(def.stop_signal).unwrap_or(Signal::SIGTERM);
        let cgroup = self.cgroup(def);
        cgroup.iter().for_each(Cgroup::thaw);
        signal(pid, stop);
        if def.tty.is_some() {
            signal(pid, Signal::SIGHUP);
        }
        signal(pid, Signal::SIGCONT);
        if let (Some(cgroup), KillMode::Cgroup) = (cgroup, def.kill) {
            cgroup.signal(pid, &[stop, Signal::SIGCONT]);
        }
    }

    /// Kills the remaining processes in the cgroup of a service, unless the kill mode is [`KillMode::Process`].
    fn kill_remaining(&self, id: ServiceId) {
        let def = self.supervisor.definition(id);
        let def = def.filter(|d| d.kill != KillMode::Process);
        if let Some(cgroup) = def.and_then(|d| self.cgroup(d)) {
            cgroup.kill();
        }
    }

    pub(super) fn cgroup(&self, def: &ServiceDef) -> Option<Cgroup> {
        self.cgroups.as_deref().map(|dir| Cgroup::of(dir, def))
    }

    /// Opens the leaf of a service, if there are cgroups. Without a leaf, a service of root runs in PID 1's
    /// cgroup.
    ///
    /// # Errors
    /// The service is that of another user, and its leaf cannot be made or opened: the user may have made the leaf
    /// unfit.
    fn open_cgroup(&self, def: &ServiceDef) -> Result<Option<fs::File>> {
        let Some(leaf) = self.cgroup(def).map(|group| group.open(def.cgroup_files)) else {
            return Ok(None);
        };
        match leaf {
            Err(why) if self.may_be_beside_pid1(def) => {
                warn!("{}: cgroup: {why}", def.name);
                Ok(None)
            }
            leaf => leaf.map(Some),
        }
    }

    /// Returns true if the service may run in PID 1's cgroup: the service runs as root, or the machine has no cgroups.
    fn may_be_beside_pid1(&self, def: &ServiceDef) -> bool {
        def.runs_as_root() || !self.cgroups.as_deref().is_some_and(Path::is_dir)
    }
}

fn exists(path: &str) -> bool {
    fs::symlink_metadata(path).is_ok()
}

fn signal(pid: Pid, signal: Signal) {
    // The process is not reaped yet, so the pid is still its own and ESRCH cannot happen; any
    // other error has no remedy, and the deadline signals again.
    let _ = kill(NixPid::from_raw(pid), signal);
}
