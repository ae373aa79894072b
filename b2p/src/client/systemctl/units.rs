// SPDX-License-Identifier: Apache-2.0
//! Units of systemctl(1): units of quadlets and unit files, the services of the machine, and targets.

use config::canonical_service_name;
use control::{Report, Service, State};

use super::not_loaded::{self, NotLoaded};
use super::timer_units::{self, Timer};
use crate::helpers::quadlet::convert::{BOOT_TARGETS, TARGET_SERVICES};
pub use crate::helpers::quadlet::dependents::{is_of, is_one, links_of};
use crate::helpers::quadlet::lifecycle::LEFT_OUT;
use crate::helpers::quadlet::paths;
use crate::helpers::quadlet::run::state;
use crate::helpers::quadlet::specifiers::Owner;
use crate::helpers::quadlet::{self, plain, unit::Unit};
use crate::helpers::timers::update_timer::UNIT;

/// Suffixes of unit names.
const SUFFIXES: &[&str] = &[
    ".service",
    ".socket",
    ".target",
    ".timer",
    ".mount",
    ".path",
    ".slice",
    ".scope",
    ".device",
    ".automount",
    ".swap",
];

/// A unit.
pub struct View<'a> {
    /// Name, with its suffix.
    pub name: String,
    /// Service that the unit is.
    pub service: Option<Service<'a>>,
    /// Text of the unit, if the unit was made from a quadlet or a unit file.
    pub unit: Option<Unit>,
    /// Owner of the unit.
    pub owner: Owner,
    /// True for a target that the machine has reached.
    pub is_target: bool,
    /// Timer that the unit is.
    pub timer: Option<Timer>,
    /// Reason why a unit with a file is no service.
    pub not_loaded: Option<NotLoaded>,
}

/// Returns the name with a suffix: `web.service` for `web`.
pub fn full_name(word: &str) -> String {
    match SUFFIXES.iter().any(|suffix| word.ends_with(suffix)) {
        true => word.to_owned(),
        false => format!("{word}.service"),
    }
}

fn read_unit(service: &str) -> Option<Unit> {
    let text = sys::files::read_text(paths::unit(service)).ok()?;
    Some(Unit::parse(&text))
}

/// Finds a unit by its name, or its service by that of the service.
pub fn find<'a>(report: &Report<'a>, owner: &Owner, word: &str) -> View<'a> {
    let name = full_name(word);
    let mut view = View {
        is_target: is_reached(report, &name),
        name,
        service: None,
        unit: None,
        owner: owner.clone(),
        timer: None,
        not_loaded: None,
    };
    if let Some((timer, unit)) = timer_units::find(owner, &view.name) {
        (view.timer, view.unit) = (Some(timer), unit);
        return view;
    }
    find_service(&mut view, report, owner, word);
    if !view.exists() {
        view.not_loaded = not_loaded::of(owner, &view.name);
    }
    view
}

/// Adds the service of a unit, and the text of the unit.
fn find_service<'a>(view: &mut View<'a>, report: &Report<'a>, owner: &Owner, word: &str) {
    let service = |name: &str| {
        let mut services = report.services.iter();
        services.find(|s| s.name == name).copied()
    };
    let own = paths::service_name(&view.name, owner);
    let own = own.filter(|own| is_of(own, &view.name));
    // Root may name the service of a user's unit: `core-web`.
    let by_service = || Some(word.trim_end_matches(".service").to_owned());
    let by_service = || by_service().filter(|w| owner.uid == 0 && is_one(w));
    if let Some(own) = own.or_else(by_service) {
        view.unit = read_unit(&own);
        if let Some(name) = view
            .unit
            .as_ref()
            .and_then(|u| u.last(quadlet::NAME.0, quadlet::NAME.1))
        {
            view.name = name.to_owned();
        }
        view.service = service(&own);
        if let Some(uid) = view.service.and_then(|s| s.user) {
            view.owner = owner_of(uid, owner);
        }
    } else if owner.uid == 0 {
        let suffixes = [".service", ".socket"];
        let stem = suffixes.iter().find_map(|s| view.name.strip_suffix(s));
        let stem = stem.unwrap_or_default();
        view.service = service(stem).or_else(|| service(&canonical_service_name(stem)));
    } else if ["podman.socket", "podman.service"].contains(&view.name.as_str()) {
        // PID 1 holds the socket of the user's podman.
        let uid = Some(u64::from(owner.uid));
        view.service = service("podman-user").filter(|s| s.user == uid);
    }
}

/// Returns true for the result of a unit that a condition leaves out.
fn is_left_out(result: &str) -> bool {
    ["condition", LEFT_OUT].contains(&result)
}

/// Returns the sub-state that the first process of a unit has written, in a file of the unit's owner.
fn sub_state(stage: &str) -> Option<&'static str> {
    let words = [
        "condition",
        "start-pre",
        "start",
        "start-post",
        "reload",
        "stop",
        "stop-sigterm",
        "stop-post",
    ];
    words.into_iter().find(|word| *word == stage)
}

/// Returns the owner with the number, as far as its files are concerned.
fn owner_of(uid: u64, owner: &Owner) -> Owner {
    let uid = u32::try_from(uid).unwrap_or(0);
    match uid == owner.uid {
        true => owner.clone(),
        false => Owner {
            uid,
            gid: uid,
            ..Owner::default()
        },
    }
}

fn is_reached(report: &Report<'_>, name: &str) -> bool {
    let is_known =
        BOOT_TARGETS.contains(&name) || TARGET_SERVICES.iter().any(|(target, _)| *target == name);
    is_known && report.machine.ready.is_some()
}

/// Returns the timers of an owner's files.
fn timers<'a>(owner: &Owner) -> impl Iterator<Item = View<'a>> + use<'a> {
    let owner = owner.clone();
    let timers = timer_units::of(&owner).into_iter();
    timers.map(move |(timer, unit)| View {
        name: timer.unit.clone(),
        timer: Some(timer_units::of_unit(timer)),
        unit: Some(unit),
        service: None,
        owner: owner.clone(),
        is_target: false,
        not_loaded: None,
    })
}

/// Returns all units of an owner: for the machine, its own services as well.
pub fn all<'a>(report: &Report<'a>, owner: &Owner) -> Vec<View<'a>> {
    let view = |service: &Service<'a>| {
        let uid = service.user.unwrap_or(0);
        let unit = read_unit(service.name);
        let is_own = uid == u64::from(owner.uid) && (unit.is_some() || owner.uid == 0);
        if !is_own && (unit.is_some() || owner.uid != 0) {
            return None;
        }
        let name = unit
            .as_ref()
            .and_then(|u| u.last(quadlet::NAME.0, quadlet::NAME.1));
        let suffix = match service.state {
            State::Armed => "socket",
            _ => "service",
        };
        Some(View {
            name: name.map_or_else(|| format!("{}.{suffix}", service.name), str::to_owned),
            service: Some(*service),
            unit,
            owner: owner.clone(),
            is_target: false,
            timer: None,
            not_loaded: None,
        })
    };
    let mut views: Vec<View<'a>> = report.services.iter().filter_map(view).collect();
    views.extend(timers(owner));
    if owner.uid == 0 {
        views.push(find(report, owner, UNIT));
    }
    sys::sort::sort_by(&mut views, |a, b| a.name.cmp(&b.name));
    views
}

impl View<'_> {
    /// Returns true if there is such a unit.
    pub fn exists(&self) -> bool {
        let is_other = self.is_target || self.timer.is_some();
        self.service.is_some() || self.unit.is_some() || is_other
    }

    /// Returns the value of a key of the unit.
    pub fn key(&self, section: &str, key: &str) -> Option<&str> {
        self.unit.as_ref()?.last(section, key)
    }

    /// Returns true if the unit has a reload.
    pub fn can_reload(&self) -> bool {
        let has_command = self.key("Service", "ExecReload").is_some();
        has_command || self.key("Service", "Type") == Some("notify-reload")
    }

    /// Returns the state that the unit's first process reports.
    pub fn told(&self) -> state::State {
        match (&self.unit, self.service) {
            (Some(_), Some(service)) => {
                state::State::read(&paths::state(service.name, &self.owner))
            }
            _ => state::State::default(),
        }
    }

    /// Returns the state and the sub-state, in the words of systemd.
    pub fn states(&self) -> (&'static str, &'static str) {
        let Some(service) = self.service else {
            return match &self.timer {
                Some(timer) if timer.is_active => ("active", "waiting"),
                None if self.is_target => ("active", "active"),
                _ => ("inactive", "dead"),
            };
        };
        let remains = self.unit.is_none() || self.remains();
        let stage = self.told().stage;
        match (service.state, sub_state(&stage)) {
            (State::Up, Some("reload")) => return ("reloading", "reload"),
            (State::Starting, Some(sub)) if sub.starts_with("start") || sub == "condition" => {
                return ("activating", sub);
            }
            (State::Stopping, Some(sub)) if sub.starts_with("stop") => {
                return ("deactivating", sub);
            }
            _ => {}
        }
        match service.state {
            State::Up if self.is_oneshot() => ("active", "exited"),
            State::Up => ("active", "running"),
            State::Armed => ("active", "listening"),
            State::Done if remains && !is_left_out(&self.told().result) => ("active", "exited"),
            State::Done | State::Off => ("inactive", "dead"),
            State::Failed => ("failed", "failed"),
            State::Stopping => ("deactivating", "stop-sigterm"),
            State::Delayed => ("activating", "auto-restart"),
            _ => ("activating", "start"),
        }
    }

    fn is_oneshot(&self) -> bool {
        self.key("Service", "Type") == Some("oneshot")
    }

    fn remains(&self) -> bool {
        let value = self.key("Service", "RemainAfterExit");
        value.is_some_and(quadlet::unit::is_true)
    }

    /// Returns the description.
    pub fn description(&self) -> &str {
        self.key("Unit", "Description").unwrap_or(&self.name)
    }

    /// Returns the path of the unit's file, or the path that systemd would use.
    pub fn fragment(&self) -> String {
        if self.unit.is_none() {
            return String::new();
        }
        let path = self.key(plain::PATH.0, plain::PATH.1);
        path.map_or_else(
            || format!("/run/systemd/generator/{}", self.name),
            str::to_owned,
        )
    }

    /// Returns true if the unit is a file of its owner, and no generator's.
    pub fn is_plain(&self) -> bool {
        self.key(plain::PATH.0, plain::PATH.1).is_some()
    }
}
