// SPDX-License-Identifier: Apache-2.0
//! Keys of units: those that have an effect, those that need none here, and limits of resources.

use super::output::is_of_socket;
use super::unit::{Assignment, Unit};
use super::unit_error::{Result, UnitError};
use super::{conditions, directories, words};

/// Keys that are read.
const READ: &[(&str, &[&str])] = &[
    (
        "Unit",
        &[
            "After",
            "Before",
            "BindsTo",
            "PartOf",
            "Requires",
            "Requisite",
            "SourcePath",
            "StartLimitBurst",
            "StartLimitInterval",
            "StartLimitIntervalSec",
            "Upholds",
            "Wants",
        ],
    ),
    (
        "Service",
        &[
            "Environment",
            "EnvironmentFile",
            "ExecCondition",
            "ExecReload",
            "ExecStart",
            "ExecStartPost",
            "ExecStartPre",
            "ExecStop",
            "ExecStopPost",
            "KillMode",
            "KillSignal",
            "LimitNOFILE",
            "OOMScoreAdjust",
            "PIDFile",
            "ReloadSignal",
            "RemainAfterExit",
            "Restart",
            "RestartPreventExitStatus",
            "RestartSec",
            "SendSIGKILL",
            "StandardError",
            "StandardOutput",
            "StartLimitBurst",
            "StartLimitInterval",
            "SuccessExitStatus",
            "TimeoutSec",
            "TimeoutStartSec",
            "TimeoutStopSec",
            "Type",
            "UMask",
            "WatchdogSec",
            "WorkingDirectory",
        ],
    ),
    ("Install", &["DefaultInstance", "RequiredBy", "WantedBy"]),
];

/// Keys that describe the unit, or request a property that holds here in any case.
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

/// Keys without which the processes would have more rights than their author meant.
const REFUSED: &[&str] = &["User", "Group", "DynamicUser", "RootDirectory", "RootImage"];
/// Values with which these keys request a property that holds here in any case.
const HARMLESS: &[&str] = &["root", "0", "no", "false", "/"];

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

/// Returns the keys of a unit that have no effect here, each once, and such values with their keys.
#[must_use]
pub fn unsupported(unit: &Unit) -> Vec<String> {
    let mut keys = Vec::new();
    for Assignment { section, key, .. } in unit.assignments() {
        let is_in = |table: &[(&str, &[&str])]| {
            let mut rows = table.iter();
            rows.any(|(of, keys)| of == section && keys.contains(&key.as_str()))
        };
        let is_limit = section == "Service" && LIMITS.iter().any(|(limit, _)| limit == key);
        let is_known = section.starts_with("X-")
            || key.starts_with("X-")
            || section == "Unit" && conditions::is_key(key)
            || section == "Service" && directories::is_key(key)
            || section == "Service" && REFUSED.contains(&key.as_str());
        if !is_known && !is_limit && !is_in(READ) && !is_in(NOT_NEEDED) && !keys.contains(key) {
            keys.push(key.clone());
        }
    }
    keys.extend(values_without_effect(unit));
    keys
}

/// Returns values that systemd ignores, or that mean nothing here, with their keys.
fn values_without_effect(unit: &Unit) -> impl Iterator<Item = String> {
    let outputs = ["StandardOutput", "StandardError"].into_iter();
    let outputs = outputs.filter_map(|key| Some((key, unit.last("Service", key)?)));
    let outputs = outputs.filter(|(_, value)| is_of_socket(value));
    let outputs = outputs.map(|(key, value)| format!("{key}={value}"));
    let words = unit.all("Service", "Environment").into_iter();
    let words = words.flat_map(|value| words::split(value).unwrap_or_default());
    let words = words.filter(|word| words::variable(&word.text).is_none());
    // A value may be a secret.
    let name = |text: &str| text.split('=').next().unwrap_or_default().to_owned();
    outputs.chain(words.map(move |word| format!("Environment={}", name(&word.text))))
}

/// Returns why a unit cannot run here: one of its keys takes rights away, and would have no effect.
#[must_use]
pub fn refusal(unit: &Unit) -> Option<UnitError> {
    let given = REFUSED
        .iter()
        .filter_map(|key| Some((key, unit.last("Service", key)?)));
    let mut refused = given.filter(|(_, value)| !HARMLESS.contains(value));
    let (key, value) = refused.next()?;
    let why = format!("{key}={value} is not supported; the files of a user run as that user");
    Some(UnitError::Invalid(why.into()))
}

/// Returns the files of the cgroup that limit the unit, with their values.
///
/// # Errors
/// A value is wrong.
pub fn limits(
    unit: &Unit,
    memory: impl Fn() -> u64,
    tasks: impl Fn() -> u64,
) -> Result<Vec<(&'static str, String)>> {
    let given = LIMITS
        .iter()
        .filter_map(|(key, file)| Some((*key, *file, unit.last("Service", key)?)));
    let limit = |(key, file, text): (&'static str, &'static str, &str)| {
        let value = match key {
            "CPUQuota" => quota(text),
            "CPUWeight" if text == "idle" => return Ok(("cpu.idle", "1".to_owned())),
            "CPUWeight" => number(text),
            "TasksMax" => share(text, &tasks).or_else(|| amount(text)),
            _ => share(text, &memory).or_else(|| amount(text)),
        };
        let right = "an amount that its cgroup takes";
        let value = value.ok_or_else(|| UnitError::value(key, text, right))?;
        Ok((file, value))
    };
    given.map(limit).collect()
}

fn number(text: &str) -> Option<String> {
    text.parse::<u64>().ok().map(|n| n.to_string())
}

/// Reads a part of what the machine has: `50%`.
fn share(text: &str, all: impl Fn() -> u64) -> Option<String> {
    let percent: u64 = text.strip_suffix('%')?.parse().ok()?;
    let part = (percent <= 100).then(|| all() / 100 * percent)?;
    Some(part.to_string())
}

/// Reads a number with a suffix to the base of 1024, which may have a fraction: `1.5G`.
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
    let digits = text.strip_suffix(suffix)?;
    let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
    let whole = whole.parse::<u64>().ok()?.checked_mul(1 << shift)?;
    let is_number = part.bytes().all(|b| b.is_ascii_digit()) && part.len() <= 6;
    let scale = 10_u64.pow(u32::try_from(part.len()).ok().filter(|_| is_number)?);
    let part = (part.parse::<u64>().ok()? << shift) / scale;
    Some(whole.checked_add(part)?.to_string())
}

fn quota(text: &str) -> Option<String> {
    let text = text.strip_suffix('%')?;
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let whole: u64 = whole.parse().ok()?;
    let hundredths: u64 = match part.len() {
        1 => part.parse::<u64>().ok()? * 10,
        2 => part.parse().ok()?,
        _ => return None,
    };
    let us = whole.checked_mul(100)?.checked_add(hundredths)?;
    let us = us
        .checked_mul(CPU_PERIOD_US / 10_000)
        .filter(|us| *us > 0)?;
    Some(format!("{us} {CPU_PERIOD_US}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_without_effect_are_named_once() {
        let text = "[Unit]\nAfter=a.service\nFrob=1\nConditionPathExists=/x\n[X-Container]\nImage=x\n\
            [Service]\nEnvironment=A=1 \"FOO BAR\"\nStandardOutput=fd:x\nSlice=a.slice\nSlice=b.slice\nMemoryMax=1G\nX-Own=1\nDelegate=yes\n[Install]\nAlias=b.service\n";
        assert_eq!(
            unsupported(&Unit::parse(text)),
            [
                "Frob",
                "Slice",
                "Alias",
                "StandardOutput=fd:x",
                "Environment=FOO BAR"
            ]
        );
    }

    #[test]
    fn a_unit_that_would_have_more_rights_does_not_run() {
        for (line, is_refused) in [
            ("User=nobody", true),
            ("DynamicUser=yes", true),
            ("Group=video", true),
            ("User=root", false),
            ("DynamicUser=no", false),
            ("Nice=3", false),
        ] {
            let unit = Unit::parse(&format!("[Service]\n{line}\n"));
            assert_eq!(refusal(&unit).is_some(), is_refused, "{line}");
        }
    }

    #[test]
    fn limits_of_a_cgroup() {
        for (line, right) in [
            ("MemoryMax=512M", Some(("memory.max", "536870912"))),
            ("MemoryHigh=infinity", Some(("memory.high", "max"))),
            ("TasksMax=100", Some(("pids.max", "100"))),
            ("CPUQuota=150%", Some(("cpu.max", "150000 100000"))),
            ("CPUWeight=50", Some(("cpu.weight", "50"))),
            ("CPUQuota=12.5%", Some(("cpu.max", "12500 100000"))),
            ("MemoryMax=50%", Some(("memory.max", "500"))),
            ("CPUQuota=0%", None),
            ("CPUQuota=1.55%", Some(("cpu.max", "1550 100000"))),
            ("CPUQuota=1.555%", None),
            ("MemoryMax=1.5G", Some(("memory.max", "1610612736"))),
            ("MemoryMax=1.25K", Some(("memory.max", "1280"))),
            ("MemoryMax=1.x5G", None),
            ("MemoryMax=1.G", None),
            ("CPUQuota=1", None),
            ("MemoryMax=101%", None),
            ("TasksMax=50%", Some(("pids.max", "100"))),
            ("TasksMax=101%", None),
            ("MemoryMax=-1", None),
            ("MemoryMax=99999999999999999999T", None),
            ("CPUWeight=idle", Some(("cpu.idle", "1"))),
        ] {
            let limits = limits(
                &Unit::parse(&format!("[Service]\n{line}\n")),
                || 1_000,
                || 200,
            );
            let right = right.map(|(file, value)| vec![(file, value.to_owned())]);
            assert_eq!(limits.ok(), right, "{line}");
        }
    }
}
