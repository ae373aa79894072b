// SPDX-License-Identifier: Apache-2.0
#![allow(clippy::unwrap_used)]
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;

use varlink::idl::{self, Description};
use varlink::{Call, Client, Connection, Reply, json, map};

use super::*;
use crate::common::testing::Temp;

mod fields;
mod files;
mod methods;
mod objects;
mod pods;
mod upgrades;

#[test]
fn the_description_has_the_members_of_podman_1_9() {
    let description = Description::parse(DESCRIPTION).unwrap();
    let count = |wanted: fn(&idl::Kind) -> bool| {
        description
            .members
            .iter()
            .filter(|m| wanted(&m.kind))
            .count()
    };
    let counts = (
        count(|kind| matches!(kind, idl::Kind::Method(..))),
        count(|kind| matches!(kind, idl::Kind::Type(_))),
        count(|kind| matches!(kind, idl::Kind::Error(_))),
    );
    assert_eq!(counts, (97, 42, 13));
    assert_eq!(description.format(), DESCRIPTION);
}

#[test]
fn each_method_is_a_rule_or_a_function() {
    let description = Description::parse(DESCRIPTION).unwrap();
    let mut names: Vec<&str> = METHODS.iter().map(|(name, _)| *name).collect();
    let rules = Rules::parse(DESCRIPTION, RULES).unwrap();
    names.extend(rules.methods());
    names.sort_unstable();
    let methods = description
        .members
        .iter()
        .filter(|m| matches!(m.kind, idl::Kind::Method(..)));
    let mut declared: Vec<&str> = methods.map(|m| m.name.as_str()).collect();
    declared.sort_unstable();
    assert_eq!(names, declared);
}

/// A filter with another name would be noticed when the method is called.
#[test]
fn each_filter_of_the_rules_exists() {
    let known = filters::names();
    let (_, rules) = RULES.split_once("\n---\n").unwrap();
    let mut used = Vec::new();
    for line in rules.lines().filter(|line| !line.starts_with('#')) {
        for part in line.split('|').skip(1) {
            let end = part.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            used.push(&part[..end.unwrap_or(part.len())]);
        }
    }
    let unknown: Vec<&&str> = used.iter().filter(|name| !known.contains(*name)).collect();
    assert_eq!(unknown, [&""; 0]);
    let unused: Vec<&&str> = known.iter().filter(|name| !used.contains(*name)).collect();
    assert_eq!(unused, [&""; 0]);
}

/// Answers of a podman that is not there: a part of the request's first line, a status, and a body.
type Script = &'static [(&'static str, u16, &'static str)];

/// Reads a request of the client; returns the method and the path below libpod's, and the body.
fn read_request(client: &UnixStream) -> (String, Vec<u8>) {
    let mut reader = BufReader::new(client);
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first).unwrap();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if let Some(value) = line.strip_prefix("Content-Length: ") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let first = first
        .replace("/v5.0.0/libpod/", "")
        .replace(" HTTP/1.1\r\n", "");
    (first, body)
}

thread_local! {
    /// Directory of one test, which has a thread of its own.
    static TEMP: Temp = Temp::new();
}

/// Returns the service whose podman listens at a socket.
fn podman_of(api: Api) -> Podman {
    Podman::new(api, DESCRIPTION.to_owned(), RULES).unwrap()
}

/// Returns the path of podman's socket for the calls of a method.
fn socket(method: &str) -> PathBuf {
    TEMP.with(|temp| temp.path(method))
}

/// Listens as podman, and answers each request of the script in its order; returns the first lines
/// of the requests.
fn podman(name: &str, script: Script) -> (PathBuf, std::thread::JoinHandle<Vec<String>>) {
    let path = socket(name);
    let listener = UnixListener::bind(&path).unwrap();
    let serve = std::thread::spawn(move || {
        let mut lines = Vec::new();
        for (_, status, body) in script {
            let (mut client, _) = listener.accept().unwrap();
            let (text, sent) = read_request(&client);
            lines.push(
                format!("{text} {}", String::from_utf8(sent).unwrap())
                    .trim()
                    .to_owned(),
            );
            let head = format!(
                "HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            client
                .write_all(&[head.as_bytes(), body.as_bytes()].concat())
                .unwrap();
        }
        lines
    });
    (path, serve)
}

/// Calls a method while podman answers by the script; returns all replies.
fn call(method: &str, parameters: Value, more: bool, script: Script) -> Vec<Reply> {
    let (socket, served) = podman(method, script);
    let interface = podman_of(Api {
        socket: socket.clone(),
        spool: spool::Spool::at(socket.with_extension("spool")),
    });
    let (own, other) = UnixStream::pair().unwrap();
    let mut replies = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let service = Service {
                interfaces: &[&interface],
                ..super::super::resolver::PRODUCT
            };
            service
                .run(Connection::new(other, 1 << 20).unwrap())
                .unwrap();
        });
        let mut client = Client::new(own.into()).unwrap();
        let call = Call {
            more,
            ..Call::new(format!("io.podman.{method}"), map(parameters))
        };
        client.send(&call).unwrap();
        loop {
            let reply = client.receive().unwrap().unwrap();
            let is_last = !reply.continues;
            replies.push(reply);
            if is_last {
                break;
            }
        }
    });
    let requests = served.join().unwrap();
    let expected: Vec<&str> = script.iter().map(|(request, ..)| *request).collect();
    assert_eq!(requests, expected, "{method}");
    std::fs::remove_file(socket).unwrap();
    let description = Description::parse(DESCRIPTION).unwrap();
    for reply in &replies {
        super::super::conforms::check(&description, method, reply);
    }
    replies
}

/// Calls a method that replies once; returns its results, or the error and its parameters.
fn once(method: &str, parameters: Value, script: Script) -> Value {
    let reply = call(method, parameters, false, script).pop().unwrap();
    match reply.error {
        None => Value::Object(reply.parameters),
        Some(error) => json!([error, reply.parameters]),
    }
}

/// Answer of podman about a pod whose containers cannot be started.
const FAILED: &str = r#"{"Errs":["starting container 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef: no","x"],"Id":"abc"}"#;
const WEB: &str = r#"{"Id":"abc","State":{"Status":"running"}}"#;

#[test]
fn requests_and_results_of_methods_that_reply_once() {
    let name = || json!({ "name": "web" });
    let id = json!({ "container": "abc" });
    for (method, parameters, script, expected) in [
        (
            "StartContainer",
            name(),
            &[
                ("GET containers/web/json", 200, WEB),
                ("POST containers/abc/start", 204, ""),
            ][..],
            id.clone(),
        ),
        (
            "StopContainer",
            json!({"name": "web", "timeout": 3}),
            &[
                ("GET containers/web/json", 200, WEB),
                ("POST containers/abc/stop?timeout=3", 204, ""),
            ],
            id.clone(),
        ),
        (
            "StopContainer",
            name(),
            &[
                ("GET containers/web/json", 200, WEB),
                ("POST containers/abc/stop?timeout=0", 304, ""),
            ],
            json!(["io.podman.ErrCtrStopped", {"id": "web"}]),
        ),
        (
            "KillContainer",
            json!({"name": "web", "signal": -1}),
            &[
                ("GET containers/web/json", 200, WEB),
                ("POST containers/abc/kill?signal=15", 204, ""),
            ],
            id.clone(),
        ),
        (
            "RemoveContainer",
            json!({"name": "web", "force": true}),
            &[
                ("GET containers/web/json", 200, WEB),
                ("DELETE containers/abc?force=true", 200, "[]"),
            ],
            id.clone(),
        ),
        (
            "RemoveContainer",
            name(),
            &[
                ("GET containers/web/json", 200, WEB),
                (
                    "DELETE containers/abc",
                    200,
                    r#"[{"Id":"abc","Err":"in use"}]"#,
                ),
            ],
            json!(["io.podman.ErrorOccurred", {"reason": "in use"}]),
        ),
        (
            "WaitContainer",
            json!({"name": "web", "interval": 250_000_000}),
            &[(
                "POST containers/web/wait?condition=stopped&interval=250ms",
                200,
                "7\n",
            )],
            json!({"exitcode": 7}),
        ),
        (
            "GetContainersByContext",
            json!({"args": ["web", "none"]}),
            &[
                ("GET containers/web/json", 200, WEB),
                ("GET containers/none/json", 404, r#"{"message":"no"}"#),
            ],
            json!(["io.podman.ContainerNotFound", {"id": "none", "reason": "no"}]),
        ),
        (
            "ContainerExists",
            name(),
            &[("GET containers/web/exists", 404, "")],
            json!({"exists": 1}),
        ),
        (
            "ImageExists",
            name(),
            &[("GET images/web/exists", 204, "")],
            json!({"exists": 0}),
        ),
        (
            "TagImage",
            json!({"name": "web", "tagged": "host:5000/a"}),
            &[
                ("GET images/web/json", 200, WEB),
                (
                    "POST images/web/tag?repo=host%3A5000%2Fa&tag=latest",
                    201,
                    "",
                ),
            ],
            json!({"image": "abc"}),
        ),
        (
            "InspectImage",
            json!({"name": "../x"}),
            &[("GET images/%2E%2E%2Fx/json", 500, r#"{"message":"bad"}"#)],
            json!(["io.podman.ErrorOccurred", {"reason": "bad"}]),
        ),
        (
            "StartPod",
            name(),
            &[
                (
                    "GET pods/web/json",
                    200,
                    r#"{"Id":"abc","Containers":[{}]}"#,
                ),
                ("POST pods/abc/start", 409, FAILED),
            ],
            json!(["io.podman.PodContainerError", {"podname": "web", "errors": [
                {"containerid": "0123456789abcdef".repeat(4), "reason": "starting container 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef: no"},
                {"containerid": "", "reason": "x"},
            ]}]),
        ),
        (
            "CreatePod",
            json!({"create": {"name": "p", "infra": true, "infraImage": "/pause", "publish": ["8080:80"]}}),
            &[(
                "POST pods/create {\"cgroup_parent\":\"\",\"labels\":null,\"name\":\"p\",\"no_infra\":false,\"portmappings\":[{\"container_port\":80,\"host_ip\":\"\",\"host_port\":8080,\"protocol\":\"tcp\"}]}",
                201,
                r#"{"Id":"pod"}"#,
            )],
            json!({"pod": "pod"}),
        ),
        (
            "VolumeRemove",
            json!({"options": {"volumes": ["a", "b"]}}),
            &[
                ("DELETE volumes/a", 204, ""),
                ("DELETE volumes/b", 409, r#"{"message":"used"}"#),
            ],
            json!({"successes": ["a"], "failures": {"b": "used"}}),
        ),
        (
            "InspectContainer",
            json!({}),
            &[],
            json!(["io.podman.ContainerNotFound", {"id": "", "reason": "the name is empty"}]),
        ),
        (
            "InspectContainer",
            json!({"name": 1}),
            &[],
            json!(["org.varlink.service.InvalidParameter", {"parameter": "parameters"}]),
        ),
        (
            "AttachControl",
            name(),
            &[],
            json!(["org.varlink.service.MethodNotImplemented", {"method": "AttachControl"}]),
        ),
        (
            "Nothing",
            name(),
            &[],
            json!(["org.varlink.service.MethodNotFound", {"method": "Nothing"}]),
        ),
    ] {
        assert_eq!(once(method, parameters, script), expected, "{method}");
    }
}
