// SPDX-License-Identifier: Apache-2.0
//! Control channel of PID 1: its requests, its answers, and both ends of its socket.
//!
//! Each connection carries one packet in and one packet out, and is then closed, but for `follow`:
//! the client gets a further packet after each change of the report. The socket is a
//! `SOCK_SEQPACKET` one (unix(7)) that only root may open. A request is a line of fixed keywords
//! ([`Request`]), an answer is lines of text. `docs/reference/control.md` describes both for
//! authors of other clients.
//!
//! PID 1 reads requests and writes reports ([`Server`], `Report::write`); clients write requests
//! and read reports ([`ask`], [`Report::parse`]).
//!
//! The varlink interface of the machine is a separate process, which speaks JSON to its clients, and
//! [`Request`] and [`Report`] to PID 1. PID 1 needs no further parser for that.

mod client;
mod reader;
mod report;
mod request;
mod server;
mod shutdown_kind;
mod writer;

pub use client::{Follower, RequestError, ask};
pub use report::{Degraded, LastExit, MachineInfo, Phase, Report, Service, Shutdown, State};
pub use request::{InvalidRequest, Name, Request};
pub use server::{MAX_FOLLOWERS, PendingClient, Server, answer};
pub use shutdown_kind::ShutdownKind;

/// Path of PID 1's socket.
pub const PATH: &str = "/run/boot2podman/control";
/// Directory for the definitions of user services that PID 1 is asked to load. The directory is in
/// RAM, because PID 1 must not wait for a disk.
pub const SERVICES: &str = "/run/boot2podman/services";
/// Files of users and groups that definitions refer to, and names of their copies in [`SERVICES`], which
/// are no names of services: with `b2p.etc=all` the files are on a disk.
pub const ACCOUNT_COPIES: [(&str, &str); 2] =
    [("/etc/passwd", ".passwd"), ("/etc/group", ".group")];
/// Maximum length of a request, in bytes.
pub const MAX_REQUEST_BYTES: usize = 256;
/// Maximum length of an answer, in bytes.
pub const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// Answer to a request that PID 1 has carried out or begun; also the first line of a report.
pub const OK: &str = "ok\n";
/// Packet for a follower of the report after each change.
pub const CHANGED: &str = "changed\n";
/// Last line of an answer that was truncated.
pub const CUT: &str = "cut\n";

/// Returns the answer that refuses a request. The answer is one line for any `why`.
#[must_use]
pub fn refusal(why: &str) -> String {
    let mut out = String::from("no ");
    writer::push_printable(&mut out, why, "");
    out.push('\n');
    out
}

/// Returns the text that follows the `ok` line of an answer.
///
/// # Errors
/// The reason that a `no` line gives; a fixed text for an answer of neither form.
pub fn outcome(answer: &str) -> Result<&str, &str> {
    let (first, rest) = answer.split_once('\n').unwrap_or((answer, ""));
    match first.split_once(' ') {
        None if first == "ok" => Ok(rest),
        Some(("no", why)) => Err(why),
        _ => Err("not an answer of PID 1"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_yes_or_no() {
        assert_eq!(outcome("ok\nmachine now=1\n"), Ok("machine now=1\n"));
        assert_eq!(outcome("ok"), Ok(""));
        assert_eq!(
            outcome(&refusal("no such\nservice")),
            Err("no such?service")
        );
        for strange in ["", "okay\n", "ok then\n", "no\n", "\n"] {
            assert_eq!(outcome(strange), Err("not an answer of PID 1"), "{strange}");
        }
    }
}
