// SPDX-License-Identifier: Apache-2.0
//! `b2p containers-stop`: ends all containers at shutdown and keeps their restart policies
//! (docs/guide/containers.md).
//!
//! `podman stop` marks a container as stopped by a person, which ends
//! `--restart=unless-stopped` for good. A container that merely ends is restarted at once by
//! the `podman container cleanup` that its conmon runs. So podman is replaced by a program that
//! does nothing ([`cover_podman`]); then the first process of every container gets its own stop
//! signal, and SIGKILL after ten seconds. podman's database has then seen a machine that was
//! switched off, which is true.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use log::{info, warn};
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::mount::{MsFlags, mount};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::Pid;

use sys::files;
use sys::paths::{B2P, PODMAN_PROGRAM};

use super::conmon::Machine;
use crate::common::{open_files, pidfd};

/// Time from the stop signal to SIGKILL: podman's default for `--stop-timeout`.
const GRACE: Duration = Duration::from_secs(10);
/// Time between two searches for containers that have started since.
const SCAN_INTERVAL: Duration = Duration::from_millis(500);
/// Time for conmon to record its container's last output.
const CONMON_LIMIT: Duration = Duration::from_secs(1);

/// Time for the description of one container, which is on a disk, or in a file system of its user's.
const DESCRIPTION_LIMIT: Duration = Duration::from_millis(250);
/// Largest OCI configuration that is read, in bytes.
const MAX_SPEC_BYTES: u64 = 1 << 20;
/// Number of bytes of a conmon's arguments that are read.
const MAX_ARGUMENTS_BYTES: u64 = 1 << 16;
/// Number of containers of one user other than root that are asked to end at a time: no user takes the
/// descriptors that others need.
const MAX_OF_USER: usize = 256;
/// Longest name that is shown, in characters.
const MAX_NAME: usize = 64;

/// A process that is the first of a container: the child of a conmon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Found {
    pid: i32,
    conmon: i32,
    /// User of the container.
    uid: u32,
}

/// Description of a container: its name and its stop signal.
#[derive(Debug, PartialEq, Eq)]
struct Container {
    name: String,
    signal: i32,
}

/// Containers that have been sent their stop signal, by the pids of their first processes.
type Signalled = HashMap<i32, (Container, OwnedFd)>;

/// Stops all containers; PID 1 kills the remaining processes. The exit status is 1 if podman may start another
/// container meanwhile.
pub fn main() -> i32 {
    let covered = cover_podman();
    if let Err(e) = covered {
        warn!("{PODMAN_PROGRAM} cannot be covered: {e}");
    }
    if let Some(machine) = Machine::detect() {
        stop_all(&machine);
    }
    i32::from(covered.is_err())
}

/// Sends each container its stop signal, and kills those that have not ended in time.
fn stop_all(machine: &Machine) {
    let begun = Instant::now();
    let deadline = begun + GRACE;
    let mut signalled = Signalled::new();
    // Each container takes a descriptor until the end.
    if let Err(why) = open_files::raise() {
        warn!("limit of open files: {why}");
    }
    let missed = signal_all(machine, &mut signalled, deadline);
    if !missed.is_empty() {
        let count = missed.len();
        warn!(
            "containers: {count} are not asked to end: no descriptor is left for them, or they are one user's"
        );
    }
    for pid in wait(&signalled, Duration::ZERO) {
        if let Some((container, _)) = signalled.get(&pid) {
            let Container { name, signal } = container;
            warn!("container {name} does not heed signal {signal}: killed");
        }
        signal(pid, libc::SIGKILL);
    }
    let alive = wait(&signalled, CONMON_LIMIT);
    let (count, ms) = (signalled.len(), begun.elapsed().as_millis());
    let ended = count - alive.len();
    info!("containers: {ended} of {count} ended in {ms} ms");
}

/// Sends the stop signals until no container is left, or the deadline. Returns the processes without a signal.
fn signal_all(machine: &Machine, signalled: &mut Signalled, deadline: Instant) -> HashSet<i32> {
    let mut slow = HashSet::new();
    loop {
        // Each round looks again: a podman that was called before may still start a container.
        let (asked, left_out) = in_order(running(Path::new("/proc"), machine));
        let mut missed: HashSet<i32> = left_out.into_iter().map(|found| found.pid).collect();
        for found in asked {
            if !signal_once(signalled, found.pid, || describe(&found, &mut slow)) {
                missed.insert(found.pid);
            }
        }
        let rest = deadline.saturating_duration_since(Instant::now());
        let alive = wait(signalled, SCAN_INTERVAL.min(rest));
        if alive.is_empty() || Instant::now() >= deadline {
            return missed;
        }
    }
}

/// Returns root's containers, then a bounded number of each other user's, and those that are left out.
fn in_order(mut found: Vec<Found>) -> (Vec<Found>, Vec<Found>) {
    sys::sort::sort_by(&mut found, |a, b| (a.uid, a.pid).cmp(&(b.uid, b.pid)));
    let mut counts: HashMap<u32, usize> = HashMap::new();
    found.into_iter().partition(|found| {
        let count = counts.entry(found.uid).or_default();
        *count += 1;
        found.uid == 0 || *count <= MAX_OF_USER
    })
}

/// Sends a container its stop signal, unless this was done before. Returns false if no descriptor is left for
/// a process that lives.
fn signal_once(signalled: &mut Signalled, pid: i32, describe: impl FnOnce() -> Container) -> bool {
    // A pid is used again, but not while the descriptor of its process shows that the process
    // lives.
    if signalled.get(&pid).is_some_and(|(_, fd)| !ready(&[fd], 0)) {
        return true;
    }
    // The descriptor is opened before the description is read: the signal reaches this process or none.
    let Some(fd) = pidfd::open(pid) else {
        return !Path::new("/proc").join(pid.to_string()).exists();
    };
    let container = describe();
    thaw(pid);
    signal(pid, container.signal);
    signal(pid, libc::SIGCONT);
    signalled.insert(pid, (container, fd));
    true
}

/// Mounts `b2p` over /usr/bin/podman (mount(2), `MS_BIND`) for the rest of this boot.
///
/// The exit command of each conmon is `/usr/bin/podman container cleanup`, which would restart the
/// container, or record its end. conmon runs the command by its path when the container has ended,
/// and ignores the exit status; so another program at that path is enough, and no file of podman's,
/// in memory or on the data disk, is changed. `b2p` under the name podman is [`podman_cover`]. A
/// podman that runs already continues.
fn cover_podman() -> nix::Result<()> {
    let none = None::<&str>;
    mount(Some(B2P), PODMAN_PROGRAM, none, MsFlags::MS_BIND, none)
}

/// Runs in the place of podman after [`cover_podman`]: prints why and returns 1.
pub fn podman_cover() -> i32 {
    eprintln!("podman: the machine is going down");
    1
}

/// Returns the first process of every running container.
fn running(proc: &Path, machine: &Machine) -> Vec<Found> {
    let entries = fs::read_dir(proc).into_iter().flatten().flatten();
    let pids = entries.filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok());
    let parent = |pid: i32| {
        let stat = fs::read_to_string(proc.join(format!("{pid}/stat"))).ok()?;
        comm_and_parent(&stat).map(|(_, parent)| parent)
    };
    let parents: Vec<(i32, i32)> = pids.filter_map(|pid| Some((pid, parent(pid)?))).collect();
    // Each parent is examined once, with any number of children.
    let mut conmons: HashMap<i32, Option<u32>> = HashMap::new();
    let mut found = Vec::new();
    for (pid, conmon) in parents {
        let user = conmons.entry(conmon);
        let user = user.or_insert_with(|| machine.conmon_of(proc, conmon));
        if let Some(uid) = *user
            && !shares_mounts(proc, pid, conmon)
        {
            found.push(Found { pid, conmon, uid });
        }
    }
    found
}

/// Returns true if both processes are in one mount namespace (mount_namespaces(7)), as a conmon and
/// its exit command are. The processes of a container are in another.
fn shares_mounts(proc: &Path, pid: i32, conmon: i32) -> bool {
    let namespace = |pid: i32| fs::read_link(proc.join(format!("{pid}/ns/mnt"))).ok();
    let own = namespace(pid);
    own.is_some() && own == namespace(conmon)
}

/// Returns name and parent of a process from a line of proc_pid_stat(5).
pub fn comm_and_parent(stat: &str) -> Option<(&str, i32)> {
    let (head, tail) = stat.rsplit_once(')')?;
    let parent = tail.split_whitespace().nth(1)?.parse().ok()?;
    Some((head.split_once('(')?.1, parent))
}

/// Describes a container within [`DESCRIPTION_LIMIT`]; SIGTERM is the signal of one that cannot be
/// described. A user one of whose containers is too slow loses the others' descriptions, too:
/// `slow` holds such users.
fn describe(found: &Found, slow: &mut HashSet<u32>) -> Container {
    let Found { pid, conmon, uid } = *found;
    let unknown = || Container {
        name: pid.to_string(),
        signal: libc::SIGTERM,
    };
    if slow.contains(&uid) {
        return unknown();
    }
    let (tell, told) = mpsc::channel();
    // A thread that hangs ends with this program.
    let reader = thread::Builder::new().spawn(move || {
        let _ = tell.send(read_description(Path::new("/proc"), conmon)); // too late
    });
    match reader.map(|_| told.recv_timeout(DESCRIPTION_LIMIT)) {
        Ok(Ok(described)) => described.unwrap_or_else(unknown),
        _ => {
            warn!("container {pid} of user {uid}: not described in time: SIGTERM");
            // Root's files are podman's own: only a disk is slow, for one container as for another.
            slow.extend(Some(uid).filter(|uid| *uid != 0));
            unknown()
        }
    }
}

/// Reads name and stop signal of a container by the arguments of its conmon.
fn read_description(proc: &Path, conmon: i32) -> Option<Container> {
    let dir = proc.join(conmon.to_string());
    let cmdline = files::read_bounded(&dir.join("cmdline"), MAX_ARGUMENTS_BYTES).ok()?;
    let cmdline = String::from_utf8_lossy(&cmdline);
    let args: Vec<&str> = cmdline.split('\0').collect();
    let value = |option: &str| {
        let at = args.iter().position(|arg| *arg == option)?;
        args.get(at + 1).copied()
    };
    let name = value("-n").unwrap_or("?");
    let spec = value("-b").and_then(|bundle| read_spec(&dir.join("root"), bundle));
    Some(Container {
        name: name.chars().take(MAX_NAME).collect(),
        signal: spec
            .as_deref()
            .and_then(stop_signal)
            .unwrap_or(libc::SIGTERM),
    })
}

/// Reads the configuration in a bundle, seen from conmon's root: rootless podman has mounts of its
/// own. A user's path may hold links, and leads nowhere out of that root (openat2(2)).
fn read_spec(root: &Path, bundle: &str) -> Option<String> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let root = nix::fcntl::open(root, flags, Mode::empty()).ok()?;
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let inside = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    let how = OpenHow::new().flags(flags).resolve(inside);
    let file = openat2(&root, &Path::new(bundle).join("config.json"), how).ok()?;
    let file = File::from(file);
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut spec = Vec::new();
    file.take(MAX_SPEC_BYTES).read_to_end(&mut spec).ok()?;
    Some(String::from_utf8_lossy(&spec).into_owned())
}

/// Returns the stop signal, which podman writes into the OCI configuration as the annotation
/// `org.opencontainers.image.stopSignal`. The value is a string of digits, so no more of the
/// JSON is read than this one key.
fn stop_signal(spec: &str) -> Option<i32> {
    let (_, rest) = spec.split_once("\"org.opencontainers.image.stopSignal\"")?;
    let value = rest
        .trim_start()
        .strip_prefix(':')?
        .trim_start()
        .strip_prefix('"')?;
    let number = value.split('"').next()?.parse().ok()?;
    (1..=64).contains(&number).then_some(number)
}

/// Resumes a paused container, which would not see its signal (cgroup-v2.rst, cgroup.freeze).
fn thaw(pid: i32) {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let Some(path) = text.lines().find_map(|l| l.strip_prefix("0::/")) else {
        return;
    };
    let mut dir = Path::new("/sys/fs/cgroup").join(path);
    for _ in 0..8 {
        let _ = fs::write(dir.join("cgroup.freeze"), "0");
        if !dir.pop() || dir == Path::new("/sys/fs/cgroup") {
            return;
        }
    }
}

fn signal(pid: i32, number: i32) {
    let pid = Pid::from_raw(pid);
    // nix has no name for a real-time signal.
    let sent = match Signal::try_from(number) {
        Ok(signal) => kill(pid, signal),
        Err(_) => kill_raw(pid, number),
    };
    let _ = sent; // the process has ended by itself
}

#[expect(unsafe_code, reason = "kill(2) with a real-time signal")]
fn kill_raw(pid: Pid, number: i32) -> nix::Result<()> {
    // SAFETY: integers only.
    nix::errno::Errno::result(unsafe { libc::kill(pid.as_raw(), number) }).map(drop)
}

/// Waits until all have ended, for at most `limit`; returns those that have not.
fn wait(watched: &Signalled, limit: Duration) -> Vec<i32> {
    let deadline = Instant::now() + limit;
    loop {
        let alive = watched.iter().filter(|(_, (_, fd))| !ready(&[fd], 0));
        let (pids, fds): (Vec<i32>, Vec<&OwnedFd>) = alive.map(|(pid, (_, fd))| (*pid, fd)).unzip();
        let rest = deadline.saturating_duration_since(Instant::now());
        if pids.is_empty() || rest.is_zero() {
            return pids;
        }
        ready(&fds, rest.as_millis().try_into().unwrap_or(i32::MAX));
    }
}

/// Waits for at most `ms` milliseconds; returns true if a process has ended.
fn ready(fds: &[&OwnedFd], ms: i32) -> bool {
    let mut fds: Vec<PollFd<'_>> = fds
        .iter()
        .map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN))
        .collect();
    let timeout = PollTimeout::try_from(ms).unwrap_or(PollTimeout::ZERO);
    matches!(poll(&mut fds, timeout), Ok(1..))
}

#[cfg(test)]
mod tests;
