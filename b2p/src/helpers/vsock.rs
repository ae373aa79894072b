// SPDX-License-Identifier: Apache-2.0
//! `b2p vsock`: ssh and the podman API for a host without a network to the machine (vsock(7)).
//! PID 1 runs the helper if a flag requests it.
//!
//! Sockets of vsock belong to no namespace, so that a container reaches them, too. Connections that
//! are not from the host are closed.

use std::fs::File;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use config::Config;
use log::{info, warn};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, VsockAddr, accept4, bind, getpeername, listen,
    socket,
};
use sys::error::{Doing, Error, Result};
use sys::exit_status::EX_CONFIG;
use sys::paths::PODMAN_SOCKET;
use sys::vsock::HOST_CID;
use sys::{config_sources, uevent};

use crate::common::degraded::Degraded;
use crate::helpers::block::drivers::Drivers;

const DEVICE: &str = "/dev/vsock";
/// Port of ssh, the same number as with TCP.
const SSH_PORT: u32 = 22;
/// Port of the podman API, that of docker's API without TLS: a program that can open vsock on
/// the host needs no key.
const API_PORT: u32 = 2375;
/// Pause after accept(2) has failed for lack of descriptors or memory.
const SHORTAGE_PAUSE: std::time::Duration = std::time::Duration::from_millis(250);
/// Connections of the host beyond this number are closed.
const MAX_CONNECTIONS: usize = 256;
/// Connections that may wait to be accepted on a port.
const BACKLOG: i32 = 128;

/// Number of connections that were not from the host.
static REFUSED_CONNECTIONS: AtomicUsize = AtomicUsize::new(0);

/// Serves until the machine ends. Returns after a report otherwise: [`EX_CONFIG`] if the host gives no address,
/// 1 if no socket can be opened, which may succeed at another start.
pub fn main() -> i32 {
    let config = config_sources::read().0;
    Drivers::of_the_machine().load(uevent::is_vsock);
    let fail = |why, status| {
        let mut degraded = Degraded::of("vsock");
        degraded.warn(why);
        let _ = degraded.report();
        i32::from(status)
    };
    let (cid, listeners) = match (own_cid(), listeners(&config)) {
        (Err(why), _) => return fail(why, EX_CONFIG),
        (_, Err(why)) => return fail(why, 1),
        (Ok(cid), Ok(listeners)) => (cid, listeners),
    };
    info!("vsock: the host reaches this machine at {cid}");
    crate::common::notify::ready();
    serve(&listeners)
}

fn serve(listeners: &[Listener]) -> ! {
    let connections = Arc::new(AtomicUsize::new(0));
    loop {
        let mut fds: Vec<PollFd<'_>> = listeners
            .iter()
            .map(|listener| PollFd::new(listener.fd.as_fd(), PollFlags::POLLIN))
            .collect();
        let _ = poll(&mut fds, PollTimeout::NONE);
        let ready = fds.iter().map(|fd| fd.any() == Some(true));
        for (listener, _) in listeners.iter().zip(ready).filter(|(_, ready)| *ready) {
            accept(listener, &connections);
        }
    }
}

/// Returns the address (CID) by which the host reaches this machine.
fn own_cid() -> Result<u32> {
    let no_address = || {
        Error::invalid("the host gives no address (QEMU: -device vhost-vsock-pci,guest-cid=NUMBER)")
    };
    let device = File::open(DEVICE).map_err(|_| no_address())?;
    match local_cid(&device).on(DEVICE)? {
        cid if cid > HOST_CID && cid != libc::VMADDR_CID_ANY => Ok(cid),
        // Without a transport of the host, the kernel returns a reserved number.
        _ => Err(no_address()),
    }
}

/// Asks the kernel for the address (linux/vm_sockets.h, IOCTL_VM_SOCKETS_GET_LOCAL_CID).
fn local_cid(device: &File) -> nix::Result<u32> {
    const GET_LOCAL_CID: libc::c_ulong = 0x7b9;
    let mut cid: libc::c_uint = 0;
    // SAFETY: the kernel writes one unsigned int to the address.
    #[expect(unsafe_code, reason = "nix has no wrapper for this ioctl(2)")]
    let done = unsafe { libc::ioctl(device.as_raw_fd(), GET_LOCAL_CID as _, &raw mut cid) };
    Errno::result(done).map(|_| cid)
}

/// Handles one connection to its end.
type Handler = fn(OwnedFd) -> io::Result<()>;

/// Listening socket of one port.
struct Listener {
    fd: OwnedFd,
    port: u32,
    handler: Handler,
}

/// Opens the ports. A service that flags turn off is not offered here either.
fn listeners(config: &Config) -> Result<Vec<Listener>> {
    let has_api = config.podman != config::Podman::Off;
    let ports: [(bool, u32, Handler); 2] = [
        (config.sshd, SSH_PORT, run_sshd),
        (has_api, API_PORT, connect_to_api),
    ];
    let offered = ports.into_iter().filter(|(is_offered, ..)| *is_offered);
    offered
        .map(|(_, port, handler)| {
            let fd = bound(port).doing(format!("port {port}"))?;
            Ok(Listener { fd, port, handler })
        })
        .collect()
}

fn bound(port: u32) -> nix::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Vsock, SockType::Stream, flags, None)?;
    bind(fd.as_raw_fd(), &VsockAddr::new(libc::VMADDR_CID_ANY, port))?;
    listen(&fd, Backlog::new(BACKLOG)?)?;
    Ok(fd)
}

/// Returns true if accept(2) has failed for lack of descriptors or memory.
fn is_shortage(why: Errno) -> bool {
    use Errno::{EMFILE, ENFILE, ENOBUFS, ENOMEM};
    matches!(why, EMFILE | ENFILE | ENOBUFS | ENOMEM)
}

/// Accepts one connection, and serves it on a thread of its own.
fn accept(listener: &Listener, connections: &Arc<AtomicUsize>) {
    let fd = match accept4(listener.fd.as_raw_fd(), SockFlag::SOCK_CLOEXEC) {
        Ok(fd) => fd,
        Err(why) => {
            // poll(2) returns at once while a connection waits; the pause keeps the loop from spinning.
            if is_shortage(why) {
                warn!("vsock: port {}: {why}", listener.port);
                std::thread::sleep(SHORTAGE_PAUSE);
            }
            return;
        }
    };
    // SAFETY: accept4(2) has made the descriptor, which has no other owner.
    #[expect(unsafe_code, reason = "a descriptor from a system call")]
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let peer = getpeername::<VsockAddr>(fd.as_raw_fd()).map(|address| address.cid());
    let (port, handler) = (listener.port, listener.handler);
    if !peer.is_ok_and(is_host) {
        // Logged for the 1st, 2nd, 4th, … time: a container may connect any number of times.
        let refused = REFUSED_CONNECTIONS.fetch_add(1, Ordering::SeqCst) + 1;
        if refused.is_power_of_two() {
            let peer = peer.map_or_else(|e| e.to_string(), |cid| format!("CID {cid}"));
            warn!("vsock: port {port}: {peer}: not the host: refused, {refused} so far");
        }
        return;
    }
    if connections.fetch_add(1, Ordering::SeqCst) >= MAX_CONNECTIONS {
        connections.fetch_sub(1, Ordering::SeqCst);
        return warn!("vsock: port {port}: more than {MAX_CONNECTIONS} at once");
    }
    let connections = Arc::clone(connections);
    thread::spawn(move || {
        if let Err(e) = handler(fd) {
            warn!("vsock: port {port}: {e}");
        }
        connections.fetch_sub(1, Ordering::SeqCst);
    });
}

/// Returns true if the CID is that of the host. Other CIDs are other machines and this machine, whose
/// containers can open sockets of AF_VSOCK as well.
fn is_host(cid: u32) -> bool {
    cid == HOST_CID
}

/// Runs sshd as inetd would; sshd requires a key as on the network.
fn run_sshd(connection: OwnedFd) -> io::Result<()> {
    let mut sshd = Command::new("/usr/sbin/sshd");
    sshd.args(["-i", "-e"])
        .stdout(connection.try_clone()?)
        .stdin(Stdio::from(connection));
    let mut child = sshd.spawn()?;
    drop(sshd); // The Command has copies of the connection, which would keep it open.
    child.wait().map(drop)
}

/// Copies between the connection and the API's socket.
fn connect_to_api(connection: OwnedFd) -> io::Result<()> {
    // Once connected, a vsock stream is read and written as one of AF_UNIX.
    let (mut host, mut api) = (
        UnixStream::from(connection),
        UnixStream::connect(PODMAN_SOCKET)?,
    );
    let (mut from_host, mut to_api) = (host.try_clone()?, api.try_clone()?);
    let requests = thread::spawn(move || {
        let copied = io::copy(&mut from_host, &mut to_api);
        let _ = to_api.shutdown(Shutdown::Write);
        copied
    });
    let answers = io::copy(&mut api, &mut host);
    let _ = host.shutdown(Shutdown::Both);
    let _ = requests.join();
    answers.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_host_is_welcome() {
        assert!(is_host(2));
        let others = [0, 1, 3, 42, libc::VMADDR_CID_ANY];
        assert!(!others.into_iter().any(is_host));
    }
}
