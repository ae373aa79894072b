// SPDX-License-Identifier: Apache-2.0
//! Name and number of the user who may log in beside root: what the configuration says in place of
//! what the image has.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use config::Config;
use nix::errno::Errno;
use sys::error::{Doing, Result};
use sys::files::replace;
use sys::paths::{USER_RUNTIME_DIRS, USER_STORAGES};

use crate::bounded::bounded;

/// Time limit for making a home, in milliseconds.
const HOME_LIMIT_MS: i32 = 5_000;
/// Group that may read /etc/shadow.
const SHADOW_GID: u32 = 42;
/// Files of /etc that name the user, and the fields of a line that have the user's numbers.
const ACCOUNT_FILES: &[(&str, &[usize])] = &[
    ("passwd", &[2, 3]),
    ("group", &[2]),
    ("shadow", &[]),
    ("subuid", &[]),
    ("subgid", &[]),
];

/// Gives the user of `before` the name and the number of `config`, a home of that name, and a
/// runtime directory.
///
/// # Errors
/// A file cannot be read or written.
pub fn configure(config: &Config, before: &Config) -> Result<()> {
    let (was, is) = (Identity::of(before), Identity::of(config));
    // The image has this user already; the root of a container is its owner's.
    if was != is {
        for (file, numbers) in ACCOUNT_FILES {
            change_file(file, |text| changed(text, was, is, numbers))?;
        }
        make_home(was, is)?;
    }
    let runtime = Path::new(USER_RUNTIME_DIRS).join(config.uid.to_string());
    make_private(&runtime, config.uid).on(runtime)
}

/// Makes the directory of the user's storage in RAM; on a data disk `b2p data` makes it.
///
/// # Errors
/// The directory cannot be made.
pub fn make_store(uid: u32) -> Result<()> {
    let store = Path::new(USER_STORAGES).join(uid.to_string());
    make_private(&store, uid).on(store)
}

/// Name and number of a user; the user's group has both as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity<'a> {
    name: &'a str,
    uid: u32,
}

impl Identity<'_> {
    fn of(config: &Config) -> Identity<'_> {
        Identity {
            name: &config.user,
            uid: config.uid,
        }
    }
}

fn change_file(file: &str, change: impl FnOnce(&str) -> String) -> Result<()> {
    let path = Path::new("/etc").join(file);
    let before = fs::read_to_string(&path).on(&path)?;
    let after = change(&before);
    if after == before {
        return Ok(());
    }
    let (mode, group) = match file {
        "shadow" => (0o640, Some(SHADOW_GID)),
        _ => (0o644, None),
    };
    replace(&path, after.as_bytes(), mode)?;
    group.map_or(Ok(()), |gid| chown(&path, None, Some(gid)).on(&path))
}

/// Makes a home for the new name. /home may be on a data disk that hangs, so a child does it.
fn make_home(was: Identity<'_>, is: Identity<'_>) -> Result<()> {
    let homes = Path::new("/home");
    let home = homes.join(is.name);
    let make = || {
        if was.name != is.name {
            // Only an empty home is removed.
            let _ = fs::remove_dir(homes.join(was.name));
        }
        make_private(&home, is.uid)
    };
    let errno = |e: io::Error| Errno::from_raw(e.raw_os_error().unwrap_or_default());
    bounded(HOME_LIMIT_MS, || make().map_err(errno)).on(&home)
}

fn make_private(dir: &Path, uid: u32) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    chown(dir, Some(uid), Some(uid))?;
    fs::set_permissions(dir, Permissions::from_mode(0o700))
}

/// Changes the user in the text of an account file: the name where it is a whole field or a whole
/// item of a list, and at the end of the path of a home; the number in these fields of the lines
/// that begin with the name.
fn changed(text: &str, was: Identity<'_>, is: Identity<'_>, numbers: &[usize]) -> String {
    let home = format!("/home/{}", was.name);
    let number = was.uid.to_string();
    let change_item = |item: &str| match item {
        item if item == was.name => is.name.to_owned(),
        item if item == home => format!("/home/{}", is.name),
        item => item.to_owned(),
    };
    let change_line = |line: &str| {
        let is_own = line.split(':').next() == Some(was.name);
        let change_field = |(index, field): (usize, &str)| {
            if is_own && numbers.contains(&index) && field == number {
                return is.uid.to_string();
            }
            let items: Vec<String> = field.split(',').map(change_item).collect();
            items.join(",")
        };
        let fields: Vec<String> = line.split(':').enumerate().map(change_field).collect();
        fields.join(":") + "\n"
    };
    text.lines().map(change_line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CORE: Identity<'_> = Identity {
        name: "core",
        uid: 1000,
    };

    #[test]
    fn only_whole_names_and_own_numbers_are_replaced() {
        let passwd =
            "root:x:0:0:root:/root:/bin/bash\ncore:x:1000:1000:core:/home/core:/bin/bash\n";
        let group = "adm:x:4:core\nscore:x:1000:hardcore,core,x\ncore:x:1000:\n";
        let subuid = "core:100000:1000000\ncontainers:1000:1000\n";
        let me = Identity {
            name: "me",
            uid: 1000,
        };
        let mac = Identity {
            name: "core",
            uid: 501,
        };
        for (text, is, numbers, want) in [
            (
                passwd,
                me,
                &[2, 3][..],
                "root:x:0:0:root:/root:/bin/bash\nme:x:1000:1000:me:/home/me:/bin/bash\n",
            ),
            (
                passwd,
                mac,
                &[2, 3],
                "root:x:0:0:root:/root:/bin/bash\ncore:x:501:501:core:/home/core:/bin/bash\n",
            ),
            (
                group,
                me,
                &[2],
                "adm:x:4:me\nscore:x:1000:hardcore,me,x\nme:x:1000:\n",
            ),
            (
                group,
                mac,
                &[2],
                "adm:x:4:core\nscore:x:1000:hardcore,core,x\ncore:x:501:\n",
            ),
            (subuid, me, &[], "me:100000:1000000\ncontainers:1000:1000\n"),
            (subuid, mac, &[], subuid),
        ] {
            assert_eq!(changed(text, CORE, is, numbers), want);
        }
    }
}
