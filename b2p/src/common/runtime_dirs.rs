// SPDX-License-Identifier: Apache-2.0
//! Runtime directories of users other than the machine's, whose directory PID 1 makes at the boot.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::fcntl::{Flock, FlockArg};
use sys::error::{Doing, Result};
use sys::paths::{RUNTIME_DIR, USER_RUNTIME_DIRS};
use sys::runtime_dir::{self, Share};

/// File that only root can lock: two first logins of a user would each mount a file system, one over the other.
const LOCK: &str = "runtime-dirs.lock";

/// Makes the runtime directory of a user, unless there is one.
///
/// # Errors
/// The directory cannot be made, or not be given to the user.
pub fn make(uid: u32, gid: u32) -> Result<()> {
    let path = Path::new(RUNTIME_DIR).join(LOCK);
    let mut options = File::options();
    let file = options.write(true).create(true).truncate(false).mode(0o600);
    let file = file.open(&path).on(&path)?;
    let _lock = Flock::lock(file, FlockArg::LockExclusive)
        .map_err(|(_, e)| e)
        .on(&path)?;
    runtime_dir::make(Path::new(USER_RUNTIME_DIRS), uid, gid, Share::Other)
}
