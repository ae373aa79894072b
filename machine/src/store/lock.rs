// SPDX-License-Identifier: Apache-2.0
//! Locks for the life of a process, which the kernel drops with their holder.
//!
//! The keeper, as QEMU does with its own pid file, holds a POSIX lock (fcntl(2), `F_SETLK`) for its
//! life: the kernel tells others the pid of the holder, which is therefore never stale.

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::libc;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// File of Linux with the name of the host.
const HOST_NAME: &str = "/proc/sys/kernel/hostname";
/// Pause between two looks at a lock.
const PAUSE: Duration = Duration::from_millis(10);

// The constants have the type of the field on other kernels than Linux.
/// Kind of a lock for reading.
const READ: i16 = libc::F_RDLCK as i16;
/// Kind of a lock for writing.
const WRITE: i16 = libc::F_WRLCK as i16;
/// Kind of a lock without a holder.
const UNLOCKED: i16 = libc::F_UNLCK as i16;

/// Opens the file of a lock, and keeps the holder's text in it.
pub fn open(path: &Path) -> Result<File> {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    options
        .open(path)
        .with_context(|| format!("open {}", path.display()))
}

/// POSIX lock for the life of this process.
#[derive(Debug)]
pub struct LifeLock {
    _file: File,
}

impl LifeLock {
    /// Takes the lock, or returns `None` if another process has it for its life. `ending` tells
    /// whether that process is about to end, in which case its end is waited for. This process must
    /// not open the file again: closing any descriptor of it drops the lock (fcntl(2)).
    pub fn take(path: &Path, ending: impl FnOnce() -> Result<bool>) -> Result<Option<Self>> {
        let mut file = open(path)?;
        match fcntl(&file, FcntlArg::F_SETLK(&whole(WRITE))) {
            Err(Errno::EAGAIN | Errno::EACCES) => {
                if writer(&file, path)?.is_some() && !ending()? {
                    return Ok(None);
                }
                lock(&file, path, WRITE)?;
            }
            other => {
                other.with_context(|| format!("lock {}", path.display()))?;
            }
        }
        file.set_len(0)?;
        writeln!(file, "{}", std::process::id())?;
        Ok(Some(Self { _file: file }))
    }
}

/// Takes a lock (flock(2)) that a child inherits with the descriptor that is returned: while the child
/// lives, [`is_handed_over`] is true, from its fork on. The file has the name of this host for those who find the lock.
pub fn hand_over(path: &Path) -> Result<File> {
    let mut file = open(path)?;
    let locked = file.lock().map_err(anyhow::Error::from);
    locked
        .and_then(|()| inherit(&file))
        .with_context(|| format!("lock {}", path.display()))?;
    let host = fs::read(HOST_NAME).unwrap_or_default();
    // For people alone: a full disk is no reason not to start.
    let _ = file.set_len(0).and_then(|()| file.write_all(&host));
    Ok(file)
}

/// Takes a lock of a directory that a child inherits, unless another process has it. While it is held, systemd-tmpfiles(8)
/// does not remove old files in the directory (tmpfiles.d(5), "Age").
pub fn hand_over_dir(path: &Path) -> Result<File> {
    let dir = File::open(path).with_context(|| path.display().to_string())?;
    if dir.try_lock().is_ok() {
        inherit(&dir)?;
    }
    Ok(dir)
}

fn inherit(file: &File) -> Result<()> {
    fcntl(file, FcntlArg::F_SETFD(FdFlag::empty())).context("F_SETFD")?;
    Ok(())
}

/// Tells whether a process has the lock of [`hand_over`].
pub fn is_handed_over(path: &Path) -> Result<bool> {
    use std::fs::TryLockError;
    let Some(file) = existing(path)? else {
        return Ok(false);
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("lock {}", path.display()))
        }
    }
}

/// Waits until no process has the lock of [`hand_over`]; returns false if one still has it after `limit`.
pub fn wait_handed_back(path: &Path, limit: Duration) -> Result<bool> {
    let deadline = Instant::now() + limit;
    // flock(2) has no time limit.
    while is_handed_over(path)? {
        if Instant::now() >= deadline {
            return Ok(false);
        }
        thread::sleep(PAUSE);
    }
    Ok(true)
}

/// POSIX lock on a file of another program, whose content is left alone.
#[derive(Debug)]
pub struct Guard {
    _file: File,
}

impl Guard {
    /// Waits for the lock.
    pub fn take(path: &Path) -> Result<Self> {
        let file = open(path)?;
        lock(&file, path, WRITE)?;
        Ok(Self { _file: file })
    }
}

/// Takes one of some places for the life of this process: a POSIX lock on a byte of the file. Returns `None` if other
/// processes have them all.
pub fn place(path: &Path, places: u16) -> Result<Option<File>> {
    let file = open(path)?;
    for at in 0..places {
        let byte = libc::flock {
            l_start: at.into(),
            l_len: 1,
            ..whole(WRITE)
        };
        match fcntl(&file, FcntlArg::F_SETLK(&byte)) {
            Err(Errno::EAGAIN | Errno::EACCES) => {}
            other => {
                other.with_context(|| format!("lock {}", path.display()))?;
                return Ok(Some(file));
            }
        }
    }
    Ok(None)
}

/// Returns the process that holds a POSIX lock on a file for its life; `None` if none does, or if
/// there is no file.
pub fn holder(path: &Path) -> Result<Option<i32>> {
    match existing(path)? {
        Some(file) => writer(&file, path),
        None => Ok(None),
    }
}

/// Waits until no process holds a POSIX lock on the file for its life.
pub fn wait_free(path: &Path) -> Result<()> {
    // A process that waits takes a read lock, by which others distinguish it from the holder.
    match existing(path)? {
        Some(file) => lock(&file, path, READ),
        None => Ok(()),
    }
}

/// Opens a file for a query, which a file system that is read-only answers, too.
fn existing(path: &Path) -> Result<Option<File>> {
    match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        other => Ok(Some(
            other.with_context(|| format!("open {}", path.display()))?,
        )),
    }
}

/// Returns the process that holds a write lock: a read lock conflicts with nothing else (fcntl(2)).
fn writer(file: &File, path: &Path) -> Result<Option<i32>> {
    let mut lock = whole(READ);
    fcntl(file, FcntlArg::F_GETLK(&mut lock)).with_context(|| path.display().to_string())?;
    Ok((lock.l_type != UNLOCKED).then_some(lock.l_pid))
}

/// Waits for a lock of this kind.
fn lock(file: &File, path: &Path, kind: i16) -> Result<()> {
    loop {
        match fcntl(file, FcntlArg::F_SETLKW(&whole(kind))) {
            Err(Errno::EINTR) => {}
            other => {
                other.with_context(|| format!("lock {}", path.display()))?;
                return Ok(());
            }
        }
    }
}

/// Describes a lock on a whole file.
fn whole(kind: i16) -> libc::flock {
    libc::flock {
        l_type: kind,
        l_whence: libc::SEEK_SET as i16,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_file_without_a_holder_is_free() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("pid");
        assert_eq!(holder(&path).expect("asked"), None);
        std::fs::write(&path, "1\n").expect("written");
        assert_eq!(
            holder(&path).expect("asked"),
            None,
            "a pid in a file proves nothing"
        );
        wait_free(&path).expect("free");
        assert!(
            LifeLock::take(&path, || Ok(false))
                .expect("asked")
                .is_some()
        );
    }

    #[test]
    fn a_lock_that_is_handed_over_is_held_by_the_child_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("life");
        assert!(!is_handed_over(&path).expect("asked"), "no file");
        let lock = hand_over(&path).expect("free");
        let mut child = std::process::Command::new("cat");
        let child = child.stdin(std::process::Stdio::piped()).spawn();
        let mut child = child.expect("cat");
        drop(lock);
        assert!(is_handed_over(&path).expect("asked"));
        drop(child.stdin.take());
        assert!(wait_handed_back(&path, Duration::from_secs(60)).expect("asked"));
        child.wait().expect("it ends");
        assert!(!is_handed_over(&path).expect("asked"));
        let _held = hand_over(&path).expect("free");
        assert!(!wait_handed_back(&path, Duration::ZERO).expect("asked"));
    }

    /// Holds a lock of an open file description, with which those of a process conflict as with
    /// those of another process.
    fn held(path: &Path, kind: i16) -> File {
        let file = open(path).expect("opened");
        fcntl(&file, FcntlArg::F_OFD_SETLK(&whole(kind))).expect("free");
        file
    }

    #[test]
    fn only_a_process_that_stays_holds_a_lock_back() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("pid");
        for (kind, ending, taken) in [
            (WRITE, false, false),
            (WRITE, true, true),
            (READ, false, true),
        ] {
            let other = held(&path, kind);
            let known = holder(&path).expect("asked").is_some();
            assert_eq!(known, kind == WRITE, "one that waits holds nothing");
            let (asked, begun) = mpsc::channel();
            let taker = {
                let path = path.clone();
                thread::spawn(move || {
                    let _ = asked.send(());
                    LifeLock::take(&path, || Ok(ending))
                        .expect("asked")
                        .is_some()
                })
            };
            begun.recv().expect("the thread runs");
            if taken {
                drop(other);
            }
            assert_eq!(taker.join().expect("no panic"), taken, "{kind} {ending}");
        }
    }
}
