// SPDX-License-Identifier: Apache-2.0
//! The crate of the protocol's authors certifies this crate, as a client and as a server.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Mutex;

use varlink::{Client, Connection, Map, Value, map, serde_json::json};
use varlink_peer::{CallTrait, ConnectionHandler, MethodCall, OrgVarlinkServiceInterface};

use crate::{DESCRIPTION, NAME, Server, certify, parameters, service, steps, without_null};

/// Interface in the terms of the other crate.
#[derive(Default)]
struct Peer {
    /// Number of the next step.
    next: Mutex<usize>,
}

impl varlink_peer::Interface for Peer {
    fn get_description(&self) -> &'static str {
        DESCRIPTION
    }

    fn get_name(&self) -> &'static str {
        NAME
    }

    fn call_upgraded(
        &self,
        _: &mut varlink_peer::Call<'_>,
        _: &mut dyn BufRead,
    ) -> varlink_peer::Result<Vec<u8>> {
        Ok(Vec::new())
    }

    fn call(&self, call: &mut varlink_peer::Call<'_>) -> varlink_peer::Result<()> {
        let (steps, mut next) = (steps(), self.next.lock().unwrap());
        let request = call.get_request().unwrap();
        let (name, results) = &steps[*next];
        assert_eq!(request.method, format!("{NAME}.{name}"));
        let wants = match *next {
            0 => Map::new(),
            next => without_null(&parameters(&steps[next - 1].1)),
        };
        let got = request.parameters.clone().unwrap_or_default();
        assert_eq!(without_null(&map(got)), wants);
        *next += 1;
        let reply = |results: Value| varlink_peer::Reply::parameters(Some(results));
        match *name {
            "Test11" if call.is_oneway() => Ok(()),
            "Start" => call.reply_struct(reply(json!({"client_id": crate::ID}))),
            "Test10" if call.wants_more() => {
                let texts = results["last_more_replies"].as_array().unwrap();
                for (place, text) in texts.iter().enumerate() {
                    call.set_continues(place + 1 < texts.len());
                    call.reply_struct(reply(json!({"string": text})))?;
                }
                Ok(())
            }
            _ => call.reply_struct(reply(results.clone())),
        }
    }
}

#[test]
fn the_published_crate_is_certified() {
    let (own, other) = UnixStream::pair().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let interfaces: Vec<Box<dyn varlink_peer::Interface + Send + Sync>> =
                vec![Box::new(Peer::default())];
            let service = varlink_peer::VarlinkService::new("v", "p", "1", "u", interfaces);
            let (mut reader, mut writer) = (BufReader::new(&other), &other);
            while !reader.fill_buf().unwrap().is_empty() {
                service
                    .handle(&mut reader, &mut writer as &mut dyn Write, None)
                    .unwrap();
            }
        });
        certify(&mut Client::new(own.into()).unwrap());
    });
}

type Connected = std::sync::Arc<std::sync::RwLock<varlink_peer::Connection>>;

/// Makes a call by the other crate.
fn call(
    connection: &Connected,
    method: &str,
    parameters: &Value,
) -> MethodCall<Value, Value, varlink_peer::Error> {
    let method = format!("{NAME}.{method}");
    MethodCall::new(connection.clone(), method, parameters.clone())
}

/// Calls all methods, each with the results of the one before.
fn certified_by_peer(connection: &Connected) {
    let mut results = json!({});
    let mut id = Value::Null;
    for (method, _) in steps() {
        if !id.is_null() {
            results["client_id"] = id.clone();
        }
        let mut call = call(connection, method, &results);
        results = match method {
            "Test10" => {
                let replies = call.more().unwrap();
                let texts: Vec<Value> = replies.map(|r| r.unwrap()["string"].clone()).collect();
                json!({ "last_more_replies": texts })
            }
            "Test11" => {
                call.oneway().unwrap();
                json!({})
            }
            _ => call.call().unwrap(),
        };
        if method == "Start" {
            id = results["client_id"].take();
            results = json!({});
        }
    }
    assert_eq!(results["all_ok"], true);
}

#[test]
fn the_published_crate_certifies_the_server() {
    let path = std::env::temp_dir().join(format!("varlink-peer-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    let server = Server::default();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (client, _) = listener.accept().unwrap();
            service(&[&server]).run(Connection::new(client, 1 << 20).unwrap())
        });
        let address = format!("unix:{}", path.display());
        let connection = varlink_peer::Connection::with_address(&address).unwrap();
        let mut info = varlink_peer::OrgVarlinkServiceClient::new(connection.clone());
        assert_eq!(info.get_info().unwrap().interfaces[1], NAME);
        let described = info.get_interface_description(NAME).unwrap();
        assert_eq!(described.description.as_deref(), Some(DESCRIPTION));
        certified_by_peer(&connection);
        let again = call(&connection, "Test01", &json!({})).call().unwrap_err();
        let error = "org.varlink.certification.CertificationError";
        assert!(format!("{again:?}").contains(error), "{again:?}");
    });
    std::fs::remove_file(&path).unwrap();
}
