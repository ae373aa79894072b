// SPDX-License-Identifier: Apache-2.0
//! A visit by root of a namespace once PID 1 is up: the visit asks for the status, loads and starts
//! a service, and schedules and cancels a shutdown.
#![expect(unsafe_code, reason = "a thread that is root of another namespace")]

use std::fs::{self, File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use control::{Name, Report, Request, ShutdownKind, State};

use super::child::BASE;
use super::running::Running;
use super::step::{am_root, errno};

/// Name of the user's service.
const SERVICE: &str = "mine";
/// Definition of a service that runs until its stop.
const FILE: &str = "exec /usr/bin/sleep 1000\n";
/// Time limit of an answer. A client that arrives while PID 1 has no free descriptor waits a second
/// (control/src/server.rs, `PAUSE`).
const PATIENCE: Duration = Duration::from_secs(5);
/// Time limit of an answer where PID 1 need not answer.
const HASTE: Duration = Duration::from_millis(100);

/// Expectation of a visitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Every request succeeds, on the second try at the latest.
    Done,
    /// PID 1 lives; requests may fail.
    Nothing,
}

/// Makes the whole visit.
///
/// # Errors
/// PID 1 did not react as required.
pub fn all(pid1: &Running, expect: Expect) -> Result<()> {
    let done = there(pid1, |root| {
        let name = Name::new(SERVICE).context("no name")?;
        let requests = [
            Request::Status,
            Request::Load(name.clone()),
            Request::Start(name),
            Request::Shutdown(ShutdownKind::Reboot, 3_600),
            Request::Cancel,
        ];
        for request in requests {
            if matches!(request, Request::Load(_)) {
                put(root)?;
            }
            ask(root, &request, expect)?;
            if matches!(request, Request::Start(_)) {
                // PID 1 logs this by itself in most cases, so that no request is needed.
                let _ = pid1.says("mine: ready", 3 * HASTE);
                up(root, expect)?;
            }
        }
        Ok(())
    });
    match expect {
        Expect::Done => done,
        Expect::Nothing => Ok(()),
    }
}

/// Requests the shutdown, now or in `seconds`.
///
/// # Errors
/// The request was refused or not answered.
pub fn end(pid1: &Running, seconds: u32) -> Result<()> {
    let request = Request::Shutdown(ShutdownKind::PowerOff, seconds);
    there(pid1, |root| ask(root, &request, Expect::Done).map(drop))
}

/// Sends a request and returns the answer; repeats the request while PID 1 starts again.
///
/// # Errors
/// The request was refused or not answered.
pub fn request(pid1: &Running, request: &Request) -> Result<String> {
    crate::eventually(super::LIMIT, || {
        there(pid1, |root| ask(root, request, Expect::Done))
    })
}

/// Loads and starts a user's service with this definition.
///
/// # Errors
/// PID 1 did not react as required.
pub fn start_service(pid1: &Running, name: &str, definition: &str) -> Result<()> {
    let name = Name::new(name).context("no name")?;
    there(pid1, |root| {
        let dir = below(root, control::SERVICES);
        fs::create_dir_all(&dir)?;
        Ok(fs::write(dir.join(name.as_str()), definition)?)
    })?;
    request(pid1, &Request::Load(name.clone()))?;
    request(pid1, &Request::Start(name)).map(drop)
}

/// Waits until the service is up: its start may have failed and be repeated.
fn up(root: &File, expect: Expect) -> Result<()> {
    let deadline = Instant::now() + super::LIMIT;
    loop {
        let text = ask(root, &Request::Status, expect)?;
        let report = Report::parse(&text);
        let mine = report.services.iter().find(|s| s.name == SERVICE);
        let Some(mine) = mine else {
            bail!("there is no {SERVICE} any more:\n{text}");
        };
        if expect == Expect::Nothing || mine.state == State::Up {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("{SERVICE} does not come up:\n{text}");
        }
        std::thread::sleep(HASTE);
    }
}

fn ask(root: &File, request: &Request, expect: Expect) -> Result<String> {
    let path = below(root, control::PATH);
    let (tries, patience) = match expect {
        Expect::Done => (2, PATIENCE),
        Expect::Nothing => (1, HASTE),
    };
    let mut whys = Vec::new();
    for _ in 0..tries {
        match control::ask(&path, request, patience) {
            Ok(answer) => return Ok(answer),
            // The request was repeated because its first answer was lost.
            Err(control::RequestError::Refused(why)) if why == "nothing is scheduled" => {
                return Ok(String::new());
            }
            Err(why) => whys.push(why.to_string()),
        }
    }
    bail!("asked to {request}: {}", whys.join("; then: "))
}

fn put(root: &File) -> Result<()> {
    let dir = below(root, control::SERVICES);
    fs::create_dir_all(&dir)?;
    Ok(fs::write(dir.join(SERVICE), FILE)?)
}

/// Returns `path` below the directory that is open as `root`.
fn below(root: &File, path: &str) -> PathBuf {
    format!("/proc/self/fd/{}{path}", root.as_raw_fd()).into()
}

/// Runs `act` as root of the namespace, with the namespace's root directory.
fn there<T: Send>(pid1: &Running, act: impl FnOnce(&File) -> Result<T> + Send) -> Result<T> {
    let path = format!("/proc/{}/root", pid1.pid());
    let flags = libc::O_PATH | libc::O_CLOEXEC;
    let root = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)?;
    // A thread of its own: a thread cannot return from its new identity.
    std::thread::scope(|scope| {
        let visitor = scope.spawn(|| {
            become_root_there()?;
            act(&root)
        });
        visitor
            .join()
            .unwrap_or_else(|_| bail!("the visitor panicked"))
    })
}

/// Becomes root of the namespace if the caller is root outside; otherwise the caller is that user
/// already.
fn become_root_there() -> Result<()> {
    if !am_root() {
        return Ok(());
    }
    // libc's functions would change all threads.
    for call in [libc::SYS_setresgid, libc::SYS_setresuid] {
        // SAFETY: integers; only this thread changes.
        if unsafe { libc::syscall(call, BASE, BASE, BASE) } < 0 {
            bail!(
                "user {BASE}: {}",
                std::io::Error::from_raw_os_error(errno())
            );
        }
    }
    Ok(())
}
