// SPDX-License-Identifier: Apache-2.0
//! Quadlets (podman-systemd.unit(5)): podman's generator turns the user's files into units, and these become
//! services of PID 1 (docs/guide/quadlets.md). `b2p user-services` loads them at boot, and again for
//! `systemctl daemon-reload`; without a quadlet file the helper only reads the directories.

mod boot_start;
mod bus_link;
pub mod compose;
mod conditions;
pub mod convert;
pub mod dependents;
mod directories;
mod disk_units;
mod file_names;
mod generator;
pub mod host;
pub mod install;
mod keys;
pub mod kube;
pub mod lifecycle;
mod load;
pub mod names;
mod other_units;
mod output;
pub mod paths;
pub mod plain;
mod present;
pub mod program;
mod read;
pub mod run;
pub mod span;
pub mod specifiers;
pub mod store;
pub mod timer;
pub mod unit;
pub mod unit_error;
mod variables;
pub mod words;

use std::fs;
use std::path::Path;

use control::{Name, Request};
use log::warn;
use sys::error::{Doing, Result};

pub use self::boot_start::BootStart;
use self::paths::DEFINITIONS;
use self::specifiers::Owner;
use self::unit_error::Fault;
use crate::common::degraded::Degraded;
use crate::common::service_change::{Verb, try_change};
use crate::common::service_env::Environment;
use crate::helpers::engine::PodmanUser;

/// Section and key by which a written unit has its name.
pub const NAME: (&str, &str) = ("X-Unit", "Name");
/// Section and key by which the text of a unit file has its path, or is switched off.
pub const PATH: (&str, &str) = ("X-Unit", "Path");
/// Section and key by which the text of a unit has the reason why one of its files is left out.
pub const UNREADABLE: (&str, &str) = ("X-Unit", "Unreadable");
/// Part of the machine in degraded lines.
const PART: &str = "quadlet";
/// Numbers of the users whose quadlets are read (login.defs(5), `UID_MIN` and `UID_MAX`).
const MIN_UID: u32 = 1_000;
const MAX_UID: u32 = 60_000;

/// File that has the next run of `b2p user-services` load quadlets alone, and start nothing.
const RELOAD: &str = "/run/boot2podman/units/.reload";

/// Loads the quadlets of the machine and of its users. The boot starts the wanted ones, once.
pub fn load(env: &Environment, boot: &BootStart) {
    let owners: Vec<Owner> = owners().into_iter().filter(has_files).collect();
    if owners.is_empty() && !Path::new(DEFINITIONS).exists() {
        boot.finish(&[]);
        return;
    }
    let mut faults = Vec::new();
    if let Err(why) = load::all(env, &owners, boot, &mut faults) {
        faults.push(Fault::of_quadlet(why.to_string()));
    }
    for Fault { part, why } in &faults {
        warn!("{part}: {why}");
    }
    let lines = faults.into_iter().map(|fault| (fault.part, fault.why));
    Degraded::of("user-services").update(lines);
}

/// Makes a service of an instance of a template, such as `web@2.service`; returns false if the owner has no
/// such template.
///
/// # Errors
/// The template cannot be read, the instance cannot run here, or PID 1 does not answer.
pub fn instantiate(env: &Environment, owner: &Owner, name: &str) -> Result<bool> {
    load::instance(env, owner, name)
}

fn ask_status(env: &Environment) -> Result<String> {
    let text = env.control.ask(&Request::Status);
    text.map_err(|why| crate::common::control_client::explain(&why, "b2p user-services"))
}

/// Loads the quadlets again: `systemctl daemon-reload`. Without any, nothing is done. Returns the result of the run
/// of `b2p user-services`, which may be the boot's, and then fails for a bad service file of the user.
///
/// # Errors
/// PID 1 does not take the request.
pub fn reload(env: &Environment) -> Result<Result<()>> {
    if !Path::new(DEFINITIONS).exists() {
        if !owners().iter().any(has_files) {
            return Ok(Ok(()));
        }
        fs::create_dir_all(DEFINITIONS).on(DEFINITIONS)?;
    }
    fs::write(RELOAD, "").on(RELOAD)?;
    let Some(name) = Name::new("user-services") else {
        return Ok(Ok(()));
    };
    // The run has limits for each owner, which a machine with many users may use up.
    let result = try_change(&env.of_units(), Verb::Restart, name)?;
    Ok(result.map(drop))
}

/// Returns true if this run of `b2p user-services` is one of [`reload`], which the next is not then.
#[must_use]
pub fn take_reload_request() -> bool {
    fs::remove_file(RELOAD).is_ok()
}

/// Returns true if an owner has files that become units.
fn has_files(owner: &Owner) -> bool {
    generator::has_files(owner) || disk_units::has_files(owner) || plain::has_files(owner)
}

/// Returns root, and then the users that may have quadlets: no file of a user delays root's.
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
        let is_person = (MIN_UID..=MAX_UID).contains(&user.uid);
        user.uid == 0 || is_person || user.name == machine_user
    };
    let (mut owners, others): (Vec<PodmanUser>, _) =
        users.filter(may_own).partition(|user| user.uid == 0);
    owners.extend(others);
    owners
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_root_and_the_user_of_the_machine_have_quadlets() {
        let passwd = "sshd:x:100:65534::/run/sshd:/bin/false\n\
            core:x:501:1000::/home/core:/bin/bash\neve:x:1001:1001::/home/eve:/bin/bash\n\
            last:x:60000:1001::/home/last:/bin/bash\nnext:x:60001:1001::/:/bin/false\n\
            root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n";
        let names = |user| -> Vec<String> {
            let users = users_of(passwd, user);
            users.into_iter().map(|user| user.name).collect()
        };
        assert_eq!(names("core"), ["root", "core", "eve", "last"]);
        assert_eq!(names("ann"), ["root", "eve", "last"]);
    }
}
