// SPDX-License-Identifier: Apache-2.0
//! `relay`: one HTTP request of the guest's podman, from QEMU to the keeper. QEMU starts it for
//! each connection, with the connection as standard input and output.

use super::control;
use crate::store::lock;
use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;

/// Longest request in bytes.
const MAX_REQUEST_BYTES: usize = 64 * 1024;

/// Seconds that a request has: a guest that sends none would keep a process of the host for each.
const LIMIT: u32 = 60;

/// Requests that are answered at the same time: podman sends one after the other.
const MAX_REQUESTS: u16 = 32;

/// Answers one request. SIGALRM ends the process at the time limit (alarm(2)). `adopt` starts a keeper in place of one
/// that was killed: a port that is given back meanwhile would stay published.
pub fn run(run_dir: &Path, adopt: &dyn Fn() -> Result<()>) -> Result<()> {
    nix::unistd::alarm::set(LIMIT);
    let place = lock::place(&run_dir.join("relay.lock"), MAX_REQUESTS)?;
    let answered = match place {
        Some(_) => answer(&mut BufReader::new(io::stdin().lock()), run_dir, adopt),
        None => Err(anyhow!(
            "the machine sends {MAX_REQUESTS} requests at once: try again"
        )),
    };
    let (status, text) = match answered {
        Ok(()) => ("200 OK", String::new()),
        Err(error) => ("500 Internal Server Error", format!("{error:#}\n")),
    };
    let mut out = io::stdout().lock();
    write!(
        out,
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
        text.len()
    )?;
    Ok(out.flush()?)
}

fn answer(input: &mut impl BufRead, run_dir: &Path, adopt: &dyn Fn() -> Result<()>) -> Result<()> {
    let (action, mut request) = parse(input)?;
    request["do"] = json!(format!("guest-{action}"));
    let socket = run_dir.join(control::SOCKET);
    let answer = match control::ask(&socket, &request) {
        Ok(answer) => answer,
        Err(_) => {
            adopt()?;
            control::ask(&socket, &request)?
        }
    };
    match answer["error"].as_str() {
        Some(error) => bail!("{error}"),
        None => Ok(()),
    }
}

/// Reads a request: its action, and its body.
fn parse(input: &mut impl BufRead) -> Result<(&'static str, Value)> {
    let mut input = input.take(MAX_REQUEST_BYTES as u64);
    let mut first = String::new();
    input.read_line(&mut first).context("no request")?;
    let action = match first.split_whitespace().nth(1).unwrap_or_default() {
        "/services/forwarder/expose" => "expose",
        "/services/forwarder/unexpose" => "unexpose",
        other => bail!("{other}: there is /services/forwarder/expose and unexpose"),
    };
    let mut length = 0;
    loop {
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().context("Content-Length")?;
        }
    }
    if length > MAX_REQUEST_BYTES {
        bail!("a request of {length} bytes, and {MAX_REQUEST_BYTES} is the most");
    }
    let mut body = vec![0; length];
    input
        .read_exact(&mut body)
        .context("the request ends early")?;
    let body: Value = serde_json::from_slice(&body).context("the request is not JSON")?;
    match body.is_object() {
        true => Ok((action, body)),
        false => bail!("the request is not a JSON object"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<(&'static str, Value)> {
        parse(&mut text.as_bytes())
    }

    #[test]
    fn requests_to_expose_ports_are_parsed() {
        let text = "POST /services/forwarder/expose HTTP/1.1\r\nHost: x\r\ncontent-length: 16\r\n\r\n{\"local\": \":80\"}";
        let (action, body) = parsed(text).expect("right");
        assert_eq!((action, body["local"].as_str()), ("expose", Some(":80")));
        for wrong in [
            "",
            "GET / HTTP/1.1\r\n\r\n",
            "POST /services/forwarder/expose HTTP/1.1\r\n\r\n",
            "POST /services/forwarder/expose HTTP/1.1\r\nContent-Length: 99\r\n\r\n{}",
            "POST /services/forwarder/expose HTTP/1.1\r\nContent-Length: 9999999\r\n\r\n{}",
            "POST /services/forwarder/expose HTTP/1.1\r\nContent-Length: -1\r\n\r\n{}",
            "POST /services/forwarder/expose HTTP/1.1\r\nContent-Length: 2\r\n\r\n[]",
        ] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
    }
}
