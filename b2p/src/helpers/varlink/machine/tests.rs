// SPDX-License-Identifier: Apache-2.0
//! Calls against a PID 1 that answers by a script.
#![allow(clippy::unwrap_used)]

use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use control::{OK, Server, answer, refusal};
use varlink::idl::{self, Description};
use varlink::{Call, Client, Connection, Reply};

use super::super::conforms;
use super::*;
use crate::common::testing::Temp;

/// PID 1 whose report the test changes.
struct Fake {
    temp: Temp,
    report: Arc<Mutex<String>>,
    asked: Arc<Mutex<Vec<String>>>,
    end: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

const REPORT: &str = "machine version=1.2 data=/dev/vda1 now=5000 started=10 ready=900\n\
    degraded net: no address\nshutdown reboot at=360000\nphase mounts 1000 20\n\
    service sshd up since=100 pid=75 restarts=1 asked=10 spawned=20 ready=30 last=killed:9\n\
    service web off last=exited:3 user=1000 own=1\nservice podman armed\n";

impl Fake {
    fn new(report: &str) -> Fake {
        let temp = Temp::new();
        let mut server = Server::bind_for(&temp.path("control"), |_| true).unwrap();
        let report = Arc::new(Mutex::new(report.to_owned()));
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let end = Arc::new(AtomicBool::new(false));
        let (shown, list, stop) = (Arc::clone(&report), Arc::clone(&asked), Arc::clone(&end));
        let thread = std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                server.accept(0);
                for (client, request) in server.requests() {
                    let request = request.unwrap();
                    if request == Request::Follow {
                        server.follow(client);
                        continue;
                    }
                    if request == Request::Status {
                        answer(client, &format!("{OK}{}", shown.lock().unwrap()));
                        continue;
                    }
                    let text = request.to_string();
                    let is_refused = text.contains("refused") || text == "cancel";
                    list.lock().unwrap().push(text);
                    answer(
                        client,
                        &if is_refused {
                            refusal("not now")
                        } else {
                            OK.to_owned()
                        },
                    );
                }
                if server.is_followed() {
                    server.notice(shown.lock().unwrap().clone());
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        Fake {
            temp,
            report,
            asked,
            end,
            thread: Some(thread),
        }
    }

    fn machine(&self) -> Machine {
        let control = ControlClient {
            path: self.temp.path("control"),
            timeout: Duration::from_secs(20),
        };
        Machine {
            env: Environment {
                control,
                user_files: self.temp.path("own"),
                loaded_files: self.temp.path("staged"),
                poll_interval: Duration::from_millis(1),
                are_units: false,
            },
            administrators: Administrators::default(),
            recent: Recent::default(),
            audit: |_| {},
            description: String::new(),
        }
    }

    /// Serves one connection, on which `talk` is the client.
    fn serve<T>(&self, talk: impl FnOnce(&mut Client) -> T) -> T {
        let machine = self.machine();
        let (own, other) = UnixStream::pair().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let service = Service {
                    interfaces: &[&machine],
                    ..super::super::resolver::PRODUCT
                };
                // A client that leaves within a subscription is an error.
                let _ = service.run(Connection::new(other, 1 << 16).unwrap());
            });
            talk(&mut Client::new(own.into()).unwrap())
        })
    }

    /// Calls a method; returns its results, or the error and its parameters.
    fn call(&self, method: &str, parameters: Value) -> Value {
        let call = Call::new(format!("{NAME}.{method}"), map(parameters));
        let reply = self.serve(|client| client.call(&call).unwrap());
        conforms::check(&Description::parse(DESCRIPTION).unwrap(), method, &reply);
        shown(reply)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

fn shown(reply: Reply) -> Value {
    match reply.error {
        None => Value::Object(reply.parameters),
        Some(error) => json!([error.replace(NAME, "machine"), reply.parameters]),
    }
}

#[test]
fn the_description_is_in_the_usual_form_and_each_method_has_a_row() {
    let description = Description::parse(DESCRIPTION).unwrap();
    assert_eq!(description.format(), DESCRIPTION);
    let methods = description
        .members
        .iter()
        .filter(|m| matches!(m.kind, idl::Kind::Method(..)));
    let declared: Vec<&str> = methods.map(|m| m.name.as_str()).collect();
    let rows: Vec<&str> = METHODS.iter().map(|(name, ..)| *name).collect();
    assert_eq!(rows, declared);
}

#[test]
fn methods_that_change_need_the_right_for_it() {
    for (name, right, _) in METHODS {
        let is_reading = ["Get", "List", "Subscribe"]
            .iter()
            .any(|verb| name.starts_with(verb));
        assert_eq!(*right == Right::Read, is_reading, "{name}");
    }
}

#[test]
fn the_report_has_types() {
    let fake = Fake::new(REPORT);
    let status = fake.call("GetStatus", json!({}));
    let status = &status["status"];
    for (name, expected) in [
        ("version", json!("1.2")),
        ("data", json!("/dev/vda1")),
        ("state", json!("degraded")),
        ("ready", json!(900)),
        ("degraded", json!([{"what": "net", "why": "no address"}])),
        ("shutdown", json!({"action": "reboot", "at": 360_000})),
    ] {
        assert_eq!(status[name], expected, "{name}");
    }
    let services = fake.call("GetServices", json!({}));
    let names: Vec<&Value> = services["services"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| &s["name"])
        .collect();
    assert_eq!(names, ["sshd", "web", "podman"]);
    let sshd = &services["services"][0];
    assert_eq!((&sshd["pid"], &sshd["restarts"]), (&json!(75), &json!(1)));
    assert_eq!(sshd["last"], json!({"how": "killed", "number": 9}));
    let one = fake.call("GetServices", json!({"names": ["web"]}));
    assert_eq!(
        one["services"][0]["last"],
        json!({"how": "exited", "number": 3})
    );
    assert_eq!(
        (&one["services"][0]["own"], &one["services"][0]["user"]),
        (&json!(true), &json!(1000))
    );
    assert_eq!(
        fake.call("GetBoot", json!({}))["phases"],
        json!([{"name": "mounts", "start": 1000, "duration": 20}])
    );
    assert_eq!(fake.call("GetServices", json!({"names": []})), services);
    let early = Fake::new("machine version=1 data=ram\n");
    assert_eq!(
        early.call("GetStatus", json!({}))["status"]["ready"],
        Value::Null
    );
    assert!(
        !fake.call("GetFlags", json!({}))["flags"]
            .as_array()
            .unwrap()
            .is_empty()
    );
}

#[test]
fn a_change_is_a_packet_to_pid_1() {
    for (method, parameters, packet, expected) in [
        ("PowerOff", json!({}), "poweroff", json!({})),
        ("PowerOff", json!({"seconds": null}), "poweroff", json!({})),
        ("Reboot", json!({"seconds": 60}), "reboot 60", json!({})),
        (
            "Halt",
            json!({"seconds": 31_536_000}),
            "halt 31536000",
            json!({}),
        ),
        ("Rescue", json!({}), "rescue", json!({})),
        (
            "ResetService",
            json!({"name": "web"}),
            "reset web",
            json!({}),
        ),
        (
            "Cancel",
            json!({}),
            "cancel",
            json!(["machine.Refused", {"reason": "not now"}]),
        ),
        (
            "StopService",
            json!({"name": "refused"}),
            "",
            json!(["machine.NoSuchService", {"name": "refused"}]),
        ),
        (
            "LoadService",
            json!({"name": "none"}),
            "",
            json!(["machine.NoSuchService", {"name": "none"}]),
        ),
        (
            "GetServices",
            json!({"names": ["sshd", "x y"]}),
            "",
            json!(["machine.NoSuchService", {"name": "x y"}]),
        ),
    ] {
        let fake = Fake::new(REPORT);
        assert_eq!(fake.call(method, parameters), expected, "{method}");
        assert_eq!(fake.asked.lock().unwrap().join(";"), packet, "{method}");
    }
}

#[test]
fn values_outside_of_their_range_are_refused_by_name() {
    let fake = Fake::new(REPORT);
    for (method, parameters, name) in [
        ("PowerOff", json!({"seconds": -1}), "seconds"),
        ("PowerOff", json!({"seconds": 31_536_001}), "seconds"),
        ("Reboot", json!({"seconds": 1.5}), "seconds"),
        ("Halt", json!({"seconds": "1"}), "seconds"),
        ("StartService", json!({}), "name"),
        ("StartService", json!({"name": "../x"}), "name"),
        ("StartService", json!({"name": "-f"}), "name"),
        ("StopService", json!({"name": "a b"}), "name"),
        ("RestartService", json!({"name": ["sshd"]}), "name"),
        ("GetServices", json!({"names": "sshd"}), "names"),
        ("GetLog", json!({"level": "loud"}), "level"),
        ("GetLog", json!({"lines": -1}), "lines"),
    ] {
        let expected = json!(["org.varlink.service.InvalidParameter", {"parameter": name}]);
        assert_eq!(
            fake.call(method, parameters.clone()),
            expected,
            "{method} {parameters}"
        );
    }
    assert_eq!(fake.asked.lock().unwrap().len(), 0);
    for method in ["SubscribeStatus", "SubscribeServices", "ListServices"] {
        let expected = json!(["org.varlink.service.ExpectedMore", {}]);
        assert_eq!(fake.call(method, json!({})), expected, "{method}");
    }
    for unbounded in [json!({"follow": true}), json!({"all": true})] {
        let follow = fake.call("GetLog", unbounded);
        assert_eq!(follow[0], "org.varlink.service.ExpectedMore");
    }
    let none = fake.call("Nothing", json!({}));
    assert_eq!(
        none,
        json!(["org.varlink.service.MethodNotFound", {"method": "Nothing"}])
    );
}

#[test]
fn a_service_is_started_and_stopped_and_its_failure_has_a_reason() {
    let fake = Fake::new(REPORT);
    let started = fake.call("StartService", json!({"name": "sshd"}));
    assert_eq!(started["outcome"], "was up already (pid 75)");
    assert_eq!(started["service"]["name"], "sshd");
    let stopped = fake.call("StopService", json!({"name": "web"}));
    assert_eq!(stopped["outcome"], "did not run");
    assert_eq!(*fake.asked.lock().unwrap(), ["start sshd", "stop web"]);
    let fake = Fake::new("machine now=1\nservice refused off\nservice bad failed last=exited:3\n");
    let refused = fake.call("StartService", json!({"name": "refused"}));
    assert_eq!(
        refused,
        json!(["machine.ServiceFailed", {"name": "refused", "reason": "not now"}])
    );
    let bad = fake.call("StartService", json!({"name": "bad"}));
    assert_eq!(bad[0], "machine.ServiceFailed");
    assert!(
        bad[1]["reason"]
            .as_str()
            .unwrap()
            .starts_with("exited with status 3"),
        "{bad}"
    );
}

#[test]
fn without_pid_1_the_error_says_so() {
    let fake = Fake::new(REPORT);
    let mut machine = fake.machine();
    machine.env.control.path = fake.temp.path("none");
    let error = machine.ask(&Request::Status).unwrap_err();
    let Failure::Reply(reply) = error else {
        panic!("{error:?}")
    };
    assert_eq!(shown(*reply)[0], "machine.NoAnswer");
}

#[test]
fn subscribers_hear_of_changes_only() {
    let fake = Fake::new(REPORT);
    let call = |method: &str| Call {
        more: true,
        ..Call::new(format!("{NAME}.{method}"), map(json!({"names": ["web"]})))
    };
    fake.serve(|client| {
        client.send(&call("SubscribeServices")).unwrap();
        let first = client.receive().unwrap().unwrap();
        assert!(first.continues && first.parameters["service"]["state"] == "off");
        let changed = REPORT
            .replace("now=5000", "now=6000")
            .replace("web off", "web up pid=9");
        *fake.report.lock().unwrap() = changed;
        let second = client.receive().unwrap().unwrap();
        assert_eq!(second.parameters["service"]["pid"], 9);
    });
    fake.serve(|client| {
        client.send(&call("SubscribeStatus")).unwrap();
        let first = client.receive().unwrap().unwrap();
        assert_eq!(first.parameters["status"]["state"], "degraded");
        let healed = REPORT.replace("degraded net: no address\n", "");
        *fake.report.lock().unwrap() = healed.replace("now=5000", "now=7000");
        let second = client.receive().unwrap().unwrap();
        assert_eq!(second.parameters["status"]["state"], "running");
    });
    // The end of PID 1 ends a subscription.
    fake.serve(|client| {
        client.send(&call("SubscribeServices")).unwrap();
        let first = client.receive().unwrap().unwrap();
        assert!(first.continues);
        fake.end.store(true, Ordering::Relaxed);
        let last = client.receive().unwrap().unwrap();
        assert_eq!(shown(last)[0], "machine.NoAnswer");
    });
    let fake = Fake::new(REPORT);
    fake.serve(|client| {
        client.send(&call("ListServices")).unwrap();
        let replies: Vec<Reply> = (0..3).map(|_| client.receive().unwrap().unwrap()).collect();
        assert_eq!(
            replies.iter().map(|r| r.continues).collect::<Vec<_>>(),
            [true, true, false]
        );
    });
}
