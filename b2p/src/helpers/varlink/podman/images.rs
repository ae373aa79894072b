// SPDX-License-Identifier: Apache-2.0
//! Methods of images.

use std::fs::File;
use std::io::BufRead;

use base64::Engine as _;
use varlink::{Exchange, Value, json, map, serde_json};

use super::api::{
    Api, Kind, Outcome, elements, filters, number, object, occurred, query, request, string,
    strings, switch,
};
use super::containers::pruned_ids;
use super::http::Request;
use super::parameters::Parameters;
use super::shape::{As, Field, shape};
use super::time::rfc3339;

const IMAGE: Kind = Kind::Image;

/// `ListImages` and `ListImagesWithFilters`.
pub(super) fn list(api: &Api, parameters: Parameters<'_>) -> Outcome<Value> {
    let filters = filters(&parameters.list("filters")?);
    let listed = api.get(
        Kind::None,
        "",
        format!(
            "images/json{}",
            query(&[("all", "true"), ("filters", &filters)])
        ),
    )?;
    let images: Vec<Value> = elements(&listed)
        .iter()
        .map(|entry| image(entry, LISTED))
        .collect();
    Ok(json!({ "images": images }))
}

/// Members that podman's list and its inspection of an image have both.
#[rustfmt::skip]
const BOTH: &[Field] = &[
    ("id", "Id", As::Text), ("digest", "Digest", As::Text), ("repoTags", "RepoTags", As::Texts),
    ("repoDigests", "RepoDigests", As::Texts), ("size", "Size", As::Int), ("virtualSize", "VirtualSize", As::Int),
    ("labels", "Labels", As::Dictionary), ("readOnly", "ReadOnly", As::Flag),
    // Neither says which image is the parent of another.
    ("isParent", "", As::Flag), ("topLayer", "", As::Text),
];
#[rustfmt::skip]
const LISTED: &[Field] = &[
    ("parentId", "ParentId", As::Text), ("created", "Created", As::Date), ("containers", "Containers", As::Int),
    ("history", "History", As::Texts),
];
#[rustfmt::skip]
const INSPECTED: &[Field] = &[
    ("parentId", "Parent", As::Text), ("created", "Created", As::Time), ("containers", "", As::Int),
    ("history", "NamesHistory", As::Texts),
];

/// Returns the structure `Image`.
fn image(entry: &Value, fields: &[Field]) -> Value {
    let mut image = shape(entry, &[BOTH, fields].concat());
    let digest = string(entry, "Digest");
    let digests: &[String] = if digest.is_empty() { &[] } else { &[digest] };
    image["digests"] = json!(digests);
    image
}

/// `GetImage`.
pub(super) fn get(api: &Api, parameters: Parameters<'_>) -> Outcome<Value> {
    let found = api.inspect(IMAGE, parameters.text("id")?)?;
    let mut image = image(&found, INSPECTED);
    let layers = strings(&found["RootFS"], "Layers");
    image["topLayer"] = layers.last().cloned().unwrap_or_default().into();
    Ok(json!({ "image": image }))
}

/// `InspectImage`: the answer of podman as text.
pub(super) fn inspect(api: &Api, parameters: Parameters<'_>) -> Outcome<Value> {
    let found = api.inspect(IMAGE, parameters.text("name")?)?;
    Ok(json!({ "image": found.to_string() }))
}

/// `HistoryImage`.
pub(super) fn history(api: &Api, parameters: Parameters<'_>) -> Outcome<Value> {
    let name = parameters.text("name")?;
    let found = api.get(IMAGE, name, format!("{}/history", object(IMAGE, name)?))?;
    let layers = elements(&found).iter().map(|layer| {
        let (id, created) = (string(layer, "id"), layer.get("created"));
        // The endpoint has had both forms of names, and of times.
        let id = if id.is_empty() {
            string(layer, "Id")
        } else {
            id
        };
        let created = match created.and_then(Value::as_str) {
            Some(text) => text.to_owned(),
            None => rfc3339(number(layer, "Created")),
        };
        let tags = [strings(layer, "tags"), strings(layer, "Tags")].concat();
        let pick = |names: [&str; 2]| {
            let [first, second] = names.map(|name| string(layer, name));
            if first.is_empty() { second } else { first }
        };
        json!({
            "id": id, "created": created, "createdBy": pick(["CreatedBy", "createdBy"]),
            "tags": tags,
            "size": number(layer, "size").max(number(layer, "Size")),
            "comment": pick(["comment", "Comment"]),
        })
    });
    Ok(json!({ "history": layers.collect::<Vec<_>>() }))
}

/// `PullImage`: with `more`, a reply for each line of progress.
pub(super) fn pull(
    api: &Api,
    parameters: Parameters<'_>,
    exchange: &mut Exchange<'_>,
) -> Outcome<Value> {
    let name = parameters.text("name")?;
    let pairs = query(&[("reference", name), ("policy", "missing")]);
    let mut request = request("POST", format!("images/pull{pairs}"));
    if let Some(credentials) = parameters.structure("creds")? {
        let (user, password) = (credentials.text("username")?, credentials.text("password")?);
        if !user.is_empty() {
            let text = json!({ "username": user, "password": password }).to_string();
            let encoded = base64::prelude::BASE64_URL_SAFE.encode(text);
            request.header.push(("X-Registry-Auth", encoded));
        }
    }
    progress(
        api,
        &Progress {
            name,
            request: &request,
            file: None,
            result: "reply",
        },
        exchange,
    )
}

/// `PushImage`.
pub(super) fn push(
    api: &Api,
    parameters: Parameters<'_>,
    exchange: &mut Exchange<'_>,
) -> Outcome<Value> {
    let name = parameters.text("name")?;
    if !parameters.text("signBy")?.is_empty() {
        return Err(occurred("signBy: podman's API cannot sign an image"));
    }
    let pairs = query(&[
        ("destination", parameters.text("tag")?),
        ("format", parameters.text("format")?),
        (
            "removeSignatures",
            switch(parameters.flag("removeSignatures")?),
        ),
        ("quiet", "false"),
    ]);
    let request = request("POST", format!("{}/push{pairs}", object(IMAGE, name)?));
    progress(
        api,
        &Progress {
            name,
            request: &request,
            file: None,
            result: "reply",
        },
        exchange,
    )
}

/// Request whose answer is a stream of progress.
pub(super) struct Progress<'a> {
    /// Name of the image.
    pub name: &'a str,
    /// The request.
    pub request: &'a Request,
    /// Body of the request, if it is a file.
    pub file: Option<&'a File>,
    /// Name of the results; an empty one for a method that has no progress.
    pub result: &'a str,
}

/// Passes on the lines of a stream of progress. An error may follow a status of success, so the
/// stream is read to its end.
pub(super) fn progress(
    api: &Api,
    what: &Progress<'_>,
    exchange: &mut Exchange<'_>,
) -> Outcome<Value> {
    let client = Some(exchange.connection.output());
    let response = api.send_file(IMAGE, what.name, what.request, what.file, client)?;
    let result = what.result;
    let (mut id, mut logs) = (String::new(), Vec::new());
    for line in std::io::BufReader::new(response.stream()).lines() {
        let line = line.map_err(|e| occurred(&format!("podman's answer: {e}")))?;
        let Ok(event) = serde_json::from_str::<Value>(&line) else {
            continue;
        };
        let error = string(&event, "error");
        if !error.is_empty() {
            return Err(occurred(&error));
        }
        // A build has the id in another place.
        let found = [string(&event, "id"), string(&event["aux"], "ID")].concat();
        if !found.is_empty() {
            id = found.trim_start_matches("sha256:").to_owned();
        }
        let text = string(&event, "stream");
        if text.is_empty() {
            continue;
        }
        match exchange.call.more && !result.is_empty() {
            true => exchange.send(map(
                json!({ result: { "logs": [text], "id": id.as_str() } }),
            ))?,
            false => logs.push(text),
        }
    }
    Ok(json!({ result: { "logs": logs, "id": id } }))
}

/// `TagImage` and `UntagImage`: the name is divided at the last colon after the last slash.
pub(super) fn tag(api: &Api, parameters: Parameters<'_>, action: &str) -> Outcome<Value> {
    let name = parameters.text("name")?;
    let new = parameters.text(if action == "tag" { "tagged" } else { "tag" })?;
    let id = api.id(IMAGE, name)?;
    let (repository, tag) = divide(new);
    let pairs = query(&[("repo", repository), ("tag", tag)]);
    api.text(
        IMAGE,
        name,
        &request("POST", format!("{}/{action}{pairs}", object(IMAGE, name)?)),
    )?;
    Ok(json!({ "image": id }))
}

/// Divides a name into repository and tag; without a tag it is `latest`.
fn divide(name: &str) -> (&str, &str) {
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (name, "latest"),
    }
}

/// `RemoveImage` and `RemoveImageWithResponse`.
pub(super) fn remove(api: &Api, parameters: Parameters<'_>, whole: bool) -> Outcome<Value> {
    let name = parameters.text("name")?;
    let id = api.id(IMAGE, name)?;
    let force = query(&[("force", switch(parameters.flag("force")?))]);
    let removed = api.ask(
        IMAGE,
        name,
        &request("DELETE", format!("{}{force}", object(IMAGE, name)?)),
    )?;
    let errors = strings(&removed, "Errors");
    if !errors.is_empty() {
        return Err(occurred(&errors.join("; ")));
    }
    let deleted = strings(&removed, "Deleted").into_iter().next();
    Ok(match whole {
        false => json!({ "image": id }),
        true => json!({ "response": {
            "untagged": strings(&removed, "Untagged"),
            "deleted": deleted.unwrap_or_default(),
        }}),
    })
}

/// `DeleteUnusedImages` and `ImagesPrune`.
pub(super) fn prune(api: &Api, parameters: Parameters<'_>, result: &str) -> Outcome<Value> {
    let all = result == "images" || parameters.flag("all")?;
    let filters = filters(&parameters.list("filter")?);
    let pairs = query(&[("all", switch(all)), ("filters", &filters)]);
    let pruned = api.ask(
        Kind::None,
        "",
        &request("POST", format!("images/prune{pairs}")),
    )?;
    Ok(json!({ result: pruned_ids(&pruned) }))
}

/// `SearchImages`.
pub(super) fn search(api: &Api, parameters: Parameters<'_>) -> Outcome<Value> {
    let mut chosen = varlink::Map::new();
    if let Some(filter) = parameters.structure("filter")? {
        for (name, key) in [
            ("is_official", "is-official"),
            ("is_automated", "is-automated"),
        ] {
            if filter.flag(name)? {
                chosen.insert(key.to_owned(), json!(["true"]));
            }
        }
        if let stars @ 1.. = filter.number("star_count")? {
            chosen.insert("stars".to_owned(), json!([stars.to_string()]));
        }
    }
    let chosen = if chosen.is_empty() {
        String::new()
    } else {
        Value::Object(chosen).to_string()
    };
    let limit = match parameters.number("limit")? {
        limit @ 1.. => limit.to_string(),
        _ => String::new(),
    };
    let pairs = query(&[
        ("term", parameters.text("query")?),
        ("limit", &limit),
        ("filters", &chosen),
    ]);
    let found = api.get(Kind::None, "", format!("images/search{pairs}"))?;
    let results = elements(&found).iter().map(|entry| {
        let mut result = shape(entry, RESULT);
        for (name, from) in [("is_official", "Official"), ("is_automated", "Automated")] {
            result[name] = (string(entry, from) == "[OK]").into();
        }
        result
    });
    Ok(json!({ "results": results.collect::<Vec<_>>() }))
}

#[rustfmt::skip]
const RESULT: &[Field] = &[
    ("description", "Description", As::Text), ("registry", "Index", As::Text), ("name", "Name", As::Text),
    ("star_count", "Stars", As::Int),
];

/// `Commit`.
pub(super) fn commit(api: &Api, parameters: Parameters<'_>) -> Outcome<Value> {
    let name = parameters.text("name")?;
    let (repository, tag) = match parameters.text("image_name")? {
        "" => ("", ""),
        image => divide(image),
    };
    let pause = if parameters.flag("pause")? {
        "true"
    } else {
        "false"
    };
    // podman refuses a message with the format oci, where podman 1 left it out.
    let (format, message) = match (
        parameters.text("manifestType")?,
        parameters.text("message")?,
    ) {
        ("", message) if !message.is_empty() => ("docker", message),
        ("oci", _) => ("oci", ""),
        other => other,
    };
    let mut pairs = query(&[
        ("container", name),
        ("repo", repository),
        ("tag", tag),
        ("author", parameters.text("author")?),
        ("comment", message),
        ("pause", pause),
        ("format", format),
    ]);
    for change in parameters.list("changes")? {
        pairs += &query(&[("changes", &change)]).replacen('?', "&", 1);
    }
    let done = api.ask(
        Kind::Container,
        name,
        &request("POST", format!("commit{pairs}")),
    )?;
    Ok(json!({ "reply": { "logs": [], "id": string(&done, "Id") } }))
}

/// `ImageTree`.
pub(super) fn tree(api: &Api, parameters: Parameters<'_>) -> Outcome<Value> {
    let name = parameters.text("name")?;
    let pairs = query(&[("whatrequires", switch(parameters.flag("whatRequires")?))]);
    let found = api.get(IMAGE, name, format!("{}/tree{pairs}", object(IMAGE, name)?))?;
    Ok(json!({ "tree": string(&found, "Tree") }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colon_before_a_slash_is_a_port() {
        for (name, parts) in [
            ("web", ("web", "latest")),
            ("web:1", ("web", "1")),
            ("host:5000/web", ("host:5000/web", "latest")),
            ("host:5000/web:1", ("host:5000/web", "1")),
        ] {
            assert_eq!(divide(name), parts);
        }
    }
}
