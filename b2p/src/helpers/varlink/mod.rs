// SPDX-License-Identifier: Apache-2.0
//! Varlink services of the machine: each has a socket that PID 1 holds, starts with the first
//! client, and ends after idle time (docs/reference/varlink.md).

#[cfg(test)]
mod conforms;
pub mod machine;
pub mod podman;
pub mod resolver;

use std::os::fd::{AsFd, OwnedFd};

use sys::error::{Doing, Error, Result};
use varlink::{Address, Connection, Limits, Service};

use crate::common::listen_fds::inherited_socket;

/// Variable by which systemd's tools ask for a service on the standard input and output.
const LISTEN: &str = "SYSTEMD_VARLINK_LISTEN";

/// Runs a service on the socket that the parent process passed, on the standard input and output if
/// `SYSTEMD_VARLINK_LISTEN=-`, or at the address in the arguments. A passed socket wins: `varlink -A
/// 'podman varlink \$VARLINK_ADDRESS'` passes the word unchanged. Returns the exit status.
pub(crate) fn run(name: &str, service: &Service<'_>, args: &[String], limits: Limits) -> i32 {
    match listen(service, args, limits) {
        Ok(()) => 0,
        Err(e) => {
            log::error!("{name}: {e}");
            eprintln!("{name}: {e}");
            1
        }
    }
}

fn listen(service: &Service<'_>, args: &[String], limits: Limits) -> Result<()> {
    if let Some(socket) = inherited_socket() {
        return varlink::serve(service, socket, limits);
    }
    if std::env::var(LISTEN).is_ok_and(|value| value == "-") {
        let input = std::io::stdin().as_fd().try_clone_to_owned();
        let output = std::io::stdout().as_fd().try_clone_to_owned();
        let connection = Connection::of_two(
            input.doing("input")?,
            output.doing("output")?,
            limits.message,
        );
        return service.run(connection);
    }
    let address = args.iter().find(|arg| !arg.starts_with("--timeout"));
    let address = address.map(|arg| arg.strip_prefix("--varlink=").unwrap_or(arg));
    let address = address.ok_or_else(|| {
        Error::invalid(
            "no socket was passed (LISTEN_FDS), and no address is given, such as unix:/run/x",
        )
    })?;
    varlink::serve(service, bind(address)?, limits)
}

/// Listens at `unix:/path` or `unix:@name`, for root only. A socket in a file replaces one without
/// a listener.
fn bind(text: &str) -> Result<OwnedFd> {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
    match Address::parse(text)? {
        Address::Unix(path) => {
            if UnixStream::connect(&path).is_err() {
                let _ = std::fs::remove_file(&path);
            }
            let listener = UnixListener::bind(&path).on(&path)?;
            let mode = std::fs::Permissions::from_mode(0o600);
            std::fs::set_permissions(&path, mode).on(&path)?;
            Ok(listener.into())
        }
        Address::Abstract(name) => {
            let address = SocketAddr::from_abstract_name(&name).on(&name)?;
            Ok(UnixListener::bind_addr(&address).on(&name)?.into())
        }
        _ => Err(Error::invalid(format!(
            "{text}: not a place to listen: must be unix:/path"
        ))),
    }
}
