//! ssh and the podman API for a host without a network to the machine (vsock(7)):
//! `b2p vsock`, run by PID 1 where a flag asks for it.
//!
//! Sockets of vsock are in no namespace: a container reaches them, too. Whoever is not the
//! host is shown the door.

use std::fs::File;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use log::{info, warn};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, VsockAddr, accept4, bind, getpeername, listen,
    socket,
};
use sys::modules::Modules;
use sys::paths::PODMAN_SOCKET;
use sys::{config_sources, uevent};

use crate::common::degraded::Degraded;

/// The host's address (vsock(7), VMADDR_CID_HOST).
const HOST: u32 = libc::VMADDR_CID_HOST;
/// As with TCP.
const SSH: u32 = 22;
/// As docker's API without TLS has it: who can open vsock on the host needs no key.
const ENGINE: u32 = 2375;
/// So many at once; a host that wants more waits.
const MOST: usize = 256;

/// So many were not the host.
static REFUSED: AtomicUsize = AtomicUsize::new(0);
/// As a service says that another start is no use (`services::Restart`).
const NEVER: i32 = 125;

/// Serves until the end of the machine; an exit status, where it cannot.
pub fn main() -> i32 {
    let config = config_sources::read().0;
    driver(&config);
    let listeners = match own_address().and_then(|cid| Ok((cid, listeners(&config)?))) {
        Ok((cid, listeners)) => {
            info!("vsock: the host reaches this machine at {cid}");
            listeners
        }
        Err(why) => {
            let mut degraded = Degraded::of("vsock");
            degraded.warn(why);
            let _ = degraded.report();
            return NEVER;
        }
    };
    crate::common::notify::ready();
    let open = Arc::new(AtomicUsize::new(0));
    loop {
        let mut fds: Vec<PollFd<'_>> = listeners
            .iter()
            .map(|l| PollFd::new(l.fd.as_fd(), PollFlags::POLLIN))
            .collect();
        let _ = poll(&mut fds, PollTimeout::NONE);
        let ready = fds.iter().map(|f| f.any() == Some(true));
        for (listener, _) in listeners.iter().zip(ready).filter(|(_, r)| *r) {
            come(listener, &open);
        }
    }
}

/// Gives the device its driver.
fn driver(config: &config::Config) {
    let modules = Modules::open(Path::new("/"));
    let Ok(mut modules) = modules.inspect_err(|why| warn!("vsock: {why}")) else {
        return;
    };
    modules.configure(
        &config.blacklist,
        config.modules == config::Modules::Verified,
    );
    uevent::coldplug(Path::new(uevent::SYSFS), &mut modules, uevent::is_vsock);
}

/// The number by which the host knows this machine.
fn own_address() -> Result<u32, String> {
    let none = "the host gives no address (QEMU: -device vhost-vsock-pci,guest-cid=NUMBER)";
    let device = File::open("/dev/vsock").map_err(|_| none.to_owned())?;
    match crate::helpers::data::ioctl::local_cid(&device) {
        // No transport, or the loopback alone.
        Ok(cid) if cid > HOST && cid != libc::VMADDR_CID_ANY => Ok(cid),
        Ok(_) => Err(none.to_owned()),
        Err(e) => Err(format!("/dev/vsock: {e}")),
    }
}

/// Who comes is handed to this.
type Serve = fn(OwnedFd) -> io::Result<()>;

struct Listener {
    fd: OwnedFd,
    port: u32,
    serve: Serve,
}

fn listeners(config: &config::Config) -> Result<Vec<Listener>, String> {
    let mut all = Vec::new();
    // What is off is off by this way, too.
    let api = config.podman != config::Podman::Off;
    let ports: [(bool, u32, Serve); 2] = [(config.sshd, SSH, shell), (api, ENGINE, engine)];
    for (_, port, serve) in ports.iter().filter(|(on, _, _)| *on) {
        let bound = || {
            let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
            let fd = socket(AddressFamily::Vsock, SockType::Stream, flags, None)?;
            bind(fd.as_raw_fd(), &VsockAddr::new(libc::VMADDR_CID_ANY, *port))?;
            listen(&fd, Backlog::new(128)?).map(|()| fd)
        };
        all.push(Listener {
            fd: bound().map_err(|e| format!("port {port}: {e}"))?,
            port: *port,
            serve: *serve,
        });
    }
    Ok(all)
}

/// Takes one, and serves it on a thread of its own.
fn come(listener: &Listener, open: &Arc<AtomicUsize>) {
    let Ok(fd) = accept4(listener.fd.as_raw_fd(), SockFlag::SOCK_CLOEXEC) else {
        return; // gone again
    };
    // SAFETY: accept4(2) has made it, and nobody else has it.
    #[expect(unsafe_code, reason = "a descriptor from a system call")]
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let peer = getpeername::<VsockAddr>(fd.as_raw_fd()).map(|a| a.cid());
    let (port, serve) = (listener.port, listener.serve);
    if !peer.is_ok_and(welcome) {
        // The 1st, 2nd, 4th, … is told of: a container may come as often as it likes.
        let refused = REFUSED.fetch_add(1, Ordering::SeqCst) + 1;
        if refused.is_power_of_two() {
            warn!("vsock: port {port}: {peer:?} is not the host: refused, {refused} so far");
        }
        return;
    }
    if open.fetch_add(1, Ordering::SeqCst) >= MOST {
        open.fetch_sub(1, Ordering::SeqCst);
        return warn!("vsock: port {port}: more than {MOST} at once");
    }
    let counted = Arc::clone(open);
    thread::spawn(move || {
        if let Err(e) = serve(fd) {
            warn!("vsock: port {port}: {e}");
        }
        counted.fetch_sub(1, Ordering::SeqCst);
    });
}

/// The host alone: not this machine itself, whose containers could come, nor another.
fn welcome(cid: u32) -> bool {
    cid == HOST
}

/// sshd as inetd would start it; it asks for a key as it does of everybody.
fn shell(fd: OwnedFd) -> io::Result<()> {
    let mut sshd = Command::new("/usr/sbin/sshd");
    sshd.args(["-i", "-e"])
        .stdout(fd.try_clone()?)
        .stdin(Stdio::from(fd));
    let mut child = sshd.spawn()?;
    drop(sshd); // or the connection would stay open
    child.wait().map(drop)
}

/// To the API's socket and back.
fn engine(fd: OwnedFd) -> io::Result<()> {
    // A stream like any other, once it is there.
    let (mut host, mut api) = (UnixStream::from(fd), UnixStream::connect(PODMAN_SOCKET)?);
    let (mut from, mut to) = (host.try_clone()?, api.try_clone()?);
    let there = thread::spawn(move || {
        let done = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
        done
    });
    let back = io::copy(&mut api, &mut host);
    let _ = host.shutdown(Shutdown::Both);
    let _ = there.join();
    back.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_host_is_welcome() {
        assert!(welcome(2));
        let others = [0, 1, 3, 42, libc::VMADDR_CID_ANY];
        assert!(!others.into_iter().any(welcome));
    }
}
