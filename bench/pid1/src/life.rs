// SPDX-License-Identifier: Apache-2.0
//! One life of a candidate, from its exec to its end.
#![expect(unsafe_code, reason = "clone, a shared page, exec")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::candidates::Candidate;
use crate::say::say;
use crate::{namespaces, now, proc};

/// Time limit of any step, in milliseconds of the guest; a step that succeeds takes less.
const LIMIT: i32 = 60_000;

/// A running candidate with its service.
pub struct Life {
    pid: i32,
    listener: UnixListener,
    /// Connection to the service.
    service: Service,
    /// Time at which the candidate was executed, in nanoseconds.
    pub began: u64,
    /// Cgroup that is removed in the end.
    cgroup: PathBuf,
}

/// The service, identified by its connection.
pub struct Service {
    line: BufReader<UnixStream>,
    /// Pid in the guest's namespace.
    pub pid: i32,
    /// Time of its first instruction, in nanoseconds.
    pub first: u64,
}

impl Life {
    /// Starts a candidate, and waits for its service.
    pub fn begin(candidate: &Candidate) -> Result<Life, String> {
        let dir = Path::new(namespaces::OUTSIDE).join(candidate.name);
        fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        let socket = dir.join("sock");
        let _ = fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).map_err(|e| e.to_string())?;
        let cgroup = namespaces::cgroup(candidate.name);
        fs::create_dir_all(&cgroup).map_err(|e| e.to_string())?;
        let (pid, moment) = start(candidate)?;
        let service = Service::come(&listener).inspect_err(|_| end(pid, &cgroup))?;
        Ok(Life {
            pid,
            listener,
            service,
            began: moment.load(Ordering::Relaxed),
            cgroup,
        })
    }

    /// Returns the service.
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// Returns the pid of PID 1 in the guest's namespace.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Returns the candidate's processes without the service.
    pub fn processes(&self) -> Vec<i32> {
        let mut all = proc::members(&self.cgroup);
        all.retain(|pid| *pid != self.service.pid);
        all
    }

    /// Kills the service and waits for the next one. Returns the nanoseconds from the kill to the
    /// next one's first instruction.
    pub fn restart(&mut self) -> Result<u64, String> {
        let killed = now();
        // SAFETY: integers; the service is not reaped before its end.
        unsafe { libc::kill(self.service.pid, libc::SIGKILL) };
        self.service = Service::come(&self.listener)?;
        Ok(self.service.first.saturating_sub(killed))
    }

    /// Lets the service make orphans, and returns the nanoseconds until the last one was reaped.
    pub fn storm(&mut self, count: u64, batch: u64) -> Result<u64, String> {
        let line = &mut self.service.line;
        writeln!(line.get_mut(), "{count} {batch}").map_err(|e| format!("service: {e}"))?;
        number(line)
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        end(self.pid, &self.cgroup);
    }
}

/// Kills PID 1, and so its whole namespace (pid_namespaces(7)).
fn end(pid: i32, cgroup: &Path) {
    // SAFETY: integers; a child of this process, which is reaped here and nowhere else.
    unsafe {
        libc::kill(pid, libc::SIGKILL);
        libc::waitpid(pid, std::ptr::null_mut(), 0);
    }
    proc::remove(cgroup);
}

impl Service {
    fn come(listener: &UnixListener) -> Result<Service, String> {
        let mut fd = libc::pollfd {
            fd: listener.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one live record.
        if unsafe { libc::poll(&raw mut fd, 1, LIMIT) } != 1 {
            return Err(format!("its service does not run after {} s", LIMIT / 1000));
        }
        let (stream, _) = listener.accept().map_err(|e| e.to_string())?;
        let pid = peer(&stream)?;
        let mut line = BufReader::new(stream);
        let first = number(&mut line)?;
        Ok(Service { line, pid, first })
    }
}

fn number(line: &mut BufReader<UnixStream>) -> Result<u64, String> {
    let mut text = String::new();
    line.read_line(&mut text)
        .map_err(|e| format!("service: {e}"))?;
    let why = |_| format!("the service wrote {text:?}, which is no number");
    text.trim().parse().map_err(why)
}

/// Returns the pid of the peer (unix(7), SO_PEERCRED).
fn peer(stream: &UnixStream) -> Result<i32, String> {
    let mut who = libc::ucred {
        pid: 0,
        uid: 0,
        gid: 0,
    };
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    let (level, option) = (libc::SOL_SOCKET, libc::SO_PEERCRED);
    // SAFETY: a live record of that length.
    let got = unsafe {
        let at = (&raw mut who).cast();
        libc::getsockopt(stream.as_raw_fd(), level, option, at, &raw mut length)
    };
    match got {
        0 => Ok(who.pid),
        _ => Err(std::io::Error::last_os_error().to_string()),
    }
}

/// Namespaces of a candidate, and the signal of its end.
const CLONE_FLAGS: libc::c_int = libc::CLONE_NEWPID
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::SIGCHLD;

/// Clones and executes the candidate. Returns its pid, and the place of the time of its exec.
fn start(candidate: &Candidate) -> Result<(i32, &'static AtomicU64), String> {
    let moment = shared()?;
    let (program, words, environment) = namespaces::words(candidate)?;
    let pointers = |list: &[std::ffi::CString]| {
        let all = list.iter().map(|w| w.as_ptr());
        all.chain([std::ptr::null()]).collect::<Vec<_>>()
    };
    let (argv, envp) = (pointers(&words), pointers(&environment));
    // SAFETY: as fork(2), in a single-threaded process.
    match unsafe { libc::syscall(libc::SYS_clone, CLONE_FLAGS, 0, 0, 0, 0) } {
        -1 => Err(format!("clone: {}", std::io::Error::last_os_error())),
        0 => {
            if let Err(why) = namespaces::set_up(candidate) {
                say(&format!("failed {}: {why}", candidate.name));
                // SAFETY: ends the child.
                unsafe { libc::_exit(125) }
            }
            nothing_said();
            moment.store(now(), Ordering::Relaxed);
            // SAFETY: NUL-terminated strings, and lists that end with a null pointer.
            unsafe {
                libc::setsid();
                libc::execve(program.as_ptr(), argv.as_ptr(), envp.as_ptr());
            }
            let why = std::io::Error::last_os_error();
            say(&format!(
                "failed {}: {}: {why}",
                candidate.name, candidate.program
            ));
            // SAFETY: ends the child.
            unsafe { libc::_exit(127) }
        }
        pid => Ok((pid as i32, moment)),
    }
}

/// Sends descriptors 1 and 2 to /dev/null, so that output costs no candidate anything.
fn nothing_said() {
    // SAFETY: a NUL-terminated path and integers. Without such a node, the descriptors are not
    // changed.
    unsafe {
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC);
        (0..3).for_each(|fd| {
            libc::dup2(null, fd);
        });
    }
}

/// Returns a number that parent and child share. Each life takes a page; the machine ends soon.
fn shared() -> Result<&'static AtomicU64, String> {
    let how = libc::PROT_READ | libc::PROT_WRITE;
    let what = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
    // SAFETY: a new page, which is never unmapped, and zero is a valid number.
    unsafe {
        let at = libc::mmap(std::ptr::null_mut(), 4096, how, what, -1, 0);
        match at {
            libc::MAP_FAILED => Err(format!("mmap: {}", std::io::Error::last_os_error())),
            at => Ok(&*at.cast::<AtomicU64>()),
        }
    }
}
