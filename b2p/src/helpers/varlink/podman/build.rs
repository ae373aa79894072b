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
    let built = of_context(api, build, context, exchange);
    api.spool.remove(context);
    built
}

fn of_context(
    api: &Api,
    build: Parameters<'_>,
    context: &str,
    exchange: &mut Exchange<'_>,
) -> Outcome<Value> {
    let path = format!("build{}", build_query(build)?);
    let file = api.spool.source(context)?;
    let request = request("POST", path);
    let build = Progress {
        name: "",
        request: &request,
        file: Some(&file),
        result: "image",
    };
    progress(api, &build, exchange)
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
        let labels: varlink::Map = sys::sort::inserted(labels.iter().map(split));
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

/// Returns the paths of the Dockerfiles in the context as JSON. podman-remote 1.9.3 sends its own whole
/// paths, of which podman 1 took the last part.
fn dockerfiles(build: Parameters<'_>) -> Outcome<String> {
    let files = build.list("dockerfiles")?;
    let inside = |file: &String| {
        let path = match file.rsplit_once('/') {
            Some((_, name)) if file.starts_with('/') => name,
            _ => file,
        };
        let refused = path.is_empty() || path.split('/').any(|part| part == "..");
        match refused {
            true => Err(occurred(&format!(
                "dockerfiles: {file}: not a path in the context"
            ))),
            false => Ok(path.to_owned()),
        }
    };
    let paths = files.iter().map(inside).collect::<Outcome<Vec<_>>>()?;
    Ok(match paths.is_empty() {
        true => String::new(),
        false => json!(paths).to_string(),
    })
}
