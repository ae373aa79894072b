// SPDX-License-Identifier: Apache-2.0
//! `b2p unit-bus`: the private D-Bus socket of systemd's manager, for `podman auto-update`. That command pulls
//! newer images and asks the manager to restart the units of their containers: podman calls `RestartUnit`, waits
//! for the signal `JobRemoved`, and rolls an image back if the signal's result is not `done`
//! (podman-auto-update(1); org.freedesktop.systemd1(5)). Here the units are services of PID 1.
//!
//! Every user may connect and is identified by the kernel; a user's units are those of the user's quadlets.
//! The process ends after idle time: PID 1 holds the socket.

mod auth;
mod jobs;
pub mod message;
mod others;

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use control::Name;
use log::{info, warn};
use nix::poll::PollFlags;
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use sys::clock::now;
use sys::error::{Doing, Error, Result};

use self::jobs::Jobs;
use self::message::{Argument, Call};
use crate::common::control_client::ControlClient;
use crate::common::listen_fds::inherited_socket;
use crate::common::service_change::Verb;
use crate::common::service_env::Environment;
use crate::common::stop::poll_until;
use crate::helpers::engine::PodmanUser;
use crate::helpers::quadlet::dependents::is_of;
use crate::helpers::quadlet::{convert, host, kube, paths, unit::Unit};

/// Time without a connection after which the process ends, in milliseconds.
const IDLE_MS: u64 = 10_000;
/// Most connections at once of root, of all other users together, and of one of them: no user takes those of
/// root.
const MAX_ROOT: usize = 16;
const MAX_OTHERS: usize = 16;
const MAX_ONE: usize = 4;
/// Interface of the manager.
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
/// Path of the manager.
const MANAGER_PATH: &str = "/org/freedesktop/systemd1";

/// Connection, and the number of its user.
type Client = (u32, Arc<UnixStream>);

/// Connections, which are notified of each other's jobs.
#[derive(Clone, Default)]
struct Clients {
    list: Arc<Mutex<Vec<Client>>>,
    jobs: Jobs,
}

/// Number of the last job.
static JOBS: AtomicU32 = AtomicU32::new(0);

/// Serves the socket, and returns the exit status.
pub fn main(control: &ControlClient) -> i32 {
    match serve(control) {
        Ok(()) => 0,
        Err(why) => {
            warn!("unit-bus: {why}");
            1
        }
    }
}

fn serve(control: &ControlClient) -> Result<()> {
    let socket = inherited_socket().ok_or_else(|| Error::invalid("PID 1 has passed no socket"))?;
    let listener = UnixListener::from(socket);
    let clients = Clients::default();
    loop {
        let arrived = poll_until(
            &[(listener.as_fd(), PollFlags::POLLIN)],
            Some(now() + IDLE_MS),
        );
        if !arrived.unwrap_or(false) {
            match clients.count() {
                0 => return Ok(()),
                _ => continue,
            }
        }
        let Ok((stream, _)) = listener.accept() else {
            continue;
        };
        let uid = getsockopt(&stream, PeerCredentials).map(|peer| peer.uid());
        let stream = Arc::new(stream);
        if let Ok(uid) = uid
            && PodmanUser::is_known(uid)
            && clients.admit(uid, &stream)
        {
            serve_client(uid, stream, &clients, control);
        }
    }
}

/// Talks to a client in a thread. Without one the connection ends.
fn serve_client(uid: u32, stream: Arc<UnixStream>, clients: &Clients, control: &ControlClient) {
    let (own, all, control) = (Arc::clone(&stream), clients.clone(), control.clone());
    let thread = thread::Builder::new().spawn(move || {
        let _ = own.set_nonblocking(false);
        let _ = talk(uid, &own, &all, &control);
        all.remove(&own);
    });
    if let Err(why) = thread {
        warn!("unit-bus: a client is refused: {why}");
        clients.remove(&stream);
    }
}

impl Clients {
    fn with<T>(&self, change: impl FnOnce(&mut Vec<Client>) -> T) -> T {
        change(&mut self.list.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn count(&self) -> usize {
        self.with(|list| list.len())
    }

    /// Adds a connection, unless its user has enough of them.
    fn admit(&self, uid: u32, stream: &Arc<UnixStream>) -> bool {
        self.with(|list| {
            let users: Vec<u32> = list.iter().map(|(of, _)| *of).collect();
            let is_admitted = may_connect(uid, &users);
            if is_admitted {
                list.push((uid, Arc::clone(stream)));
            }
            is_admitted
        })
    }

    fn remove(&self, stream: &Arc<UnixStream>) {
        self.with(|list| list.retain(|(_, other)| !Arc::ptr_eq(other, stream)));
    }

    /// Returns true if a user has a connection.
    fn has(&self, uid: u32) -> bool {
        self.with(|list| list.iter().any(|(of, _)| *of == uid))
    }

    /// Sends a message to all connections of a user.
    fn tell(&self, uid: u32, message: &[u8]) {
        let all = self.with(|list| list.clone());
        for (_, stream) in all.iter().filter(|(of, _)| *of == uid) {
            let _ = (&**stream).write_all(message);
        }
    }
}

/// Returns true if a user may connect beside connections of these users.
fn may_connect(uid: u32, users: &[u32]) -> bool {
    let count = |of: &dyn Fn(u32) -> bool| users.iter().filter(|user| of(**user)).count();
    match uid {
        0 => count(&|user| user == 0) < MAX_ROOT,
        _ => count(&|user| user != 0) < MAX_OTHERS && count(&|user| user == uid) < MAX_ONE,
    }
}

/// Reads calls until the client closes the connection, or sends data that is no message.
fn talk(
    uid: u32,
    stream: &Arc<UnixStream>,
    clients: &Clients,
    control: &ControlClient,
) -> std::io::Result<()> {
    let (mut bytes, mut part, mut is_open) = (Vec::new(), [0; 4_096], false);
    loop {
        let n = (&**stream).read(&mut part)?;
        bytes.extend(part.get(..n).unwrap_or_default());
        if n == 0 {
            return Ok(());
        }
        if !is_open {
            let begun = auth::advance(&bytes);
            (&**stream).write_all(&begun.answer)?;
            bytes.drain(..begun.taken);
            is_open = begun.is_done;
            if !is_open && bytes.len() > auth::MAX_BYTES {
                return Ok(());
            }
        }
        if is_open
            && !read_calls(&mut bytes, |call| {
                answer(uid, call, stream, clients, control)
            })?
        {
            return Ok(());
        }
    }
}

/// Takes the whole messages out of `bytes`; returns false if there is one that is no message.
fn read_calls(
    bytes: &mut Vec<u8>,
    mut answer: impl FnMut(&Call) -> std::io::Result<()>,
) -> std::io::Result<bool> {
    loop {
        match message::parse(bytes) {
            Ok(None) => return Ok(true),
            Ok(Some((call, length))) => {
                bytes.drain(..length);
                call.as_ref().map_or(Ok(()), &mut answer)?;
            }
            Err(_) => return Ok(false),
        }
    }
}

/// Reaction to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Reaction {
    /// An empty reply.
    Agree,
    /// A change of a unit.
    Job(Verb, String),
    /// An error: its name and text.
    Refuse(&'static str, String),
}

fn react(call: &Call) -> Reaction {
    let verb = match call.member.as_str() {
        "RestartUnit" | "ReloadOrRestartUnit" => Verb::Restart,
        "StartUnit" => Verb::Start,
        "StopUnit" => Verb::Stop,
        "AddMatch" | "RemoveMatch" | "Subscribe" | "Unsubscribe" | "Ping" | "Hello" => {
            return Reaction::Agree;
        }
        other => {
            let why = format!("{other}: this manager restarts, starts and stops units");
            return Reaction::Refuse("org.freedesktop.DBus.Error.UnknownMethod", why);
        }
    };
    match &call.arguments[..] {
        [unit, _mode] if call.interface == MANAGER => Reaction::Job(verb, unit.clone()),
        _ => {
            let why = format!("{}: the name of a unit, and a mode", call.member);
            Reaction::Refuse("org.freedesktop.DBus.Error.InvalidArgs", why)
        }
    }
}

fn answer(
    uid: u32,
    call: &Call,
    stream: &Arc<UnixStream>,
    clients: &Clients,
    control: &ControlClient,
) -> std::io::Result<()> {
    let serial = call.serial;
    let bytes = match react(call) {
        Reaction::Agree => message::reply(serial, &[]),
        Reaction::Refuse(name, why) => message::error(serial, name, &why),
        Reaction::Job(verb, unit) => match service(uid, &unit) {
            Some(name) => match begin(uid, verb, unit, name, clients, control) {
                Ok(id) => message::reply(serial, &[Argument::Path(&job(id))]),
                Err(why) => {
                    let name = "org.freedesktop.DBus.Error.LimitsExceeded";
                    message::error(serial, name, &why.to_string())
                }
            },
            None => {
                let why = format!("Unit {unit} not found.");
                message::error(serial, "org.freedesktop.systemd1.NoSuchUnit", &why)
            }
        },
    };
    match call.expects_reply {
        true => (&**stream).write_all(&bytes),
        false => Ok(()),
    }
}

/// Begins a job and returns its number. The job waits for the unit as long as its user has a
/// connection.
fn begin(
    uid: u32,
    verb: Verb,
    unit: String,
    name: Name,
    clients: &Clients,
    control: &ControlClient,
) -> Result<u32> {
    let place = clients.jobs.take(uid);
    let too_many = || Error::invalid(format!("at most {} jobs at once", jobs::most(uid)));
    let place = place.ok_or_else(too_many)?;
    let id = JOBS.fetch_add(1, Ordering::Relaxed) + 1;
    let (clients, control) = (clients.clone(), control.clone());
    let run = move || {
        let result = run(&control, verb, &name, &|| clients.has(uid));
        drop(place);
        clients.tell(uid, &job_removed(id, &unit, result));
    };
    thread::Builder::new().spawn(run).doing("thread")?;
    Ok(id)
}

fn job(id: u32) -> String {
    format!("{MANAGER_PATH}/job/{id}")
}

fn job_removed(id: u32, unit: &str, result: &str) -> Vec<u8> {
    let job = job(id);
    let body = [
        Argument::Number(id),
        Argument::Path(&job),
        Argument::Text(unit),
        Argument::Text(result),
    ];
    message::signal(MANAGER_PATH, MANAGER, "JobRemoved", &body)
}

/// Returns the service that a unit of this user is.
fn service(uid: u32, unit: &str) -> Option<Name> {
    let passwd = sys::files::read_text("/etc/passwd").ok()?;
    let owner = host::owner(&PodmanUser::with_uid(&passwd, uid)?);
    let name = paths::service_name(unit, &owner)?;
    // Two users may have names of which one begins with the other.
    let text = sys::files::read_text(format!("{}/{name}", paths::DEFINITIONS)).ok()?;
    (convert::belongs_to(&text, &owner) && is_of(&name, unit)).then(|| Name::new(&name))?
}

/// Changes a service, waits for the change while a client wants the result, and returns the result
/// of the job.
fn run(
    control: &ControlClient,
    verb: Verb,
    name: &Name,
    is_wanted: &dyn Fn() -> bool,
) -> &'static str {
    let text = sys::files::read_text(paths::unit(name.as_str())).unwrap_or_default();
    let source = Unit::parse(&text);
    let source = source.last("Unit", "SourcePath").unwrap_or_default();
    if verb == Verb::Restart && source.starts_with(kube::DIR) {
        // The pods of a file that has not changed would start with their old images.
        let _ = kube::run::request_recreation(name.as_str());
    }
    let env = Environment::of(control).of_units();
    match others::change(&env, verb, name, is_wanted) {
        Ok(outcome) => {
            info!("{name}: {}ed for podman: {outcome}", verb.word());
            "done"
        }
        Err(why) => {
            warn!("{why}");
            "failed"
        }
    }
}

#[cfg(test)]
mod tests;
