// SPDX-License-Identifier: Apache-2.0
//! `b2p varlink-podman`: the interface `io.podman` of podman 1, on top of podman's REST API.
//!
//! Most methods are rules in a file, which an interpreter ([`rules`]) follows: written as functions, they made the
//! program 65 kB larger. The other methods are rows of [`METHODS`]. The description has the types of parameters and
//! results.

mod api;
mod attach;
mod copy;
mod create;
mod errors;
mod expression;
mod files;
mod filters;
pub mod frames;
mod http;
mod inspection;
mod kube;
mod logs;
pub mod paths;
mod requests;
mod rules;
mod sockets;
mod spool;
mod time;
mod words;

use sys::error::Doing;
use sys::paths::{PODMAN_PROGRAM, PODMAN_SOCKET, USER_PODMAN_SOCKET, USER_RUNTIME_DIRS};
use varlink::{Answer, Done, Exchange, Interface, Limits, Service, Value};

use api::{Api, Outcome};
use rules::Rules;

/// Description of the interface, and the rules of its methods: files, which the image compresses.
const DESCRIPTION_FILE: &str = "/usr/share/varlink/io.podman.varlink";
const RULES_FILE: &str = "/usr/share/varlink/io.podman.rules";
#[cfg(test)]
const DESCRIPTION: &str =
    include_str!("../../../../../initramfs/files/usr/share/varlink/io.podman.varlink");
#[cfg(test)]
const RULES: &str =
    include_str!("../../../../../initramfs/files/usr/share/varlink/io.podman.rules");

/// Runs the service and returns the exit status.
#[must_use]
pub fn main(args: &[String]) -> i32 {
    let api = api_of(nix::unistd::geteuid().as_raw());
    let podman = match Podman::read(api) {
        Ok(podman) => podman,
        Err(e) => {
            log::error!("varlink-podman: {e}");
            return 1;
        }
    };
    let version = version().unwrap_or_default();
    let service = Service {
        vendor: "Atomic",
        product: "podman",
        version: &version,
        url: "https://github.com/containers/podman",
        interfaces: &[&podman],
    };
    super::run("varlink-podman", &service, args, Limits::PRIVILEGED)
}

/// Returns the API that all methods use: that of root's podman for root, and that of the user's own podman for another
/// user, even if the user may connect to root's.
fn api_of(uid: u32) -> Api {
    match uid {
        0 => Api {
            socket: PODMAN_SOCKET.into(),
            spool: spool::Spool::default(),
        },
        uid => Api {
            socket: format!("{USER_RUNTIME_DIRS}/{uid}/{USER_PODMAN_SOCKET}").into(),
            spool: spool::Spool::at(format!("{USER_RUNTIME_DIRS}/{uid}/varlink").into()),
        },
    }
}

/// Returns the version of the installed podman, which clients show. The program prints it, because a request to the API
/// would start podman's service.
fn version() -> Option<String> {
    let output = std::process::Command::new(PODMAN_PROGRAM)
        .arg("--version")
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    Some(text.trim().rsplit(' ').next()?.to_owned())
}

/// The interface `io.podman`.
struct Podman {
    api: Api,
    description: String,
    rules: Rules,
}

impl Podman {
    /// Reads the description and the rules.
    fn read(api: Api) -> sys::error::Result<Podman> {
        let read = |path| std::fs::read_to_string(path).on(path);
        Podman::new(api, read(DESCRIPTION_FILE)?, &read(RULES_FILE)?).on(RULES_FILE)
    }

    fn new(api: Api, description: String, rules: &str) -> sys::error::Result<Podman> {
        Ok(Podman {
            rules: Rules::parse(&description, rules)?,
            api,
            description,
        })
    }
}

impl Interface for Podman {
    fn name(&self) -> &str {
        "io.podman"
    }

    fn description(&self) -> &str {
        &self.description
    }

    fn call(&self, exchange: &mut Exchange<'_>) -> Answer {
        let parameters = &exchange.call.parameters;
        if let Some((declared, _)) = self.rules.method(exchange.method) {
            expression::check_fields(&self.rules, declared, parameters)?;
        }
        match METHODS.iter().find(|(name, _)| *name == exchange.method) {
            Some((_, run)) => run(&self.api, &Value::Object(parameters.clone()), exchange),
            None => rules::follow(self, exchange),
        }
    }
}

/// Method that sends no request and is therefore no rule: its name, and its function.
type Method = (
    &'static str,
    fn(&Api, &Value, &mut Exchange<'_>) -> Outcome<Done>,
);

/// Methods that are functions and not rules.
#[rustfmt::skip]
const METHODS: &[Method] = &[
    ("CreateContainer", create::create),
    ("ReceiveFile",     files::receive),
    ("SendFile",        files::send),
];

#[cfg(test)]
mod tests;
