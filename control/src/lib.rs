//! The control channel: what PID 1 can be asked, and what it answers.
//!
//! One packet in, one packet out, closed: a `SOCK_SEQPACKET` socket (unix(7))
//! that only root may open. A request is a few fixed words ([`Request`]), an
//! answer is lines of text; `docs/reference/control.md` describes both for those who
//! write other clients.
//!
//! This is the seam for a varlink face: a process of its own that speaks JSON on
//! one side and [`Request`] and [`Report`] on the other. PID 1 gets no parser more.
//!
//! PID 1 reads requests and writes reports ([`Server`], `Report::write`); clients
//! do the reverse ([`ask`], [`Report::parse`]).

mod client;
mod reader;
mod report;
mod request;
mod server;
mod shutdown_kind;
mod writer;

pub use client::{Failure, ask};
pub use report::{Degraded, Last, Machine, Phase, Report, Service, Shutdown, State};
pub use request::{Name, Request};
pub use server::{Client, Server, answer};
pub use shutdown_kind::ShutdownKind;

/// Where PID 1 listens.
pub const PATH: &str = "/run/boot2podman/control";
/// Where clients put the file of a user's service for PID 1 to read (`load`):
/// RAM, because PID 1 must not wait for a disk.
pub const SERVICES: &str = "/run/boot2podman/services";
/// The longest request, in bytes.
pub const LONGEST_REQUEST: usize = 256;
/// The longest answer, in bytes.
pub const LONGEST_ANSWER: usize = 64 * 1024;
/// The answer to a request that is done, or begun.
pub const OK: &str = "ok\n";
/// The last line of an answer that did not fit.
pub const CUT: &str = "cut\n";

/// The answer to a request that is refused. One line, whatever `why` holds.
#[must_use]
pub fn no(why: &str) -> String {
    let mut out = String::from("no ");
    writer::clean(&mut out, why, "");
    out.push('\n');
    out
}

/// What follows the `ok` of an answer.
///
/// # Errors
/// The reason of a `no`, or that it is no answer.
pub fn outcome(answer: &str) -> Result<&str, &str> {
    let (first, rest) = answer.split_once('\n').unwrap_or((answer, ""));
    match first.split_once(' ') {
        None if first == "ok" => Ok(rest),
        Some(("no", why)) => Err(why),
        _ => Err("an answer that is none"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_yes_or_no() {
        assert_eq!(outcome("ok\nmachine now=1\n"), Ok("machine now=1\n"));
        assert_eq!(outcome("ok"), Ok(""));
        assert_eq!(outcome(&no("no such\nservice")), Err("no such?service"));
        for strange in ["", "okay\n", "ok then\n", "no\n", "\n"] {
            assert_eq!(outcome(strange), Err("an answer that is none"), "{strange}");
        }
    }
}
