// SPDX-License-Identifier: Apache-2.0
//! Units and their service files in memory, and PID 1's knowledge of them.

use std::fs;
use std::path::Path;

use control::{Name, Report, Request, Service, State};
use log::{info, warn};
use sys::error::{Error, Result};
use sys::printable::one_line;

use super::convert::Definition;
use super::paths::{self, DEFINITIONS};
use super::read::Loaded;
use super::specifiers::Owner;
use super::unit::{Unit, is_true};
use super::unit_error::Fault;
use super::{NAME, PART};
use crate::common::control_client::is_at_rest;
use crate::common::service_env::Environment;
use crate::common::service_files;

/// Returns true for a service that was made of a unit.
pub(super) fn is_of_unit(service: &str) -> bool {
    Path::new(DEFINITIONS).join(service).exists()
}

/// Writes each unit and its service file.
pub(super) fn write(loaded: &Loaded, owner: &Owner) -> Result<()> {
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
        // The file stays root's: data of a user in the file would take root's memory, and its text is root's.
        sys::files::replace_for_group(&path, text.as_bytes(), 0o640, owner.gid)?;
        let path = Path::new(DEFINITIONS).join(&definition.service);
        sys::files::replace(&path, definition.service_file().as_bytes(), 0o600)?;
    }
    Ok(())
}

/// Writes the templates of an owner, and removes obsolete ones.
pub(super) fn write_templates(loaded: &Loaded, owner: &Owner) -> Result<()> {
    let mut kept = Vec::new();
    for (name, text) in &loaded.templates {
        let path = paths::template(name, owner);
        sys::files::replace(&path, text.as_bytes(), 0o600)?;
        kept.push(path);
    }
    let any = paths::template("", owner);
    let entries = fs::read_dir(DEFINITIONS).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()) {
        let is_one = path.to_string_lossy().starts_with(&*any.to_string_lossy());
        if is_one && !kept.contains(&path) {
            let _ = fs::remove_file(path);
        }
    }
    Ok(())
}

/// Writes the list of an owner's units that cannot run here, with the reasons: those that `faults` name and no
/// definition has.
pub(super) fn write_refused(
    owner: &Owner,
    faults: &[Fault],
    definitions: &[Definition],
) -> Result<()> {
    let is_unit = |name: &str| {
        name.ends_with(".service") && !definitions.iter().any(|definition| definition.unit == name)
    };
    let lines = faults.iter().filter_map(|fault| fault.why.split_once(": "));
    let lines = lines.filter(|(name, _)| is_unit(name));
    let lines = lines.map(|(name, why)| format!("{name}\t{}\n", one_line(why)));
    let text: String = lines.collect();
    sys::files::replace(&paths::refused(owner), text.as_bytes(), 0o600)
}

/// Returns the owner's units that cannot run here, with the reasons.
#[must_use]
pub fn refused(owner: &Owner) -> Vec<(String, String)> {
    let text = sys::files::read_text(paths::refused(owner)).unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.split_once('\t'));
    lines
        .map(|(name, why)| (name.to_owned(), why.to_owned()))
        .collect()
}

/// Returns the unit that a service was made of, and its name.
pub(super) fn unit(service: &str) -> Option<(String, Unit)> {
    let text = sys::files::read_text(paths::unit(service)).ok()?;
    let unit = Unit::parse(&text);
    let name = unit.last(NAME.0, NAME.1)?.to_owned();
    Some((name, unit))
}

/// Stops the services whose units are gone: those that `stays` does not keep, by the service, and the name and
/// the text of its unit.
pub(super) fn withdraw(
    env: &Environment,
    report: &Report<'_>,
    stays: impl Fn(&Service<'_>, &str, &Unit) -> bool,
) {
    let units = report
        .services
        .iter()
        .filter(|s| s.is_user_service && is_of_unit(s.name));
    for service in units {
        let (unit_name, unit) = unit(service.name).unwrap_or_default();
        if stays(service, &unit_name, &unit) {
            continue;
        }
        if let Some(name) = Name::new(service.name) {
            info!("{PART}: {name}: is stopped and forgotten");
            let _ = env.control.ask(&Request::Unload(name));
        }
        let _ = fs::remove_file(Path::new(DEFINITIONS).join(service.name));
        let _ = fs::remove_file(paths::unit(service.name));
    }
}

/// Number of services of the owners from which on instances that have ended are forgotten, so that PID 1 has room
/// for others.
const MANY: usize = services::supervisor::MAX_USER_SERVICES * 3 / 4;

/// Has PID 1 forget inactive instances of templates, except the `new` ones, if it has many services. Their names make
/// them again.
pub(super) fn make_room(env: &Environment, report: &Report<'_>, new: &[Definition]) {
    let own = || report.services.iter().filter(|s| s.is_user_service);
    if own().count() < MANY {
        return;
    }
    withdraw(env, report, |service, name, unit| {
        let remains = unit.last("Service", "RemainAfterExit").is_some_and(is_true);
        let is_over =
            matches!(service.state, State::Off) || service.state == State::Done && !remains;
        let is_new = new.iter().any(|d| d.service == service.name);
        !is_over || is_new || !name.contains('@')
    });
}

/// Most definitions that PID 1 takes of the units of one user, and of all users, until the machine ends: PID 1
/// keeps the texts of all, and takes 1000 (`services::supervisor`), of which root has the rest.
const MAX_CHANGES: (usize, usize) = (300, 500);
/// File with a line for each of these, which has the number of its user.
const CHANGES: &str = "/run/boot2podman/units/.changes";

/// Notes a change of a user's unit; returns false if the change exceeds the limit.
fn may_change(path: &Path, uid: u32) -> bool {
    if uid == 0 {
        return true;
    }
    let text = sys::files::read_text(path).unwrap_or_default();
    let own = text.lines().filter(|line| line.parse() == Ok(uid)).count();
    let may = own < MAX_CHANGES.0 && text.lines().count() < MAX_CHANGES.1;
    may && sys::files::replace(path, format!("{text}{uid}\n").as_bytes(), 0o600).is_ok()
}

/// Asks PID 1 to read a service file, unless the service runs or PID 1 has read this file: PID 1 keeps the
/// texts of all files that it has read.
pub(super) fn offer(env: &Environment, report: &Report<'_>, definition: &Definition, uid: u32) {
    let Some(name) = Name::new(&definition.service) else {
        return;
    };
    let mut services = report.services.iter();
    let runs = services.any(|s| s.name == name.as_str() && !is_at_rest(s.state));
    let dir = Path::new(DEFINITIONS);
    let differs = service_files::differs(dir, &env.loaded_files, &name);
    let is_known = report.services.iter().any(|s| s.name == name.as_str());
    if is_known && !differs {
        return;
    }
    if runs && differs {
        info!("{PART}: {name}: runs; `systemctl restart {name}` takes the new file");
    } else if !runs && !may_change(Path::new(CHANGES), uid) {
        warn!("{PART}: {name}: too many changes of the units of users until the machine ends");
    } else if !runs
        && let Err(why) = service_files::stage(dir, &env.loaded_files, &name).and_then(|()| {
            let answer = env.control.ask(&Request::Load(name.clone()));
            answer
                .map(drop)
                .map_err(|why| Error::invalid(why.to_string()))
        })
    {
        // PID 1 lists refused services as degraded; the next run requests them again.
        service_files::unstage(&env.loaded_files, &name);
        warn!("{PART}: {name}: {why}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_leave_changes_for_root() {
        let temp = crate::common::testing::Temp::new();
        let path = temp.path("changes");
        let count = |uid| (0..400).filter(|_| may_change(&path, uid)).count();
        assert_eq!([1_000, 1_001, 1_002, 0].map(count), [300, 200, 0, 400]);
    }
}
