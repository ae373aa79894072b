// SPDX-License-Identifier: Apache-2.0
//! The user who may log in besides root: the name and the uid of the configuration replace those of the image.

use std::path::Path;

use config::Config;
use sys::account_files::{self, Identity, make_private};
use sys::error::{Error, Result};
use sys::paths::{USER_RUNTIME_DIRS, USER_STORAGES};
use sys::runtime_dir::{self, Share};

use crate::accounts;

/// Gives the image's user the configured name and uid, a home, a runtime directory, and a store in
/// RAM; on a data disk `b2p data` makes the store. /home is in RAM as well: no disk is mounted yet.
///
/// # Errors
/// A file or a directory cannot be read or written.
pub fn make(config: &Config) -> Result<()> {
    // The image has this user already; the root of a container is not changed.
    let image = Config::default();
    account_files::make_user(
        Path::new("/"),
        identity(&image),
        identity(config),
        &sys::files::replace_at_once,
    )?;
    create_runtime_dir(config.uid)?;
    let store = Path::new(USER_STORAGES).join(config.uid.to_string());
    make_private(&store, config.uid)
}

/// Makes the runtime directory of a user that the data disk or a document names. The helper that has
/// read the configuration has made the user and the home, which may be on a disk that hangs.
///
/// # Errors
/// The helper has not made the user, or the directory cannot be made.
pub fn make_runtime_dir(config: &Config) -> Result<()> {
    let passwd = accounts::text("/etc/passwd", config.etc)?;
    if account_files::present(&passwd, &config.user) != Some(identity(config)) {
        let Config { user, uid, .. } = config;
        return Err(Error::invalid(format!(
            "there is no user {user} with the number {uid}: the service that read its name has failed"
        )));
    }
    create_runtime_dir(config.uid)
}

fn create_runtime_dir(uid: u32) -> Result<()> {
    runtime_dir::make(Path::new(USER_RUNTIME_DIRS), uid, uid, Share::Machine)
}

fn identity(config: &Config) -> Identity<'_> {
    Identity {
        name: &config.user,
        uid: config.uid,
    }
}
