// SPDX-License-Identifier: Apache-2.0
//! Quadlets (podman-systemd.unit(5)): podman's generator turns the owner's files into units, and these become
//! services of PID 1 (docs/guide/quadlets.md). `b2p user-services` loads them at boot, and again for
//! `systemctl daemon-reload`; without a quadlet file it only looks into the directories.

mod compose;
mod conditions;
pub mod convert;
mod disk_units;
mod generator;
pub mod host;
mod keys;
pub mod kube;
pub mod names;
mod output;
pub mod paths;
pub mod plain;
pub mod program;
mod read;
pub mod run;
pub mod span;
pub mod specifiers;
mod store;
pub mod unit;
mod variables;
pub mod words;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use control::{Name, Report, Request};
use log::warn;
use sys::error::{Doing, Error, Result};

use self::convert::Definition;
use self::paths::DEFINITIONS;
use self::specifiers::Owner;
use crate::client::service::{Environment, Verb, change};
use crate::client::service_files;
use crate::common::degraded::Degraded;
use crate::common::tool;
use crate::helpers::engine::PodmanUser;
use crate::helpers::unit_bus;

/// Section and key by which a written unit has its name.
pub const NAME: (&str, &str) = ("X-Unit", "Name");
/// Part of the machine in degraded lines.
const PART: &str = "quadlet";
/// Users whose quadlets are read have numbers from here on (login.defs(5)).
const MIN_UID: u32 = 1_000;
const MAX_UID: u32 = 60_000;

/// Time limit for the process that holds a user's namespaces.
const UNSHARE_LIMIT: Duration = Duration::from_secs(60);
/// File that has the next run of `b2p user-services` load quadlets alone, and start nothing.
const RELOAD: &str = "/run/boot2podman/units/.reload";

/// Loads the quadlets of the machine and of its users. The first time in a boot, those that are wanted start.
pub fn load(env: &Environment) {
    let owners: Vec<Owner> = owners().into_iter().filter(has_files).collect();
    let was_loaded = Path::new(DEFINITIONS).exists();
    if owners.is_empty() && !was_loaded {
        return;
    }
    let mut faults = Vec::new();
    match load_all(env, &owners, &mut faults) {
        Ok(definitions) if !was_loaded => start(env, &definitions),
        Ok(_) => {}
        Err(why) => faults.push(why.to_string()),
    }
    let lines: Vec<(&str, &str)> = faults.iter().map(|fault| disk_units::part(fault)).collect();
    for (part, why) in &lines {
        warn!("{part}: {why}");
    }
    let lines = lines.into_iter().map(|(part, why)| (part, why.to_owned()));
    Degraded::of("user-services").update(lines);
}

/// Makes a service of an instance of a template, such as `web@2.service`; returns false if the owner has no
/// such template.
///
/// # Errors
/// The template cannot be read, or PID 1 does not answer.
pub fn instantiate(env: &Environment, owner: &Owner, name: &str) -> Result<bool> {
    let Some(mut loaded) = read::instance(owner, name)? else {
        return Ok(false);
    };
    let text = ask_status(env)?;
    let report = Report::parse(&text);
    let known = |name: &str| report.services.iter().any(|s| s.name == name);
    let mut faults = std::mem::take(&mut loaded.faults);
    refuse_without_needs(&mut loaded.definitions, &mut faults, known);
    store::write(&loaded, owner)?;
    for definition in &loaded.definitions {
        store::offer(env, &report, definition);
    }
    match faults.first() {
        Some(fault) if loaded.definitions.is_empty() => Err(Error::invalid(fault.clone())),
        _ => Ok(true),
    }
}

fn ask_status(env: &Environment) -> Result<String> {
    let text = env.control.ask(&Request::Status);
    text.map_err(|why| crate::common::control_client::explain(&why, "b2p user-services"))
}

/// Loads the quadlets again: `systemctl daemon-reload`. Without any, nothing is done.
///
/// # Errors
/// `b2p user-services` cannot be asked, or fails.
pub fn reload(env: &Environment) -> Result<()> {
    if !Path::new(DEFINITIONS).exists() {
        if !owners().iter().any(has_files) {
            return Ok(());
        }
        fs::create_dir_all(DEFINITIONS).on(DEFINITIONS)?;
    }
    fs::write(RELOAD, "").on(RELOAD)?;
    let Some(name) = Name::new("user-services") else {
        return Ok(());
    };
    change(env, Verb::Restart, name).map(drop)
}

/// Returns true if this run of `b2p user-services` is one of [`reload`].
#[must_use]
pub fn is_reload() -> bool {
    fs::remove_file(RELOAD).is_ok()
}

/// Returns true if an owner has files that become units.
fn has_files(owner: &Owner) -> bool {
    generator::has_files(owner) || disk_units::has_files(owner) || plain::has_files(owner)
}

/// Returns root, and the users who may have quadlets.
fn owners() -> Vec<Owner> {
    let passwd = sys::files::read_text("/etc/passwd").unwrap_or_default();
    let config = sys::config_sources::read().0;
    let users = users_of(&passwd, &config.user);
    users.iter().map(host::owner).collect()
}

/// Returns the users with the numbers of people, root, and the machine's user, whose number may be another: a
/// Mac's first user has 501.
fn users_of(passwd: &str, machine_user: &str) -> Vec<PodmanUser> {
    let names = passwd.lines().filter_map(|line| line.split(':').next());
    let users = names.filter_map(|name| PodmanUser::with_name(passwd, name));
    let may_own = |user: &PodmanUser| {
        let is_person = (MIN_UID..MAX_UID).contains(&user.uid);
        user.uid == 0 || is_person || user.name == machine_user
    };
    users.filter(may_own).collect()
}

fn load_all(
    env: &Environment,
    owners: &[Owner],
    faults: &mut Vec<String>,
) -> Result<Vec<Definition>> {
    fs::create_dir_all(DEFINITIONS).on(DEFINITIONS)?;
    let text = ask_status(env)?;
    let report = Report::parse(&text);
    let mut all: Vec<Definition> = Vec::new();
    for owner in owners {
        let mut loaded = read::read(owner)?;
        faults.append(&mut loaded.faults);
        if owner.uid != 0
            && let Err(why) = prepare(owner)
        {
            faults.push(format!("of {}: {why}", owner.name));
        }
        let is_taken = |name: &str| {
            all.iter().any(|d| d.service == name)
                || Name::new(name).is_some_and(|name| service_files::exists(&env.user_files, &name))
        };
        refuse(&mut loaded.definitions, faults, |d| {
            is_taken(&d.service).then(|| format!("another service is called {}", d.service))
        });
        let known = |name: &str| {
            report
                .services
                .iter()
                .any(|s| s.name == name && !store::is_own(s.name))
        };
        refuse_without_needs(&mut loaded.definitions, faults, known);
        store::write(&loaded, owner)?;
        all.append(&mut loaded.definitions);
    }
    store::withdraw(env, &report, &all);
    faults.extend(kube::take_down_gone());
    for definition in &all {
        store::offer(env, &report, definition);
    }
    Ok(all)
}

/// Makes what the podmans of a user share, outside the cgroups of units: directories, and the process that
/// holds the user's namespaces. Podmans that start side by side would each make one, and fail
/// ([`crate::helpers::engine::user_api`]).
fn prepare(owner: &Owner) -> Result<()> {
    let passwd = sys::files::read_text("/etc/passwd")?;
    let Some(user) = PodmanUser::with_uid(&passwd, owner.uid) else {
        return Ok(());
    };
    user.make_directories()?;
    unit_bus::link_for(owner)?;
    let finished = tool::run_command(&mut user.podman(&["unshare", "true"]), UNSHARE_LIMIT)?;
    match finished.code {
        Some(0) => Ok(()),
        _ => Err(Error::invalid(finished.last_lines)),
    }
}

/// Takes out the definitions for which `why` has a reason, and reports them.
fn refuse(
    definitions: &mut Vec<Definition>,
    faults: &mut Vec<String>,
    why: impl Fn(&Definition) -> Option<String>,
) -> bool {
    let before = definitions.len();
    definitions.retain(|definition| match why(definition) {
        Some(why) => {
            faults.push(format!("{}: {why}", definition.unit));
            false
        }
        None => true,
    });
    definitions.len() < before
}

/// Takes out the units that need a service that does not exist, directly or indirectly: they would wait for
/// ever.
fn refuse_without_needs(
    definitions: &mut Vec<Definition>,
    faults: &mut Vec<String>,
    known: impl Fn(&str) -> bool,
) {
    loop {
        let there: BTreeSet<String> = definitions.iter().map(|d| d.service.clone()).collect();
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
    fn people_root_and_the_user_of_the_machine_have_quadlets() {
        let passwd = "root:x:0:0::/root:/bin/sh\nsshd:x:100:65534::/run/sshd:/bin/false\n\
            core:x:501:1000::/home/core:/bin/bash\neve:x:1001:1001::/home/eve:/bin/bash\n\
            nobody:x:65534:65534::/:/bin/false\n";
        let names = |user| -> Vec<String> {
            let users = users_of(passwd, user);
            users.into_iter().map(|user| user.name).collect()
        };
        assert_eq!(names("core"), ["root", "core", "eve"]);
        assert_eq!(names("ann"), ["root", "eve"]);
    }
}
