// SPDX-License-Identifier: Apache-2.0
//! Methods that carry files: `SendFile` and `ReceiveFile`, and those that read or write archives.

use std::fs::File;
use std::io::Read;

use varlink::{Done, Exchange, Value, json, map};

use super::api::{Api, Kind, Outcome, object, occurred, query, request, string, strings, switch};
use super::images::{Progress, progress};
use super::parameters::Parameters;
use super::spool::{self, Unfinished};

/// Forms of an image's archive that podman's API writes.
const FORMATS: &[&str] = &["docker-archive", "oci-archive", "docker-dir", "oci-dir"];

/// `SendFile`: the client's file becomes one of the spool.
pub(super) fn send(
    api: &Api,
    parameters: Parameters<'_>,
    exchange: &Exchange<'_>,
) -> Outcome<Done> {
    let length = parameters.number("length")?;
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
pub(super) fn receive(
    api: &Api,
    parameters: Parameters<'_>,
    exchange: &Exchange<'_>,
) -> Outcome<Done> {
    let (path, delete) = (
        parameters.text("path")?.to_owned(),
        parameters.flag("delete")?,
    );
    expect_upgrade(exchange)?;
    let file = api.spool.open(&path)?;
    let length = size(&file)?;
    let spool = api.spool.clone();
    Ok(Done::Upgrade(
        map(json!({ "len": length })),
        Box::new(move |raw| {
            let copied = spool::copy(&mut file.take(length), &mut &raw.output);
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

/// Writes the answer to a request into a file, for as long as the client is there and there is room.
fn download(
    api: &Api,
    kind: Kind,
    name: &str,
    path: String,
    into: &mut Unfinished,
    exchange: &Exchange<'_>,
) -> Outcome<()> {
    let room = into.room();
    let body = api.stream(
        kind,
        name,
        &request("GET", path),
        exchange.connection.output(),
    )?;
    let mut limited = body.take(room + 1);
    into.fill(&mut limited)?;
    match limited.limit() {
        0 => Err(occurred(
            "the archive has more bytes than half of the free space",
        )),
        _ => Ok(()),
    }
}

/// `ExportContainer`.
pub(super) fn export_container(
    api: &Api,
    parameters: Parameters<'_>,
    exchange: &mut Exchange<'_>,
) -> Outcome<Value> {
    let (name, path) = (parameters.text("name")?, parameters.text("path")?);
    let from = format!("{}/export", object(Kind::Container, name)?);
    let mut file = api.spool.destination(path)?;
    download(api, Kind::Container, name, from, &mut file, exchange)?;
    Ok(json!({ "tarfile": file.keep() }))
}

/// Returns the path of the request for an image's archive.
fn archive(name: &str, format: &str, compress: bool, more: &[String]) -> Outcome<String> {
    let format = if format.is_empty() {
        FORMATS[0]
    } else {
        format
    };
    if !FORMATS.contains(&format) {
        return Err(occurred(&format!(
            "format: {format}: right are {}",
            FORMATS.join(", ")
        )));
    }
    let pairs = [("format", format), ("compress", switch(compress))];
    Ok(match more {
        [] => format!("{}/get{}", object(Kind::Image, name)?, query(&pairs)),
        more => {
            let names = std::iter::once(name).chain(more.iter().map(String::as_str));
            let names: Vec<_> = names.map(|name| ("references", name)).collect();
            format!("images/export{}", query(&[&pairs[..], &names].concat()))
        }
    })
}

/// `ImageSave`: the archive is a file of the spool, which `ReceiveFile` fetches.
pub(super) fn save_image(
    api: &Api,
    parameters: Parameters<'_>,
    exchange: &mut Exchange<'_>,
) -> Outcome<Value> {
    let no_members = varlink::Map::new();
    let options = parameters
        .structure("options")?
        .unwrap_or(Parameters(&no_members));
    let name = options.text("name")?;
    let (format, compress) = (options.text("format")?, options.flag("compress")?);
    let from = archive(name, format, compress, &options.list("moreTags")?)?;
    let mut file = api.spool.create()?;
    download(api, Kind::Image, name, from, &mut file, exchange)?;
    Ok(json!({ "reply": { "logs": [], "id": file.keep() } }))
}

/// `ExportImage`: into an archive in the machine, or to a registry.
pub(super) fn export_image(
    api: &Api,
    parameters: Parameters<'_>,
    exchange: &mut Exchange<'_>,
) -> Outcome<Value> {
    let (name, destination) = (parameters.text("name")?, parameters.text("destination")?);
    let id = api.id(Kind::Image, name)?;
    match destination.split_once(':') {
        Some((format @ ("docker-archive" | "oci-archive"), rest)) => {
            let path = rest.split(':').next().unwrap_or_default();
            let more = parameters.list("tags")?;
            let from = archive(name, format, parameters.flag("compress")?, &more)?;
            let mut file = match path {
                "" => return Err(occurred("destination: right is docker-archive:/tmp/NAME")),
                path => api.spool.destination(path)?,
            };
            download(api, Kind::Image, name, from, &mut file, exchange)?;
            file.keep();
        }
        _ => {
            let destination = destination.strip_prefix("docker://").unwrap_or(destination);
            let pairs = query(&[("destination", destination), ("quiet", "false")]);
            let request = request(
                "POST",
                format!("{}/push{pairs}", object(Kind::Image, name)?),
            );
            progress(
                api,
                &Progress {
                    name,
                    request: &request,
                    file: None,
                    result: "",
                },
                exchange,
            )?;
        }
    }
    Ok(json!({ "image": id }))
}

/// `LoadImage`.
pub(super) fn load_image(
    api: &Api,
    parameters: Parameters<'_>,
    exchange: &mut Exchange<'_>,
) -> Outcome<Value> {
    let (path, delete) = (
        parameters.text("inputFile")?,
        parameters.flag("deleteFile")?,
    );
    let file = api.spool.source(path)?;
    let request = request("POST", "images/load".to_owned());
    let client = exchange.connection.output();
    let loaded = api.send_file(Kind::None, "", &request, Some(&file), Some(client));
    if delete {
        api.spool.remove(path);
    }
    let names = strings(&json_of(loaded?)?, "Names");
    Ok(json!({ "reply": { "logs": [], "id": names.join(",") } }))
}

/// `ImportImage`: from a file, or from a URL.
pub(super) fn import_image(
    api: &Api,
    parameters: Parameters<'_>,
    exchange: &mut Exchange<'_>,
) -> Outcome<Value> {
    let source = parameters.text("source")?;
    let is_url = source.starts_with("http://") || source.starts_with("https://");
    let file = match is_url {
        true => None,
        false => Some(api.spool.source(source)?),
    };
    let changes = parameters.list("changes")?;
    let changes: Vec<_> = changes
        .iter()
        .map(|change| ("changes", change.as_str()))
        .collect();
    let pairs = [
        ("reference", parameters.text("reference")?),
        ("message", parameters.text("message")?),
        ("url", if is_url { source } else { "" }),
    ];
    let path = format!("images/import{}", query(&[&pairs[..], &changes].concat()));
    let delete = parameters.flag("delete")?;
    let client = exchange.connection.output();
    let imported = api.send_file(
        Kind::None,
        "",
        &request("POST", path),
        file.as_ref(),
        Some(client),
    );
    if delete {
        api.spool.remove(source);
    }
    let id = string(&json_of(imported?)?, "Id");
    Ok(json!({ "image": id.trim_start_matches("sha256:") }))
}

fn json_of(response: super::http::Response) -> Outcome<Value> {
    let body = response.whole().map_err(|e| occurred(&e.to_string()))?;
    varlink::serde_json::from_slice(&body).map_err(|e| occurred(&format!("podman's answer: {e}")))
}
