// SPDX-License-Identifier: Apache-2.0
//! The interface `org.varlink.certification`, by which implementations of varlink test each other:
//! a server checks the parameters of each call, which are the results of the call before.
#![allow(clippy::unwrap_used)]

mod packages;
mod peer;

use std::f64::consts::PI;
use std::os::unix::net::UnixStream;
use std::sync::Mutex;

use varlink::{
    Answer, Call, Client, Connection, Done, Exchange, Failure, Interface, Map, Reply, Service,
    Value, map, serde_json::json,
};

const NAME: &str = "org.varlink.certification";
const ID: &str = "0123abcd";
/// Number of replies to the call with `more`.
const REPLIES: usize = 10;

/// Types that the steps use.
const DESCRIPTION: &str = "\
interface org.varlink.certification
type Interface (foo: ?[]?[string](foo, bar, baz), anon: (foo: bool, bar: bool))
type MyType (object: object, enum: (one, two, three), struct: (first: int, second: string), array: []string,
  dictionary: [string]string, stringset: [string](), nullable: ?string,
  nullable_array_struct: ?[](first: int, second: string), interface: Interface)
method Start() -> (client_id: string)
method Test01(client_id: string) -> (bool: bool)
method Test02(client_id: string, bool: bool) -> (int: int)
method Test03(client_id: string, int: int) -> (float: float)
method Test04(client_id: string, float: float) -> (string: string)
method Test05(client_id: string, string: string) -> (bool: bool, int: int, float: float, string: string)
method Test06(client_id: string, bool: bool, int: int, float: float, string: string)
  -> (struct: (bool: bool, int: int, float: float, string: string))
method Test07(client_id: string, struct: (bool: bool, int: int, float: float, string: string)) -> (map: [string]string)
method Test08(client_id: string, map: [string]string) -> (set: [string]())
method Test09(client_id: string, set: [string]()) -> (mytype: MyType)
method Test10(client_id: string, mytype: MyType) -> (string: string)
method Test11(client_id: string, last_more_replies: []string) -> ()
method End(client_id: string) -> (all_ok: bool)
error ClientIdError ()
error CertificationError (wants: object, got: object)
";

/// Results of each method, which are the parameters of the next one.
fn steps() -> Vec<(&'static str, Value)> {
    let several = json!({"bool": false, "int": 2, "float": PI, "string": "a lot of string"});
    let dictionary = json!({"foo": "Foo", "bar": "Bar"});
    let set = json!({"one": {}, "two": {}, "three": {}});
    let mytype = json!({
        "object": {"method": "org.varlink.certification.Test09", "parameters": {"map": dictionary}},
        "enum": "two", "struct": {"first": 1, "second": "2"}, "array": ["one", "two", "three"],
        "dictionary": dictionary, "stringset": set,
        "interface": {
            "foo": [null, {"foo": "foo", "bar": "bar"}, null, {"one": "foo", "two": "bar"}],
            "anon": {"foo": true, "bar": false},
        },
    });
    let replies: Vec<String> = (1..=REPLIES).map(|n| format!("Reply number {n}")).collect();
    vec![
        ("Start", json!({})),
        ("Test01", json!({"bool": true})),
        ("Test02", json!({"int": 1})),
        ("Test03", json!({"float": 1.0})),
        ("Test04", json!({"string": "ping"})),
        ("Test05", several.clone()),
        ("Test06", json!({"struct": several})),
        ("Test07", json!({"map": dictionary})),
        ("Test08", json!({"set": set})),
        ("Test09", json!({"mytype": mytype})),
        ("Test10", json!({"last_more_replies": replies})),
        ("Test11", json!({})),
        ("End", json!({"all_ok": true})),
    ]
}

/// Server for one client.
#[derive(Default)]
struct Server {
    /// Number of the next step.
    next: Mutex<usize>,
}

impl Interface for Server {
    fn name(&self) -> &str {
        NAME
    }

    fn description(&self) -> &str {
        DESCRIPTION
    }

    fn call(&self, exchange: &mut Exchange<'_>) -> Answer {
        let steps = steps();
        let mut next = self.next.lock().unwrap();
        let at = steps.iter().position(|(name, _)| *name == exchange.method);
        let at = at.ok_or_else(|| Failure::method(exchange.method))?;
        let wants = match at {
            0 => Map::new(),
            at => without_null(&parameters(&steps[at - 1].1)),
        };
        let got = without_null(&exchange.call.parameters);
        let is_alone = exchange.method == "Test11";
        if *next != at || got != wants || exchange.call.oneway != is_alone {
            let details = map(json!({"wants": wants, "got": got}));
            return Err(Failure::new(
                "org.varlink.certification.CertificationError",
                details,
            ));
        }
        *next += 1;
        match exchange.method {
            "Start" => Ok(Done::Reply(map(json!({"client_id": ID})))),
            "Test10" => {
                let replies = steps[at].1["last_more_replies"].as_array().unwrap();
                let (last, others) = replies.split_last().unwrap();
                for text in others {
                    exchange.send(map(json!({"string": text})))?;
                }
                Ok(Done::Reply(map(json!({"string": last}))))
            }
            _ => Ok(Done::Reply(map(steps[at].1.clone()))),
        }
    }
}

/// Returns the parameters of a call: the results of the one before, and the client's number.
fn parameters(results: &Value) -> Map {
    let mut parameters = map(results.clone());
    parameters.insert("client_id".to_owned(), ID.into());
    parameters
}

/// Leaves out members that are null, which stand for absent ones; elements of lists stay. Whole
/// numbers become floats: some clients write 1.0 as 1.
fn without_null(members: &Map) -> Map {
    let inner = |value: &Value| match value {
        Value::Object(members) => Value::Object(without_null(members)),
        Value::Number(number) => json!(number.as_f64()),
        value => value.clone(),
    };
    let present = members.iter().filter(|(_, value)| !value.is_null());
    present
        .map(|(name, value)| (name.clone(), inner(value)))
        .collect()
}

/// Calls all methods, each with the results of the one before.
fn certify(client: &mut Client) {
    let call = |method: &str, parameters: Map| Call::new(format!("{NAME}.{method}"), parameters);
    let mut results = Map::new();
    let mut id = Value::Null;
    for (method, _) in steps() {
        if !id.is_null() {
            results.insert("client_id".to_owned(), id.clone());
        }
        let call = Call {
            more: method == "Test10",
            oneway: method == "Test11",
            ..call(method, std::mem::take(&mut results))
        };
        client.send(&call).unwrap();
        match method {
            "Test10" => {
                let replies: Vec<Reply> = (0..REPLIES)
                    .map(|_| client.receive().unwrap().unwrap())
                    .collect();
                let more: Vec<bool> = replies.iter().map(|reply| reply.continues).collect();
                assert!(more[..REPLIES - 1].iter().all(|more| *more) && !more[REPLIES - 1]);
                let texts: Vec<&Value> = replies
                    .iter()
                    .map(|reply| &reply.parameters["string"])
                    .collect();
                results = map(json!({"last_more_replies": texts}));
            }
            "Test11" => {}
            _ => {
                let reply = client.receive().unwrap().unwrap();
                assert_eq!(reply.error, None, "{method}: {:?}", reply.parameters);
                results = reply.parameters;
            }
        }
        if method == "Start" {
            id = results.remove("client_id").unwrap();
        }
    }
    assert_eq!(results["all_ok"], true);
}

fn service<'a>(interfaces: &'a [&'a dyn Interface]) -> Service<'a> {
    Service {
        vendor: "test",
        product: "test",
        version: "1",
        url: "https://varlink.org",
        interfaces,
    }
}

#[test]
fn client_and_server_certify_each_other() {
    let (own, other) = UnixStream::pair().unwrap();
    let server = Server::default();
    std::thread::scope(|scope| {
        scope.spawn(|| service(&[&server]).run(Connection::new(other, 1 << 20).unwrap()));
        certify(&mut Client::new(own.into()).unwrap());
    });
    let (own, other) = UnixStream::pair().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| service(&[&server]).run(Connection::new(other, 1 << 20).unwrap()));
        let again = Client::new(own.into())
            .unwrap()
            .call(&Call::new(format!("{NAME}.Start"), Map::new()));
        let error = again.unwrap().error;
        assert_eq!(
            error.as_deref(),
            Some("org.varlink.certification.CertificationError")
        );
    });
}
