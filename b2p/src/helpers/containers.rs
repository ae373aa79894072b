//! `b2p containers-stop`: ends all containers at shutdown, in the way that keeps
//! their restart policies.
//!
//! `podman stop` marks a container as stopped by a person, so that
//! `--restart=unless-stopped` is over for good; and a container that simply ends
//! is started again at once by podman's own clean-up, which conmon calls. So:
//! podman is covered by a program that does nothing, then every container's
//! first process gets its own stop signal, and the kernel's after ten seconds.
//! To podman's database the machine has been switched off, which is the truth.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use log::{info, warn};
use nix::mount::{MsFlags, mount};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::common::pidfd;

/// What podman gives a container where nothing else is said (`--stop-timeout`).
const GRACE: Duration = Duration::from_secs(10);
/// So often it is looked for those that have come since.
const AGAIN: Duration = Duration::from_millis(500);
/// For conmon to write down what its container said last.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// One running container: its first process, and how it wants to be told.
#[derive(Debug, PartialEq, Eq)]
struct Container {
    name: String,
    pid: i32,
    signal: i32,
}

/// Stops them all; always 0: what is left is killed by PID 1.
pub fn main() -> i32 {
    sys::kmsg::init_logger(log::LevelFilter::Info);
    cover_podman();
    let begun = Instant::now();
    let deadline = begun + GRACE;
    let mut told = Vec::new();
    tell_new(&mut told, running(Path::new("/proc")));
    // A podman that was called before goes on: what it creates is told as well.
    while !wait(
        &told,
        AGAIN.min(deadline.saturating_duration_since(Instant::now())),
    )
    .is_empty()
        && Instant::now() < deadline
    {
        tell_new(&mut told, running(Path::new("/proc")));
    }
    for container in wait(&told, Duration::ZERO) {
        let (name, number) = (&container.name, container.signal);
        warn!("container {name} does not heed signal {number}: killed");
        signal(container.pid, libc::SIGKILL);
    }
    let last = wait(&told, LAST_WORDS);
    let (ended, ms) = (told.len() - last.len(), begun.elapsed().as_millis());
    info!("containers: {ended} of {} ended in {ms} ms", told.len());
    0
}

/// Tells those of `now` to end that have not been told.
fn tell_new(told: &mut Vec<(Container, OwnedFd)>, now: Vec<Container>) {
    for container in now {
        // A pid comes again, but not while its descriptor says that it lives.
        let known = |(c, fd): &(Container, OwnedFd)| c.pid == container.pid && !ready(&[fd], 0);
        if told.iter().any(known) {
            continue;
        }
        let fd = pidfd::open(container.pid);
        thaw(container.pid);
        signal(container.pid, container.signal);
        signal(container.pid, libc::SIGCONT);
        // Without one it has ended by itself, or there are very many of them.
        told.extend(fd.map(|fd| (container, fd)));
    }
}

/// Our own program in podman's place: under that name it only says why.
fn cover_podman() {
    let flags = MsFlags::MS_BIND;
    let covered = mount(
        Some("/usr/bin/b2p"),
        "/usr/bin/podman",
        None::<&str>,
        flags,
        None::<&str>,
    );
    covered.unwrap_or_else(|e| warn!("/usr/bin/podman cannot be covered: {e}"));
}

/// What is called in podman's place while the machine goes down.
pub fn covered() -> i32 {
    eprintln!("podman: the machine is going down");
    1
}

/// The children of every conmon: one is its container's first process.
fn running(proc: &Path) -> Vec<Container> {
    let pids = || {
        let read = fs::read_dir(proc).into_iter().flatten().flatten();
        read.filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok())
    };
    let stats: Vec<(i32, String)> = pids()
        .filter_map(|pid| {
            Some((
                pid,
                fs::read_to_string(proc.join(format!("{pid}/stat"))).ok()?,
            ))
        })
        .collect();
    let conmons: Vec<i32> = stats
        .iter()
        .filter(|(_, stat)| comm_and_parent(stat).is_some_and(|(comm, _)| comm == "conmon"))
        .map(|(pid, _)| *pid)
        .collect();
    stats
        .iter()
        .filter_map(|(pid, stat)| {
            let (comm, parent) = comm_and_parent(stat)?;
            let is = conmons.contains(&parent) && comm != "conmon";
            is.then(|| described(proc, *pid, parent))
        })
        .collect()
}

/// Name and parent in a line of proc_pid_stat(5).
pub fn comm_and_parent(stat: &str) -> Option<(&str, i32)> {
    let (head, tail) = stat.rsplit_once(')')?;
    let parent = tail.split_whitespace().nth(1)?.parse().ok()?;
    Some((head.split_once('(')?.1, parent))
}

fn described(proc: &Path, pid: i32, conmon: i32) -> Container {
    let words = fs::read(proc.join(format!("{conmon}/cmdline"))).unwrap_or_default();
    let words: Vec<String> = words
        .split(|b| *b == 0)
        .map(|w| String::from_utf8_lossy(w).into_owned())
        .collect();
    let after = |option: &str| {
        let at = words.iter().position(|w| w == option)?;
        words.get(at + 1).cloned()
    };
    // Rootless podman's own mounts are not ours: by way of its process.
    let bundle = after("-b").map(|b| {
        let inside = Path::new(&b).strip_prefix("/").map(Path::to_path_buf);
        proc.join(format!("{conmon}/root"))
            .join(inside.unwrap_or_else(|_| PathBuf::from(&b)))
    });
    let spec = bundle.and_then(|b| fs::read_to_string(b.join("config.json")).ok());
    Container {
        name: after("-n").unwrap_or_else(|| pid.to_string()),
        pid,
        signal: spec
            .as_deref()
            .and_then(stop_signal)
            .unwrap_or(libc::SIGTERM),
    }
}

/// The signal that podman has written into the OCI configuration as the
/// annotation `org.opencontainers.image.stopSignal`. It is a string of digits, so
/// the one place where it stands is looked for, and no more of the JSON read.
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

/// A paused container would not see its signal (cgroup-v2.rst, cgroup.freeze).
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
    // A real-time one has no name in nix.
    let sent = match Signal::try_from(number) {
        Ok(signal) => kill(pid, signal),
        Err(_) => raw(pid, number),
    };
    let _ = sent; // it has ended by itself
}

#[expect(unsafe_code, reason = "kill(2) with a real-time signal")]
fn raw(pid: Pid, number: i32) -> nix::Result<()> {
    // SAFETY: integers only.
    nix::errno::Errno::result(unsafe { libc::kill(pid.as_raw(), number) }).map(drop)
}

/// Waits until all have ended or time is up; those that have not.
fn wait(watched: &[(Container, OwnedFd)], limit: Duration) -> Vec<&Container> {
    let deadline = Instant::now() + limit;
    loop {
        let alive: Vec<_> = watched.iter().filter(|(_, fd)| !ready(&[fd], 0)).collect();
        let left = deadline.saturating_duration_since(Instant::now());
        if alive.is_empty() || left.is_zero() {
            return alive.into_iter().map(|(c, _)| c).collect();
        }
        let fds: Vec<&OwnedFd> = alive.iter().map(|(_, fd)| fd).collect();
        ready(&fds, left.as_millis().try_into().unwrap_or(i32::MAX));
    }
}

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
        let silent = |pid| Container {
            name: "x".into(),
            pid,
            signal: 0,
        };
        let mut watched = Vec::new();
        // Signal 0 tells nobody anything; the second time it is known.
        tell_new(&mut watched, vec![silent(pid)]);
        tell_new(&mut watched, vec![silent(pid)]);
        assert_eq!(wait(&watched, Duration::from_millis(20)), [&silent(pid)]);
        signal(pid, 64);
        assert!(wait(&watched, Duration::from_secs(20)).is_empty());
        child.wait().unwrap();
        tell_new(&mut watched, vec![silent(pid)]);
        assert_eq!(watched.len(), 1, "it is gone");
    }
}
