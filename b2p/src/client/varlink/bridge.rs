// SPDX-License-Identifier: Apache-2.0
//! `varlink bridge`: passes calls from the standard input on to services, and replies back.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use sys::error::{Doing, Result};
use varlink::{Call, Client, Connection, Reply, SERVICE_INTERFACE, Target, error, json, map};

use super::connect::{self, connect};
use super::failure::{self, Failure};
use super::options::{Options, wrong};
use super::{RESOLVER, pump};
use crate::common::args::{Arg, Args};

/// Longest call that is passed on, in bytes.
const LIMIT: usize = 16 << 20;

/// Runs the command. With one service, given by -A, -b or --connect, the bridge copies bytes, so
/// that upgrades work; without one, the bridge asks the resolver for the service of each call.
pub(super) fn main(options: &Options, args: &[String]) -> Result<(), Failure> {
    let mut address = None;
    let mut reader = Args::new(args);
    while let Some(arg) = reader.next_arg().map_err(wrong)? {
        match arg {
            Arg::Short('c') | Arg::Long("connect") => {
                address = Some(reader.value("-c").map_err(wrong)?.to_owned());
            }
            other => return Err(wrong(other.unknown())),
        }
    }
    let (input, output) = standard().map_err(Failure::connect)?;
    if address.is_none() && options.activate.is_none() && options.bridge.is_none() {
        let connection = Connection::of_two(input, output, LIMIT);
        return route(options, connection);
    }
    let target = Target {
        address,
        name: String::new(),
    };
    let connected = connect(options, &target)?;
    pump::both_ways(connected.socket, input, output).map_err(Failure::connect)?;
    drop(connected.started);
    Ok(())
}

/// Returns duplicates of the standard input and output.
fn standard() -> Result<(OwnedFd, OwnedFd)> {
    let input = std::io::stdin().as_fd().try_clone_to_owned();
    let output = std::io::stdout().as_fd().try_clone_to_owned();
    Ok((
        input.doing("standard input")?,
        output.doing("standard output")?,
    ))
}

/// Passes on one call after the other, each to the service of its interface.
fn route(options: &Options, mut connection: Connection) -> Result<(), Failure> {
    end_with_reader(connection.output());
    let invalid = |e: sys::error::Error| Failure::new(failure::INVALID_MESSAGE, e.to_string());
    while let Some(message) = connection.receive().map_err(invalid)? {
        let call = Call::parse(&message).map_err(invalid)?;
        if call.malformed {
            // A service would see a call without parameters, which `PowerOff` accepts.
            answer(
                &mut connection,
                &call,
                &Reply::invalid_parameter("parameters"),
            );
            continue;
        }
        let interface = interface_of(&call).to_owned();
        let found =
            find(options, &interface).and_then(|client| pass_on(client, &call, &mut connection));
        if let Err(failure) = found {
            let parameters = map(json!({ "interface": interface }));
            let reply = Reply::failed(error::INTERFACE_NOT_FOUND, parameters);
            answer(&mut connection, &call, &reply);
            return Err(Failure {
                status: failure::PANIC,
                ..failure
            });
        }
    }
    Ok(())
}

/// Ends the process with the reader of its output: a service that waits for an event would write nothing for it. The
/// service sees the end of its connection.
fn end_with_reader(output: BorrowedFd<'_>) {
    let Ok(output) = output.try_clone_to_owned() else {
        return;
    };
    std::thread::spawn(move || {
        pump::wait_for_end(output.as_fd());
        std::process::exit(0);
    });
}

/// Replies to a call, unless the client does not read a reply.
fn answer(connection: &mut Connection, call: &Call, reply: &Reply) {
    if !call.oneway {
        let _ = connection.send(&reply.encode());
    }
}

/// Returns the interface whose service answers a call. The service of an interface
/// describes the interface, and the resolver answers calls about the machine's services.
fn interface_of(call: &Call) -> &str {
    let described = call
        .parameters
        .get("interface")
        .and_then(|name| name.as_str());
    match (call.names(), described) {
        (Some((SERVICE_INTERFACE, "GetInterfaceDescription")), Some(name)) => name,
        (Some((SERVICE_INTERFACE, _)), _) => "org.varlink.resolver",
        (Some((interface, _)), _) => interface,
        (None, _) => &call.method,
    }
}

fn find(options: &Options, interface: &str) -> Result<Client, Failure> {
    let address = match interface {
        SERVICE_INTERFACE => options.resolver.as_deref().unwrap_or(RESOLVER).to_owned(),
        interface => connect::resolve(options, interface)?,
    };
    let socket = varlink::Address::parse(&address).and_then(|address| address.connect());
    Client::new(socket.map_err(Failure::connect)?).map_err(Failure::connect)
}

/// Passes a call on, and its replies back. A call for an upgrade would need the whole connection.
fn pass_on(mut client: Client, call: &Call, back: &mut Connection) -> Result<(), Failure> {
    let lost = |e: sys::error::Error| Failure::new(failure::CONNECTION_CLOSED, e.to_string());
    // The machine as a whole answers as the resolver does.
    let method = match call.method.as_str() {
        "org.varlink.service.GetInfo" => "org.varlink.resolver.GetInfo",
        method => method,
    };
    let call = Call {
        upgrade: false,
        method: method.to_owned(),
        ..call.clone()
    };
    client.send(&call).map_err(lost)?;
    if call.oneway {
        return Ok(());
    }
    loop {
        let reply = client
            .receive()
            .map_err(lost)?
            .ok_or_else(Failure::closed)?;
        back.send(&reply.encode()).map_err(lost)?;
        if !reply.continues {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interface_of_a_call_selects_the_service() {
        let parameters = || map(json!({ "interface": "io.podman" }));
        for (method, interface) in [
            ("org.varlink.service.GetInfo", "org.varlink.resolver"),
            ("org.varlink.service.GetInterfaceDescription", "io.podman"),
            ("org.varlink.resolver.Resolve", "org.varlink.resolver"),
            ("a.b.C", "a.b"),
            ("nothing", "nothing"),
        ] {
            let call = Call::new(method, parameters());
            assert_eq!(interface_of(&call), interface, "{method}");
        }
    }
}
