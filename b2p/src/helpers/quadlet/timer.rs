// SPDX-License-Identifier: Apache-2.0
//! Timer units (systemd.timer(5)). `b2p user-services` writes those of all owners into one directory, with the service
//! that each one starts; a second directory has a file for each timer that is active.

use std::fs;
use std::path::{Path, PathBuf};

use control::Name;
use services::calendar::{Calendar, Seconds};
use sys::error::{Doing, Result};

use super::paths::service_name;
use super::span::span;
use super::specifiers::Owner;
use super::unit::{Unit, is_true};
use super::unit_error::UnitError;
use crate::common::atomic_file;
use crate::common::spread::spread_over;

/// Directory of the timers.
pub const DIR: &str = "/run/boot2podman/timers";
/// Directory of a file for each active timer.
pub const ACTIVE: &str = "/run/boot2podman/timers/active";
/// End of the name of a timer.
pub const SUFFIX: &str = ".timer";
/// Section and keys by which a written timer has its name, its service and its owner.
const SECTION: &str = "X-Timer";
const NAME: &str = "Name";
const SERVICE: &str = "Service";
const UID: &str = "Uid";
/// Keys of `[Timer]` with a time span from an event.
const SPANS: &[(&str, Event)] = &[
    ("OnActiveSec", Event::Active),
    ("OnBootSec", Event::Boot),
    ("OnStartupSec", Event::Boot),
    ("OnUnitActiveSec", Event::UnitActive),
    ("OnUnitInactiveSec", Event::UnitInactive),
];
/// Other keys of `[Timer]` that are read, or that change nothing here: times are precise to a second, and the delay of
/// a timer is always the same.
const OTHERS: &[&str] = &[
    "AccuracySec",
    "FixedRandomDelay",
    "OnCalendar",
    "Persistent",
    "RandomizedDelaySec",
    "RemainAfterElapse",
    "Unit",
];

/// Event from which a time span counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Start of the timer.
    Active,
    /// Start of the machine.
    Boot,
    /// Last start of the service.
    UnitActive,
    /// Last end of the service.
    UnitInactive,
}

/// A timer unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitTimer {
    /// Name, such as `backup.timer`.
    pub unit: String,
    /// Number of the owner.
    pub uid: u32,
    /// Service that the timer starts.
    pub service: Name,
    /// Times of `OnCalendar=`.
    pub calendars: Vec<Calendar>,
    /// Time spans.
    pub spans: Vec<(Event, Seconds)>,
    /// Runs that were missed while the machine was off are made up for.
    pub is_persistent: bool,
    /// Delay of each run.
    pub delay: Seconds,
}

/// Time of the start of a timer in this boot, and that of its last run, in seconds since the boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Start.
    pub since: Seconds,
    /// Last run.
    pub last: Option<Seconds>,
}

/// Returns the unit that a timer starts (systemd.timer(5), `Unit=`).
#[must_use]
pub fn started_unit(name: &str, unit: &Unit) -> String {
    let stem = name.strip_suffix(SUFFIX).unwrap_or(name);
    let value = unit.last("Timer", "Unit").filter(|v| !v.is_empty());
    value.map_or_else(|| format!("{stem}.service"), str::to_owned)
}

/// Returns the keys of a timer that have no effect here.
#[must_use]
pub fn unsupported(unit: &Unit) -> Vec<String> {
    let keys = unit.assignments().iter().filter(|a| a.section == "Timer");
    let is_known = |key: &str| OTHERS.contains(&key) || SPANS.iter().any(|(span, _)| *span == key);
    let mut keys: Vec<String> = keys
        .map(|a| a.key.clone())
        .filter(|k| !is_known(k))
        .collect();
    keys.dedup();
    keys
}

impl UnitTimer {
    /// Reads a timer. `machine_id` decides on the delay.
    ///
    /// # Errors
    /// A value is malformed, or the timer has no time.
    pub fn of(
        unit: &Unit,
        name: &str,
        owner: &Owner,
        machine_id: &str,
    ) -> std::result::Result<UnitTimer, UnitError> {
        let calendars = calendars(unit)?;
        let spans = spans(unit)?;
        if calendars.is_empty() && spans.is_empty() {
            return Err("the section [Timer] has no time such as OnCalendar=daily".into());
        }
        let delay = unit.last("Timer", "RandomizedDelaySec").unwrap_or("0");
        let delay = seconds("RandomizedDelaySec", delay)?;
        Ok(UnitTimer {
            unit: name.to_owned(),
            uid: owner.uid,
            service: service(&started_unit(name, unit), owner)?,
            calendars,
            spans,
            is_persistent: unit.last("Timer", "Persistent").is_some_and(is_true),
            delay: spread_over(&format!("{machine_id}{name}"), delay),
        })
    }

    /// Path of the text of the timer.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        Path::new(DIR).join(self.key())
    }

    /// Name of the files of the timer.
    #[must_use]
    pub fn key(&self) -> String {
        key(self.uid, &self.unit)
    }
}

fn calendars(unit: &Unit) -> std::result::Result<Vec<Calendar>, UnitError> {
    let calendar = |text: &str| {
        let words: Vec<&str> = text.split_whitespace().collect();
        let right = "one of the times that docs/guide/services.md lists, such as Mon..Fri 03:30";
        Calendar::parse(&words).ok_or_else(|| UnitError::value("OnCalendar", text, right))
    };
    let texts = unit.all("Timer", "OnCalendar").into_iter();
    texts.map(calendar).collect()
}

fn spans(unit: &Unit) -> std::result::Result<Vec<(Event, Seconds)>, UnitError> {
    let mut spans = Vec::new();
    for (key, event) in SPANS {
        for text in unit.all("Timer", key) {
            spans.push((*event, seconds(key, text)?));
        }
    }
    Ok(spans)
}

/// Returns the service that a unit of an owner is.
fn service(unit: &str, owner: &Owner) -> std::result::Result<Name, UnitError> {
    let name = service_name(unit, owner).filter(|_| unit.ends_with(".service"));
    let name = name.map(|name| match owner.uid {
        0 => config::canonical_service_name(&name).into_owned(),
        _ => name,
    });
    let name = name.and_then(|name| Name::new(&name));
    name.ok_or_else(|| UnitError::value("Unit", unit, "the name of a service"))
}

fn key(uid: u32, name: &str) -> String {
    format!("{uid}-{name}")
}

fn seconds(key: &'static str, text: &str) -> std::result::Result<Seconds, UnitError> {
    let ms = span(text).and_then(|span| span.ms());
    let seconds = ms.and_then(|ms| Seconds::try_from(ms.div_ceil(1_000)).ok());
    seconds.ok_or_else(|| UnitError::value(key, text, "a time such as 15min"))
}

/// Writes the timers of an owner with their texts, and removes those that are gone. At boot, `wanted` timers become
/// active.
///
/// # Errors
/// A file cannot be written.
pub fn write(uid: u32, timers: &[(UnitTimer, String)], wanted: &[String]) -> Result<()> {
    write_in(Path::new(DIR), Path::new(ACTIVE), uid, timers, wanted)
}

fn write_in(
    dir: &Path,
    active: &Path,
    uid: u32,
    timers: &[(UnitTimer, String)],
    wanted: &[String],
) -> Result<()> {
    if timers.is_empty() && !dir.exists() {
        return Ok(());
    }
    fs::create_dir_all(active).on(active)?;
    let own = key(uid, "");
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    for gone in names.filter(|name| {
        name.starts_with(&own) && !timers.iter().any(|(timer, _)| timer.key() == *name)
    }) {
        let _ = fs::remove_file(active.join(&gone));
        let _ = fs::remove_file(dir.join(&gone));
    }
    for (timer, text) in timers {
        // The last value of a key counts: the text is the owner's.
        let text = format!(
            "{}\n\n[{SECTION}]\n{NAME}={}\n{SERVICE}={}\n{UID}={uid}\n",
            text.trim_end(),
            timer.unit,
            timer.service
        );
        atomic_file::replace(&dir.join(timer.key()), text.as_bytes(), 0o644)?;
        if wanted.contains(&timer.unit) {
            set_active_in(active, &timer.key(), true)?;
        }
    }
    Ok(())
}

/// Returns the number of the machine, which decides on delays.
#[must_use]
pub fn machine_id() -> String {
    let text = sys::files::read_text("/etc/machine-id").unwrap_or_default();
    text.trim().to_owned()
}

/// Returns the timers that are loaded, with their texts.
#[must_use]
pub fn all() -> Vec<(UnitTimer, Unit)> {
    all_in(Path::new(DIR), &machine_id())
}

fn all_in(dir: &Path, machine_id: &str) -> Vec<(UnitTimer, Unit)> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    sys::sort::sort(&mut paths);
    let timer = |path: PathBuf| {
        let unit = Unit::parse(&sys::files::read_text(&path).ok()?);
        let own = |key| unit.last(SECTION, key);
        let uid = own(UID)?.parse().ok()?;
        let owner = Owner {
            uid,
            ..Owner::default()
        };
        let service = Name::new(own(SERVICE)?)?;
        let name = own(NAME)?.to_owned();
        // The name of the service is that of its owner, which `write` has noted.
        let mut timer = UnitTimer::of(&unit, &name, &owner, machine_id).ok()?;
        timer.service = service;
        Some((timer, unit))
    };
    paths.into_iter().filter_map(timer).collect()
}

/// Starts or stops a timer.
///
/// # Errors
/// The file of the timer cannot be written.
pub fn set_active(timer: &UnitTimer, is_active: bool) -> Result<()> {
    set_active_in(Path::new(ACTIVE), &timer.key(), is_active)
}

fn set_active_in(active: &Path, key: &str, is_active: bool) -> Result<()> {
    let path = active.join(key);
    match is_active {
        true if path.exists() => Ok(()),
        true => {
            let progress = Progress {
                since: since_boot(),
                last: None,
            };
            note(&path, progress)
        }
        false => {
            let _ = fs::remove_file(path);
            Ok(())
        }
    }
}

/// Returns the progress of a timer; `None` for one that is not active.
#[must_use]
pub fn progress(timer: &UnitTimer) -> Option<Progress> {
    let text = sys::files::read_text(Path::new(ACTIVE).join(timer.key())).ok()?;
    let mut numbers = text.split_whitespace().map(|word| word.parse().ok());
    Some(Progress {
        since: numbers.next().flatten().unwrap_or(0),
        last: numbers.next().flatten(),
    })
}

/// Notes a run.
pub fn note_run(timer: &UnitTimer, progress: Progress) {
    let last = Some(since_boot());
    let path = Path::new(ACTIVE).join(timer.key());
    if let Err(why) = note(&path, Progress { last, ..progress }) {
        log::warn!("timers: {why}");
    }
}

fn note(path: &Path, progress: Progress) -> Result<()> {
    let last = progress.last.map_or_else(String::new, |at| at.to_string());
    let text = format!("{} {last}\n", progress.since);
    atomic_file::replace(path, text.as_bytes(), 0o644)
}

/// Returns the seconds since the boot.
#[must_use]
pub fn since_boot() -> Seconds {
    Seconds::try_from(sys::clock::now() / 1_000).unwrap_or(0)
}

/// Returns the time since the boot at which the time spans of a timer have it run next. `unit` has the times of the
/// last start and of the last end of the service; while the service runs, it has no end.
#[must_use]
pub fn next_of_spans(
    timer: &UnitTimer,
    progress: Progress,
    unit: (Option<Seconds>, Option<Seconds>),
) -> Option<Seconds> {
    let is_new = |at: &Seconds| progress.last.is_none_or(|last| last < *at);
    let next = |(event, span): &(Event, Seconds)| {
        let from = match event {
            Event::Active => Some(progress.since),
            Event::Boot => Some(0),
            Event::UnitActive => unit.0.max(progress.last),
            Event::UnitInactive => unit.1,
        };
        from.map(|from| from + span).filter(is_new)
    };
    let next = timer.spans.iter().filter_map(next).min();
    next.map(|at| at + timer.delay)
}

#[cfg(test)]
mod tests;
