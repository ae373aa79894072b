// SPDX-License-Identifier: Apache-2.0
//! Name and number of the user who may log in beside root: what the configuration says in place of
//! what the image has.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use config::Config;
use nix::errno::Errno;
use sys::account_files::{self, Identity};
use sys::error::{Doing, Result};
use sys::paths::{USER_RUNTIME_DIRS, USER_STORAGES};

use crate::bounded::bounded;

/// Time limit for making a home, in milliseconds.
const HOME_LIMIT_MS: i32 = 5_000;

/// Gives the user of `before` the name and the number of `config`, a home of that name, and a
/// runtime directory. A helper that applied a document has made the user itself.
///
/// # Errors
/// A file cannot be read or written.
pub fn configure(config: &Config, before: &Config) -> Result<()> {
    let (was, is) = (identity(before), identity(config));
    let etc = Path::new("/etc");
    // The image has this user already; the root of a container is its owner's.
    if was != is && !account_files::has(etc, is)? {
        make_home(was, is)?;
        account_files::change(etc, was, is)?;
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

fn identity(config: &Config) -> Identity<'_> {
    Identity {
        name: &config.user,
        uid: config.uid,
    }
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
