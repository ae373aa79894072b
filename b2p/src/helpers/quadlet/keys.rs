// SPDX-License-Identifier: Apache-2.0
//! Keys of units: those that have an effect, those that need none here, and limits of resources.

use super::unit::{Assignment, Unit};

/// Keys that are read.
const READ: &[(&str, &[&str])] = &[
    (
        "Unit",
        &[
            "After",
            "Before",
            "BindsTo",
            "Requires",
            "Requisite",
            "SourcePath",
            "Upholds",
            "Wants",
        ],
    ),
    (
        "Service",
        &[
            "Environment",
            "EnvironmentFile",
            "ExecStart",
            "ExecStartPost",
            "ExecStartPre",
            "ExecStop",
            "ExecStopPost",
            "KillMode",
            "OOMScoreAdjust",
            "PIDFile",
            "RemainAfterExit",
            "Restart",
            "RestartPreventExitStatus",
            "RestartSec",
            "SuccessExitStatus",
            "TimeoutSec",
            "TimeoutStartSec",
            "TimeoutStopSec",
            "Type",
            "WorkingDirectory",
        ],
    ),
    ("Install", &["DefaultInstance", "RequiredBy", "WantedBy"]),
];

/// Keys that describe, or ask for what is so here in any case.
const NOT_NEEDED: &[(&str, &[&str])] = &[
    (
        "Unit",
        &[
            "DefaultDependencies",
            "Description",
            "Documentation",
            "RequiresMountsFor",
        ],
    ),
    ("Service", &["Delegate", "NotifyAccess", "SyslogIdentifier"]),
];

/// Limits of resources (systemd.resource-control(5)), and the files of a cgroup that hold them.
const LIMITS: &[(&str, &str)] = &[
    ("MemoryMax", "memory.max"),
    ("MemoryHigh", "memory.high"),
    ("MemoryLow", "memory.low"),
    ("MemoryMin", "memory.min"),
    ("MemorySwapMax", "memory.swap.max"),
    ("TasksMax", "pids.max"),
    ("CPUWeight", "cpu.weight"),
    ("CPUQuota", "cpu.max"),
];
/// Period of `cpu.max` in microseconds (cgroup-v2.rst).
const CPU_PERIOD_US: u64 = 100_000;

/// Returns the keys of a unit that have no effect here, each once.
#[must_use]
pub fn unsupported(unit: &Unit) -> Vec<String> {
    let mut keys = Vec::new();
    for Assignment { section, key, .. } in unit.assignments() {
        let is_in = |table: &[(&str, &[&str])]| {
            let mut rows = table.iter();
            rows.any(|(of, keys)| of == section && keys.contains(&key.as_str()))
        };
        let is_limit = section == "Service" && LIMITS.iter().any(|(limit, _)| limit == key);
        let is_known = section.starts_with("X-") || key.starts_with("X-");
        if !is_known && !is_limit && !is_in(READ) && !is_in(NOT_NEEDED) && !keys.contains(key) {
            keys.push(key.clone());
        }
    }
    keys
}

/// Returns the files of the cgroup that limit the unit, with their values.
///
/// # Errors
/// A value is wrong.
pub fn limits(unit: &Unit) -> Result<Vec<(&'static str, String)>, String> {
    let given = LIMITS
        .iter()
        .filter_map(|(key, file)| Some((*key, *file, unit.last("Service", key)?)));
    let limit = |(key, file, text): (&str, &'static str, &str)| {
        let value = match key {
            "CPUQuota" => quota(text),
            "CPUWeight" => number(text),
            _ => amount(text),
        };
        let value =
            value.ok_or_else(|| format!("{key}: {text}: an amount that its cgroup takes"))?;
        Ok((file, value))
    };
    given.map(limit).collect()
}

fn number(text: &str) -> Option<String> {
    text.parse::<u64>().ok().map(|n| n.to_string())
}

/// Reads a number with a suffix to the base of 1024.
fn amount(text: &str) -> Option<String> {
    if text == "infinity" {
        return Some("max".to_owned());
    }
    let suffix = text.chars().last()?;
    let shift = match suffix {
        'K' => 10,
        'M' => 20,
        'G' => 30,
        'T' => 40,
        _ => return number(text),
    };
    let digits: u64 = text.strip_suffix(suffix)?.parse().ok()?;
    Some(digits.checked_mul(1 << shift)?.to_string())
}

fn quota(text: &str) -> Option<String> {
    let percent: u64 = text.strip_suffix('%')?.parse().ok()?;
    let us = percent
        .checked_mul(CPU_PERIOD_US / 100)
        .filter(|us| *us > 0)?;
    Some(format!("{us} {CPU_PERIOD_US}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_without_effect_are_named_once() {
        let text = "[Unit]\nAfter=a.service\nFrob=1\n[X-Container]\nImage=x\n[Service]\nWatchdogSec=3\n\
            WatchdogSec=4\nMemoryMax=1G\nX-Own=1\nDelegate=yes\n[Install]\nAlias=b.service\n";
        assert_eq!(
            unsupported(&Unit::parse(text)),
            ["Frob", "WatchdogSec", "Alias"]
        );
    }

    #[test]
    fn limits_of_a_cgroup() {
        for (line, right) in [
            ("MemoryMax=512M", Some(("memory.max", "536870912"))),
            ("MemoryHigh=infinity", Some(("memory.high", "max"))),
            ("TasksMax=100", Some(("pids.max", "100"))),
            ("CPUQuota=150%", Some(("cpu.max", "150000 100000"))),
            ("CPUWeight=50", Some(("cpu.weight", "50"))),
            ("CPUQuota=0%", None),
            ("CPUQuota=1", None),
            ("MemoryMax=50%", None),
            ("MemoryMax=-1", None),
            ("MemoryMax=99999999999999999999T", None),
            ("CPUWeight=idle", None),
        ] {
            let limits = limits(&Unit::parse(&format!("[Service]\n{line}\n")));
            let right = right.map(|(file, value)| vec![(file, value.to_owned())]);
            assert_eq!(limits.ok(), right, "{line}");
        }
    }
}
