// SPDX-License-Identifier: Apache-2.0
//! Children that cannot outlive this process.
//!
//! A test that is killed, or panics, must not leave a QEMU behind. Each child asks the kernel to be
//! killed when its parent dies (`PR_SET_PDEATHSIG`). The parent in that sense is the *thread* that
//! forked, see prctl(2), and a test's thread ends long before the process does. Therefore one
//! thread, which lives as long as the process, forks all children. Other kernels have no such request:
//! there a child outlives a parent that is killed.

#![expect(unsafe_code)] // SAFETY: `pre_exec` only, see `bind_to_parent`.

use anyhow::{Context, Result, bail};
use nix::sys::signal;
use nix::unistd::Pid;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

type Job = (Command, mpsc::Sender<io::Result<Child>>);

/// Starts `command`; the kernel kills the child when this process ends in any way.
pub fn spawn(command: Command) -> io::Result<Child> {
    start(command, None)
}

/// Starts `command` as [`spawn`] does; the child also gets `fd`, under the same number.
pub fn spawn_with_fd(command: Command, fd: OwnedFd) -> io::Result<Child> {
    start(command, Some(fd))
}

fn start(mut command: Command, fd: Option<OwnedFd>) -> io::Result<Child> {
    bind_to_parent(&mut command, fd);
    let (reply, answer) = mpsc::channel();
    let gone = || io::Error::other("the spawning thread is gone");
    spawner().send((command, reply)).map_err(|_| gone())?;
    answer.recv().map_err(|_| gone())?
}

/// Returns the channel to the one thread that forks.
fn spawner() -> &'static mpsc::Sender<Job> {
    static SPAWNER: OnceLock<mpsc::Sender<Job>> = OnceLock::new();
    SPAWNER.get_or_init(|| {
        let (jobs, queue) = mpsc::channel::<Job>();
        thread::spawn(move || {
            for (mut command, reply) in queue {
                // The caller may no longer wait for the answer.
                let _ = reply.send(command.spawn());
            }
        });
        jobs
    })
}

fn bind_to_parent(command: &mut Command, fd: Option<OwnedFd>) {
    let parent = Pid::this();
    let hook = move || {
        die_with(parent)?;
        if let Some(fd) = &fd {
            let keep = nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty());
            nix::fcntl::fcntl(fd, keep)?;
        }
        Ok(())
    };
    // SAFETY: the hook runs between fork and exec and makes a few plain system calls, without locks
    // and allocations.
    unsafe { command.pre_exec(hook) };
}

#[cfg(target_os = "linux")]
fn die_with(parent: Pid) -> io::Result<()> {
    nix::sys::prctl::set_pdeathsig(signal::SIGKILL)?;
    // The parent may have died before prctl(2) took effect.
    if nix::unistd::getppid() != parent {
        return Err(io::Error::from_raw_os_error(nix::libc::ESRCH));
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn die_with(_parent: Pid) -> io::Result<()> {
    Ok(())
}

/// Returns the number under which a child sees `fd`.
pub fn fd_number(fd: &OwnedFd) -> i32 {
    fd.as_raw_fd()
}

/// Kills the process group that `child` leads, and reaps the child.
pub fn kill_group(child: &mut Child) -> io::Result<ExitStatus> {
    if let Some(status) = child.try_wait()? {
        return Ok(status);
    }
    if let Ok(pid) = i32::try_from(child.id()) {
        let _ = signal::killpg(Pid::from_raw(pid), signal::SIGKILL);
    }
    child.kill()?;
    child.wait()
}

/// Waits for `child` for at most `limit`; returns `None` if the child still runs.
pub fn wait_for(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// Runs `command` to its end with `stdin` as its input, and returns its output. After `limit`, its
/// whole process group is killed, which is an error.
pub fn output(mut command: Command, stdin: &[u8], limit: Duration) -> Result<Output> {
    let what = format!("{command:?}");
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let mut child = spawn(command).with_context(|| format!("cannot start {what}"))?;
    feed(&mut child, stdin.to_vec());
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    let status = wait_for(&mut child, limit)?;
    if status.is_none() {
        kill_group(&mut child)?;
    }
    // A grandchild that keeps the pipe open must not block the caller for ever.
    let grace = Duration::from_secs(5);
    let (stdout, stderr) = (stdout.within(grace), stderr.within(grace));
    let Some(status) = status else {
        bail!(
            "still running after {} s: {what}\n{}{}",
            limit.as_secs(),
            String::from_utf8_lossy(&stdout),
            String::from_utf8_lossy(&stderr)
        );
    };
    Ok(Output {
        status,
        stdout,
        stderr,
    })
}

fn feed(child: &mut Child, input: Vec<u8>) {
    if let Some(mut stdin) = child.stdin.take() {
        // A child may stop reading (EPIPE); its exit status shows the result.
        thread::spawn(move || stdin.write_all(&input));
    }
}

/// Output of a stream so far.
struct Collected {
    bytes: Arc<Mutex<Vec<u8>>>,
    ended: mpsc::Receiver<()>,
}

impl Collected {
    /// Returns all output, or the output of the time `most`. Another holder of the pipe, such as an
    /// ssh master, may close it late; output that has arrived is not lost.
    fn within(self, most: Duration) -> Vec<u8> {
        let _ = self.ended.recv_timeout(most);
        std::mem::take(&mut self.bytes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn collect(stream: Option<impl Read + Send + 'static>) -> Collected {
    let (sender, ended) = mpsc::channel();
    let bytes = Arc::<Mutex<Vec<u8>>>::default();
    let all = Arc::clone(&bytes);
    thread::spawn(move || {
        if let Some(stream) = stream {
            read_into(stream, &all);
        }
        let _ = sender.send(());
    });
    Collected { bytes, ended }
}

fn read_into(mut stream: impl Read, all: &Mutex<Vec<u8>>) {
    let mut part = [0; 16 * 1024];
    loop {
        match stream.read(&mut part) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(_) | Ok(0) => return,
            Ok(len) => all
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .extend_from_slice(part.get(..len).unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.arg("-c").arg(script);
        command
    }

    #[test]
    fn collects_output_and_status() {
        let out = output(
            sh("cat; echo err >&2; exit 3"),
            b"in",
            Duration::from_secs(10),
        )
        .expect("runs");
        assert_eq!(
            (out.stdout.as_slice(), out.stderr.as_slice()),
            (&b"in"[..], &b"err\n"[..])
        );
        assert_eq!(out.status.code(), Some(3));
    }

    #[test]
    fn output_is_kept_while_another_process_holds_the_pipe() {
        let out = output(sh("echo said; sleep 60 &"), b"", Duration::from_secs(10));
        let out = out.expect("it ends");
        assert_eq!(out.stdout, b"said\n");
        assert!(out.status.success());
    }

    #[test]
    fn a_command_that_hangs_is_killed() {
        let begun = Instant::now();
        let err = output(
            sh("echo so far; sleep 60 & wait"),
            b"",
            Duration::from_secs(3),
        );
        assert!(err.expect_err("it hangs").to_string().contains("so far"));
        assert!(begun.elapsed() < Duration::from_secs(50));
    }

    #[test]
    fn children_outlive_the_thread_that_asked_for_them() {
        let asked = thread::spawn(|| spawn(sh("sleep 60")).expect("starts"));
        let mut child = asked.join().expect("no panic");
        thread::sleep(Duration::from_millis(200));
        assert!(child.try_wait().expect("waits").is_none());
        kill_group(&mut child).expect("dies");
    }

    /// Process that the next test kills.
    #[test]
    #[ignore = "the next test runs it as a program"]
    fn helper_process_not_a_test() {
        if std::env::var_os("B2P_PARENT").is_some() {
            let mut child = spawn(sh("sleep 60")).expect("starts");
            println!("child {}.", child.id());
            child.wait().expect("it sleeps");
        }
    }

    #[test]
    fn a_killed_parent_takes_its_children_along() {
        let mut parent = Command::new(std::env::current_exe().expect("this program"));
        parent.args(["--ignored", "--exact", "--nocapture"]);
        parent.arg("process::tests::helper_process_not_a_test");
        parent.env("B2P_PARENT", "1").stdout(Stdio::piped());
        let mut parent = spawn(parent).expect("starts");
        let mut said = String::new();
        let mut stdout = parent.stdout.take().expect("piped");
        while !said.ends_with('.') {
            let mut byte = [0];
            stdout
                .read_exact(&mut byte)
                .expect("it says its child's pid");
            said.push(char::from(byte[0]));
        }
        let pid = said
            .rsplit(' ')
            .next()
            .expect("a word")
            .trim_end_matches('.');
        let alive = || {
            std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|s| !s.contains(") Z "))
        };
        assert!(alive());
        parent.kill().expect("killed");
        parent.wait().expect("reaped");
        let deadline = Instant::now() + Duration::from_secs(10);
        while alive() {
            assert!(Instant::now() < deadline, "{pid} has survived");
            thread::sleep(Duration::from_millis(20));
        }
    }
}
