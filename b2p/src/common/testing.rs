// SPDX-License-Identifier: Apache-2.0
//! Helpers of tests: a directory that removes itself, and a service as a process of its own.
#![expect(unsafe_code, reason = "descriptors placed in a child")]

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::Pid;

/// Environment variable by which a child finds its directory.
pub const DIR: &str = "B2P_TEST_DIR";

/// Longest that a test waits for another process.
const PATIENCE: Duration = Duration::from_secs(20);

/// Directory of one test. The drop of the value removes the directory.
pub struct Temp(PathBuf);

impl Temp {
    /// Makes the directory.
    #[expect(clippy::new_without_default, reason = "each call makes a directory")]
    pub fn new() -> Temp {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("b2p-test-{}-{number}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        fs::create_dir_all(&dir).expect("a directory");
        Temp(dir)
    }

    /// Path of the directory.
    pub fn dir(&self) -> &Path {
        &self.0
    }

    /// Path of `name` in the directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Returns the text of the error that `result` must be.
pub fn why<T: std::fmt::Debug, E: std::fmt::Display>(result: Result<T, E>) -> String {
    match result {
        Ok(value) => panic!("no error: {value:?}"),
        Err(error) => error.to_string(),
    }
}

/// Returns a pair of connected sockets that keep the bounds of each write.
pub fn packet_pair() -> (OwnedFd, OwnedFd) {
    let flags = SockFlag::SOCK_CLOEXEC;
    socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags).expect("a pair")
}

/// Makes reads of `fd` not block, as those of `/dev/kmsg` do not.
pub fn nonblocking(fd: &OwnedFd) {
    // SAFETY: integers.
    unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
}

/// Waits until `condition` holds; panics with `what` after the time limit.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A service that runs as a child process: an ignored test of this program.
pub struct Running {
    child: Child,
}

impl Running {
    /// Starts the test `name` with `fds` as its descriptors 3, 4, … and `dir` in [`DIR`].
    pub fn start(name: &str, dir: &Path, fds: &[OwnedFd]) -> Running {
        let mut given: Vec<i32> = fds.iter().map(AsRawFd::as_raw_fd).collect();
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--exact", name, "--ignored", "--nocapture"]);
        command.env(DIR, dir).stdout(Stdio::null());
        // SAFETY: async-signal-safe calls with integers, and no allocation.
        unsafe {
            command.pre_exec(move || {
                for fd in &mut given {
                    *fd = libc::fcntl(*fd, libc::F_DUPFD_CLOEXEC, 20);
                }
                for (fd, place) in given.iter().zip(3..) {
                    libc::dup2(*fd, place);
                }
                Ok(())
            });
        }
        let child = command.spawn().expect("the test program starts");
        Running { child }
    }

    /// Returns how often its threads have given up the processor to wait.
    pub fn sleeps(&self) -> u64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("it runs");
        let count = |task: std::io::Result<fs::DirEntry>| -> u64 {
            let status = task.expect("a task").path().join("status");
            let text = fs::read_to_string(status).unwrap_or_default();
            let mut lines = text.lines();
            let line = lines.find_map(|l| l.strip_prefix("voluntary_ctxt_switches:"));
            line.and_then(|n| n.trim().parse().ok()).expect("a number")
        };
        tasks.map(count).sum()
    }

    /// Waits until the process sleeps, because the state in its file may be outdated.
    pub fn settle(&self) {
        let mut before = 0;
        wait_until("the process wakes all the time", || {
            let previous = std::mem::replace(&mut before, self.sleeps());
            std::thread::sleep(Duration::from_millis(200));
            previous == before && self.is_asleep()
        });
    }

    /// Returns true if no thread waits for a processor, as one does for long on a busy host.
    fn is_asleep(&self) -> bool {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("it runs");
        tasks.flatten().all(|task| {
            let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            stat.rsplit_once(") ")
                .is_some_and(|(_, rest)| rest.starts_with('S'))
        })
    }

    /// Returns the number of its open descriptors.
    pub fn descriptors(&self) -> usize {
        let dir = format!("/proc/{}/fd", self.child.id());
        fs::read_dir(dir).expect("it runs").count()
    }

    /// Sends SIGTERM and waits for the exit status, which is 0.
    pub fn end(&mut self) {
        let pid = Pid::from_raw(self.child.id() as i32);
        kill(pid, Signal::SIGTERM).expect("it runs");
        let status = self.child.wait().expect("it ends");
        assert_eq!(status.code(), Some(0));
    }
}

impl Drop for Running {
    /// Ends the child of a test that fails, which would hold the test's output open.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
