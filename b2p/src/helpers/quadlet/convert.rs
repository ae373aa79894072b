// SPDX-License-Identifier: Apache-2.0
//! Units to service files (docs/guide/services.md): what PID 1 has to know of a unit. The commands of
//! the unit are run by `b2p unit-run`.

use sys::clock::Millis;
use sys::paths::B2P;

use super::keys;
use super::paths::service_name;
use super::program::{Program, span};
use super::run::lifecycle::Kind;
use super::specifiers::{Owner, Specifiers};
use super::unit::Unit;

/// Longest time that a service file can name, in milliseconds.
const MAX_MS: Millis = 3_600_000;
/// Time after which a unit without a limit is late.
const LATE_MS: Millis = 90_000;
/// Time in milliseconds that `b2p unit-run` has beyond the limits of the unit's stages.
const MARGIN_MS: Millis = 5_000;
/// Stages of a unit's end, each of which has `TimeoutStopSec=`.
const STOP_STAGES: Millis = 3;
/// Services of the machine that stand for targets of systemd.
const TARGETS: &[(&str, &str)] = &[
    ("network-online.target", "net"),
    ("network.target", "net"),
    ("time-sync.target", "time"),
    ("local-fs.target", "data"),
];
/// Targets that each boot reaches.
const BOOT_TARGETS: &[&str] = &[
    "default.target",
    "multi-user.target",
    "graphical.target",
    "basic.target",
    "network-online.target",
    "timers.target",
];

/// A unit, and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// Name of the unit: `web.service`.
    pub unit: String,
    /// Name of the service.
    pub service: String,
    /// Services that it needs.
    pub needs: Vec<String>,
    /// Services that it is ordered after.
    pub after: Vec<String>,
    /// Services that start with it.
    pub wants: Vec<String>,
    /// The boot starts it.
    pub at_boot: bool,
    /// Lines of the service file that depend on no other unit.
    lines: String,
    /// Keys that have no effect here.
    pub unsupported: Vec<String>,
}

impl Definition {
    /// Reads a unit.
    ///
    /// # Errors
    /// The unit cannot run here; the text says why.
    pub fn of(unit: &Unit, specifiers: &Specifiers) -> Result<Definition, String> {
        let name = &specifiers.unit;
        let service = service_name(name, &specifiers.user)
            .ok_or("its name is longer than 32 characters, or has none that a service can have")?;
        let program = Program::of(unit, specifiers)?;
        let names = |keys: &[&str]| services(unit, keys, &specifiers.user);
        let installed = |key| {
            unit.names("Install", key)
                .any(|t| BOOT_TARGETS.contains(&t))
        };
        Ok(Definition {
            unit: name.clone(),
            lines: lines(unit, &program, &service, specifiers)?,
            service,
            needs: names(&["Requires", "Requisite", "BindsTo"]),
            after: names(&["After"]),
            wants: names(&["Wants", "Upholds"]),
            at_boot: installed("WantedBy") || installed("RequiredBy"),
            unsupported: keys::unsupported(unit),
        })
    }

    /// Returns the text of the service file.
    #[must_use]
    pub fn service_file(&self) -> String {
        let list = |keyword: &str, names: &[String]| {
            // A line takes 64 words.
            let lines = names
                .chunks(32)
                .map(|part| format!("{keyword} {}\n", part.join(" ")));
            lines.collect::<String>()
        };
        let needs = list("needs", &self.needs);
        format!("{}{needs}{}", self.lines, list("after", &self.after))
    }
}

/// Adds what units say about others: `Before=`, `WantedBy=` and `RequiredBy=` of a service.
pub fn link(definitions: &mut [Definition], units: &[(String, Unit)], owner: &Owner) {
    for (name, unit) in units {
        let Some(own) = service_name(name, owner) else {
            continue;
        };
        for (key, section) in [
            ("Before", "Unit"),
            ("WantedBy", "Install"),
            ("RequiredBy", "Install"),
        ] {
            let others: Vec<String> = unit
                .names(section, key)
                .filter_map(|name| service_of(name, owner))
                .collect();
            for other in definitions
                .iter_mut()
                .filter(|d| others.contains(&d.service))
            {
                let list = match key {
                    "Before" => &mut other.after,
                    "WantedBy" => &mut other.wants,
                    _ => &mut other.needs,
                };
                add(list, own.clone());
            }
        }
    }
}

/// Returns the services that these keys of a unit name.
fn services(unit: &Unit, keys: &[&str], owner: &Owner) -> Vec<String> {
    let mut services = Vec::new();
    for key in keys {
        for service in unit
            .names("Unit", key)
            .filter_map(|name| service_of(name, owner))
        {
            add(&mut services, service);
        }
    }
    services
}

fn add(list: &mut Vec<String>, name: String) {
    if !list.contains(&name) {
        list.push(name);
    }
}

/// Returns the service that a unit is or that stands for it; `None` for what has no meaning here, such as
/// mounts and further targets.
fn service_of(unit: &str, owner: &Owner) -> Option<String> {
    let target = TARGETS.iter().find(|(target, _)| *target == unit);
    match target {
        Some((_, service)) => Some((*service).to_owned()),
        None if unit.ends_with(".service") => service_name(unit, owner),
        None => None,
    }
}

fn lines(
    unit: &Unit,
    program: &Program,
    service: &str,
    specifiers: &Specifiers,
) -> Result<String, String> {
    let last = |key: &str| unit.last("Service", key);
    let plan = &program.plan;
    let ends = plan.kind == Kind::Oneshot && !plan.remains;
    let restart = restart(last("Restart").unwrap_or("no"), ends)?;
    let delay = match last("RestartSec").map(|text| (text, span(text))) {
        None => 100,
        Some((_, Some(Some(ms)))) => ms,
        Some((text, _)) => return Err(format!("RestartSec: {text}: a time such as 5 or 1min")),
    };
    let grace = plan
        .stop_ms
        .map_or(MAX_MS, |ms| ms * STOP_STAGES + MARGIN_MS);
    let late = plan.start_ms.map_or(LATE_MS, |ms| ms + MARGIN_MS);
    let mut text = format!(
        "exec {B2P} unit-run {service}\nready {}\nrestart {restart}\ndelay {}ms\ngrace {}ms\nlate {}ms\nkill {}\n",
        if ends { "exit" } else { "notify" },
        delay.min(MAX_MS),
        grace.min(MAX_MS),
        late.min(MAX_MS),
        match last("KillMode") {
            Some("process" | "none") => "process",
            _ => "mixed",
        },
    );
    let finals = unit.names("Service", "RestartPreventExitStatus");
    let finals: Vec<&str> = finals
        .filter(|status| status.parse::<u8>().is_ok())
        .collect();
    if !finals.is_empty() {
        text += &format!("final {}\n", finals.join(" "));
    }
    if specifiers.user.uid != 0 {
        let (user, dir) = (&specifiers.user.name, specifiers.user.runtime_dir());
        text += &format!("user {user}\nenv XDG_RUNTIME_DIR={dir}\n");
    }
    for (file, value) in keys::limits(unit)? {
        text += &format!("limit {file} \"{value}\"\n");
    }
    if let Some(score) = last("OOMScoreAdjust") {
        text += &format!("oom {}\n", oom_score_adj(score, specifiers.user.uid)?);
    }
    Ok(text)
}

/// Reads `OOMScoreAdjust=`. PID 1, which sets the value, may lower the score, and a user may not
/// (proc_pid_oom_score_adj(5)).
fn oom_score_adj(text: &str, uid: u32) -> Result<i32, String> {
    let least = if uid == 0 { -1_000 } else { 0 };
    let score = text.parse::<i32>().ok();
    let score = score.filter(|score| (least..=1_000).contains(score));
    score.ok_or_else(|| format!("OOMScoreAdjust: {text}: a number from {least} to 1000"))
}

/// Returns the restart policy of a service file for that of a unit.
fn restart(policy: &str, ends: bool) -> Result<&'static str, String> {
    Ok(match policy {
        "no" => "never",
        // A one-shot that has ended with success is not started again (systemd.service(5)).
        "always" if ends => "on-failure",
        "always" => "always",
        "on-failure" | "on-abnormal" | "on-abort" | "on-watchdog" => "on-failure",
        other => return Err(format!("Restart: {other}: no, always or on-failure")),
    })
}

/// Returns the services that a boot starts: those that are wanted, and those that these want or need.
#[must_use]
pub fn started_at_boot(definitions: &[Definition]) -> Vec<&Definition> {
    let mut started: Vec<bool> = definitions.iter().map(|d| d.at_boot).collect();
    let mut changed = true;
    while changed {
        changed = false;
        for (n, definition) in definitions.iter().enumerate() {
            let wants = |d: &Definition| {
                d.wants.contains(&definition.service) || d.needs.contains(&definition.service)
            };
            let pulled = definitions
                .iter()
                .zip(&started)
                .any(|(d, s)| *s && wants(d));
            if let Some(own) = started.get_mut(n).filter(|own| pulled && !**own) {
                *own = true;
                changed = true;
            }
        }
    }
    let all = definitions.iter().zip(started);
    all.filter(|(_, started)| *started)
        .map(|(d, _)| d)
        .collect()
}

#[cfg(test)]
#[path = "convert/tests.rs"]
mod tests;
