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

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use log::{info, warn};
use nix::mount::{MsFlags, mount};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use sys::paths::B2P;

use super::PODMAN;
use crate::common::pidfd;

/// Time from the stop signal to SIGKILL: podman's default for `--stop-timeout`.
const GRACE: Duration = Duration::from_secs(10);
/// Time between two searches for containers that have started since.
const SCAN_INTERVAL: Duration = Duration::from_millis(500);
/// Time for conmon to record its container's last output.
const CONMON_LIMIT: Duration = Duration::from_secs(1);

/// A running container: its first process, and its stop signal.
#[derive(Debug, PartialEq, Eq)]
struct Container {
    name: String,
    pid: i32,
    signal: i32,
}

/// Stops all containers. The exit status is always 0: PID 1 kills what is left.
pub fn main() -> i32 {
    cover_podman();
    let begun = Instant::now();
    let deadline = begun + GRACE;
    let mut signalled = Vec::new();
    loop {
        // Again each time: a podman that was called before may still start a container.
        signal_new(&mut signalled, running(Path::new("/proc")));
        let rest = deadline.saturating_duration_since(Instant::now());
        let alive = wait(&signalled, SCAN_INTERVAL.min(rest));
        if alive.is_empty() || Instant::now() >= deadline {
            break;
        }
    }
    for container in wait(&signalled, Duration::ZERO) {
        let (name, number) = (&container.name, container.signal);
        warn!("container {name} does not heed signal {number}: killed");
        signal(container.pid, libc::SIGKILL);
    }
    let alive = wait(&signalled, CONMON_LIMIT);
    let (count, ms) = (signalled.len(), begun.elapsed().as_millis());
    let ended = count - alive.len();
    info!("containers: {ended} of {count} ended in {ms} ms");
    0
}

/// Sends those of `found` their stop signal that have not been sent it.
fn signal_new(signalled: &mut Vec<(Container, OwnedFd)>, found: Vec<Container>) {
    for container in found {
        // A pid is used again, but not while the descriptor of its process shows that it lives.
        let known = |(c, fd): &(Container, OwnedFd)| c.pid == container.pid && !ready(&[fd], 0);
        if signalled.iter().any(known) {
            continue;
        }
        let fd = pidfd::open(container.pid);
        thaw(container.pid);
        signal(container.pid, container.signal);
        signal(container.pid, libc::SIGCONT);
        // Without a descriptor it has ended by itself, or no descriptor is left.
        signalled.extend(fd.map(|fd| (container, fd)));
    }
}

/// Mounts `b2p` over /usr/bin/podman (mount(2), `MS_BIND`) for the rest of this boot.
///
/// The exit command of each conmon is `/usr/bin/podman container cleanup`: it would restart the
/// container, or record its end. conmon runs it by its path when the container has ended, and
/// takes no notice of its exit status; so another program at that path is enough, and no file
/// of podman's, in memory or on the data disk, is changed. `b2p` under the name podman is
/// [`podman_cover`]. A podman that runs already goes on.
fn cover_podman() {
    let none = None::<&str>;
    let covered = mount(Some(B2P), PODMAN, none, MsFlags::MS_BIND, none);
    covered.unwrap_or_else(|e| warn!("{PODMAN} cannot be covered: {e}"));
}

/// Runs in the place of podman after [`cover_podman`]: prints why and returns 1.
pub fn podman_cover() -> i32 {
    eprintln!("podman: the machine is going down");
    1
}

/// Returns every running container: its first process is a child of a conmon.
fn running(proc: &Path) -> Vec<Container> {
    let entries = fs::read_dir(proc).into_iter().flatten().flatten();
    let pids = entries.filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok());
    let stat = |pid| fs::read_to_string(proc.join(format!("{pid}/stat"))).ok();
    let stats: Vec<(i32, String)> = pids.filter_map(|pid| Some((pid, stat(pid)?))).collect();
    let conmons: Vec<i32> = stats
        .iter()
        .filter(|(_, stat)| comm_and_parent(stat).is_some_and(|(comm, _)| comm == "conmon"))
        .map(|(pid, _)| *pid)
        .collect();
    stats
        .iter()
        .filter_map(|(pid, stat)| {
            let (comm, parent) = comm_and_parent(stat)?;
            let child = conmons.contains(&parent) && comm != "conmon";
            let first = child && !shares_mounts(proc, *pid, parent);
            first.then(|| describe(proc, *pid, parent))
        })
        .collect()
}

/// Returns true if both processes are in one mount namespace (mount_namespaces(7)), as a conmon and
/// the exit command that it runs are. The processes of a container are in another.
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

/// Returns the container with first process `pid`, by the arguments of its conmon.
fn describe(proc: &Path, pid: i32, conmon: i32) -> Container {
    let cmdline = fs::read(proc.join(format!("{conmon}/cmdline"))).unwrap_or_default();
    let cmdline = String::from_utf8_lossy(&cmdline);
    let args: Vec<&str> = cmdline.split('\0').collect();
    let value = |option: &str| {
        let at = args.iter().position(|arg| *arg == option)?;
        args.get(at + 1).copied()
    };
    // Seen from conmon's root: rootless podman has mounts of its own.
    let root = proc.join(format!("{conmon}/root"));
    let bundle = value("-b").map(|path| root.join(path.trim_start_matches('/')));
    let spec = bundle.and_then(|dir| fs::read_to_string(dir.join("config.json")).ok());
    Container {
        name: value("-n").map_or_else(|| pid.to_string(), str::to_owned),
        pid,
        signal: spec
            .as_deref()
            .and_then(stop_signal)
            .unwrap_or(libc::SIGTERM),
    }
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
fn wait(watched: &[(Container, OwnedFd)], limit: Duration) -> Vec<&Container> {
    let deadline = Instant::now() + limit;
    loop {
        let alive: Vec<_> = watched.iter().filter(|(_, fd)| !ready(&[fd], 0)).collect();
        let rest = deadline.saturating_duration_since(Instant::now());
        if alive.is_empty() || rest.is_zero() {
            return alive.into_iter().map(|(c, _)| c).collect();
        }
        let fds: Vec<&OwnedFd> = alive.iter().map(|(_, fd)| fd).collect();
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
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_stop_signal_is_found_in_the_configuration() {
        let spec = r#"{"annotations": {"x":"y", "org.opencontainers.image.stopSignal": "3"}}"#;
        assert_eq!(stop_signal(spec), Some(3));
        assert_eq!(stop_signal("{}"), None);
        assert_eq!(stop_signal(&spec.replace("\"3\"", "\"99\"")), None);
        assert_eq!(stop_signal(&spec.replace(": \"3\"", "")), None);
    }

    #[test]
    fn a_container_is_the_child_of_a_conmon() {
        let dir = std::env::temp_dir().join(format!("b2p-conmon-{}", std::process::id()));
        let bundle = dir.join("7/root/run/x/userdata");
        for pid in ["7", "8", "9"] {
            fs::create_dir_all(dir.join(pid)).unwrap();
        }
        fs::create_dir_all(&bundle).unwrap();
        fs::write(dir.join("7/stat"), "7 (conmon) S 1 7 7 0").unwrap();
        fs::write(
            dir.join("7/cmdline"),
            b"/usr/bin/conmon\0-b\0/run/x/userdata\0-n\0web\0",
        )
        .unwrap();
        fs::write(dir.join("8/stat"), "8 (a) (b) S 7 8 8 0").unwrap();
        fs::write(dir.join("9/stat"), "9 (sh) S 1 9 9 0").unwrap();
        let spec = r#"{"annotations":{"org.opencontainers.image.stopSignal":"10"}}"#;
        fs::write(bundle.join("config.json"), spec).unwrap();
        let web = Container {
            name: "web".into(),
            pid: 8,
            signal: 10,
        };
        assert_eq!(running(&dir), [web]);
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn waiting_ends_with_the_last_or_with_the_time() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let pid = child.id() as i32;
        let without_signal = |pid| Container {
            name: "x".into(),
            pid,
            signal: 0,
        };
        let mut watched = Vec::new();
        // Signal 0 is sent to nobody; the second time, the process is known.
        signal_new(&mut watched, vec![without_signal(pid)]);
        signal_new(&mut watched, vec![without_signal(pid)]);
        assert_eq!(
            wait(&watched, Duration::from_millis(20)),
            [&without_signal(pid)]
        );
        signal(pid, 64);
        assert!(wait(&watched, Duration::from_secs(20)).is_empty());
        child.wait().unwrap();
        signal_new(&mut watched, vec![without_signal(pid)]);
        assert_eq!(watched.len(), 1, "it is gone");
    }
}
