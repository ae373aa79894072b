// SPDX-License-Identifier: Apache-2.0
//! Clients that mean harm, or are broken: the server refuses them, and continues to answer others.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::Duration;

use varlink::{
    Answer, Call, Client, Done, Exchange, Failure, Interface, Limits, Service, json, map,
};

/// Time limit of every wait, longer than any of them takes.
const LONG: Duration = Duration::from_secs(60);
/// Longest message that the server accepts, in bytes.
const MESSAGE: usize = 64 << 10;
/// Number of connections at once.
const CONNECTIONS: usize = 8;

/// Interface with a method that replies for as long as the client reads.
struct Example;

impl Interface for Example {
    fn name(&self) -> &str {
        "org.example"
    }

    fn description(&self) -> &str {
        "interface org.example\n\nmethod Echo() -> ()\n\nmethod Talk() -> (text: string)\n"
    }

    fn call(&self, exchange: &mut Exchange<'_>) -> Answer {
        match exchange.method {
            "Echo" => Ok(Done::Reply(exchange.call.parameters.clone())),
            "Talk" => loop {
                exchange.send(map(json!({ "text": "x".repeat(4096) })))?;
            },
            other => Err(Failure::method(other)),
        }
    }
}

/// Socket of a server that runs for as long as the test.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        let path = std::env::temp_dir().join(format!("b2p-{name}-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let socket: OwnedFd = UnixListener::bind(&path).unwrap().into();
        std::thread::spawn(|| {
            let service = Service {
                vendor: "",
                product: "",
                version: "",
                url: "",
                interfaces: &[&Example],
            };
            let limits = Limits {
                message: MESSAGE,
                connections: CONNECTIONS,
                per_user: CONNECTIONS,
                others: CONNECTIONS,
                idle: LONG,
            };
            varlink::serve(&service, socket, limits)
        });
        Place(path)
    }

    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(&self.0).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream.set_write_timeout(Some(LONG)).unwrap();
        stream
    }

    /// Calls a method as a client that means well.
    fn echo(&self) {
        let mut client = Client::new(self.connect().into()).unwrap();
        let parameters = map(json!({ "a": [1, null, "ü"] }));
        let reply = client.call(&Call::new("org.example.Echo", parameters.clone()));
        assert_eq!(reply.unwrap().parameters, parameters);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Sends bytes and their end, and returns the answer. The server may close its end first.
fn answer(place: &Place, bytes: &[u8]) -> String {
    let mut stream = place.connect();
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

fn call(parameters: &str) -> Vec<u8> {
    format!("{{\"method\":\"org.example.Echo\",\"parameters\":{parameters}}}\0").into_bytes()
}

#[test]
fn a_malformed_call_ends_the_connection_without_an_answer() {
    let place = Place::new("no-call");
    let deep = |open: &str, close: &str| {
        let text = open.repeat(10_000) + "1" + &close.repeat(10_000);
        call(&format!("{{\"a\":{text}}}"))
    };
    let utf8 = [&call("{\"a\":\"")[..], b"\xff\xfe\"}}\0"].concat();
    for (name, bytes) in [
        ("nothing", vec![]),
        ("NUL bytes alone", vec![0; 1000]),
        ("no JSON", b"hello\0".to_vec()),
        ("half a message", call("{}")[..20].to_vec()),
        ("a message that is cut", [&call("{}")[..20], b"\0"].concat()),
        ("invalid UTF-8", utf8),
        ("deep lists", deep("[", "]")),
        ("deep objects", deep("{\"a\":", "}")),
        ("lists that do not end", [b'['; MESSAGE / 2].to_vec()),
        ("a list", b"[]\0".to_vec()),
        ("no method", b"{}\0".to_vec()),
        ("a method that is a number", b"{\"method\":1}\0".to_vec()),
        (
            "a switch that is a text",
            b"{\"method\":\"a.B\",\"more\":\"yes\"}\0".to_vec(),
        ),
        (
            "more with oneway",
            b"{\"method\":\"a.B\",\"more\":true,\"oneway\":true}\0".to_vec(),
        ),
        (
            "more with upgrade",
            b"{\"method\":\"a.B\",\"more\":true,\"upgrade\":true}\0".to_vec(),
        ),
        ("two objects", b"{\"method\":\"a.B\"}{}\0".to_vec()),
        (
            "a number without end",
            call(&format!("{{\"a\":{}", "9".repeat(MESSAGE / 2))),
        ),
    ] {
        assert_eq!(answer(&place, &bytes), "", "{name}");
        place.echo();
    }
}

#[test]
fn calls_that_are_wrong_have_an_error() {
    let place = Place::new("wrong");
    for (bytes, error) in [
        (call("[]"), "InvalidParameter"),
        (call("\"text\""), "InvalidParameter"),
        (b"{\"method\":\"Echo\"}\0".to_vec(), "InvalidParameter"),
        (b"{\"method\":\".\"}\0".to_vec(), "InvalidParameter"),
        (
            b"{\"method\":\"org.none.Echo\"}\0".to_vec(),
            "InterfaceNotFound",
        ),
        (
            b"{\"method\":\"org.example.\\u0000\"}\0".to_vec(),
            "MethodNotFound",
        ),
        (
            b"{\"method\":\"org.example.Talk\"}\0".to_vec(),
            "ExpectedMore",
        ),
    ] {
        let found = answer(&place, &bytes);
        let expected = format!("\"error\":\"org.varlink.service.{error}\"");
        assert!(found.contains(&expected), "{found}");
    }
    // A NUL byte within a text is escaped on the wire, both ways.
    let found = answer(&place, &call("{\"a\":\"\\u0000\"}"));
    assert_eq!(found, "{\"parameters\":{\"a\":\"\\u0000\"}}\0");
}

/// The server reads as many bytes as it accepts, and not all of a hundred megabytes.
#[test]
fn a_message_without_end_is_not_read_to_its_end() {
    let place = Place::new("endless");
    let mut stream = place.connect();
    let piece = [b' '; 64 << 10];
    let mut sent = 0;
    while sent < 100 << 20 && stream.write_all(&piece).is_ok() {
        sent += piece.len();
    }
    // The rest of the message was in the buffers of the sockets.
    assert!(sent < 10 << 20, "{sent} bytes");
    place.echo();
}

#[test]
fn idle_clients_and_those_that_do_not_read_leave_room_when_they_go() {
    let place = Place::new("idle");
    // All but one place is taken: by half messages, and by a client that reads no reply.
    let mut taken: Vec<UnixStream> = (2..CONNECTIONS).map(|_| place.connect()).collect();
    for stream in &mut taken {
        stream.write_all(b"{\"method\":").unwrap();
    }
    let mut deaf = place.connect();
    deaf.write_all(b"{\"method\":\"org.example.Talk\",\"more\":true}\0")
        .unwrap();
    deaf.read_exact(&mut [0; 4096]).unwrap();
    for _ in 0..10 {
        place.echo();
    }
    // The last place is taken too: a client waits, and has its answer when another one leaves.
    taken.push(place.connect());
    taken[CONNECTIONS - 2].write_all(b"{").unwrap();
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| place.echo());
        drop(taken.pop());
        waits.join().unwrap();
    });
    drop((taken, deaf));
    place.echo();
}

/// Thousands of connections in a row, each closed before or within a message, end as others do.
#[test]
fn clients_that_come_and_go_cost_nothing() {
    let place = Place::new("come");
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    place.echo();
    for number in 0..3000 {
        let mut stream = place.connect();
        if number % 2 == 0 {
            stream.write_all(&call("{}")[..number % 40]).unwrap();
        }
    }
    place.echo();
    // Tests beside this one have some.
    assert!(descriptors() < 200, "{}", descriptors());
}
