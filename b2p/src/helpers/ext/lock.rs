// SPDX-License-Identifier: Apache-2.0
//! Lock of all changes of extensions: one process at a time adds or removes one.

use std::fs::{self, File};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::fcntl::{Flock, FlockArg};
use sys::error::{Doing, Result};
use sys::paths::EXTENSIONS_DIR;

use crate::common::terminal::print_error;

/// File whose lock a process has while it changes extensions.
const LOCK: &str = "/run/boot2podman/ext/.lock";

/// Lock of the extensions; `None` in a step of a change whose process has the lock.
pub struct Lock(Option<Flock<File>>);

/// True while this process, which has one thread, has the lock.
static IS_LOCKED: AtomicBool = AtomicBool::new(false);

/// Waits until no other process changes extensions, and keeps others from it.
///
/// # Errors
/// The lock cannot be made.
pub fn lock() -> Result<Lock> {
    if IS_LOCKED.load(Ordering::Relaxed) {
        return Ok(Lock(None));
    }
    let file = lock_file()?;
    let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).or_else(|(file, _)| {
        print_error("b2p ext: waits for another b2p ext, which adds or removes one");
        Flock::lock(file, FlockArg::LockExclusive)
    });
    let lock = lock.map_err(|(_, errno)| errno).on(LOCK)?;
    IS_LOCKED.store(true, Ordering::Relaxed);
    Ok(Lock(Some(lock)))
}

/// Takes the lock unless another process has it, or this one may not.
pub fn try_lock() -> Option<Lock> {
    if IS_LOCKED.load(Ordering::Relaxed) {
        return Some(Lock(None));
    }
    let lock = Flock::lock(lock_file().ok()?, FlockArg::LockExclusiveNonblock).ok()?;
    IS_LOCKED.store(true, Ordering::Relaxed);
    Some(Lock(Some(lock)))
}

fn lock_file() -> Result<File> {
    fs::create_dir_all(EXTENSIONS_DIR).on(EXTENSIONS_DIR)?;
    // flock(2) needs no right to write: users without rights could otherwise hold the lock.
    let mut options = File::options();
    options.write(true).create(true).mode(0o600);
    options.open(LOCK).on(LOCK)
}

impl Drop for Lock {
    fn drop(&mut self) {
        if self.0.is_some() {
            IS_LOCKED.store(false, Ordering::Relaxed);
        }
    }
}
