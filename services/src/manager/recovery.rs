// SPDX-License-Identifier: Apache-2.0
//! Take-over of services with their processes and output, after a crash of PID 1.

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::Manager;
use crate::service::{ReadyWhen, ServiceDef};
use crate::state::ServiceId;
use crate::supervisor::recovery::{Running, StateToRestore};
use crate::{Millis, Pid, reap};

/// Pipes that the previous execution of PID 1 has left open, each with the target of its link in /proc/self/fd.
#[derive(Debug, Default)]
pub struct InheritedPipes(Vec<(PathBuf, OwnedFd)>);

impl InheritedPipes {
    /// Takes the descriptors that are ends of pipes; others are closed.
    #[must_use]
    pub fn of(descriptors: Vec<OwnedFd>) -> InheritedPipes {
        let named = descriptors.into_iter().filter_map(|fd| {
            let name = fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).ok()?;
            name.to_str()?.starts_with("pipe:").then_some((name, fd))
        });
        InheritedPipes(named.collect())
    }

    /// Takes both ends of the pipe to which the process writes its output. PID 1 made the pipe and is its only reader.
    fn take_output(&mut self, pid: Pid) -> Option<(OwnedFd, OwnedFd)> {
        let link = |fd: u8| fs::read_link(format!("/proc/{pid}/fd/{fd}")).ok();
        let mut written = [1, 2].into_iter().filter_map(link);
        let name = written.find(|name| self.0.iter().any(|(known, _)| known == name))?;
        let read = self.take_end(&name, OFlag::O_RDONLY)?;
        let write = self.take_end(&name, OFlag::O_WRONLY)?;
        Some((read, write))
    }

    /// Takes the read end of the pipe by which the process is to notify PID 1 that it is ready. `None` after the
    /// notification: PID 1 has closed the pipe.
    fn take_ready(&mut self, def: &ServiceDef, pid: Pid) -> Option<OwnedFd> {
        let ReadyWhen::Fd(fd) = def.ready else {
            return None;
        };
        let name = fs::read_link(format!("/proc/{pid}/fd/{fd}")).ok()?;
        self.take_end(&name, OFlag::O_RDONLY)
    }

    fn take_end(&mut self, name: &Path, access: OFlag) -> Option<OwnedFd> {
        let is_end = |(known, fd): &(PathBuf, OwnedFd)| {
            let flags = fcntl(fd, FcntlArg::F_GETFL).map(OFlag::from_bits_truncate);
            known == name && flags.is_ok_and(|flags| flags & OFlag::O_ACCMODE == access)
        };
        let at = self.0.iter().position(is_end)?;
        Some(self.0.swap_remove(at).1)
    }
}

impl Manager {
    /// Takes over the service `id`. Its main process is `recorded`, if `recorded` is still a child of PID 1 in the
    /// cgroup of the service; otherwise the child in that cgroup that executes the program of the service.
    pub fn take_over(
        &mut self,
        now: Millis,
        id: ServiceId,
        state: StateToRestore,
        recorded: Option<Pid>,
        pipes: &mut InheritedPipes,
    ) {
        let Some(def) = self.supervisor.definition(id).copied() else {
            return;
        };
        let process = self.process_of(&def, recorded);
        let mut will_notify = false;
        if let (Some(pid), Some(io)) = (process, self.io.get_mut(id.index())) {
            let (output, ready) = (pipes.take_output(pid), pipes.take_ready(&def, pid));
            will_notify = ready.is_some();
            io.take_over(pid, output, ready);
            // The notify socket of the previous execution was closed: a new one is bound at the same path.
            self.bind_notify(&def);
        }
        let process = process.map(|pid| Running { pid, will_notify });
        let changes = self.supervisor.take_over(now, id, state, process);
        changes.iter().for_each(|change| self.log(*change));
        self.changes.extend(changes);
    }

    /// Takes over every service that is off and has a process, for an execution without a saved state.
    pub fn take_over_running(&mut self, now: Millis, pipes: &mut InheritedPipes) {
        for id in self.supervisor.ids() {
            let def = self.supervisor.definition(id).copied();
            if def.is_some_and(|def| self.process_of(&def, None).is_some()) {
                self.take_over(now, id, StateToRestore::On, None, pipes);
            }
        }
    }

    fn process_of(&self, def: &ServiceDef, recorded: Option<Pid>) -> Option<Pid> {
        let cgroup = self.cgroup(def);
        let in_group = |pid: &Pid| cgroup.as_ref().is_none_or(|group| group.holds(*pid));
        let recorded = recorded.filter(|pid| reap::is_child(*pid) && in_group(pid));
        recorded.or_else(|| {
            let processes = cgroup.as_ref()?.processes().into_iter();
            let children = processes.filter(|pid| reap::is_child(*pid));
            let programs = children.filter_map(|pid| {
                let program = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
                Some((pid, program))
            });
            let program = Path::new(def.argv.first()?);
            running(&programs.collect::<Vec<_>>(), program, |path| {
                fs::canonicalize(path).ok()
            })
        })
    }
}

/// Returns the process that executes `program`. Links in the path are resolved only if a process exists and none
/// executes the path as it is, because the resolution may wait for a disk.
fn running(
    processes: &[(Pid, PathBuf)],
    program: &Path,
    resolve: impl FnOnce(&Path) -> Option<PathBuf>,
) -> Option<Pid> {
    let runs = |path: &Path| processes.iter().find(|(_, runs)| runs == path);
    let found = match runs(program) {
        None if processes.is_empty() => None,
        None => runs(&resolve(program)?),
        found => found,
    };
    found.map(|(pid, _)| *pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_of_a_program_are_resolved_only_if_a_process_may_match() {
        let link = Path::new("/data/bin/sh");
        let file = Path::new("/usr/bin/busybox");
        let of = |pid: Pid, program: &Path| (pid, program.to_owned());
        let never = |_: &Path| -> Option<PathBuf> { panic!("waits for a disk") };
        assert_eq!(running(&[], link, never), None);
        let direct = [of(4, file), of(5, link)];
        assert_eq!(running(&direct, link, never), Some(5));
        let resolve = |_: &Path| Some(file.to_owned());
        assert_eq!(running(&[of(4, file)], link, resolve), Some(4));
        assert_eq!(running(&[of(4, link)], file, |_| None), None);
    }
}
