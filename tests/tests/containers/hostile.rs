// SPDX-License-Identifier: Apache-2.0
//! Each method of `io.podman` with parameters that mean harm: of other types, absent, texts that look like
//! options or paths, with NUL bytes or long, numbers at their ends, and values deep within each other.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::Mutex;
use std::time::Duration;

use ::varlink::idl::{Description, Fields, Kind, Type};
use ::varlink::{Call, Client, Connection, Map, Reply, Value, json};
use anyhow::{Context, Result, ensure};
use tests::{Checks, Guest};

const DESCRIPTION: &str =
    include_str!("../../../initramfs/files/usr/share/varlink/io.podman.varlink");
/// Name of the socket in the machine's directory.
const SOCKET: &str = "hostile.sock";
/// Time limit of one call. None of them waits for anything but podman.
const LIMIT: Duration = Duration::from_secs(60);
/// Number of calls at once.
const AT_ONCE: usize = 3;

/// Number of attempts that each method receives.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// One in [`SAMPLE`], with another remainder for each next method: all methods and all attempts, in turn.
    Sample,
    All,
}

/// One attempt of this many is made with [`Extent::Sample`].
const SAMPLE: usize = 4;

pub fn all(guest: &Guest, checks: &mut Checks, archive: &str, extent: Extent) {
    checks.check("varlink: hostile parameters of each method", || {
        let before = guest.podman(&["ps", "--all", "--quiet"])?;
        hostile(guest, extent)?;
        let after = guest.podman(&["ps", "--all", "--quiet"])?;
        ensure!(before == after, "{before} became {after}");
        // `ImagesPrune` of all images is a call like any other.
        guest.podman(&["load", "-i", archive]).map(drop)
    });
}

/// Values of one attempt: replacements of a text, a number and a switch.
struct Attempt(&'static str, Value, Value, Value);

fn attempts() -> Vec<Attempt> {
    vec![
        Attempt("null", Value::Null, Value::Null, Value::Null),
        Attempt("other types", json!(7), json!("7"), json!("true")),
        Attempt("structures", json!({"a": [1]}), json!([]), json!({})),
        Attempt("fractions", json!(1.5), json!(1e300), json!(0)),
        Attempt("deep", deep(100), deep(100), deep(100)),
        Attempt("words", json!("--privileged"), json!(-1), json!(true)),
        Attempt(
            "up",
            json!("../../../../etc/shadow"),
            json!(i64::MAX),
            json!(false),
        ),
        Attempt(
            "whole path",
            json!("/etc/shadow"),
            json!(i64::MIN),
            json!(true),
        ),
        Attempt(
            "NUL",
            json!("a\0b\r\nHost: x\r\n\r\n"),
            json!(1),
            json!(true),
        ),
        Attempt(
            "large number",
            json!("no-such-object"),
            json!(u64::MAX),
            json!(true),
        ),
        Attempt("long", json!("x".repeat(32 << 10)), json!(0), json!(false)),
    ]
}

fn deep(levels: usize) -> Value {
    (0..levels).fold(Value::Null, |inner, _| Value::Array(vec![inner]))
}

/// Returns a value of a type whose parts are those of the attempt.
fn value(description: &Description, kind: &Type, attempt: &Attempt) -> Value {
    let named = |name: &str| {
        description
            .members
            .iter()
            .find(|member| member.name == name)
    };
    match kind {
        Type::Maybe(kind) => value(description, kind, attempt),
        Type::Array(kind) => Value::Array(vec![value(description, kind, attempt)]),
        Type::Map(kind) => json!({ "a": value(description, kind, attempt) }),
        Type::Fields(fields) => Value::Object(members(description, fields, attempt)),
        Type::Named(name) => match (name.as_str(), named(name).map(|member| &member.kind)) {
            ("string", _) => attempt.1.clone(),
            ("int" | "float", _) => attempt.2.clone(),
            ("bool", _) => attempt.3.clone(),
            (_, Some(Kind::Type(kind))) => value(description, kind, attempt),
            _ => Value::Null,
        },
    }
}

fn members(description: &Description, fields: &Fields, attempt: &Attempt) -> Map {
    let mut members = Map::new();
    for field in fields {
        if let Some(kind) = &field.kind {
            members.insert(field.name.clone(), value(description, kind, attempt));
        }
    }
    members
}

/// Returns the calls of all methods that have parameters.
fn calls(description: &Description, extent: Extent) -> Vec<(String, Call)> {
    let mut calls = Vec::new();
    for (order, member) in description.members.iter().enumerate() {
        let Kind::Method(parameters, _) = &member.kind else {
            continue;
        };
        if parameters.is_empty() {
            continue;
        }
        let mut variants = vec![("nothing", Map::new())];
        for attempt in attempts() {
            variants.push((attempt.0, members(description, parameters, &attempt)));
        }
        for (place, (what, parameters)) in variants.into_iter().enumerate() {
            if extent == Extent::Sample && place % SAMPLE != order % SAMPLE {
                continue;
            }
            // GetEvents with `more` would never end.
            let more = place % 3 == 1 && member.name != "GetEvents";
            let call = Call {
                more,
                upgrade: place % 3 == 2,
                ..Call::new(format!("io.podman.{}", member.name), parameters)
            };
            calls.push((format!("{} with {what}", member.name), call));
        }
    }
    calls
}

/// Sends all calls, some of them at once, and messages that are none. The service that answers first answers last.
fn hostile(guest: &Guest, extent: Extent) -> Result<()> {
    let description = Description::parse(DESCRIPTION)?;
    let socket = guest.forward_socket("root", "/run/podman/io.podman", SOCKET)?;
    let dir = File::open(socket.parent().context("a directory")?)?;
    // With a connection that stays, the service does not leave between two calls.
    let held = connect(&dir)?;
    let mut held = Client::new(held.into())?;
    let version = Call::new("io.podman.GetVersion", Map::new());
    held.call(&version)?;
    let before = guest.pids("b2p varlink-podman")?;
    let calls = Mutex::new(calls(&description, extent).into_iter());
    let problems = Mutex::new(Vec::new());
    let next = || calls.lock().ok().and_then(|mut calls| calls.next());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((name, call)) = next() {
                    let checked = once(&dir, &call).and_then(|r| declared(&description, &call, &r));
                    if let (Err(e), Ok(mut problems)) = (checked, problems.lock()) {
                        problems.push(format!("{name}: {e:#}"));
                    }
                }
            });
        }
    });
    let problems = problems.into_inner().unwrap_or_default();
    ensure!(problems.is_empty(), "{}", problems.join("\n"));
    no_calls(&dir)?;
    let reply = held.call(&version)?;
    ensure!(reply.error.is_none(), "{reply:?}");
    let after = guest.pids("b2p varlink-podman")?;
    ensure!(
        before == after && after.len() == 1,
        "{before:?} became {after:?}"
    );
    guest.sh("podman pod rm --all --force; podman volume prune --force; ls /var/lib/boot2podman/varlink 2>/dev/null || true")
        .and_then(|left| {
            ensure!(!left.contains("0123"), "{left}");
            Ok(())
        })
}

fn connect(dir: &File) -> Result<UnixStream> {
    // The path of a socket has at most 107 bytes (unix(7)).
    let stream = UnixStream::connect(format!("/proc/self/fd/{}/{SOCKET}", dir.as_raw_fd()))?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    Ok(stream)
}

/// Returns the last reply to a call.
fn once(dir: &File, call: &Call) -> Result<Reply> {
    let mut client = Client::new(connect(dir)?.into())?;
    client.send(call)?;
    loop {
        let reply = client.receive()?.context("the connection is closed")?;
        if !reply.continues {
            return Ok(reply);
        }
    }
}

/// Expects an error that is declared, or the declared results.
fn declared(description: &Description, call: &Call, reply: &Reply) -> Result<()> {
    let (_, method) = call.names().context("a method")?;
    let named = |name: &str| {
        description
            .members
            .iter()
            .find(|member| member.name == name)
    };
    if let Some(error) = &reply.error {
        let (interface, name) = error.rsplit_once('.').context("an error")?;
        let own = named(name).is_some_and(|m| matches!(m.kind, Kind::Error(_)));
        ensure!(
            interface == "org.varlink.service" || own,
            "{error} is not declared"
        );
        return Ok(());
    }
    if let Some(Kind::Method(_, results)) = named(method).map(|member| &member.kind) {
        for field in results {
            ensure!(
                reply.parameters.contains_key(&field.name),
                "no {}",
                field.name
            );
        }
    }
    Ok(())
}

/// Sends data that is no call, after which the service closes the connection: bytes that are no text, values within
/// each other without an end, a message that is too long, and half a message.
fn no_calls(dir: &File) -> Result<()> {
    let long = [b"{\"method\":\"", &b"x".repeat(17 << 20)[..]].concat();
    for bytes in [
        &b"\xff\xfe\0"[..],
        &b"[".repeat(100_000),
        &long,
        b"{\"method\":",
    ] {
        let mut connection = Connection::new(connect(dir)?, 1 << 20)?;
        // The service may close the connection before everything is read.
        let _ = connection.send(bytes).and_then(|()| connection.send(b"\0"));
        connection.end_output();
        let left = connection.receive();
        ensure!(!matches!(left, Ok(Some(_))), "{left:?}");
    }
    Ok(())
}
