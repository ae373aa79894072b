// SPDX-License-Identifier: Apache-2.0
//! Connections to a service: by the address of the service, by the address that the resolver returns, or to a program that
//! is started.
#![expect(
    unsafe_code,
    reason = "a started service gets its socket as descriptor 3"
)]

use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::TimeVal;
use nix::unistd::Pid;
use sys::error::{Doing, Error, Result};
use varlink::{Address, Call, Client, Map, Target, error, json, map};

use crate::common::pidfd;

use super::failure::{self, Failure};
use super::options::Options;
use super::{RESOLVER, activated, words};

/// Connection to a service, and the program that was started for the connection.
pub(super) struct Connected {
    pub socket: OwnedFd,
    pub started: Option<Started>,
}

impl Connected {
    /// Returns the program that was started for the connection, if there is one, and the client. Callers bind
    /// the client last: Rust drops bindings in reverse order, so the client is closed first. A bridge then ends,
    /// and the drop of [`Started`] does not wait for [`BRIDGE_END`].
    pub fn client(self) -> Result<(Option<Started>, Client), Failure> {
        let client = Client::new(self.socket).map_err(Failure::connect)?;
        Ok((self.started, client))
    }
}

/// Maximum time that a bridge may run after its input has ended.
const BRIDGE_END: Duration = Duration::from_secs(1);

/// Program that was started; the drop of the value ends the program.
pub(super) struct Started {
    child: Child,
    /// True for a service, which does not end with its client.
    is_service: bool,
}

impl Drop for Started {
    fn drop(&mut self) {
        let pid = self.child.id();
        // A bridge to another machine ends by itself, and may have something to clean up.
        let ends = !self.is_service && pidfd::ended_within(pid, BRIDGE_END);
        if !ends {
            let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGTERM);
        }
        let _ = self.child.wait();
    }
}

/// Connects to the service that `target` or the options -A and -b name, else to the address that the resolver returns.
///
/// # Errors
/// Two of these are given, the program cannot be started, or the connection fails.
pub(super) fn connect(options: &Options, target: &Target) -> Result<Connected, Failure> {
    let started = match (&options.activate, &options.bridge) {
        (None, None) => None,
        _ if target.address.is_some() => {
            let why = "an address cannot be combined with -A or -b";
            return Err(Failure::connect(why));
        }
        (Some(command), _) => Some(activate(command)),
        (None, Some(command)) => Some(bridge(command)),
    };
    let connected = match started {
        Some(connected) => connected.map_err(Failure::connect)?,
        None => Connected {
            socket: dial(options, target)?,
            started: None,
        },
    };
    set_receive_timeout(&connected.socket, options);
    Ok(connected)
}

/// Connects to the address of `target`, or to the address that the resolver returns for the interface.
fn dial(options: &Options, target: &Target) -> Result<OwnedFd, Failure> {
    let address = match &target.address {
        Some(address) => address.clone(),
        None => resolve(options, interface(&target.name))?,
    };
    let address = Address::parse(&address).map_err(Failure::connect)?;
    address.connect().map_err(Failure::connect)
}

/// Returns the interface in `name`: the part before the last dot if the part after the dot begins with a capital letter
/// (a method or a type), else all of `name`.
pub(super) fn interface(name: &str) -> &str {
    match name.rsplit_once('.') {
        Some((interface, member)) if member.starts_with(|c: char| c.is_ascii_uppercase()) => {
            interface
        }
        _ => name,
    }
}

/// Asks the resolver for the address of an interface. The result for `org.varlink.resolver` is the address of the resolver
/// itself.
pub(super) fn resolve(options: &Options, interface: &str) -> Result<String, Failure> {
    let resolver = options.resolver.as_deref().unwrap_or(RESOLVER);
    if interface == "org.varlink.resolver" {
        return Ok(resolver.to_owned());
    }
    let call = Call::new(
        "org.varlink.resolver.Resolve",
        map(json!({ "interface": interface })),
    );
    let reply = ask_resolver(options, resolver, &call);
    let address = reply.as_ref().ok().and_then(|reply| reply.get("address"));
    address
        .and_then(|address| address.as_str().map(str::to_owned))
        .ok_or_else(|| cannot_resolve(interface, reply.err()))
}

/// Calls a method of the resolver and returns its results.
pub(super) fn ask_resolver(options: &Options, resolver: &str, call: &Call) -> Result<Map> {
    let socket = Address::parse(resolver)?.connect()?;
    set_receive_timeout(&socket, options);
    let reply = Client::new(socket)?.call(call)?;
    match reply.error.as_deref() {
        None => Ok(reply.parameters),
        Some("org.varlink.resolver.InterfaceNotFound" | error::INTERFACE_NOT_FOUND) => {
            Ok(Map::new())
        }
        Some(name) => Err(Error::invalid(name.to_owned())),
    }
}

fn cannot_resolve(interface: &str, why: Option<Error>) -> Failure {
    let why = why.map_or(String::new(), |why| format!("\n{why}"));
    let text = format!("Error resolving interface {interface}{why}");
    Failure::new(failure::CANNOT_RESOLVE, text)
}

/// Sets the receive timeout of the socket to that of the options, in seconds; 0 or no option means none. A failure of
/// setsockopt(2) is ignored: the call then has no time limit.
fn set_receive_timeout(socket: &OwnedFd, options: &Options) {
    if let Some(seconds) = options.timeout.filter(|seconds| *seconds > 0) {
        let _ = setsockopt(
            socket,
            sockopt::ReceiveTimeout,
            &TimeVal::new(i64::from(seconds), 0),
        );
    }
}

/// Starts a command that speaks varlink on its standard input and output.
fn bridge(command: &str) -> Result<Connected> {
    let words = words::split(command, |name| std::env::var(name).ok())?;
    let (own, other) = UnixStream::pair().doing("socket pair")?;
    let input = OwnedFd::from(other);
    let output = input.try_clone().doing("socket pair")?;
    let child = Command::new(&words[0])
        .args(&words[1..])
        .stdin(Stdio::from(input))
        .stdout(Stdio::from(output))
        .spawn()
        .on(&words[0])
        .doing("start")?;
    Ok(Connected {
        socket: own.into(),
        started: Some(Started {
            child,
            is_service: false,
        }),
    })
}

/// Starts a command with a listening socket, and connects to the socket. The path of the socket is then removed, so that no
/// file remains, however this program ends.
fn activate(command: &str) -> Result<Connected> {
    let dir = private_dir()?;
    let connected = activate_in(&dir, command);
    let _ = std::fs::remove_file(dir.join("socket"));
    let _ = std::fs::remove_dir(&dir);
    connected
}

fn activate_in(dir: &Path, command: &str) -> Result<Connected> {
    let path = dir.join("socket");
    let address = format!("unix:{}", path.display());
    let listener = UnixListener::bind(&path).on(&path)?;
    let words = words::split(command, |name| match name {
        "VARLINK_ADDRESS" => Some(address.clone()),
        name => std::env::var(name).ok(),
    })?;
    let socket = UnixStream::connect(&path).on(&path)?;
    let child = spawn(&words, &address, &listener)?;
    // `listener` is closed here. The service has a descriptor of its own, so the socket is closed when the service ends.
    Ok(Connected {
        socket: socket.into(),
        started: Some(Started {
            child,
            is_service: true,
        }),
    })
}

fn spawn(words: &[String], address: &str, listener: &UnixListener) -> Result<Child> {
    let fd = listener.as_raw_fd();
    let mut command = Command::new("/proc/self/exe");
    command.arg0(activated::NAME).args(words);
    command.env("VARLINK_ADDRESS", address);
    // SAFETY: dup2, fcntl and prctl are async-signal-safe, and nothing is allocated.
    unsafe {
        command.pre_exec(move || {
            let moved = match fd {
                // A descriptor that has the number already only loses FD_CLOEXEC.
                3 => libc::fcntl(3, libc::F_SETFD, 0),
                fd => libc::dup2(fd, 3),
            };
            if moved < 0 {
                return Err(std::io::Error::last_os_error());
            }
            Ok(set_pdeathsig(Signal::SIGTERM)?)
        });
    }
    command.spawn().doing("start the service")
}

/// Makes a directory that only this user may enter.
fn private_dir() -> Result<PathBuf> {
    nix::unistd::mkdtemp(&std::env::temp_dir().join("varlink-XXXXXX"))
        .doing("directory for the socket")
}
