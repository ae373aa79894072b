// SPDX-License-Identifier: Apache-2.0
//! Units to service files (docs/guide/services.md): the part of a unit that PID 1 has to know. The
//! commands of the unit are run by `b2p unit-run`.

mod kinds;
mod links;

use sys::clock::Millis;
use sys::paths::B2P;
use sys::service_names::UNIT_RUN;

use super::PATH;
use super::conditions;
use super::host;
use super::keys;
use super::lifecycle::{Exit, GIVEN_UP, Kind, Plan, SKIPPED};
use super::paths::service_name;
use super::program::Program;
use super::span::{Span, span};
use super::specifiers::{Owner, Specifiers};
use super::unit::Unit;
use super::unit_error::{Result, UnitError};

use self::kinds::unknown_units;
pub use self::kinds::{BOOT_TARGETS, TARGET_SERVICES, stands_for_target};
pub use self::links::{Links, belongs_to, link, links};
use self::links::{PART_OF, WANTS};

/// Longest time that a service file can name, in milliseconds.
const MAX_MS: Millis = 3_600_000;
/// Time after which a unit without a limit is late.
const LATE_MS: Millis = 90_000;
/// Time in milliseconds that `b2p unit-run` has beyond the limits of the unit's stages.
const MARGIN_MS: Millis = 5_000;
/// Stages of a unit's end, each of which has `TimeoutStopSec=`.
const STOP_STAGES: Millis = 3;
/// A unit, and the resulting service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// Name of the unit: `web.service`.
    pub unit: String,
    /// Name of the service.
    pub service: String,
    /// Services that the unit needs.
    pub needs: Vec<String>,
    /// Services that the unit is ordered after.
    pub after: Vec<String>,
    /// Services whose end is its own.
    pub binds: Vec<String>,
    /// Services that start with the unit.
    pub wants: Vec<String>,
    /// Services whose stop and restart are its own.
    pub part_of: Vec<String>,
    /// Services that are ordered after the unit, start it, and need it, by keys of the unit itself.
    before: Vec<String>,
    wanted_by: Vec<String>,
    required_by: Vec<String>,
    /// Units that the unit names and that start with it.
    pub pulled: Vec<String>,
    /// True if the boot starts the unit.
    pub at_boot: bool,
    /// Lines of the service file that depend on no other unit.
    lines: String,
    /// Keys that have no effect here.
    pub unsupported: Vec<String>,
    /// Values that name no unit of a kind that is here, with their keys: `WantedBy=app.target`.
    pub unknown_units: Vec<String>,
}

impl Definition {
    /// Reads a unit.
    ///
    /// # Errors
    /// The unit cannot run here.
    pub fn of(unit: &Unit, specifiers: &Specifiers) -> Result<Definition> {
        let name = &specifiers.unit;
        let service = service_name(name, &specifiers.user)
            .ok_or("its name has no character that a service can have")?;
        if let Some(why) = keys::refusal(unit) {
            return Err(why);
        }
        for prefix in ["Condition", "Assert"] {
            conditions::of(unit, prefix, specifiers)?;
        }
        let program = Program::of(unit, specifiers)?;
        let units = |keys: &[&str]| units_of(unit, "Unit", keys, specifiers);
        let names = |keys: &[&str]| services(units(keys), &specifiers.user);
        let installed = |key| {
            let mut targets = unit.names("Install", key);
            targets.any(|target| BOOT_TARGETS.contains(&target))
        };
        Ok(Definition {
            unit: name.clone(),
            lines: lines(unit, &program, &service, specifiers)?,
            service,
            needs: names(&["Requires", "BindsTo"]),
            after: names(&["After"]),
            binds: names(&["BindsTo"]),
            wants: names(&["Wants", "Upholds"]),
            part_of: names(&["PartOf", "Requisite"]),
            before: names(&["Before"]),
            wanted_by: install_links(unit, "WantedBy", specifiers),
            required_by: install_links(unit, "RequiredBy", specifiers),
            pulled: units(&["Requires", "BindsTo", "Wants", "Upholds"]),
            at_boot: installed("WantedBy") || installed("RequiredBy"),
            unsupported: keys::unsupported(unit),
            unknown_units: unknown_units(unit, specifiers),
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
        [
            self.lines.clone(),
            list("needs", &self.needs),
            list("binds", &self.binds),
            list("after", &self.after),
            // Of these PID 1 takes no notice: `systemctl` reads them.
            list(WANTS, &self.wants),
            list(PART_OF, &self.part_of),
        ]
        .concat()
    }
}

/// Returns the services that must be active when the unit starts, which does not start them (systemd.unit(5),
/// "Requisite=").
#[must_use]
pub fn requisites(unit: &Unit, specifiers: &Specifiers) -> Vec<String> {
    let units = units_of(unit, "Unit", &["Requisite"], specifiers);
    services(units, &specifiers.user)
}

/// Returns the services in whose favour a key of [Install] links a quadlet. systemctl(1) makes the links of a
/// unit file.
fn install_links(unit: &Unit, key: &str, specifiers: &Specifiers) -> Vec<String> {
    match unit.last(PATH.0, PATH.1) {
        Some(_) => Vec::new(),
        None => {
            let units = units_of(unit, "Install", &[key], specifiers);
            services(units, &specifiers.user)
        }
    }
}

/// Returns the units that these keys name, each once. The specifiers of a template name instances.
fn units_of(unit: &Unit, section: &str, keys: &[&str], specifiers: &Specifiers) -> Vec<String> {
    let mut units = Vec::new();
    for name in keys.iter().flat_map(|key| unit.names(section, key)) {
        add(&mut units, specifiers.expand(name).unwrap_or_default());
    }
    units
}

/// Returns the services that these units are.
fn services(units: Vec<String>, owner: &Owner) -> Vec<String> {
    let mut services = Vec::new();
    for service in units.iter().filter_map(|name| service_of(name, owner)) {
        add(&mut services, service);
    }
    services
}

fn add(list: &mut Vec<String>, name: String) {
    if !list.contains(&name) {
        list.push(name);
    }
}

/// Returns the service that a unit is or that stands for the unit; `None` for a unit without a meaning
/// here, such as mounts and further targets.
fn service_of(unit: &str, owner: &Owner) -> Option<String> {
    let target = TARGET_SERVICES.iter().find(|(target, _)| *target == unit);
    match target {
        Some((_, service)) => Some((*service).to_owned()),
        None if unit.ends_with(".service") => service_name(unit, owner),
        None => None,
    }
}

/// Returns the lines that depend on no other unit.
fn lines(unit: &Unit, program: &Program, service: &str, specifiers: &Specifiers) -> Result<String> {
    let lines = [
        supervision(unit, program, service)?,
        final_statuses(&program.plan),
        process_settings(unit, specifiers)?,
    ];
    Ok(lines.concat())
}

/// Returns the lines about start, restart and end.
fn supervision(unit: &Unit, program: &Program, service: &str) -> Result<String> {
    let last = |key: &str| unit.last("Service", key);
    let plan = &program.plan;
    let ends = plan.kind == Kind::Oneshot && !plan.remains;
    let restart = restart(last("Restart").unwrap_or("no"), ends || plan.ends_alone)?;
    let delay = last("RestartSec").map_or(Ok(100), restart_delay)?;
    let grace = plan
        .stop_ms
        .map_or(MAX_MS, |ms| ms * STOP_STAGES + MARGIN_MS);
    let late = plan.start_ms.map_or(LATE_MS, |ms| ms + MARGIN_MS);
    Ok(format!(
        "exec {B2P} {UNIT_RUN} {service}\nready {}\nrestart {restart}\ndelay {}ms\ngrace {}ms\nlate {}ms\nkill {}\n",
        if ends { "exit" } else { "notify" },
        delay.min(MAX_MS),
        grace.min(MAX_MS),
        late.min(MAX_MS),
        match last("KillMode") {
            _ if !plan.kills => "process",
            Some("process" | "none") => "process",
            _ => "mixed",
        },
    ))
}

/// Reads `RestartSec=`, in milliseconds.
fn restart_delay(text: &str) -> Result<Millis> {
    let wrong = || UnitError::value("RestartSec", text, "a time such as 5 or 1min");
    span(text).and_then(Span::ms).ok_or_else(wrong)
}

/// Returns the lines about exit statuses after which the service is not started again. Of signals and of a success
/// the first process makes one of its own.
fn final_statuses(plan: &Plan) -> String {
    let code = |exit: &Exit| match exit {
        Exit::Code(code) => Some(*code),
        Exit::Signal(_) => None,
    };
    let codes = plan
        .prevents
        .iter()
        .filter_map(code)
        .filter(|code| *code != 0);
    // A line takes 64 words.
    let codes: String = codes.take(32).map(|code| format!(" {code}")).collect();
    format!("final {GIVEN_UP}{codes}\ndone {SKIPPED}\n")
}

/// Returns the lines about the user, the limits and the environment of the process.
fn process_settings(unit: &Unit, specifiers: &Specifiers) -> Result<String> {
    let last = |key: &str| unit.last("Service", key);
    let mut text = String::new();
    if let Some(limit) = last("LimitNOFILE") {
        text += &format!("nofile {}\n", open_files(limit)?);
    }
    if let Some(mask) = last("UMask") {
        let bits = u32::from_str_radix(mask, 8).ok().filter(|n| *n <= 0o777);
        let bits = bits.ok_or_else(|| UnitError::value("UMask", mask, "octal, such as 0022"))?;
        text += &format!("umask {bits:03o}\n");
    }
    if specifiers.user.uid != 0 {
        let (user, dir) = (&specifiers.user.name, specifiers.user.runtime_dir());
        text += &format!("user {user}\nenv XDG_RUNTIME_DIR={dir}\n");
    }
    for (file, value) in keys::limits(unit, host::memory_bytes, host::most_tasks)? {
        text += &format!("limit {file} \"{value}\"\n");
    }
    if let Some(score) = last("OOMScoreAdjust") {
        text += &format!("oom {}\n", oom_score_adj(score, specifiers.user.uid)?);
    }
    Ok(text)
}

/// Reads `LimitNOFILE=`: both limits in one, or with a colon between them.
fn open_files(text: &str) -> Result<String> {
    const MOST: u64 = 1_048_576;
    let number = |text: &str| match text {
        "infinity" => Some(MOST),
        text => text.parse::<u64>().ok().map(|n| n.clamp(1, MOST)),
    };
    let (soft, hard) = text.split_once(':').unwrap_or((text, text));
    let both = number(soft).zip(number(hard));
    let both = both.filter(|(soft, hard)| soft <= hard);
    both.map(|(soft, hard)| format!("{soft} {hard}"))
        .ok_or_else(|| {
            let right = "a number, or a soft and a hard one: 1024:4096";
            UnitError::value("LimitNOFILE", text, right)
        })
}

/// Reads `OOMScoreAdjust=`. PID 1, which sets the value, may lower the score, and a user may not
/// (proc_pid_oom_score_adj(5)).
fn oom_score_adj(text: &str, uid: u32) -> Result<i32> {
    let least = if uid == 0 { -1_000 } else { 0 };
    let score = text.parse::<i32>().ok();
    let score = score.filter(|score| (least..=1_000).contains(score));
    let right = || format!("a number from {least} to 1000");
    score.ok_or_else(|| UnitError::value("OOMScoreAdjust", text, right()))
}

/// Returns the restart policy of a service file for that of a unit.
fn restart(policy: &str, ends: bool) -> Result<&'static str> {
    Ok(match policy {
        "no" => "never",
        // A one-shot that has ended with success is not started again (systemd.service(5)).
        "always" if ends => "on-failure",
        "always" => "always",
        "on-failure" | "on-abnormal" | "on-abort" | "on-watchdog" => "on-failure",
        "on-success" if !ends => "on-success",
        other => {
            let right = "no, always, on-failure or, of a unit that is no one-shot, on-success";
            return Err(UnitError::value("Restart", other, right));
        }
    })
}

/// Returns the services that a boot starts: the wanted ones, and the services that these want or
/// need.
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
