// SPDX-License-Identifier: Apache-2.0
//! Facts about the machine and its users, for the specifiers of units.

use nix::unistd::geteuid;
use sys::error::{Error, Result};

use super::specifiers::{Owner, Specifiers};
use super::unit::Unit;
use crate::helpers::engine::PodmanUser;

/// Returns the user of this process.
///
/// # Errors
/// /etc/passwd cannot be read, or has no such user.
pub fn caller() -> Result<Owner> {
    let passwd = sys::files::read_text("/etc/passwd")?;
    let user = PodmanUser::with_uid(&passwd, geteuid().as_raw());
    user.map(|user| owner(&user))
        .ok_or_else(|| Error::invalid("/etc/passwd: it has no user with this number"))
}

/// Returns the facts about a user.
#[must_use]
pub fn owner(user: &PodmanUser) -> Owner {
    Owner {
        uid: user.uid,
        gid: user.gid,
        name: user.name.clone(),
        home: user.home().to_owned(),
    }
}

/// Returns the size of the machine's memory in bytes.
#[must_use]
pub fn memory_bytes() -> u64 {
    let text = sys::files::read_text("/proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|line| {
        let value = line.strip_prefix("MemTotal:")?.trim();
        value.strip_suffix("kB")?.trim().parse::<u64>().ok()
    });
    total.unwrap_or(0).saturating_mul(1_024)
}

/// Returns the number of tasks that the machine can have, of which `TasksMax=` may be a part (systemd.resource-control(5)).
#[must_use]
pub fn most_tasks() -> u64 {
    let read = |name: &str| {
        let text = sys::files::read_text(format!("/proc/sys/kernel/{name}")).unwrap_or_default();
        text.trim().parse().unwrap_or(u64::MAX)
    };
    read("pid_max").min(read("threads-max"))
}

/// Returns the name of a group, or its number.
fn group_name(groups: &str, gid: u32) -> String {
    let number = gid.to_string();
    let name = groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == number).then(|| name.to_owned())
    });
    name.unwrap_or(number)
}

/// Returns the values of the specifiers of a unit. The file of the unit, as its origin, has the
/// name.
#[must_use]
pub fn specifiers(name: &str, unit: &Unit, user: Owner) -> Specifiers {
    let line = |path: &str| {
        let text = sys::files::read_text(path).unwrap_or_default();
        text.trim().to_owned()
    };
    let groups = sys::files::read_text("/etc/group").unwrap_or_default();
    Specifiers {
        unit: name.to_owned(),
        group: group_name(&groups, user.gid),
        os_release: sys::files::read_text("/etc/os-release").unwrap_or_default(),
        user,
        host: line("/proc/sys/kernel/hostname"),
        machine_id: line("/etc/machine-id"),
        boot_id: line("/proc/sys/kernel/random/boot_id").replace('-', ""),
        release: line("/proc/sys/kernel/osrelease"),
        source: unit
            .last("Unit", "SourcePath")
            .unwrap_or_default()
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_has_a_name_or_a_number() {
        let groups = "root:x:0:\ncore:x:1000:\nbad\n";
        assert_eq!(group_name(groups, 1_000), "core");
        assert_eq!(group_name(groups, 100), "100");
    }
}
