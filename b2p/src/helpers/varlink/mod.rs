// SPDX-License-Identifier: Apache-2.0
//! Varlink services of the machine: each has a socket that PID 1 holds, starts with the first
//! client, and ends after idle time (docs/reference/varlink.md).

#[cfg(test)]
mod conforms;
pub mod machine;
pub mod podman;
pub mod resolver;

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use sys::error::{Doing, Error, Result};
use varlink::{Address, Connection, Limits, Service};

use crate::common::args::{Arg, Args, Problem};
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
    let by_hand = ByHand::parse(args)?;
    let limits = Limits {
        idle: by_hand.idle.unwrap_or(limits.idle),
        ..limits
    };
    varlink::serve(service, bind(by_hand.address)?, limits)
}

/// Arguments of a service that is started by hand: those of `podman varlink` of podman 1, and the option `--varlink`
/// of libvarlink's services.
#[derive(Debug, PartialEq, Eq)]
struct ByHand<'a> {
    address: &'a str,
    /// Time without a connection after which the service ends.
    idle: Option<Duration>,
}

impl ByHand<'_> {
    fn parse(args: &[String]) -> Result<ByHand<'_>> {
        let (mut address, mut idle) = (None, None);
        let mut reader = Args::new(args);
        let wrong = |problem: Problem| Error::invalid(problem.to_string());
        while let Some(arg) = reader.next_arg().map_err(wrong)? {
            match arg {
                Arg::Long("varlink") => address = Some(reader.value("--varlink").map_err(wrong)?),
                Arg::Short('t') | Arg::Long("time" | "timeout") => {
                    idle = Some(milliseconds(reader.value("--timeout").map_err(wrong)?)?);
                }
                Arg::Operand(operand) if address.is_none() => address = Some(operand),
                other => return Err(wrong(other.unknown())),
            }
        }
        let address = address.ok_or_else(|| {
            Error::invalid(
                "no socket was passed (LISTEN_FDS), and no address is given, such as unix:/run/x",
            )
        })?;
        Ok(ByHand { address, idle })
    }
}

/// Parses the idle time of `podman varlink`: milliseconds, 0 for a service without an end.
fn milliseconds(text: &str) -> Result<Duration> {
    match text.parse() {
        Ok(0) => Ok(Duration::MAX),
        Ok(number) => Ok(Duration::from_millis(number)),
        Err(_) => Err(Error::invalid(format!(
            "--timeout {text}: must be a number of milliseconds, or 0 for no end"
        ))),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<(String, Option<Duration>), String> {
        let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let parsed = ByHand::parse(&args).map_err(|e| e.to_string())?;
        Ok((parsed.address.to_owned(), parsed.idle))
    }

    #[test]
    fn a_service_by_hand_has_an_address_and_an_idle_time() {
        let second = Some(Duration::from_secs(1));
        for (line, address, idle) in [
            ("unix:/x", "unix:/x", None),
            ("--varlink=unix:/x", "unix:/x", None),
            ("--timeout 0 unix:/x", "unix:/x", Some(Duration::MAX)),
            ("unix:/x --timeout=1000", "unix:/x", second),
            ("--time 1000 unix:/x", "unix:/x", second),
            ("-t1000 -- unix:/x", "unix:/x", second),
        ] {
            assert_eq!(parse(line), Ok((address.to_owned(), idle)), "{line}");
        }
        for (line, why) in [
            ("", "no address is given"),
            ("--timeout=0", "no address is given"),
            ("unix:/x --timeout", "--timeout needs a value"),
            ("--timeout soon unix:/x", "--timeout soon: must be a number"),
            ("unix:/x -q", "-q: no such option"),
            ("unix:/x unix:/y", "unix:/y: no such argument"),
        ] {
            let found = parse(line);
            assert!(
                found.as_ref().is_err_and(|e| e.contains(why)),
                "{line}: {found:?}"
            );
        }
    }
}
