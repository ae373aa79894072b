// SPDX-License-Identifier: Apache-2.0
//! Methods that show what a container does and uses.

use varlink::{Value, json};

use super::api::{Api, Kind, Outcome, elements, error, number, object, query, string, strings};
use super::parameters::Parameters;
use super::shape::{As, Field, shape};

const CONTAINER: Kind = Kind::Container;

/// `Top` and `ListContainerProcesses`: rows of columns with tabs between them, the titles first.
pub(super) fn top(api: &Api, name: &str, columns: &[String], kind: Kind) -> Outcome<Vec<String>> {
    let pairs = query(&[("ps_args", &columns.join(","))]);
    let found = api.get(kind, name, format!("{}/top{pairs}", object(kind, name)?))?;
    let titles = strings(&found, "Titles").join("\t");
    let rows = elements(&found["Processes"]).iter();
    let text = |row: &Value| {
        let columns: Vec<&str> = elements(row).iter().filter_map(Value::as_str).collect();
        columns.join("\t")
    };
    Ok(std::iter::once(titles).chain(rows.map(text)).collect())
}

/// `ListContainerChanges`.
pub(super) fn changes(api: &Api, parameters: Parameters<'_>) -> Outcome<Value> {
    let name = parameters.text("name")?;
    let found = api.get(
        CONTAINER,
        name,
        format!("{}/changes", object(CONTAINER, name)?),
    )?;
    let of_kind = |kind: i64| -> Vec<String> {
        let entries = elements(&found)
            .iter()
            .filter(|entry| number(entry, "Kind") == kind);
        entries.map(|entry| string(entry, "Path")).collect()
    };
    Ok(
        json!({ "container": { "changed": of_kind(0), "added": of_kind(1), "deleted": of_kind(2) } }),
    )
}

/// `Diff`: of a container, or of an image.
pub(super) fn diff(api: &Api, parameters: Parameters<'_>) -> Outcome<Value> {
    let name = parameters.text("name")?;
    let changes = |kind| api.get(kind, name, format!("{}/changes", object(kind, name)?));
    let found = changes(CONTAINER).or_else(|_| changes(Kind::Image))?;
    let words = ["C", "A", "D"];
    let diffs = elements(&found).iter().map(|entry| {
        let kind = usize::try_from(number(entry, "Kind")).unwrap_or(0);
        json!({ "path": string(entry, "Path"), "changeType": *words.get(kind).unwrap_or(&"C") })
    });
    Ok(json!({ "diffs": diffs.collect::<Vec<_>>() }))
}

/// `GetContainerStats`.
pub(super) fn stats(api: &Api, parameters: Parameters<'_>) -> Outcome<Value> {
    Ok(json!({ "container": stats_of(api, parameters.text("name")?)? }))
}

/// Returns the structure `ContainerStats` of a container, which has to run.
pub(super) fn stats_of(api: &Api, name: &str) -> Outcome<Value> {
    let inspected = api.inspect(CONTAINER, name)?;
    match string(&inspected["State"], "Status") == "running" {
        true => measured(api, &string(&inspected, "Id")),
        false => Err(error("NoContainerRunning", json!({}))),
    }
}

/// Returns the structure `ContainerStats` of a running container.
pub(super) fn measured(api: &Api, id: &str) -> Outcome<Value> {
    let pairs = query(&[("containers", id), ("stream", "false")]);
    let report = api.get(CONTAINER, id, format!("containers/stats{pairs}"))?;
    let stats = report["Stats"]
        .get(0)
        .ok_or_else(|| error("NoContainerRunning", json!({})))?;
    let networks = stats["Network"].as_object();
    let sum = |name: &str| {
        networks
            .into_iter()
            .flatten()
            .map(|(_, n)| number(n, name))
            .sum::<i64>()
    };
    let mut measured = shape(stats, STATS);
    measured["net_input"] = sum("RxBytes").into();
    measured["net_output"] = sum("TxBytes").into();
    Ok(measured)
}

#[rustfmt::skip]
const STATS: &[Field] = &[
    ("id", "ContainerID", As::Text), ("name", "Name", As::Text), ("cpu", "CPU", As::Real), ("cpu_nano", "CPUNano", As::Int),
    ("system_nano", "SystemNano", As::Int), ("mem_usage", "MemUsage", As::Int), ("mem_limit", "MemLimit", As::Int),
    ("mem_perc", "MemPerc", As::Real), ("block_output", "BlockOutput", As::Int), ("block_input", "BlockInput", As::Int),
    ("pids", "PIDs", As::Int),
];
