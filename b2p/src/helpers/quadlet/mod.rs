// SPDX-License-Identifier: Apache-2.0
//! Quadlets (podman-systemd.unit(5)): podman's generator turns the owner's files into units, and these become
//! services of PID 1 (docs/guide/quadlets.md). `b2p user-services` loads them at boot, and again for
//! `systemctl daemon-reload`; without a quadlet file it only looks into the directories.

mod compose;
mod convert;
mod disk_units;
mod generator;
pub mod host;
mod keys;
pub mod kube;
pub mod paths;
mod program;
pub mod run;
pub mod specifiers;
pub mod unit;
mod words;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use control::{Name, Report, Request};
use log::{info, warn};
use sys::error::{Doing, Error, Result};

use self::convert::Definition;
use self::paths::DEFINITIONS;
use self::specifiers::Owner;
use self::unit::Unit;
use crate::client::service::{Environment, Verb, change};
use crate::client::service_files;
use crate::common::control_client::is_at_rest;
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

/// Quadlets of one owner: what is loaded, and what is wrong.
#[derive(Debug, Default)]
struct Loaded {
    definitions: Vec<Definition>,
    /// Units by their names.
    units: Vec<(String, Unit)>,
    /// Texts of the units, as the generator printed them.
    texts: Vec<String>,
    faults: Vec<String>,
}

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
    generator::has_files(owner) || disk_units::has_files(owner)
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
    let text = env.control.ask(&Request::Status);
    let text =
        text.map_err(|why| crate::common::control_client::explain(&why, "b2p user-services"))?;
    let report = Report::parse(&text);
    let mut all: Vec<Definition> = Vec::new();
    for owner in owners {
        let mut loaded = read(owner)?;
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
                .any(|s| s.name == name && !is_own(s.name))
        };
        refuse_without_needs(&mut loaded.definitions, faults, known);
        write(&loaded, owner)?;
        all.append(&mut loaded.definitions);
    }
    withdraw(env, &report, &all);
    faults.extend(kube::take_down_gone());
    for definition in &all {
        offer(env, &report, definition);
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

/// Returns true for a service that was made of a unit.
fn is_own(service: &str) -> bool {
    Path::new(DEFINITIONS).join(service).exists()
}

/// Runs the generator, and reads the units that it prints.
fn read(owner: &Owner) -> Result<Loaded> {
    let mut output = generator::run(owner)?;
    disk_units::add(owner, &mut output);
    let mut loaded = Loaded {
        faults: output.faults,
        ..Loaded::default()
    };
    for (name, text) in unit::split_output(&output.units) {
        let unit = Unit::parse(text);
        let Some(name) = instance(name, &unit) else {
            continue;
        };
        let specifiers = host::specifiers(&name, &unit, owner.clone());
        match Definition::of(&unit, &specifiers) {
            Ok(definition)
                if loaded
                    .definitions
                    .iter()
                    .any(|d| d.service == definition.service) =>
            {
                let service = definition.service;
                loaded
                    .faults
                    .push(format!("{name}: another unit is the service {service}"));
            }
            Ok(definition) => {
                if !definition.unsupported.is_empty() {
                    let keys = definition.unsupported.join(" ");
                    loaded
                        .faults
                        .push(format!("{name}: keys without effect here: {keys}"));
                }
                loaded.definitions.push(definition);
                loaded.units.push((name, unit));
                loaded.texts.push(text.to_owned());
            }
            Err(why) => loaded.faults.push(format!("{name}: {why}")),
        }
    }
    convert::link(&mut loaded.definitions, &loaded.units, owner);
    Ok(loaded)
}

/// Returns the name of the unit that runs: of a template, its default instance.
fn instance(name: &str, unit: &Unit) -> Option<String> {
    match name.strip_suffix("@.service") {
        None => Some(name.to_owned()),
        Some(template) => {
            let instance = unit.last("Install", "DefaultInstance")?;
            Some(format!("{template}@{instance}.service"))
        }
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

/// Writes each unit and its service file.
fn write(loaded: &Loaded, owner: &Owner) -> Result<()> {
    for definition in &loaded.definitions {
        let named = loaded.units.iter().zip(&loaded.texts);
        let mut named = named.filter(|((name, _), _)| *name == definition.unit);
        let Some((_, text)) = named.next() else {
            continue;
        };
        let (section, key) = NAME;
        let text = format!(
            "[{section}]\n{key}={}\n\n{}\n",
            definition.unit,
            text.trim_end()
        );
        let path = paths::unit(&definition.service);
        sys::files::replace(&path, text.as_bytes(), 0o600)?;
        if owner.uid != 0 {
            std::os::unix::fs::chown(&path, Some(owner.uid), Some(owner.gid)).on(&path)?;
        }
        let path = Path::new(DEFINITIONS).join(&definition.service);
        sys::files::replace(&path, definition.service_file().as_bytes(), 0o600)?;
    }
    Ok(())
}

/// Stops the services whose units are gone.
fn withdraw(env: &Environment, report: &Report<'_>, definitions: &[Definition]) {
    for service in &report.services {
        let is_there = definitions.iter().any(|d| d.service == service.name);
        if is_there || !is_own(service.name) {
            continue;
        }
        if let Some(name) = Name::new(service.name) {
            info!("{PART}: {name}: its file is gone: it is stopped");
            let _ = env.control.ask(&Request::Stop(name));
        }
        let _ = fs::remove_file(Path::new(DEFINITIONS).join(service.name));
        let _ = fs::remove_file(paths::unit(service.name));
    }
}

/// Has PID 1 read a service file, unless the service runs.
fn offer(env: &Environment, report: &Report<'_>, definition: &Definition) {
    let Some(name) = Name::new(&definition.service) else {
        return;
    };
    let mut services = report.services.iter();
    let runs = services.any(|s| s.name == name.as_str() && !is_at_rest(s.state));
    let dir = Path::new(DEFINITIONS);
    let differs = service_files::differs(dir, &env.loaded_files, &name);
    if runs && differs {
        info!("{PART}: {name}: runs; `systemctl restart {name}` takes the new file");
    } else if !runs
        && let Err(why) = service_files::stage(dir, &env.loaded_files, &name).and_then(|()| {
            let answer = env.control.ask(&Request::Load(name.clone()));
            answer
                .map(drop)
                .map_err(|why| Error::invalid(why.to_string()))
        })
    {
        // PID 1 lists what it refuses as degraded.
        warn!("{PART}: {name}: {why}");
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
