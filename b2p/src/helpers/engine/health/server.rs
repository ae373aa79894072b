// SPDX-License-Identifier: Apache-2.0
//! The loop of the service: new containers, checks that are due, checks that have ended.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use log::{info, warn};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sys::error::{Doing, Error, Result};

use super::clients::Clients;
use super::new_containers::{self, Container, NewContainers};
use super::queries::{Queries, read_now};
use super::schedule::Schedule;
use super::{is_id, kill};
use crate::common::listen_fds::inherited_socket;
use crate::common::pidfd;
use crate::helpers::engine::{PodmanUser, users_with_containers};

/// Number of checks that run at once, each a podman of 45 MB.
const MAX_CHECKS: usize = 4;
/// Number of checks of one user, and of all users but root, that run at once: a user whose checks are slow delays no
/// other's, and two such users do not delay root's.
const MAX_CHECKS_OF_USER: usize = 3;
const MAX_CHECKS_OF_USERS: usize = 3;
/// Number of containers of one user that are watched.
const MAX_CONTAINERS: usize = 1024;
/// Limit for podman to record that a check failed whose command was killed.
const RECORD_LIMIT: Duration = Duration::from_secs(30);
/// Interval at which a late check is looked at whose command podman has not started yet.
const COMMAND_START: Duration = Duration::from_secs(1);

/// Time for which the service waits for a further container after the last one. PID 1 treats a service
/// that ends in its first second as failed, and delays each further start (`services::backoff`); the
/// checks of a container that follows on many short ones would be late by up to 30 seconds.
const LINGER: Duration = Duration::from_secs(5);

/// A container with a check.
struct Watched {
    container: Container,
    schedule: Schedule,
    /// Readable when the container's first process has ended.
    process: OwnedFd,
    since: Instant,
    due: Instant,
    check: Option<RunningCheck>,
}

/// A check that runs.
struct RunningCheck {
    podman: Child,
    /// Readable when podman has ended.
    process: OwnedFd,
    /// End of the time for the command, then for podman.
    until: Option<Instant>,
    begun: Instant,
    command_killed: bool,
}

/// Serves until there has been no container with a check for [`LINGER`].
pub fn run() -> Result<()> {
    let no_socket = Error::invalid("no socket as descriptor 3 (LISTEN_FDS)");
    let socket = UnixListener::from(inherited_socket().ok_or(no_socket)?);
    let mut new = NewContainers::new().doing("inotify")?;
    let (mut clients, mut queries) = (Clients::default(), Queries::default());
    let mut watched: Vec<Watched> = Vec::new();
    // After a crash of this service, their containers still run.
    let users = users_with_containers();
    for container in users.iter().flat_map(new_containers::with_check) {
        queries.add(container);
    }
    let mut idle_until = Instant::now() + LINGER;
    loop {
        let now = Instant::now();
        clients.accept(&socket, now);
        let complete = clients.take_complete(now).into_iter();
        let started = complete.filter_map(|(uid, id)| container(uid, id));
        started.for_each(|container| new.add(container));
        new.take_checked().into_iter().for_each(|c| queries.add(c));
        for (container, schedule) in queries.advance() {
            watch(&mut watched, container, schedule);
        }
        watched.retain_mut(advance);
        start_due(&mut watched);
        let deadlines = [clients.deadline(), queries.deadline(), new.deadline()];
        let mut deadline = deadlines.into_iter().flatten().min();
        if watched.is_empty() && queries.is_empty() && deadline.is_none() {
            if idle_until <= now {
                return Ok(());
            }
            deadline = Some(idle_until);
        } else {
            idle_until = now + LINGER;
        }
        let mut fds: Vec<BorrowedFd<'_>> = vec![new.as_fd()];
        fds.extend(clients.watched(&socket));
        fds.extend(clients.fds().chain(queries.fds()));
        sleep(fds, deadline, &watched);
    }
}

/// Returns the container that a user's hook has reported.
fn container(uid: u32, id: String) -> Option<Container> {
    let passwd = sys::files::read_text("/etc/passwd").unwrap_or_default();
    let user = PodmanUser::with_uid(&passwd, uid)?;
    is_id(&id).then_some(Container { user, id })
}

/// Adds a container whose schedule is known. The first check is due at once, as with systemd.
fn watch(watched: &mut Vec<Watched>, container: Container, schedule: Schedule) {
    let same = |w: &Watched| w.container == container && w.schedule.pid == schedule.pid;
    let of_user = |w: &&Watched| w.container.user == container.user;
    let is_full = watched.iter().filter(of_user).count() >= MAX_CONTAINERS;
    if watched.iter().any(same) || is_full {
        return;
    }
    let Some(process) = pidfd::open(schedule.pid) else {
        return;
    };
    let now = Instant::now();
    let (user, name) = (&container.user.name, &schedule.name);
    info!("health: {user}'s {name} is looked after");
    watched.push(Watched {
        container,
        schedule,
        process,
        since: now,
        due: now,
        check: None,
    });
}

/// Takes the result of a check that has ended, or ends one that is late; returns true while
/// the container runs.
fn advance(watched: &mut Watched) -> bool {
    if let Some(check) = &mut watched.check {
        let now = Instant::now();
        if let Some(status) = check.podman.try_wait().ok().flatten() {
            let output = check.podman.stdout.take().and_then(read_now);
            let output = output.unwrap_or_default();
            // A startup check that fails has exit status 0; only its text reports the failure.
            let passed = status.success() && !output.contains("starting");
            watched.schedule.record(passed);
            watched.due = now + watched.schedule.next_delay(now - watched.since);
            watched.check = None;
        } else if check.until.is_some_and(|until| until <= now) {
            end_late(check, &watched.container.id, &watched.schedule.name);
        }
    }
    watched.check.is_some() || !is_readable(&watched.process)
}

/// Kills the command of a late check; the second time podman, which should have ended then.
fn end_late(check: &mut RunningCheck, id: &str, name: &str) {
    if check.command_killed {
        warn!("health: the check of {name} does not end");
        let _ = check.podman.kill();
        check.until = None;
        return;
    }
    let found = kill::check_commands(id);
    let (killed, time) = after_kill(found, check.begun.elapsed());
    check.command_killed = killed;
    check.until = Some(Instant::now() + time);
}

/// Returns true if podman is the next to be killed, and its time until then. On a busy machine
/// podman may need longer than the check's own limit to start the command; there is nothing to kill
/// yet.
fn after_kill(found: bool, running: Duration) -> (bool, Duration) {
    match found || running >= RECORD_LIMIT {
        true => (true, RECORD_LIMIT),
        false => (false, COMMAND_START),
    }
}

/// Starts the checks that are due, those first that have waited longest.
fn start_due(watched: &mut [Watched]) {
    sys::sort::sort_by(watched, |a, b| a.due.cmp(&b.due));
    let now = Instant::now();
    for at in 0..watched.len() {
        let is_due = |w: &Watched| w.check.is_none() && w.due <= now;
        if !watched
            .get(at)
            .is_some_and(|w| is_due(w) && may_start(watched, &w.container.user))
        {
            continue;
        }
        let Some(watched) = watched.get_mut(at) else {
            return;
        };
        match start_check(watched) {
            Ok(check) => watched.check = Some(check),
            Err(e) => {
                warn!("health: {}: {e}", watched.schedule.name);
                watched.due = now + watched.schedule.next_delay(now - watched.since);
            }
        }
    }
}

fn start_check(watched: &Watched) -> Result<RunningCheck> {
    let Container { user, id } = &watched.container;
    let mut podman = user.podman(&["healthcheck", "run", id]);
    podman
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let podman = podman.spawn().doing("podman healthcheck run")?;
    let process = pidfd::open(podman.id().cast_signed());
    let until = watched.schedule.kill_after();
    Ok(RunningCheck {
        podman,
        process: process.ok_or(Errno::last()).doing("pidfd_open")?,
        until: until.map(|time| Instant::now() + time),
        begun: Instant::now(),
        command_killed: false,
    })
}

/// Sleeps until something has happened, or is due, or `until`.
fn sleep<'a>(mut fds: Vec<BorrowedFd<'a>>, until: Option<Instant>, watched: &'a [Watched]) {
    let running: Vec<_> = watched.iter().filter_map(|w| w.check.as_ref()).collect();
    let idle: Vec<_> = watched.iter().filter(|w| w.check.is_none()).collect();
    let due = idle
        .iter()
        .filter(|w| may_start(watched, &w.container.user));
    let until = due
        .map(|w| w.due)
        .chain(running.iter().filter_map(|check| check.until))
        .chain(until)
        .min();
    fds.extend(running.iter().map(|check| check.process.as_fd()));
    fds.extend(idle.iter().map(|w| w.process.as_fd()));
    let limit = until.map(|at| at.saturating_duration_since(Instant::now()));
    wait(&fds, limit);
}

/// Returns true if another check of the user may run now.
fn may_start(watched: &[Watched], user: &PodmanUser) -> bool {
    let running = watched.iter().filter(|w| w.check.is_some());
    let running: Vec<u32> = running.map(|w| w.container.user.uid).collect();
    has_place(&running, user.uid)
}

/// Returns true if a check of `uid` may run beside those of the users `running`.
fn has_place(running: &[u32], uid: u32) -> bool {
    let count = |counts: &dyn Fn(u32) -> bool| running.iter().filter(|u| counts(**u)).count();
    running.len() < MAX_CHECKS
        && count(&|other| other == uid) < MAX_CHECKS_OF_USER
        && (uid == 0 || count(&|other| other != 0) < MAX_CHECKS_OF_USERS)
}

fn is_readable(fd: &OwnedFd) -> bool {
    wait(&[fd.as_fd()], Some(Duration::ZERO))
}

/// Waits for at most `limit`, rounded up so that a check that is due then is due afterwards;
/// returns true if a descriptor is readable.
fn wait(fds: &[BorrowedFd<'_>], limit: Option<Duration>) -> bool {
    let mut fds: Vec<PollFd<'_>> = fds
        .iter()
        .map(|fd| PollFd::new(*fd, PollFlags::POLLIN))
        .collect();
    let timeout = match limit {
        None => PollTimeout::NONE,
        Some(Duration::ZERO) => PollTimeout::ZERO,
        Some(limit) => i32::try_from(limit.as_millis().saturating_add(1))
            .ok()
            .and_then(|ms| PollTimeout::try_from(ms).ok())
            .unwrap_or(PollTimeout::MAX),
    };
    matches!(poll(&mut fds, timeout), Ok(1..))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_slot_is_reserved_for_root() {
        for (running, uid, wanted) in [
            (&[][..], 1000, true),
            (&[1000, 1000], 1000, true),
            (&[1000, 1000, 1000], 1000, false),
            (&[1000, 1000, 1000], 1001, false),
            (&[1000, 1000, 1001], 0, true),
            (&[0, 0, 0], 0, false),
            (&[0, 0, 0], 1000, true),
            (&[0, 0, 1000, 1001], 0, false),
        ] {
            assert_eq!(has_place(running, uid), wanted, "{running:?} {uid}");
        }
    }

    #[test]
    fn a_command_that_has_not_begun_has_time_to_begin() {
        for (found, seconds, wanted) in [
            (true, 2, (true, RECORD_LIMIT)),
            (false, 2, (false, COMMAND_START)),
            (false, 29, (false, COMMAND_START)),
            (true, 29, (true, RECORD_LIMIT)),
            (false, 30, (true, RECORD_LIMIT)),
        ] {
            let running = Duration::from_secs(seconds);
            assert_eq!(after_kill(found, running), wanted, "{found}, {seconds} s");
        }
    }
}
