// SPDX-License-Identifier: Apache-2.0
//! `b2p timers`: starts services at the times that their files name (docs/guide/services.md), and `podman
//! auto-update` at the time of `b2p.auto_update=`. PID 1 knows no time of day; the start is a request like that
//! of a person. The time of the last run is kept on the data disk, so that a run that was missed while the
//! machine was off or paused is made up for, once.

mod judge;
mod unit_runs;
pub mod update_timer;

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use config::{AutoUpdate, Config};
use control::{ACCOUNT_COPIES, Name, Request, SERVICES};
use log::{info, warn};
use nix::poll::PollFlags;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use services::calendar::{Calendar, Seconds};
use sys::clock::now as since_boot;
use sys::error::{Doing, Result};
use sys::service_names::{AUTO_UPDATE, is_off};

use self::judge::{Verdict, judge, spread};
use crate::common::control_client::ControlClient;
use crate::common::service_files;
use crate::common::stop::Stop;
use crate::common::{atomic_file, clock, notify};
use crate::helpers::quadlet::timer;
use crate::helpers::time::{ClockChanges, is_clock_set};

/// Directory of the times of last runs.
const LAST_RUNS: &str = "/var/lib/boot2podman/timers";
/// Seconds until the next attempt of a start that PID 1 has refused.
const RETRY: Seconds = 60;
/// Longest service file, in bytes.
const MAX_FILE_BYTES: u64 = 16 * 1024;
/// Longest text of a time, in bytes.
const MAX_TIME_BYTES: u64 = 32;

/// A service that starts at set times.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Timer {
    name: Name,
    calendar: Calendar,
    /// Delay of each run after the time of the calendar, in seconds.
    offset: Seconds,
}

/// Runs until PID 1 stops the service, and returns the exit status.
pub fn main(control: &ControlClient) -> i32 {
    match run(control) {
        Ok(()) => 0,
        Err(why) => {
            warn!("timers: {why}");
            1
        }
    }
}

fn run(control: &ControlClient) -> Result<()> {
    let stop = Stop::new().doing("signals")?;
    let changes = ClockChanges::watch().doing("timerfd")?;
    let files = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).doing("inotify")?;
    let flags = AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_DELETE;
    for dir in [SERVICES, timer::DIR, timer::ACTIVE] {
        fs::create_dir_all(dir).on(dir)?;
        files.add_watch(dir, flags).on(dir)?;
    }
    notify::ready();
    let mut runs = LastRuns::new(Path::new(LAST_RUNS));
    loop {
        while files.read_events().is_ok() {}
        changes.were_seen();
        let next = start_due(&mut runs, |name| start(control, name));
        let next_unit = unit_runs::start_due(&mut runs, control);
        let next = next.into_iter().chain(next_unit).min();
        let deadline = next.map(|at| {
            let seconds = at.saturating_sub(clock::seconds()).max(1);
            since_boot() + u64::try_from(seconds).unwrap_or(1).saturating_mul(1_000)
        });
        let sources = [
            (changes.fd(), PollFlags::POLLIN),
            (files.as_fd(), PollFlags::POLLIN),
        ];
        if stop.wait(&sources, deadline) {
            return Ok(());
        }
    }
}

/// Starts the services that are due, and returns when the next one is. While the clock is not set, none is.
fn start_due(runs: &mut LastRuns, start: impl Fn(&Name) -> bool) -> Option<Seconds> {
    match is_clock_set() {
        true => start_due_at(&timers(), clock::seconds(), runs, start),
        false => None,
    }
}

/// Starts the services that are due at `now`. A start that PID 1 refuses is no run: the next attempt is a minute
/// later.
fn start_due_at(
    timers: &[Timer],
    now: Seconds,
    runs: &mut LastRuns,
    start: impl Fn(&Name) -> bool,
) -> Option<Seconds> {
    let mut next = None;
    for timer in timers {
        let last = runs.last(timer.name.as_str());
        let local = |utc| clock::local(utc);
        let mut verdict = judge(&timer.calendar, timer.offset, last, now, local);
        let is_refused = verdict == Verdict::Run && !start(&timer.name);
        if is_refused {
            verdict = Verdict::Wait(now + RETRY);
        } else if verdict == Verdict::Run || last.is_none() {
            runs.note(timer.name.as_str(), now);
            verdict = judge(&timer.calendar, timer.offset, Some(now), now, local);
        }
        if let Verdict::Wait(at) = verdict {
            next = Some(next.map_or(at, |before: Seconds| before.min(at)));
        }
    }
    next
}

/// Asks PID 1 to start a service; returns false if PID 1 refuses.
fn start(control: &ControlClient, name: &Name) -> bool {
    info!("timers: {name} is due");
    let answer = control.ask(&Request::Start(name.clone()));
    answer
        .inspect_err(|why| warn!("timers: {name}: {why}"))
        .is_ok()
}

/// Times of last runs: on the disk, and in memory for a disk that is full or takes no writes.
#[derive(Debug)]
struct LastRuns {
    dir: PathBuf,
    noted: BTreeMap<String, Seconds>,
}

impl LastRuns {
    fn new(dir: &Path) -> LastRuns {
        LastRuns {
            dir: dir.to_owned(),
            noted: BTreeMap::new(),
        }
    }

    fn last(&self, name: &str) -> Option<Seconds> {
        let noted = self.noted.get(name).copied();
        noted.or_else(|| last_run(&self.dir.join(name)))
    }

    /// Notes a run. Without room on the disk the note lasts until this process ends.
    fn note(&mut self, name: &str, now: Seconds) {
        self.noted.insert(name.to_owned(), now);
        let path = self.dir.join(name);
        let written = fs::create_dir_all(&self.dir)
            .on(&self.dir)
            .and_then(|()| atomic_file::replace(&path, format!("{now}\n").as_bytes(), 0o644));
        written.unwrap_or_else(|why| warn!("timers: {why}"));
    }
}

fn last_run(path: &Path) -> Option<Seconds> {
    let text = sys::files::read_whole(path, MAX_TIME_BYTES).ok()??;
    String::from_utf8_lossy(&text).trim().parse().ok()
}

/// Returns the services that start at set times: those of the user's files that PID 1 has read, and
/// `podman auto-update`.
fn timers() -> Vec<Timer> {
    let config = sys::config_sources::read().0;
    let mut timers = of_files(Path::new(SERVICES), &config);
    if let Some((calendar, offset)) = auto_update(config.auto_update, &machine_id())
        && let Some(name) = Name::new(AUTO_UPDATE)
    {
        timers.push(Timer {
            name,
            calendar,
            offset,
        });
    }
    timers
}

/// A service that starts at set times, as `systemctl list-timers` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Name of the timer unit; empty for a service file with `at`.
    pub unit: String,
    /// Number of the owner.
    pub uid: u32,
    /// Service.
    pub service: String,
    /// Times of the next and of the last run.
    pub next: Option<Seconds>,
    /// Last run.
    pub last: Option<Seconds>,
}

/// Returns all services that start at set times, with the timer units that are active.
#[must_use]
pub fn list(control: &ControlClient) -> Vec<Listed> {
    let runs = LastRuns::new(Path::new(LAST_RUNS));
    let now = clock::seconds();
    let own = timers().into_iter().map(|timer| {
        let last = runs.last(timer.name.as_str());
        let from = last.unwrap_or(now);
        let verdict = judge(&timer.calendar, timer.offset, Some(from), now, clock::local);
        Listed {
            unit: update_timer::unit_of(timer.name.as_str()).to_owned(),
            uid: 0,
            service: timer.name.to_string(),
            next: match verdict {
                Verdict::Run => Some(now),
                Verdict::Wait(at) => Some(at),
                Verdict::Never => None,
            },
            last,
        }
    });
    own.chain(unit_runs::list(&runs, control)).collect()
}

/// Returns the minute after midnight at which this machine updates its images once a day.
#[must_use]
pub fn own_minute() -> i64 {
    spread(&machine_id()) / 60
}

fn machine_id() -> String {
    sys::files::read_text("/etc/machine-id").unwrap_or_default()
}

/// Returns the time at which `podman auto-update` runs: the requested time, or once a day at a time that
/// differs between machines, so that a registry is not asked by all of them at once.
fn auto_update(when: AutoUpdate, machine_id: &str) -> Option<(Calendar, Seconds)> {
    let (time, offset) = match when {
        AutoUpdate::Off => return None,
        AutoUpdate::Daily => ("00:00".to_owned(), spread(machine_id)),
        AutoUpdate::At { hour, minute } => (format!("{hour}:{minute:02}"), 0),
    };
    Calendar::parse(&[&time]).map(|calendar| (calendar, offset))
}

/// Returns the services of the files in `dir` that have times and are not turned off.
fn of_files(dir: &Path, config: &Config) -> Vec<Timer> {
    let accounts = ACCOUNT_COPIES.map(|(_, copy)| text(&dir.join(copy)));
    let [passwd, group] = &accounts;
    let (names, _) = service_files::list(dir);
    let timer = |name: Name| {
        let text = text(&dir.join(name.as_str()));
        let parsed =
            services::service_file::parse(name.as_str(), text.as_bytes(), passwd, group).ok()?;
        let calendar = parsed.at.filter(|_| !is_off(config, name.as_str()))?;
        Some(Timer {
            name,
            calendar,
            offset: 0,
        })
    };
    names.into_iter().filter_map(timer).collect()
}

fn text(path: &Path) -> String {
    let bytes = sys::files::read_whole(path, MAX_FILE_BYTES).ok().flatten();
    String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
}

/// Returns true if there is work for this service.
#[must_use]
pub fn are_wanted() -> bool {
    !timers().is_empty() || !timer::all().is_empty()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::Temp;

    fn timer() -> Timer {
        Timer {
            name: Name::new("backup").unwrap(),
            calendar: Calendar::parse(&["*:0/15"]).unwrap(),
            offset: 0,
        }
    }

    #[test]
    fn a_disk_that_takes_no_writes_neither_repeats_a_run_nor_prevents_it() {
        let mut runs = LastRuns::new(Path::new("/proc/none"));
        let ran = |now, runs: &mut LastRuns| {
            let count = std::cell::Cell::new(0);
            let started = |_: &Name| {
                count.set(count.get() + 1);
                true
            };
            start_due_at(&[timer()], now, runs, started);
            count.get()
        };
        // One that has never run waits for its next time, and runs once then.
        let now = [60, 890, 900, 901, 1_700, 1_800, 1_801];
        let ran = now.map(|now| ran(now, &mut runs));
        assert_eq!(ran, [0, 0, 1, 0, 0, 1, 0]);
    }

    #[test]
    fn a_start_that_is_refused_is_no_run() {
        let temp = Temp::new();
        let mut runs = LastRuns::new(temp.dir());
        runs.note(timer().name.as_str(), 60);
        let next = start_due_at(&[timer()], 900, &mut runs, |_| false);
        assert_eq!(
            (next, runs.last(timer().name.as_str())),
            (Some(960), Some(60))
        );
        let next = start_due_at(&[timer()], 960, &mut runs, |_| true);
        assert_eq!(
            (next, runs.last(timer().name.as_str())),
            (Some(1_800), Some(960))
        );
        // Another process finds the time on the disk.
        assert_eq!(
            LastRuns::new(temp.dir()).last(timer().name.as_str()),
            Some(960)
        );
    }

    #[test]
    fn files_with_times() {
        let temp = Temp::new();
        for (name, text) in [
            ("backup", "exec /bin/backup\nat 03:30\n"),
            ("off", "exec /bin/off\nat daily\n"),
            ("web", "exec /bin/web\n"),
            ("bad", "exec /bin/bad\nat noon\n"),
        ] {
            fs::write(temp.path(name), text).unwrap();
        }
        let mut config = Config::default();
        config.services.push(("off".to_owned(), false));
        let found = of_files(temp.dir(), &config);
        let backup = Timer {
            name: Name::new("backup").unwrap(),
            calendar: Calendar::parse(&["03:30"]).unwrap(),
            offset: 0,
        };
        assert_eq!(found, [backup]);
    }

    #[test]
    fn times_of_auto_update() {
        assert_eq!(auto_update(AutoUpdate::Off, "a"), None);
        let (hour, minute) = (4, 5);
        let at = auto_update(AutoUpdate::At { hour, minute }, "a").unwrap();
        assert_eq!(at, (Calendar::parse(&["04:05"]).unwrap(), 0));
        let (calendar, offset) = auto_update(AutoUpdate::Daily, "a").unwrap();
        assert_eq!(calendar, Calendar::parse(&["daily"]).unwrap());
        assert!((0..3_600).contains(&offset));
        assert_ne!(auto_update(AutoUpdate::Daily, "b").unwrap().1, offset);
    }
}
