// SPDX-License-Identifier: Apache-2.0
//! Connections to the host of a virtual machine (vsock(7)).

use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, VsockAddr, connect, socket};

/// Address of the host.
pub const HOST_CID: u32 = libc::VMADDR_CID_HOST;

/// Connects to a port of the host. A host that does not answer at all is waited for at most two
/// seconds (net/vmw_vsock/af_vsock.c, `VSOCK_DEFAULT_CONNECT_TIMEOUT`).
///
/// Once connected, a vsock stream is read and written as one of `AF_UNIX`.
///
/// # Errors
/// The errno of socket(2) or connect(2): ENODEV without a device, ECONNRESET where no process listens.
pub fn connect_to_host(port: u32) -> nix::Result<UnixStream> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let fd: OwnedFd = socket(AddressFamily::Vsock, SockType::Stream, flags, None)?;
    connect(fd.as_raw_fd(), &VsockAddr::new(HOST_CID, port))?;
    Ok(UnixStream::from(fd))
}
