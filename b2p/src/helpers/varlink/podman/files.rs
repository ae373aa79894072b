// SPDX-License-Identifier: Apache-2.0
//! Methods that carry files: `SendFile` and `ReceiveFile`.

use std::fs::File;
use std::io::Read;

use varlink::{Done, Exchange, Value, json, map};

use super::api::{Api, Outcome, number, occurred, string};
use super::copy::copy;
use super::spool;

/// `SendFile`: the client's file becomes one of the spool.
pub(super) fn send(api: &Api, parameters: &Value, exchange: &mut Exchange<'_>) -> Outcome<Done> {
    let length = number(parameters, "length");
    expect_upgrade(exchange)?;
    let length = u64::try_from(length).map_err(|_| occurred("length: less than nothing"))?;
    let unfinished = api.spool.create()?;
    let room = unfinished.room();
    if length > room {
        return Err(occurred(&format!(
            "length: {length} bytes; a file may have {room} bytes, half of the free space"
        )));
    }
    let path = unfinished.path.to_string_lossy().into_owned();
    Ok(Done::Upgrade(
        map(json!({ "file_handle": path })),
        Box::new(move |raw| spool::take(unfinished, length, raw)),
    ))
}

/// `ReceiveFile`: the client gets a file of the spool.
pub(super) fn receive(api: &Api, parameters: &Value, exchange: &mut Exchange<'_>) -> Outcome<Done> {
    let (path, delete) = (string(parameters, "path"), parameters["delete"] == true);
    expect_upgrade(exchange)?;
    let file = api.spool.open(&path)?;
    let length = size(&file)?;
    let spool = api.spool.clone();
    Ok(Done::Upgrade(
        map(json!({ "len": length })),
        Box::new(move |raw| {
            let copied = copy(&mut file.take(length), &mut &raw.output);
            if delete {
                spool.remove(&path);
            }
            // A file that became shorter ends the connection: the client waits for the rest.
            (copied.ok() == Some(length)).then_some(raw)
        }),
    ))
}

fn expect_upgrade(exchange: &Exchange<'_>) -> Outcome<()> {
    match exchange.call.upgrade {
        true => Ok(()),
        false => Err(occurred(
            "the call needs `upgrade`: the file follows on its connection",
        )),
    }
}

fn size(file: &File) -> Outcome<u64> {
    let metadata = file.metadata().map_err(|e| occurred(&e.to_string()))?;
    Ok(metadata.len())
}
