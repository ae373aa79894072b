// SPDX-License-Identifier: Apache-2.0
//! The program `b2p`: the client of PID 1, and the helpers that PID 1 runs.
//!
//! [`b2p::applets::APPLETS`] lists all commands of the program.

use b2p::applets;
use b2p::common::control_client::ControlClient;

fn main() {
    let argv: Vec<String> = std::env::args_os()
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    let (name, arguments) = applets::split(&argv);
    std::process::exit(applets::run(&ControlClient::default(), name, arguments));
}
