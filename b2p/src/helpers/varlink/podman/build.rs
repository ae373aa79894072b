// SPDX-License-Identifier: Apache-2.0
//! `BuildImage`: its structure becomes the query of a request.

use varlink::{Exchange, Value, json};

use super::api::{Api, Outcome, occurred, query, request, switch};
use super::images::{Progress, progress};
use super::parameters::Parameters;

/// Texts of `BuildInfo` and the parameters of the request that they become.
const BUILD_TEXTS: &[(&str, &str)] = &[
    ("output", "t"),
    ("outputFormat", "outputformat"),
    ("target", "target"),
];
/// Switches of `BuildInfo`.
const BUILD_SWITCHES: &[(&str, &str)] = &[
    ("forceRmIntermediateCtrs", "forcerm"),
    ("nocache", "nocache"),
    ("quiet", "q"),
    ("remoteIntermediateCtrs", "rm"),
    ("squash", "squash"),
];
/// Lists of `BuildInfo` that become JSON.
const BUILD_LISTS: &[(&str, &str)] = &[
    ("addCapabilities", "addcaps"),
    ("annotations", "annotations"),
    ("devices", "devices"),
    ("dropCapabilities", "dropcaps"),
];
/// Numbers, texts and lists of `BuildOptions`.
const BUILD_OPTIONS: &[(&str, &str)] = &[
    ("addHosts", "extrahosts"),
    ("cpuPeriod", "cpuperiod"),
    ("cpuQuota", "cpuquota"),
    ("cpuShares", "cpushares"),
    ("cpusetCpus", "cpusetcpus"),
    ("cpusetMems", "cpusetmems"),
    ("memory", "memory"),
    ("memorySwap", "memswap"),
    ("ulimit", "ulimits"),
];

/// `BuildImage`: the context is an archive that `SendFile` took; it is removed.
pub(super) fn image(
    api: &Api,
    parameters: Parameters<'_>,
    exchange: &mut Exchange<'_>,
) -> Outcome<Value> {
    let no_members = varlink::Map::new();
    let build = parameters
        .structure("build")?
        .unwrap_or(Parameters(&no_members));
    if !exchange.call.more {
        return Err(occurred("the call needs `more`: the progress follows"));
    }
    let context = build.text("contextDir")?;
    let path = format!("build{}", build_query(build)?);
    let file = api.spool.source(context)?;
    let request = request("POST", path);
    let built = progress(
        api,
        &Progress {
            name: "",
            request: &request,
            file: Some(&file),
            result: "image",
        },
        exchange,
    );
    api.spool.remove(context);
    built
}

/// Returns the query of a build.
fn build_query(build: Parameters<'_>) -> Outcome<String> {
    let mut pairs: Vec<(&str, String)> = Vec::new();
    for (field, name) in BUILD_TEXTS {
        pairs.push((name, build.text(field)?.to_owned()));
    }
    for tag in build.list("additionalTags")? {
        pairs.push(("t", tag));
    }
    for (field, name) in BUILD_SWITCHES {
        pairs.push((name, switch(build.flag(field)?).to_owned()));
    }
    // The API's default is true.
    pairs.push(("layers", build.flag("layers")?.to_string()));
    for (field, name) in BUILD_LISTS {
        pairs.push((name, list(build, field)?));
    }
    pairs.push(("dockerfile", dockerfiles(build)?));
    if let Some(arguments) = build.structure("buildArgs")? {
        pairs.push(("buildargs", Value::Object(arguments.0.clone()).to_string()));
    }
    let labels = build.list("label")?;
    if !labels.is_empty() {
        let split = |label: &String| {
            let (name, value) = label.split_once('=').unwrap_or((label, ""));
            (name.to_owned(), Value::from(value))
        };
        let labels: varlink::Map = labels.iter().map(split).collect();
        pairs.push(("labels", Value::Object(labels).to_string()));
    }
    if let Some(options) = build.structure("buildOptions")? {
        for (field, name) in BUILD_OPTIONS {
            pairs.push((name, option(options, field)?));
        }
        for volume in options.list("volume")? {
            pairs.push(("volume", volume));
        }
    }
    let pairs: Vec<(&str, &str)> = pairs
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    Ok(query(&pairs))
}

/// Returns a list as JSON, and nothing for an empty one.
fn list(parameters: Parameters<'_>, field: &str) -> Outcome<String> {
    let list = parameters.list(field)?;
    Ok(if list.is_empty() {
        String::new()
    } else {
        json!(list).to_string()
    })
}

/// Returns a number, a text or a list as the value of a query, and nothing for its zero value.
fn option(options: Parameters<'_>, field: &str) -> Outcome<String> {
    match options.0.get(field) {
        Some(Value::Array(_)) => list(options, field),
        Some(Value::Number(_)) => Ok(match options.number(field)? {
            0 => String::new(),
            number => number.to_string(),
        }),
        _ => Ok(options.text(field)?.to_owned()),
    }
}

/// Returns the names of the Dockerfiles in the context as JSON.
fn dockerfiles(build: Parameters<'_>) -> Outcome<String> {
    let files = build.list("dockerfiles")?;
    let is_inside =
        |file: &String| !file.starts_with('/') && file.split('/').all(|part| part != "..");
    match files.iter().find(|file| !is_inside(file)) {
        Some(file) => Err(occurred(&format!(
            "dockerfiles: {file}: not a path in the context"
        ))),
        None => list(build, "dockerfiles"),
    }
}
