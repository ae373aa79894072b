//! The loop as a process: its socket, its ring, its end.
#![expect(
    unsafe_code,
    reason = "descriptors handed to a child, and its signal mask"
)]

use super::*;
use crate::helpers::log::files::tests::Temp;
use crate::helpers::log::files::{self, Bounds};
use crate::helpers::log::history::Position;
use crate::helpers::log::journal::Boot;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, sigprocmask};
use nix::sys::socket::{AddressFamily, ControlMessage, SockFlag, SockType, sendmsg, socketpair};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::io::{IoSlice, Read, Write};
use std::os::fd::FromRawFd;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const NAME: &str = "helpers::log::keep::tests::child";
const DIR: &str = "B2P_TEST_KEEP";

/// Not a test: what the tests below run, with 3 the socket, 4 the ring, 5 the
/// kernel log for writing.
#[test]
#[ignore = "the program that the others run"]
fn child() {
    let dir = std::env::var_os(DIR).expect("run by a test");
    // SAFETY: `start` has put them there, for us alone.
    let [socket, ring, out] = [3, 4, 5].map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
    let bounds = Bounds::DEFAULT;
    let (folder, size) = Folder::open(Path::new(&dir), bounds).expect("it opens");
    let boot = Boot {
        id: "b".into(),
        release: "k".into(),
    };
    let journal = Journal::new(folder, size, bounds, boot, &Position::default());
    let stop = crate::helpers::log::stop().expect("a signalfd");
    let mut keep = Keep {
        stop: stop.as_fd(),
        socket: Some(socket),
        relay: Relay::new(File::from(out), b"box"),
        kept: Some((Ring::of(File::from(ring)), journal)),
    };
    std::process::exit(keep.run());
}

struct Running {
    temp: Temp,
    child: Child,
    /// Puts records into the ring.
    kernel: File,
    /// What it writes to the kernel log.
    said: File,
}

fn pair() -> (OwnedFd, OwnedFd) {
    let flags = SockFlag::SOCK_CLOEXEC;
    socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags).expect("a pair")
}

fn start() -> Running {
    let temp = Temp::new();
    let socket = UnixDatagram::bind(temp.path("dev-log")).expect("a socket");
    let ((kernel, ring), (said, out)) = (pair(), pair());
    // As PID 1 does.
    setsockopt(&socket, sockopt::PassCred, &true).expect("an option");
    // SAFETY: integers.
    unsafe { libc::fcntl(ring.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
    let given = [socket.as_raw_fd(), ring.as_raw_fd(), out.as_raw_fd()];
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", NAME, "--ignored", "--nocapture"]);
    command.env(DIR, temp.path("log")).stdout(Stdio::null());
    // SAFETY: async-signal-safe calls with integers. The mask is for every thread
    // of the test program; the real one has a single thread.
    unsafe {
        command.pre_exec(move || {
            let aside = given.map(|fd| libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 20));
            for (fd, to) in aside.into_iter().zip(3..) {
                libc::dup2(fd, to);
            }
            let mut set = SigSet::empty();
            set.add(Signal::SIGTERM);
            Ok(sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), None)?)
        });
    }
    let child = command.spawn().expect("it starts");
    let (kernel, said) = (File::from(kernel), File::from(said));
    Running {
        temp,
        child,
        kernel,
        said,
    }
}

impl Running {
    fn record(&mut self, record: &str) {
        self.kernel.write_all(record.as_bytes()).expect("it reads");
    }

    fn kept(&self) -> String {
        let dir = self.temp.path("log");
        fs::read_to_string(files::name(&dir, 0)).unwrap_or_default()
    }

    fn wait_for(&self, what: &str) {
        let start = Instant::now();
        while !self.kept().contains(what) {
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "{what}: {}",
                self.kept()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Times that any of its threads has been given up the processor to wait.
    fn sleeps(&self) -> u64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("it runs");
        let count = |task: std::io::Result<fs::DirEntry>| -> u64 {
            let text = fs::read_to_string(task.expect("a task").path().join("status"));
            let text = text.unwrap_or_default();
            let line = text
                .lines()
                .find_map(|l| l.strip_prefix("voluntary_ctxt_switches:"));
            line.and_then(|n| n.trim().parse().ok()).expect("a number")
        };
        tasks.map(count).sum()
    }

    /// Waits until it sleeps: what the file shows, it has written a moment ago.
    fn settle(&self) {
        let (start, mut before) = (Instant::now(), 0);
        while before != self.sleeps() {
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "it wakes all the time"
            );
            before = self.sleeps();
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn end(&mut self) {
        let pid = Pid::from_raw(self.child.id() as i32);
        kill(pid, Signal::SIGTERM).expect("it runs");
        let status = self.child.wait().expect("it ends");
        assert_eq!(status.code(), Some(0));
    }
}

impl Drop for Running {
    /// A test that fails leaves nothing that holds its output open.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn records_are_kept_and_idle_means_asleep() {
    let mut running = start();
    running.record("6,0,1,-;first\n");
    running.record("14,1,2,-;x: second\n KEY=1\n");
    running.record("11,2,3,-;x: urgent\n");
    running.wait_for("user.err x: urgent\n");
    let kept = running.kept();
    let ends = [
        " ---",
        " kern.info first",
        " user.info x: second",
        " user.err x: urgent",
    ];
    assert!(
        kept.lines()
            .zip(ends)
            .all(|(line, end)| line.ends_with(end)),
        "{kept}"
    );
    running.settle();
    let before = running.sleeps();
    std::thread::sleep(Duration::from_millis(2_500));
    assert_eq!(
        running.sleeps(),
        before,
        "nothing is to be done, and it wakes"
    );
    running.record("14,5,9,-;x: last words\n");
    running.end();
    let kept = running.kept();
    assert!(kept.ends_with(" user.info x: last words\n"), "{kept}");
    assert!(kept.contains("--- 2 records lost: overwritten"), "{kept}");
}

#[test]
fn a_flood_blocks_nobody_and_what_is_dropped_is_counted() {
    const FLOOD: u64 = 100_000;
    let mut running = start();
    let mut said = running.said.try_clone().expect("a descriptor");
    let reader = std::thread::spawn(move || {
        let (mut lines, mut dropped, mut bytes) = (0, 0, [0; 2048]);
        while let Ok(length @ 1..) = said.read(&mut bytes) {
            let text = String::from_utf8_lossy(&bytes[..length]);
            let count = text
                .strip_prefix("<44>syslog: ")
                .and_then(|t| t.split(' ').next());
            match count {
                Some(count) => dropped += count.parse::<u64>().expect("a number"),
                None => {
                    let pid = std::process::id();
                    assert_eq!(text, format!("<14>flood[{pid}]: a line of the flood\n"));
                    lines += 1;
                }
            }
        }
        (lines, dropped)
    });
    let sender = UnixDatagram::unbound().expect("a socket");
    sender
        .connect(running.temp.path("dev-log"))
        .expect("it is bound");
    // A send that has to wait is one that is not read: ten seconds are for ever.
    sender
        .set_write_timeout(Some(Duration::from_secs(10)))
        .expect("an option");
    let pid = std::process::id();
    let line = format!("<14>Nov 23 20:30:38 flood[{pid}]: a line of the flood");
    let begun = Instant::now();
    for sent in 0..FLOOD {
        sender
            .send(line.as_bytes())
            .unwrap_or_else(|e| panic!("after {sent}: {e}"));
    }
    running.record("11,0,3,-;x: heard in the flood\n");
    running.wait_for("x: heard in the flood\n");
    running.end();
    let seconds = begun.elapsed().as_secs() + 1;
    let (lines, dropped) = reader.join().expect("no panic");
    assert_eq!(lines + dropped, FLOOD, "every line is written or counted");
    assert!(
        (500..=500 + 100 * seconds).contains(&lines),
        "{lines} in {seconds} s"
    );
}

#[test]
fn descriptors_that_come_along_are_not_kept() {
    let mut running = start();
    running.record("11,0,3,-;x: it is there\n");
    running.wait_for("x: it is there\n");
    let open = |running: &Running| {
        let dir = format!("/proc/{}/fd", running.child.id());
        fs::read_dir(dir).expect("it runs").count()
    };
    let before = open(&running);
    let sender = UnixDatagram::unbound().expect("a socket");
    sender
        .connect(running.temp.path("dev-log"))
        .expect("it is bound");
    let fds = [running.kernel.as_raw_fd()];
    for _ in 0..10 {
        let rights = [ControlMessage::ScmRights(&fds)];
        let iov = [IoSlice::new(b"<13>x: y")];
        let sent = sendmsg::<()>(sender.as_raw_fd(), &iov, &rights, MsgFlags::empty(), None);
        assert_eq!(sent, Ok(8));
        let mut bytes = [0; 100];
        let length = running.said.read(&mut bytes).expect("a record");
        let text = String::from_utf8_lossy(&bytes[..length]);
        // The kernel cuts the control data short, and who it was is not asked further.
        assert!(
            text.starts_with("<13>x[") && text.ends_with("]: y\n"),
            "{text}"
        );
    }
    assert_eq!(open(&running), before);
    running.end();
}
