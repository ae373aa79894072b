// SPDX-License-Identifier: Apache-2.0
//! `version`, and the commands of docker-machine that have nothing to do here.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::{dirs, machines, many_names, not_running, state};
use crate::compat;
use crate::fault::Fault;
use crate::keeper::answer::Answer;
use crate::state::State;

/// Time that the podman API has to tell its version.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Most bytes of an answer that are read.
const MOST_BYTES: usize = 1 << 20;

/// Returns the parser of `version`.
pub fn version_command() -> Command {
    Command::new("version")
        .about("Print the version of this program, or of podman in a machine")
        .arg(many_names())
}

/// Returns the version in docker-machine's words, which scripts cut. A build names its commit by a variable.
#[must_use]
pub fn version_text() -> String {
    format!(
        "{} version {}, build {}",
        compat::program(),
        env!("CARGO_PKG_VERSION"),
        option_env!("PODMAN_MACHINE_BUILD").unwrap_or("HEAD")
    )
}

/// Runs `version`.
pub fn version(matches: &ArgMatches) -> Result<ExitCode> {
    match matches
        .get_many::<String>("name")
        .map_or(0, |names| names.len())
    {
        0 => {
            println!("{}", version_text());
            return Ok(ExitCode::SUCCESS);
        }
        1 => {}
        _ => return Err(Fault::new("Error: Expected one machine name as an argument").into()),
    }
    let dirs = dirs(matches)?;
    let machine = machines(&dirs, matches)?.remove(0);
    if state(&dirs, &machine)? != State::Running {
        return Err(not_running());
    }
    println!("{}", engine_version(&machine.api(), TIMEOUT)?);
    Ok(ExitCode::SUCCESS)
}

/// Asks the podman API for its version.
pub fn engine_version(socket: &Path, limit: Duration) -> Result<String> {
    let mut stream = UnixStream::connect(socket).with_context(|| socket.display().to_string())?;
    // HTTP/1.0 has no chunks.
    stream.write_all(b"GET /version HTTP/1.0\r\nHost: d\r\n\r\n")?;
    let mut answer = Answer::new(stream, MOST_BYTES);
    ensure!(
        answer.read(Some(limit), |_| false)?,
        "the podman API has not answered within {} s",
        limit.as_secs()
    );
    version_of(&String::from_utf8_lossy(&answer.bytes)).context("the podman API told no version")
}

/// Returns the version in an answer of HTTP.
fn version_of(answer: &str) -> Option<String> {
    let (_, body) = answer.split_once("\r\n\r\n")?;
    let body: serde_json::Value = serde_json::from_str(body).ok()?;
    // The guest's text is written to the user's terminal.
    Some(vmm::without_controls(body["Version"].as_str()?))
}

/// Returns the parser of `regenerate-certs`.
pub fn certs_command() -> Command {
    Command::new("regenerate-certs")
        .about("Do nothing: machines have no TLS certificates")
        .arg(many_names())
        .arg(
            Arg::new("force")
                .short('f')
                .long("force")
                .action(ArgAction::SetTrue),
        )
}

/// Runs `regenerate-certs`.
pub fn certs(matches: &ArgMatches) -> Result<ExitCode> {
    machines(&dirs(matches)?, matches)?;
    eprintln!("These machines have no TLS certificates: there is nothing to regenerate");
    Ok(ExitCode::SUCCESS)
}

/// Returns the parser of `provision`.
pub fn provision_command() -> Command {
    Command::new("provision")
        .about("Do nothing: the image of a machine is complete")
        .arg(many_names())
}

/// Runs `provision`.
pub fn provision(matches: &ArgMatches) -> Result<ExitCode> {
    machines(&dirs(matches)?, matches)?;
    eprintln!("The image of these machines is complete: there is nothing to provision");
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_that_of_the_answer() {
        #[rustfmt::skip]
        let rows = [
            ("HTTP/1.0 200 OK\r\nA: b\r\n\r\n{\"Version\":\"5.4.2\",\"Os\":\"linux\"}\n", Some("5.4.2")),
            ("HTTP/1.0 200 OK\r\n\r\n{\"Version\":\"5\\u001b]52;c;eA\\u0007\"}", Some("5]52;c;eA")),
            ("HTTP/1.0 500 No\r\n\r\n{\"cause\":\"x\"}", None),
            ("HTTP/1.0 200 OK\r\n\r\nno json", None),
            ("", None),
        ];
        for (answer, expected) in rows {
            assert_eq!(version_of(answer).as_deref(), expected, "{answer}");
        }
    }
}
