// SPDX-License-Identifier: Apache-2.0
//! Lock of the boot disk, and the note in its file that a `b2p upgrade` of this boot has ended the trial.
//! `b2p upgrade` holds the lock until the other slot is written, which takes minutes from a slow medium;
//! its user's choice is in GRUB's environment long before.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use sys::error::{Doing, Result};

/// Time between two attempts at the lock.
const PAUSE: Duration = Duration::from_millis(200);
/// Content of the file once the trial has ended.
const ENDED: &[u8] = b"the trial has ended\n";

/// State of the trial that is known without the disk.
#[derive(Debug)]
pub enum Trial {
    /// A `b2p upgrade` has ended the trial.
    Ended,
    /// No `b2p upgrade` runs; none can begin while this lock is held.
    Locked(Flock<File>),
    /// A `b2p upgrade` runs, and has decided nothing in time.
    Unknown,
}

/// Takes the lock, with or without a wait by `mode`; `None` if another process has the lock.
///
/// # Errors
/// The file cannot be opened.
pub fn lock(path: &Path, mode: FlockArg) -> Result<Option<Flock<File>>> {
    let mut options = File::options();
    let file = options.write(true).create(true).truncate(false).open(path);
    match Flock::lock(file.on(path)?, mode) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, errno)) => Err(errno).on(path),
    }
}

/// Records that the trial has ended; the caller holds the lock.
///
/// # Errors
/// The file cannot be written.
pub fn note_end(path: &Path) -> Result<()> {
    let mut options = File::options();
    let file = options.write(true).open(path);
    file.and_then(|mut file| file.write_all(ENDED)).on(path)
}

fn is_noted(path: &Path) -> bool {
    fs::read(path).is_ok_and(|text| text == ENDED)
}

/// Waits until a `b2p upgrade` that runs has ended the trial, or has itself ended, at most `limit`.
///
/// # Errors
/// The file cannot be opened.
pub fn wait(path: &Path, limit: Duration) -> Result<Trial> {
    let deadline = Instant::now() + limit;
    loop {
        if is_noted(path) {
            return Ok(Trial::Ended);
        }
        match lock(path, FlockArg::LockExclusiveNonblock)? {
            // The note may have been made between the two checks.
            Some(_) if is_noted(path) => return Ok(Trial::Ended),
            Some(lock) => return Ok(Trial::Locked(lock)),
            None if Instant::now() >= deadline => return Ok(Trial::Unknown),
            None => std::thread::sleep(PAUSE),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::Temp;

    #[test]
    fn an_upgrade_that_still_writes_has_ended_the_trial() {
        let temp = Temp::new();
        let path = temp.path("lock");
        let soon = Duration::from_millis(1);
        assert!(matches!(wait(&path, soon), Ok(Trial::Locked(_))));
        let upgrade = lock(&path, FlockArg::LockExclusiveNonblock).unwrap();
        assert!(upgrade.is_some());
        let second = lock(&path, FlockArg::LockExclusiveNonblock).unwrap();
        assert!(second.is_none() && matches!(wait(&path, soon), Ok(Trial::Unknown)));
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| wait(&path, Duration::from_secs(60)).unwrap());
            note_end(&path).unwrap();
            assert!(matches!(waiter.join().unwrap(), Trial::Ended));
        });
        drop(upgrade);
        // The note holds until the machine is started again, for the next lock as well.
        drop(lock(&path, FlockArg::LockExclusive).unwrap());
        assert!(matches!(wait(&path, soon), Ok(Trial::Ended)));
    }

    #[test]
    fn an_upgrade_that_ends_without_a_choice_leaves_the_trial() {
        let temp = Temp::new();
        let path = temp.path("lock");
        let upgrade = lock(&path, FlockArg::LockExclusiveNonblock).unwrap();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| wait(&path, Duration::from_secs(60)).unwrap());
            drop(upgrade);
            assert!(matches!(waiter.join().unwrap(), Trial::Locked(_)));
        });
    }
}
