// SPDX-License-Identifier: Apache-2.0
//! Limits of a pod, as podman keeps them (runtime-spec, config-linux.md, "Control groups"), in the
//! words of cgroup-v2.rst.

use serde_json::Value;
use sys::error::{Error, Result};

/// A file of a cgroup, and its new content.
pub type Setting = (String, String);

/// Returns the settings of the cgroup for the limits.
///
/// # Errors
/// A limit is unknown: a pod would run without the limit.
pub fn settings(limits: &Value) -> Result<Vec<Setting>> {
    let mut settings = Vec::new();
    for (kind, value) in limits.as_object().into_iter().flatten() {
        match kind.as_str() {
            _ if is_empty(value) => {}
            "memory" => memory(value, &mut settings)?,
            "cpu" => cpu(value, &mut settings)?,
            "pids" => pids(value, &mut settings)?,
            "blockIO" => block_io(value, &mut settings)?,
            "unified" => unified(value, &mut settings)?,
            _ => return Err(unknown(kind)),
        }
    }
    Ok(settings)
}

fn unknown(what: &str) -> Error {
    Error::invalid(format!(
        "limit {what}: not supported for a pod as a whole; the containers can have it"
    ))
}

/// Returns true for a value without a limit.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.values().all(is_empty),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Fails for a member that is none of `known`.
fn check(kind: &str, value: &Value, known: &[&str]) -> Result<()> {
    let members = value.as_object().ok_or_else(|| unknown(kind))?;
    let mut set = members.iter().filter(|(_, value)| !is_empty(value));
    match set.find(|(name, _)| !known.contains(&name.as_str())) {
        None => Ok(()),
        Some((name, _)) => Err(unknown(&format!("{kind}.{name}"))),
    }
}

/// Returns the text of a number, where 0 and less is no limit.
fn or_max(number: i64) -> String {
    if number > 0 {
        number.to_string()
    } else {
        "max".to_owned()
    }
}

fn push(settings: &mut Vec<Setting>, file: &str, value: impl ToString) {
    settings.push((file.to_owned(), value.to_string()));
}

fn memory(value: &Value, settings: &mut Vec<Setting>) -> Result<()> {
    check("memory", value, &["limit", "swap", "reservation"])?;
    let limit = value["limit"].as_i64();
    if let Some(limit) = limit {
        push(settings, "memory.max", or_max(limit));
    }
    if let Some(reservation) = value["reservation"].as_i64() {
        push(settings, "memory.low", reservation.max(0));
    }
    // The format's number is the sum of both, that of the cgroup is the swap alone.
    match value["swap"]
        .as_i64()
        .map(|swap| (swap, swap - limit.unwrap_or(0)))
    {
        None => {}
        Some((sum, _)) if sum <= 0 => push(settings, "memory.swap.max", "max"),
        Some((_, swap)) if swap >= 0 => push(settings, "memory.swap.max", swap),
        Some(_) => return Err(Error::invalid("memory.swap is less than memory.limit")),
    }
    Ok(())
}

fn cpu(value: &Value, settings: &mut Vec<Setting>) -> Result<()> {
    check("cpu", value, &["shares", "quota", "period", "cpus", "mems"])?;
    if let Some(shares) = value["shares"].as_u64().filter(|shares| *shares > 0) {
        push(settings, "cpu.weight", weight(shares));
    }
    let (quota, period) = (value["quota"].as_i64(), value["period"].as_u64());
    if quota.is_some() || period.is_some() {
        let quota = or_max(quota.unwrap_or(0));
        // The kernel's own (kernel/sched/core.c, default_cfs_period).
        let period = period.filter(|period| *period > 0).unwrap_or(100_000);
        push(settings, "cpu.max", format!("{quota} {period}"));
    }
    for (name, file) in [("cpus", "cpuset.cpus"), ("mems", "cpuset.mems")] {
        if let Some(list) = value[name].as_str().filter(|list| !list.is_empty()) {
            push(settings, file, list);
        }
    }
    Ok(())
}

/// Returns the weight of cgroup v2 (1 to 10000) for the shares of v1 (2 to 262144), as crun does.
fn weight(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9_999 / 262_142
}

fn pids(value: &Value, settings: &mut Vec<Setting>) -> Result<()> {
    check("pids", value, &["limit"])?;
    if let Some(limit) = value["limit"].as_i64() {
        push(settings, "pids.max", or_max(limit));
    }
    Ok(())
}

fn block_io(value: &Value, settings: &mut Vec<Setting>) -> Result<()> {
    const RATES: [(&str, &str); 4] = [
        ("throttleReadBpsDevice", "rbps"),
        ("throttleWriteBpsDevice", "wbps"),
        ("throttleReadIOPSDevice", "riops"),
        ("throttleWriteIOPSDevice", "wiops"),
    ];
    let [(read, _), (write, _), (reads, _), (writes, _)] = RATES;
    check("blockIO", value, &["weight", read, write, reads, writes])?;
    if let Some(weight) = value["weight"].as_u64().filter(|weight| *weight > 0) {
        // 10 to 1000 in v1, 1 to 10000 in v2.
        push(
            settings,
            "io.weight",
            1 + (weight.clamp(10, 1000) - 10) * 9_999 / 990,
        );
    }
    for (name, word) in RATES {
        for device in value[name].as_array().into_iter().flatten() {
            let number = |member: &str| device[member].as_u64();
            let (Some(major), Some(minor), Some(rate)) =
                (number("major"), number("minor"), number("rate"))
            else {
                return Err(unknown(&format!("blockIO.{name}")));
            };
            push(settings, "io.max", format!("{major}:{minor} {word}={rate}"));
        }
    }
    Ok(())
}

/// Settings that are those of cgroup v2 already.
fn unified(value: &Value, settings: &mut Vec<Setting>) -> Result<()> {
    for (file, value) in value.as_object().into_iter().flatten() {
        let (controller, _) = file.split_once('.').unwrap_or_default();
        let is_name = file
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b));
        let (true, Some(value)) = (
            is_name && !matches!(controller, "" | "cgroup"),
            value.as_str(),
        ) else {
            return Err(unknown(&format!("unified.{file}")));
        };
        push(settings, file, value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::why;
    use serde_json::json;

    type Row = (Value, Vec<(&'static str, &'static str)>);

    fn check_all(rows: Vec<Row>) {
        for (limits, expected) in rows {
            let settings = settings(&limits).unwrap();
            let settings: Vec<_> = settings
                .iter()
                .map(|(file, text)| (&**file, &**text))
                .collect();
            assert_eq!(settings, expected, "{limits}");
        }
    }

    #[test]
    fn limits_in_the_words_of_the_cgroup() {
        check_all(vec![
            (json!({}), vec![]),
            (json!(null), vec![]),
            (
                json!({"memory": {}, "cpu": {"cpus": ""}, "devices": null}),
                vec![],
            ),
            (
                json!({"memory": {"limit": 67_108_864, "swap": 134_217_728}}),
                vec![("memory.max", "67108864"), ("memory.swap.max", "67108864")],
            ),
            (
                json!({"memory": {"limit": -1, "swap": -1}}),
                vec![("memory.max", "max"), ("memory.swap.max", "max")],
            ),
            (
                json!({"memory": {"swap": 5, "limit": 5}}),
                vec![("memory.max", "5"), ("memory.swap.max", "0")],
            ),
            (
                json!({"memory": {"reservation": 7}}),
                vec![("memory.low", "7")],
            ),
            (
                json!({"cpu": {"quota": 50_000, "period": 100_000}}),
                vec![("cpu.max", "50000 100000")],
            ),
            (
                json!({"cpu": {"period": 50_000}}),
                vec![("cpu.max", "max 50000")],
            ),
            (
                json!({"cpu": {"quota": -1}}),
                vec![("cpu.max", "max 100000")],
            ),
            (
                json!({"cpu": {"shares": 1024, "cpus": "0-1", "mems": "0"}}),
                vec![
                    ("cpu.weight", "39"),
                    ("cpuset.cpus", "0-1"),
                    ("cpuset.mems", "0"),
                ],
            ),
        ]);
    }

    #[test]
    fn shares_weights_and_rates_in_the_words_of_the_cgroup() {
        check_all(vec![
            (json!({"cpu": {"shares": 0}}), vec![]),
            (json!({"cpu": {"shares": 2}}), vec![("cpu.weight", "1")]),
            (
                json!({"cpu": {"shares": 262_144}}),
                vec![("cpu.weight", "10000")],
            ),
            (json!({"pids": {"limit": 20}}), vec![("pids.max", "20")]),
            (json!({"pids": {"limit": -1}}), vec![("pids.max", "max")]),
            (
                json!({"blockIO": {"weight": 1000}}),
                vec![("io.weight", "10000")],
            ),
            (
                json!({"blockIO": {"throttleReadBpsDevice": [{"major": 254, "minor": 0, "rate": 1_048_576}],
                                   "throttleWriteIOPSDevice": [{"major": 254, "minor": 0, "rate": 9}]}}),
                vec![
                    ("io.max", "254:0 rbps=1048576"),
                    ("io.max", "254:0 wiops=9"),
                ],
            ),
            (
                json!({"unified": {"memory.high": "1G"}}),
                vec![("memory.high", "1G")],
            ),
        ]);
    }

    #[test]
    fn a_limit_that_cannot_be_set_is_named() {
        for (limits, part) in [
            (
                json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 1}]}),
                "limit hugepageLimits: ",
            ),
            (json!({"memory": {"kernel": 5}}), "limit memory.kernel: "),
            (
                json!({"cpu": {"realtimeRuntime": 5}}),
                "limit cpu.realtimeRuntime: ",
            ),
            (
                json!({"blockIO": {"weightDevice": [{"major": 1}]}}),
                "limit blockIO.weightDevice: ",
            ),
            (
                json!({"blockIO": {"throttleReadBpsDevice": [{"rate": 1}]}}),
                "throttleReadBpsDevice",
            ),
            (
                json!({"memory": {"limit": 10, "swap": 5}}),
                "less than memory.limit",
            ),
            (json!({"unified": {"../x": "1"}}), "limit unified.../x"),
            (
                json!({"unified": {"cgroup.procs": "1"}}),
                "limit unified.cgroup.procs",
            ),
            (json!({"memory": 7}), "limit memory: "),
        ] {
            let told = why(settings(&limits));
            assert!(told.contains(part), "{limits}: {told}");
        }
    }
}
