//! The loop: who has begun, whose check is due, which one has ended.

use std::fs;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use log::{info, warn};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{getsockopt, sockopt};

use super::new_containers::{self, Looked, Named};
use super::schedule::{FORMAT, Plan};
use super::{is_id, kill};
use crate::common::{pidfd, tool};
use crate::helpers::engine::{Owner, with_containers};

/// So many checks run at once, each a podman of 45 MB.
const AT_ONCE: usize = 4;
/// More containers are not looked after.
const MOST: usize = 1024;
/// For a question about one container.
const ASKING: Duration = Duration::from_secs(60);
/// For podman to write down that a check has failed whose command was killed.
const WRITING: Duration = Duration::from_secs(30);

/// A container with a check.
struct Checked {
    named: Named,
    plan: Plan,
    /// Readable when its first process has ended.
    process: OwnedFd,
    since: Instant,
    due: Instant,
    running: Option<Running>,
}

/// A check at work.
struct Running {
    podman: Child,
    process: OwnedFd,
    /// When its command, and then podman, has had its time.
    until: Option<Instant>,
    killed: bool,
}

/// Serves until no container with a check is left.
pub fn run() -> Result<(), String> {
    let socket = crate::common::listen_fds::inherited_socket()
        .ok_or("no socket as descriptor 3 (LISTEN_FDS)")?;
    let socket = UnixListener::from(socket);
    let mut looked = Looked::new().map_err(|e| format!("health: inotify: {e}"))?;
    let mut all: Vec<Checked> = Vec::new();
    // After an end that was none of ours they are still there.
    for named in with_containers().iter().flat_map(new_containers::known) {
        add(&mut all, &named);
    }
    loop {
        while let Ok((stream, _)) = socket.accept() {
            heard(&stream).into_iter().for_each(|n| looked.add(n));
        }
        for named in looked.found() {
            add(&mut all, &named);
        }
        all.retain_mut(step);
        begin(&mut all);
        if all.is_empty() && looked.deadline().is_none() {
            return Ok(());
        }
        sleep(&socket, &looked, &all);
    }
}

/// Who has begun, as its runtime says; whose it is, as the kernel says.
fn heard(stream: &UnixStream) -> Option<Named> {
    let uid = getsockopt(stream, sockopt::PeerCredentials).ok()?.uid();
    // Who connects and says nothing is not waited for: the hook has written.
    stream
        .set_read_timeout(Some(Duration::from_millis(200)))
        .ok()?;
    let mut id = String::new();
    stream.take(64).read_to_string(&mut id).ok()?;
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let owner = Owner::of(&passwd, uid)?;
    is_id(&id).then_some(Named { owner, id })
}

/// Asks podman what its checks are. The first is due at once, as with systemd.
fn add(all: &mut Vec<Checked>, named: &Named) {
    let words = ["container", "inspect", "--format", FORMAT, &named.id];
    let asked = tool::run_command(&mut named.owner.podman(&words), ASKING);
    let output = match asked {
        Ok(ended) if ended.code == Some(0) => ended.output,
        // It has ended before it could be asked for: nothing to look after.
        Ok(ended) if ended.last_lines.contains("no such container") => return,
        Ok(ended) => return warn!("health: {}: {}", named.id, ended.last_lines),
        Err(why) => return warn!("health: {}: {why}", named.id),
    };
    let Some(plan) = Plan::parse(&output, &named.id) else {
        return;
    };
    let same = |c: &Checked| c.named == *named && c.plan.pid == plan.pid;
    if all.iter().any(same) {
        return;
    }
    let Some(process) = pidfd::open(plan.pid).filter(|_| all.len() < MOST) else {
        return;
    };
    let now = Instant::now();
    info!(
        "health: {}'s {} is looked after",
        named.owner.name, plan.name
    );
    all.push(Checked {
        named: named.clone(),
        plan,
        process,
        since: now,
        due: now,
        running: None,
    });
}

/// Whether the container is still there; a check that has ended is taken in.
fn step(one: &mut Checked) -> bool {
    if let Some(running) = &mut one.running {
        let ended = running.podman.try_wait().ok().flatten();
        let now = Instant::now();
        if let Some(status) = ended {
            let mut said = String::new();
            let out = running.podman.stdout.take();
            let _ = out.map(|out| out.take(4096).read_to_string(&mut said));
            // A startup check that fails has status 0 and says `starting`.
            let well = status.success() && !said.contains("starting");
            one.plan.ended(well);
            one.due = now + one.plan.next(now - one.since);
            one.running = None;
        } else if running.until.is_some_and(|until| until <= now) {
            late(running, &one.named.id, &one.plan.name);
        }
    }
    one.running.is_some() || !readable(&one.process)
}

/// First its command is killed; a podman that does not end then, too.
fn late(running: &mut Running, id: &str, name: &str) {
    if running.killed {
        warn!("health: the check of {name} does not end");
        let _ = running.podman.kill();
        running.until = None;
        return;
    }
    kill::command(id);
    running.killed = true;
    running.until = Some(Instant::now() + WRITING);
}

/// Starts the checks that are due, those first that have waited longest.
fn begin(all: &mut [Checked]) {
    let mut free = AT_ONCE.saturating_sub(all.iter().filter(|c| c.running.is_some()).count());
    all.sort_by_key(|c| c.due);
    let now = Instant::now();
    for one in all
        .iter_mut()
        .filter(|c| c.running.is_none() && c.due <= now)
    {
        if free == 0 {
            return;
        }
        match check(one) {
            Ok(running) => {
                one.running = Some(running);
                free -= 1;
            }
            Err(why) => {
                warn!("health: {}: {why}", one.plan.name);
                one.due = now + one.plan.next(now - one.since);
            }
        }
    }
}

fn check(one: &Checked) -> Result<Running, String> {
    let words = ["healthcheck", "run", &one.named.id];
    let mut podman = one.named.owner.podman(&words);
    podman
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let podman = podman.spawn().map_err(|e| e.to_string())?;
    let process = pidfd::open(podman.id().cast_signed()).ok_or("pidfd_open")?;
    Ok(Running {
        podman,
        process,
        until: one.plan.most().map(|most| Instant::now() + most),
        killed: false,
    })
}

/// Until something has happened, or is due.
fn sleep(socket: &UnixListener, looked: &Looked, all: &[Checked]) {
    let running = all.iter().filter_map(|c| c.running.as_ref());
    let full = running.clone().count() >= AT_ONCE;
    let due = all
        .iter()
        .filter(|c| c.running.is_none() && !full)
        .map(|c| c.due);
    let until = due
        .chain(running.clone().filter_map(|r| r.until))
        .chain(looked.deadline())
        .min();
    let mut fds: Vec<BorrowedFd<'_>> = vec![socket.as_fd(), looked.as_fd()];
    fds.extend(running.map(|r| r.process.as_fd()));
    let idle = all.iter().filter(|c| c.running.is_none());
    fds.extend(idle.map(|c| c.process.as_fd()));
    wait(
        &fds,
        until.map(|u| u.saturating_duration_since(Instant::now())),
    );
}

fn readable(fd: &OwnedFd) -> bool {
    wait(&[fd.as_fd()], Some(Duration::ZERO))
}

/// Whether one of them is readable before the time is up; rounded up, so that what
/// is due then is.
fn wait(fds: &[BorrowedFd<'_>], most: Option<Duration>) -> bool {
    let mut fds: Vec<PollFd<'_>> = fds
        .iter()
        .map(|fd| PollFd::new(*fd, PollFlags::POLLIN))
        .collect();
    let timeout = match most {
        None => PollTimeout::NONE,
        Some(Duration::ZERO) => PollTimeout::ZERO,
        Some(most) => i32::try_from(most.as_millis().saturating_add(1))
            .ok()
            .and_then(|ms| PollTimeout::try_from(ms).ok())
            .unwrap_or(PollTimeout::MAX),
    };
    matches!(poll(&mut fds, timeout), Ok(1..))
}
