//! A namespace that is up.
#![expect(unsafe_code, reason = "clone, pidfd and what a new PID 1 begins with")]

use std::ffi::{CStr, CString, c_int};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::process::{Command, Output};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::inject::{self, Trace};
use super::step::{Step, errno};
use super::{Namespace, Users};

/// The first of the users that root gives away.
const BASE: u32 = 200_000;

/// How PID 1 ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It exited, which PID 1 never may.
    Exited(i32),
    /// A signal ended it: the kernel's word on a reboot(2), or a fault.
    Killed(i32),
}

/// What the threads around PID 1 know.
#[derive(Default)]
struct Known {
    output: Vec<u8>,
    end: Option<End>,
    trace: Trace,
}

#[derive(Default)]
struct Shared(Mutex<Known>, Condvar);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A PID 1 and what became of it. Dropping it kills it and all that runs in it.
pub struct Running {
    pid: libc::pid_t,
    pidfd: OwnedFd,
    shared: Arc<Shared>,
    keeper: Option<JoinHandle<()>>,
    started: Instant,
}

impl Running {
    pub(super) fn start(ns: &Namespace) -> Result<Running> {
        let child = Child::prepare(ns)?;
        let started = Instant::now();
        let shared = Arc::<Shared>::default();
        let (tell, told) = std::sync::mpsc::channel();
        let (ours, plan) = (shared.clone(), ns.plan);
        // One thread is parent and tracer: both are matters of a thread, and the
        // child dies with it (PR_SET_PDEATHSIG).
        let keeper = std::thread::spawn(move || keep(child, plan, &ours, &tell));
        let (pid, pidfd) = told.recv().context("the thread that clones has ended")??;
        Ok(Running {
            pid,
            pidfd,
            shared,
            keeper: Some(keeper),
            started,
        })
    }

    /// Its pid outside.
    pub fn pid(&self) -> libc::pid_t {
        self.pid
    }

    /// How long ago its namespaces were begun.
    pub fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// What it has said so far.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&self.shared.lock().output).into_owned()
    }

    /// Waits until it has said `text` and the line is whole.
    pub fn says(&self, text: &str, limit: Duration) -> Result<()> {
        let said = |k: &Known| {
            let all = String::from_utf8_lossy(&k.output).into_owned();
            all.find(text).is_some_and(|at| all[at..].contains('\n'))
        };
        let known = self.until(limit, |k| said(k) || k.end.is_some());
        if said(&known) {
            return Ok(());
        }
        bail!(
            "not said: {text:?}; ended: {:?}; said:\n{}",
            known.end,
            String::from_utf8_lossy(&known.output)
        )
    }

    /// Waits until it has ended.
    pub fn end(&self, limit: Duration) -> Result<End> {
        let known = self.until(limit, |k| k.end.is_some());
        known.end.with_context(|| {
            let said = String::from_utf8_lossy(&known.output).into_owned();
            format!("still there after {limit:?}; said:\n{said}")
        })
    }

    /// How it has ended, if it has.
    pub fn ended(&self) -> Option<End> {
        self.shared.lock().end
    }

    /// Waits until `done`, no longer than `limit`; the one waking up is told.
    fn until(&self, limit: Duration, done: impl Fn(&Known) -> bool) -> MutexGuard<'_, Known> {
        let deadline = Instant::now() + limit;
        let mut known = self.shared.lock();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if done(&known) || left.is_zero() {
                return known;
            }
            let woken = self.shared.1.wait_timeout(known, left);
            known = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// What the injector saw; whole once PID 1 has ended.
    pub fn trace(&self) -> Trace {
        self.shared.lock().trace.clone()
    }

    /// Sends PID 1 a signal.
    pub fn signal(&self, signal: c_int) -> Result<()> {
        let fd = self.pidfd.as_raw_fd();
        // SAFETY: a live descriptor; no details.
        let sent = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signal, 0, 0) };
        if sent < 0 {
            bail!("signal {signal}: {}", std::io::Error::last_os_error());
        }
        Ok(())
    }

    /// A file as PID 1 sees it.
    pub fn read(&self, path: &str) -> Result<String> {
        let path = format!("/proc/{}/root{path}", self.pid);
        fs::read_to_string(&path).context(path)
    }

    /// A file of /proc about PID 1, as the host sees it.
    pub fn about(&self, name: &str) -> Result<String> {
        let path = format!("/proc/{}/{name}", self.pid);
        fs::read_to_string(&path).context(path)
    }

    /// A number of /proc/PID/status.
    pub fn status(&self, key: &str) -> Result<u64> {
        let text = self.about("status")?;
        let line = text
            .lines()
            .find_map(|l| l.strip_prefix(key)?.strip_prefix(':'));
        let word = line.and_then(|l| l.split_whitespace().next());
        Ok(word.with_context(|| format!("no {key}"))?.parse()?)
    }

    /// The command that runs `argv` inside, as root there.
    pub fn command(&self, argv: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--target={}", self.pid))
            .args([
                "--user", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup",
            ])
            .args(["--root", "--wd", "--setuid=0", "--setgid=0", "--"])
            .args(argv)
            .env_clear()
            .env("PATH", "/usr/bin:/usr/sbin");
        command
    }

    /// The pids inside that are zombies.
    pub fn zombies(&self) -> Result<Vec<u32>> {
        let proc = format!("/proc/{}/root/proc", self.pid);
        let mut all = Vec::new();
        for entry in fs::read_dir(&proc).context(proc)?.flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else {
                continue;
            };
            let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            if stat
                .rsplit_once(") ")
                .is_some_and(|(_, rest)| rest.starts_with('Z'))
            {
                all.push(pid);
            }
        }
        Ok(all)
    }

    /// The processor time that PID 1 has used (proc_pid_schedstat).
    pub fn cpu(&self) -> Result<Duration> {
        let text = self.about("schedstat")?;
        let word = text
            .split_whitespace()
            .next()
            .context("an empty schedstat")?;
        Ok(Duration::from_nanos(word.parse()?))
    }

    /// Runs a shell script inside and gives its output.
    pub fn sh(&self, script: &str) -> Result<Output> {
        self.command(&["/bin/sh", "-c", script])
            .output()
            .context("nsenter (Debian's util-linux)")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.signal(libc::SIGKILL); // ended already
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.join(); // its panic has been printed
        }
    }
}

/// Whether the caller may give away users.
pub fn am_root() -> bool {
    // SAFETY: no arguments.
    unsafe { libc::geteuid() == 0 }
}

type Told = std::sync::mpsc::Sender<Result<(libc::pid_t, OwnedFd)>>;

/// Parent and tracer of one PID 1, from its first to its last moment.
fn keep(child: Child, plan: Option<inject::Plan>, shared: &Arc<Shared>, tell: &Told) {
    let (pid, output) = match child.start(plan.is_some()) {
        Ok((pid, pidfd, output)) => {
            if tell.send(Ok((pid, pidfd))).is_err() {
                return; // nobody wants it any more: it dies with this thread
            }
            (pid, output)
        }
        Err(e) => {
            let _ = tell.send(Err(e));
            return;
        }
    };
    let ours = shared.clone();
    let reader = std::thread::spawn(move || listen(output, &ours));
    let (end, trace) = match plan {
        Some(plan) => inject::run(pid, &plan),
        None => (wait(pid), Trace::default()),
    };
    // The last words are in the pipe.
    let _ = reader.join();
    let mut known = shared.lock();
    (known.end, known.trace) = (Some(end), trace);
    shared.1.notify_all();
}

fn listen(mut output: File, shared: &Shared) {
    let mut bytes = [0; 4096];
    while let Ok(n @ 1..) = output.read(&mut bytes) {
        shared.lock().output.extend_from_slice(&bytes[..n]);
        shared.1.notify_all();
    }
}

fn wait(pid: libc::pid_t) -> End {
    let mut status = 0;
    // SAFETY: a child of this thread's, and a place for its status.
    while unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) } != pid {}
    end(status)
}

/// A raw wait status that is one of an end.
pub(super) fn end(status: c_int) -> End {
    if libc::WIFEXITED(status) {
        End::Exited(libc::WEXITSTATUS(status))
    } else {
        End::Killed(libc::WTERMSIG(status))
    }
}

/// All that the child needs, so that it allocates nothing.
struct Child {
    flags: c_int,
    users: Users,
    steps: Vec<Step>,
    limits: Vec<(u32, u64)>,
    stdio: bool,
    program: &'static CStr,
    argv: Vec<CString>,
}

impl Child {
    fn prepare(ns: &Namespace) -> Result<Child> {
        super::possible()?;
        let cgroup = if ns.cgroup { libc::CLONE_NEWCGROUP } else { 0 };
        Ok(Child {
            flags: libc::CLONE_NEWUSER
                | libc::CLONE_NEWPID
                | libc::CLONE_NEWNS
                | libc::CLONE_NEWUTS
                | libc::CLONE_NEWIPC
                | libc::CLONE_NEWNET
                | cgroup,
            users: ns.users,
            steps: ns.steps(),
            limits: ns.limits.clone(),
            stdio: ns.stdio,
            program: ns.program(),
            argv: ns.argv()?,
        })
    }

    /// Clones, and lets the child go on once its users are known and, with
    /// `traced`, this thread traces it.
    fn start(self, traced: bool) -> Result<(libc::pid_t, OwnedFd, File)> {
        let (output, theirs) = pipe()?;
        let (wait, go) = pipe()?;
        let (trouble, report) = pipe()?;
        let mut argv: Vec<_> = self.argv.iter().map(|w| w.as_ptr()).collect();
        argv.push(std::ptr::null());
        let mut pidfd: c_int = -1;
        let flags = self.flags | libc::CLONE_PIDFD | libc::SIGCHLD;
        // SAFETY: as fork(2): no new stack, and the third argument is the place
        // for the pidfd. The child only makes system calls.
        let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0, &raw mut pidfd, 0, 0) };
        match pid {
            -1 => bail!(
                "clone: {}: this machine makes no user namespaces (user.max_user_namespaces, kernel.apparmor_restrict_unprivileged_userns)",
                std::io::Error::last_os_error()
            ),
            // SAFETY: this is the child.
            0 => unsafe { self.child(&argv, [&wait, &theirs, &report].map(AsRawFd::as_raw_fd)) },
            _ => {}
        }
        // SAFETY: clone opened it for us.
        let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
        let pid = pid as libc::pid_t;
        drop((theirs, report, wait));
        self.map(pid)?;
        if traced {
            inject::seize(pid)?;
        }
        File::from(go).write_all(b"g")?;
        // A traced child stops at its exec, which its keeper waits for: what is
        // reported here is reported before.
        if !traced {
            self.check(trouble)?;
        }
        Ok((pid, pidfd, File::from(output)))
    }

    /// End of file once it is executed, or the step that failed.
    fn check(&self, trouble: OwnedFd) -> Result<()> {
        let mut said = Vec::new();
        File::from(trouble).read_to_end(&mut said)?;
        if let &[step, a, b, c, d, ..] = said.as_slice() {
            let why = std::io::Error::from_raw_os_error(i32::from_le_bytes([a, b, c, d]));
            match self.steps.get(usize::from(step)) {
                Some(step) => bail!("in the new namespace: {step:?}: {why}"),
                None => bail!("in the new namespace, after its mounts: {why}"),
            }
        }
        Ok(())
    }

    /// Says which users it has (user_namespaces(7)).
    fn map(&self, pid: libc::pid_t) -> Result<()> {
        // SAFETY: no arguments.
        let own = unsafe { [libc::geteuid(), libc::getegid()] };
        let (first, count) = match (am_root(), self.users) {
            (true, Users::Many) => ([BASE; 2], 65_536),
            (true, Users::One) => ([BASE; 2], 1),
            (false, Users::One) => (own, 1),
            (false, Users::Many) => bail!("only root can give a namespace many users"),
        };
        let put = |name: &str, text: String| {
            let path = format!("/proc/{pid}/{name}");
            fs::write(&path, text).context(path)
        };
        if count == 1 {
            put("setgroups", "deny".into())?;
        }
        put("gid_map", format!("0 {} {count}", first[1]))?;
        put("uid_map", format!("0 {} {count}", first[0]))
    }

    /// # Safety
    /// Only in the child of a clone.
    unsafe fn child(&self, argv: &[*const libc::c_char], fds: [RawFd; 3]) -> ! {
        let [wait, output, report] = fds;
        // SAFETY: integers, constants, and what the parent prepared.
        unsafe {
            let mut go = 0u8;
            if libc::read(wait, (&raw mut go).cast(), 1) != 1 {
                libc::_exit(125); // the parent has given up
            }
            // Not by libc's functions: those would have all threads do it, which
            // are not here any more.
            libc::syscall(libc::SYS_setresgid, 0, 0, 0);
            libc::syscall(libc::SYS_setresuid, 0, 0, 0);
            // After that, because it forgets this.
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            libc::umask(0);
            for (i, step) in self.steps.iter().enumerate() {
                if let Err(why) = step.run() {
                    give_up(report, i as u8, why);
                }
            }
            self.descriptors(output);
            for (which, value) in &self.limits {
                let limit = libc::rlimit {
                    rlim_cur: *value,
                    rlim_max: *value,
                };
                libc::setrlimit(*which, &raw const limit);
            }
            let mut none: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut none);
            libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
            leave_disks_alone();
            libc::execve(
                self.program.as_ptr(),
                argv.as_ptr(),
                [std::ptr::null()].as_ptr(),
            );
            give_up(report, u8::MAX, errno())
        }
    }

    /// # Safety
    /// As `child`.
    unsafe fn descriptors(&self, output: RawFd) {
        // SAFETY: integers and a constant.
        unsafe {
            if self.stdio {
                let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
                libc::dup2(if null < 0 { output } else { null }, 0);
                libc::dup2(output, 1);
                libc::dup2(output, 2);
            } else {
                (0..3).for_each(|fd| {
                    libc::close(fd);
                });
            }
            let cloexec = libc::CLOSE_RANGE_CLOEXEC;
            libc::syscall(libc::SYS_close_range, 3, u32::MAX, cloexec);
        }
    }
}

/// From here on sync(2) does nothing (seccomp(2)): it would write all that the
/// host has in memory, and a thousand times so.
///
/// # Safety
/// As `child`.
unsafe fn leave_disks_alone() {
    let step = |code: u32, jt, jf, k| libc::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    };
    let mut filter = [
        // The call's number is the first word of seccomp_data.
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        step(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            0,
            1,
            libc::SYS_sync as u32,
        ),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: a program that lives; root of a user namespace may set one.
    unsafe {
        libc::prctl(
            libc::PR_SET_SECCOMP,
            libc::SECCOMP_MODE_FILTER,
            &raw const program,
        );
    }
}

/// # Safety
/// As `child`.
unsafe fn give_up(report: RawFd, step: u8, why: c_int) -> ! {
    let mut record = [step, 0, 0, 0, 0];
    record[1..].copy_from_slice(&why.to_le_bytes());
    // SAFETY: a live buffer; ends the child.
    unsafe {
        libc::write(report, record.as_ptr().cast(), record.len());
        libc::_exit(125)
    }
}

/// The readable end and the writable one, both close-on-exec.
fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    let mut fds = [-1; 2];
    // SAFETY: room for two; both are ours if it succeeds.
    unsafe {
        if libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) < 0 {
            bail!("pipe2: {}", std::io::Error::last_os_error());
        }
        Ok((OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])))
    }
}
