// SPDX-License-Identifier: Apache-2.0
//! Loads the units of all owners, root's first, each whole: a fault in the files of one user
//! concerns no other, and leaves this user's earlier units unchanged.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use control::{Name, Report, Request};
use sys::error::{Doing, Error, Result};

use super::boot_start::BootStart;
use super::convert::{self, Definition};
use super::paths::DEFINITIONS;
use super::read::{self, Loaded};
use super::specifiers::Owner;
use super::unit_error::Fault;
use super::{ask_status, bus_link, kube, store, timer};
use crate::common::service_env::Environment;
use crate::common::service_files;
use crate::common::tool;
use crate::helpers::engine::{PodmanUser, side_by_side};

/// Time limit for the process that holds a user's namespaces.
const UNSHARE_LIMIT: Duration = Duration::from_secs(60);
/// Most units of one user other than root, and of all these users together: places in PID 1's table remain.
const MAX_OF_USER: usize = 96;
const MAX_OF_USERS: usize = 128;

/// Loads the units of the owners, and starts those that the boot still has to start. Adds faults to
/// `faults`.
///
/// # Errors
/// PID 1 does not answer, or the directory of the units cannot be made.
pub(super) fn all(
    env: &Environment,
    owners: &[Owner],
    boot: &BootStart,
    faults: &mut Vec<Fault>,
) -> Result<()> {
    fs::create_dir_all(DEFINITIONS).on(DEFINITIONS)?;
    let text = ask_status(env)?;
    let report = Report::parse(&text);
    store::withdraw(env, &report, |service, _, _| {
        let uid = service.user.unwrap_or(0);
        owners.iter().any(|owner| u64::from(owner.uid) == uid)
    });
    let mut load = Load {
        env,
        report: &report,
        taken: BTreeSet::new(),
        of_users: 0,
        faults,
        boot: Some(boot),
    };
    let mut failed = Vec::new();
    // Podman reads the files, as their owner; PID 1 has them one owner after the other.
    side_by_side::each(
        owners,
        |owner| owner.uid,
        gather,
        |owner, gathered| match gathered.and_then(|gathered| load.owner(owner, gathered)) {
            Ok(definitions) if boot.is_due(owner.uid) => start(env, &definitions),
            Ok(_) => {}
            Err(why) => {
                failed.push(owner.uid);
                let why = format!("of {}: {why}", owner.name);
                load.faults.push(Fault::of_quadlet(why));
            }
        },
    );
    boot.finish(&failed);
    Ok(())
}

/// Makes services of an instance of a template and of units that the instance names; returns false if the
/// owner has no such template.
///
/// # Errors
/// The template cannot be read, the instance cannot run here, or PID 1 does not answer.
pub(super) fn instance(env: &Environment, owner: &Owner, name: &str) -> Result<bool> {
    let Some(mut loaded) = read::instance(owner, name)? else {
        return Ok(false);
    };
    let text = ask_status(env)?;
    let report = Report::parse(&text);
    let mut faults = std::mem::take(&mut loaded.faults);
    let of_users = report
        .services
        .iter()
        .filter(|s| s.user.is_some_and(|uid| uid != 0));
    let mut load = Load {
        env,
        report: &report,
        taken: BTreeSet::new(),
        of_users: of_users.filter(|s| store::is_of_unit(s.name)).count(),
        faults: &mut faults,
        boot: None,
    };
    store::make_room(env, &report, &loaded.definitions);
    load.refuse_names(owner, &mut loaded);
    load.refuse_too_many(owner, &mut loaded);
    let known = |name: &str| report.services.iter().any(|s| s.name == name);
    refuse_without_needs(&mut loaded.definitions, &mut faults, known);
    store::write(&loaded, owner)?;
    for definition in &loaded.definitions {
        store::offer(env, &report, definition, owner.uid);
    }
    match faults.first() {
        Some(fault) if loaded.definitions.is_empty() => Err(Error::invalid(fault.why.clone())),
        _ => Ok(true),
    }
}

/// A load of units.
struct Load<'a> {
    env: &'a Environment,
    report: &'a Report<'a>,
    /// Services of the owners that were loaded before.
    taken: BTreeSet<String>,
    /// Number of these that are no root's.
    of_users: usize,
    faults: &'a mut Vec<Fault>,
    boot: Option<&'a BootStart>,
}

impl Load<'_> {
    fn is_boot(&self, owner: &Owner) -> bool {
        self.boot.is_some_and(|boot| boot.is_due(owner.uid))
    }

    /// Loads the units of one owner, and has PID 1 read them. Earlier units whose files are gone are stopped.
    fn owner(&mut self, owner: &Owner, mut loaded: Loaded) -> Result<Vec<Definition>> {
        let earlier = self.faults.len();
        self.faults.append(&mut loaded.faults);
        self.refuse_names(owner, &mut loaded);
        self.refuse_too_many(owner, &mut loaded);
        let present = std::mem::take(&mut loaded.present);
        let lacks = |name: &str| {
            let unit = store::unit(name);
            unit.is_none_or(|(name, unit)| present.lacks(&name, &unit, super::present::exists))
        };
        let known = |name: &str| {
            let mut services = self.report.services.iter();
            services.any(|s| s.name == name && (!store::is_of_unit(name) || !lacks(name)))
        };
        refuse_without_needs(&mut loaded.definitions, self.faults, known);
        store::write(&loaded, owner)?;
        store::write_templates(&loaded, owner)?;
        let own = self.faults.get(earlier..).unwrap_or_default();
        store::write_refused(owner, own, &loaded.definitions)?;
        let wanted = Some(loaded.wanted_timers.as_slice()).filter(|_| self.is_boot(owner));
        timer::write(owner.uid, &loaded.timers, wanted.unwrap_or_default())?;
        store::withdraw(self.env, self.report, |service, name, unit| {
            let is_loaded = || loaded.definitions.iter().any(|d| d.service == service.name);
            service.user.unwrap_or(0) != u64::from(owner.uid)
                || is_loaded()
                || !present.lacks(name, unit, super::present::exists)
        });
        if owner.uid == 0 {
            self.faults.extend(kube::take_down_gone());
        }
        for definition in &loaded.definitions {
            store::offer(self.env, self.report, definition, owner.uid);
            self.taken.insert(definition.service.clone());
        }
        if owner.uid != 0 {
            self.of_users += loaded.definitions.len();
        }
        Ok(loaded.definitions)
    }

    /// Takes out the units whose services have the names of others.
    fn refuse_names(&mut self, owner: &Owner, loaded: &mut Loaded) {
        let has_file = |name: &str| {
            let name = Name::new(name);
            name.is_some_and(|name| service_files::exists(&self.env.user_files, &name))
        };
        let why = |d: &Definition| {
            let mut services = self.report.services.iter();
            let known = services.find(|s| s.name == d.service).map(|s| Known {
                is_user_service: s.is_user_service,
                uid: s.user.unwrap_or(0),
                is_unit: store::is_of_unit(s.name),
            });
            let is_taken = self.taken.contains(&d.service) || has_file(&d.service);
            refusal_of_name(&d.service, owner.uid, is_taken, known)
        };
        refuse(&mut loaded.definitions, self.faults, why);
    }

    /// Takes out the last units of a user with too many.
    fn refuse_too_many(&mut self, owner: &Owner, loaded: &mut Loaded) {
        let most = most_of(owner.uid, self.of_users);
        if loaded.definitions.len() > most {
            let names = loaded.definitions.drain(most..).map(|d| d.unit);
            let names = names.collect::<Vec<_>>().join(" ");
            let why = format!(
                "of {}: at most {MAX_OF_USER} units of a user, and {MAX_OF_USERS} of all: left out: {names}",
                owner.name
            );
            self.faults.push(Fault::of_quadlet(why));
        }
    }
}

/// Returns the number of units that a user may have; `of_users` is the number of units of all users
/// other than root.
fn most_of(uid: u32, of_users: usize) -> usize {
    match uid {
        0 => usize::MAX,
        _ => MAX_OF_USER.min(MAX_OF_USERS.saturating_sub(of_users)),
    }
}

/// Service that PID 1 knows.
#[derive(Clone, Copy, Debug)]
struct Known {
    /// The service is not one of the machine's own.
    is_user_service: bool,
    /// Owner of the service.
    uid: u64,
    /// True if the service was made of a unit.
    is_unit: bool,
}

/// Returns the reason why a unit cannot be the service of this name: the machine, a file, another unit of this
/// load or one of another user is that service.
fn refusal_of_name(name: &str, uid: u32, is_taken: bool, known: Option<Known>) -> Option<String> {
    match known {
        Some(known) if !known.is_user_service => Some(format!(
            "the machine has a service {name}: it needs another name"
        )),
        Some(known) if known.is_unit && known.uid != u64::from(uid) => {
            Some(format!("a unit of another user is the service {name}"))
        }
        _ if is_taken => Some(format!("another service is called {name}")),
        _ => None,
    }
}

/// Reads the units of an owner, and prepares the shared state of their podmans.
fn gather(owner: &Owner) -> Result<Loaded> {
    let mut loaded = read::read(owner)?;
    if owner.uid != 0
        && let Err(why) = prepare(owner)
    {
        let why = format!("of {}: {why}", owner.name);
        loaded.faults.push(Fault::of_quadlet(why));
    }
    Ok(loaded)
}

/// Makes the shared state of the podmans of a user, outside the cgroups of units: directories, and the
/// process that holds the user's namespaces. Podmans that start side by side would each make one, and fail
/// ([`crate::helpers::engine::user_api`]).
fn prepare(owner: &Owner) -> Result<()> {
    let passwd = sys::files::read_text("/etc/passwd")?;
    let Some(user) = PodmanUser::with_uid(&passwd, owner.uid) else {
        return Ok(());
    };
    user.make_directories()?;
    bus_link::link_for(owner)?;
    let finished = tool::run_command(&mut user.podman(&["unshare", "true"]), UNSHARE_LIMIT)?;
    match finished.code {
        Some(0) => Ok(()),
        _ => Err(Error::invalid(finished.last_lines)),
    }
}

/// Takes out the definitions for which `why` has a reason, and reports them.
fn refuse(
    definitions: &mut Vec<Definition>,
    faults: &mut Vec<Fault>,
    why: impl Fn(&Definition) -> Option<String>,
) -> bool {
    let before = definitions.len();
    definitions.retain(|definition| match why(definition) {
        Some(why) => {
            faults.push(Fault::of_quadlet(format!("{}: {why}", definition.unit)));
            false
        }
        None => true,
    });
    definitions.len() < before
}

/// Takes out the units that need a service that does not exist, directly or indirectly: such units would
/// wait for ever.
fn refuse_without_needs(
    definitions: &mut Vec<Definition>,
    faults: &mut Vec<Fault>,
    known: impl Fn(&str) -> bool,
) {
    // A flag may have switched off a service that stands for a target. The target is reached without it.
    for definition in definitions.iter_mut() {
        let is_there = |need: &String| known(need) || !convert::stands_for_target(need);
        definition.needs.retain(is_there);
        definition.binds.retain(is_there);
    }
    loop {
        let names = definitions.iter().map(|d| d.service.clone());
        let there: BTreeSet<String> = sys::sort::inserted(names);
        let missing = |d: &Definition| {
            let mut needs = d.needs.iter();
            let missing = needs.find(|need| !there.contains(*need) && !known(need))?;
            Some(format!("it needs {missing}, which does not exist"))
        };
        if !refuse(definitions, faults, missing) {
            return;
        }
    }
}

/// Starts the services that a boot starts, unless a flag turns them off.
fn start(env: &Environment, definitions: &[Definition]) {
    let config = sys::config_sources::read().0;
    for definition in convert::started_at_boot(definitions) {
        if sys::service_names::starts_at_boot(&config, &definition.service)
            && let Some(name) = Name::new(&definition.service)
        {
            let _ = env.control.ask(&Request::Start(name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_takes_the_name_of_no_other_service() {
        let known = |is_user_service, uid, is_unit| {
            Some(Known {
                is_user_service,
                uid,
                is_unit,
            })
        };
        for (uid, is_taken, known, is_refused) in [
            (0, false, None, false),
            (0, true, None, true),
            // net.container, sshd.container.
            (0, false, known(false, 0, false), true),
            // Its own earlier unit, and a service whose file is gone.
            (0, false, known(true, 0, true), false),
            (0, false, known(true, 0, false), false),
            (1_000, false, known(true, 1_000, true), false),
            // core-web.container of root, and web.container of core.
            (0, false, known(true, 1_000, true), true),
        ] {
            let why = refusal_of_name("net", uid, is_taken, known);
            assert_eq!(why.is_some(), is_refused, "{uid} {is_taken} {known:?}");
        }
    }

    #[test]
    fn users_leave_places_for_the_units_of_root() {
        let most = services::supervisor::MAX_USER_SERVICES;
        assert!(most_of(0, most) >= most);
        assert_eq!(most_of(1_000, 0), MAX_OF_USER);
        assert_eq!(most_of(1_001, MAX_OF_USER), MAX_OF_USERS - MAX_OF_USER);
        assert_eq!(most_of(1_002, MAX_OF_USERS), 0);
    }

    #[test]
    fn a_target_whose_service_is_switched_off_is_reached() {
        let define = |name: &str, needs: &str| {
            let text = format!("[Unit]\nRequires={needs}\n[Service]\nExecStart=/a\n");
            let specifiers = super::super::specifiers::Specifiers {
                unit: name.to_owned(),
                ..Default::default()
            };
            Definition::of(&super::super::unit::Unit::parse(&text), &specifiers)
        };
        let units = [
            ("a.service", "local-fs.target"),
            ("b.service", "gone.service"),
        ];
        let units = units.map(|(name, needs)| define(name, needs));
        let mut definitions: Vec<Definition> = units.into_iter().flatten().collect();
        let mut faults = Vec::new();
        refuse_without_needs(&mut definitions, &mut faults, |_| false);
        let left: Vec<&str> = definitions.iter().map(|d| d.unit.as_str()).collect();
        assert_eq!((left, faults.len()), (vec!["a.service"], 1));
    }
}
