// SPDX-License-Identifier: Apache-2.0
//! The keeper's socket: one JSON object as a request, JSON objects as the answer, one per line.

use super::Event;
use crate::store::machine::KEEPER_SOCKET;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

/// Name of the socket in the runtime directory.
pub const SOCKET: &str = KEEPER_SOCKET;
/// Longest request in bytes. A configuration may have a thousand ports, and flags with whole files.
const MAX_REQUEST_BYTES: u64 = 16 << 20;
/// Time that the keeper waits for a client: to send its request, or to take a line of the answer.
const SOCKET_TIMEOUT: Duration = Duration::from_secs(5);
/// Time that a client waits for the keeper's answer. The keeper may work on another request, or check a port of the
/// guest.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Pause after a client that could not be accepted.
const SHORTAGE: Duration = Duration::from_secs(1);

/// Makes the socket.
pub fn bind(path: &Path) -> Result<UnixListener> {
    vmm::ssh::remove(path)?;
    UnixListener::bind(path).with_context(|| path.display().to_string())
}

/// Passes requests on as events, until the process ends.
pub fn listen(listener: UnixListener, events: Sender<Event>) {
    thread::spawn(move || {
        serve(&listener, |client| {
            let events = events.clone();
            thread::spawn(move || match receive(&client) {
                Ok(request) => {
                    let _ = events.send(Event::Request(request, client));
                }
                Err(error) => {
                    send(
                        &client,
                        &json!({"error": format!("the request: {error:#}")}),
                    );
                }
            });
        });
    });
}

/// Accepts clients until the process ends.
pub fn serve(listener: &UnixListener, mut take: impl FnMut(UnixStream)) {
    loop {
        match listener.accept() {
            Ok((client, _)) => take(client),
            Err(error) => {
                // accept(2) fails at once while descriptors or memory are short, and nothing tells
                // when they no longer are.
                eprintln!("accept a client: {error}");
                thread::sleep(SHORTAGE);
            }
        }
    }
}

fn receive(client: &UnixStream) -> Result<Value> {
    client.set_read_timeout(Some(SOCKET_TIMEOUT))?;
    client.set_write_timeout(Some(SOCKET_TIMEOUT))?;
    let mut line = String::new();
    BufReader::new(client.take(MAX_REQUEST_BYTES)).read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}

/// Sends a line; returns false if its reader is gone.
pub fn send(mut to: impl Write, value: &Value) -> bool {
    to.write_all((value.to_string() + "\n").as_bytes()).is_ok()
}

/// Sends a request and returns the stream of the answer.
pub fn open(socket: &Path, request: &Value) -> Result<BufReader<UnixStream>> {
    let stream = UnixStream::connect(socket).with_context(|| socket.display().to_string())?;
    if !send(&stream, request) {
        bail!("{}: the keeper has ended", socket.display());
    }
    Ok(BufReader::new(stream))
}

/// Sends a request and returns the one line of the answer. A keeper that stands still, as on a file system that hangs, is an
/// error.
pub fn ask(socket: &Path, request: &Value) -> Result<Value> {
    ask_within(socket, request, ANSWER_TIMEOUT)
}

/// Sends a request whose answer comes when memory and disk are saved.
pub fn ask_long(socket: &Path, request: &Value) -> Result<Value> {
    answer(open(socket, request)?)
}

/// Sends a request like [`ask`] to a keeper that has this time for its answer.
pub fn ask_within(socket: &Path, request: &Value, limit: Duration) -> Result<Value> {
    let stream = open(socket, request)?;
    stream.get_ref().set_read_timeout(Some(limit))?;
    answer(stream).with_context(|| format!("no answer of the keeper within {} s", limit.as_secs()))
}

fn answer(mut stream: BufReader<UnixStream>) -> Result<Value> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    serde_json::from_str(&line).context("the keeper has ended")
}
