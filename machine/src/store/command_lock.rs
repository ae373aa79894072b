// SPDX-License-Identifier: Apache-2.0
//! Lock of the commands that change a machine: flock(2) on the file `lock`, which the kernel drops with
//! its holder.

use super::lock::open;
use crate::compat;
use crate::fault::Fault;
use anyhow::{Context, Result};
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Time that a command waits for another one.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Commands that wait for a machine to become ready.
const START: [&str; 2] = ["start", "create"];

/// Lock of a command on a machine; released when dropped.
#[derive(Debug)]
pub struct CommandLock {
    file: File,
}

impl CommandLock {
    /// Takes the lock `path` for a command, whose name others print while they wait. Returns `None` if
    /// the file is not, or no longer, there under its name: its machine was removed or renamed.
    pub fn take(path: &Path, command: &str) -> Result<Option<Self>> {
        let Some(file) = open_if_there(path)? else {
            return Ok(None);
        };
        let file = match file.try_lock() {
            Ok(()) => file,
            Err(_) => wait(file).ok_or_else(|| Fault::new(busy(path)))?,
        };
        Self::taken(file, path, command)
    }

    /// Takes the lock like [`CommandLock::take`], however long another command has it.
    pub fn wait(path: &Path, command: &str) -> Result<Option<Self>> {
        let Some(file) = open_if_there(path)? else {
            return Ok(None);
        };
        file.lock()
            .with_context(|| format!("lock {}", path.display()))?;
        Self::taken(file, path, command)
    }

    fn taken(mut file: File, path: &Path, command: &str) -> Result<Option<Self>> {
        if !is_at(&file, path)? {
            return Ok(None);
        }
        // The note is for people: on a full disk it is missing, and the command continues.
        let note = format!("{} {command}", std::process::id());
        let begun = file.set_len(0).and_then(|()| file.rewind());
        let _ = begun.and_then(|()| file.write_all(note.as_bytes()));
        Ok(Some(Self { file }))
    }

    /// Tells whether a descriptor of this process is the lock `path`, which a command has shared.
    pub fn is_shared(descriptor: impl AsFd, path: &Path) -> Result<bool> {
        let own = descriptor.as_fd().try_clone_to_owned();
        is_at(&File::from(own.context("the lock of a command")?), path)
    }

    /// Returns the lock for a child, which has it until it closes the descriptor.
    pub fn share(&self) -> Result<Stdio> {
        let file = self.file.try_clone();
        Ok(file.context("share the lock with a child")?.into())
    }
}

/// Opens the file of a lock; returns `None` if it has no directory.
fn open_if_there(path: &Path) -> Result<Option<File>> {
    match open(path) {
        Err(_) if path.parent().is_some_and(|dir| !dir.exists()) => Ok(None),
        other => other.map(Some),
    }
}

/// Tells whether a path leads to this open file.
fn is_at(file: &File, path: &Path) -> Result<bool> {
    let own = file.metadata()?;
    match std::fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| path.display().to_string()),
        Ok(there) => Ok((own.dev(), own.ino()) == (there.dev(), there.ino())),
    }
}

/// Waits for the lock in a thread, because flock(2) has no time limit.
fn wait(file: File) -> Option<File> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let locked = file.lock();
        let _ = sender.send(locked.map(|()| file));
    });
    receiver.recv_timeout(TIMEOUT).ok()?.ok()
}

fn busy(path: &Path) -> String {
    let mut text = String::new();
    let _ = File::open(path).and_then(|file| file.take(256).read_to_string(&mut text));
    let (pid, command) = text
        .split_once(' ')
        .unwrap_or((text.as_str(), "busy with it"));
    let name = path.parent().and_then(Path::file_name).unwrap_or_default();
    let program = compat::program();
    // A start may last as long as its time limit; `kill` does not wait for it.
    let hint = match START.contains(&command) {
        true => format!(", or end it with `{program} kill {}`", name.display()),
        false => String::new(),
    };
    format!(
        "Error: another {program} (pid {pid}) is at `{command}` of this machine: try again{hint}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_command_names_the_first() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("lock");
        let first = CommandLock::take(&path, "start").expect("free");
        assert!(first.is_some());
        let text = busy(&path);
        let name = dir.path().file_name().unwrap_or_default().display();
        let hint = format!("(pid {}) is at `start`", std::process::id());
        assert!(
            text.contains(&hint)
                && text.ends_with(&format!("or end it with `podman-machine kill {name}`")),
            "{text}"
        );
        let waiter = {
            let path = path.clone();
            thread::spawn(move || CommandLock::take(&path, "stop").map(|_| ()))
        };
        drop(first);
        waiter
            .join()
            .expect("no panic")
            .expect("the lock was given up");
    }

    #[test]
    fn a_lock_of_a_machine_that_is_gone_is_none() {
        let dir = tempfile::tempdir().expect("a directory");
        let (machine, grave) = (dir.path().join("box"), dir.path().join(".box"));
        let path = machine.join("lock");
        assert!(CommandLock::take(&path, "start").expect("asked").is_none());
        for successor in [false, true] {
            std::fs::create_dir(&machine).expect("made");
            let first = CommandLock::take(&path, "rm").expect("asked");
            // The waiter has opened the file before the first command gives it another name.
            let (file, theirs) = (open(&path).expect("opened"), path.clone());
            let waiter = thread::spawn(move || {
                let file = wait(file).expect("given up in time");
                is_at(&file, &theirs).expect("asked")
            });
            std::fs::rename(&machine, &grave).expect("renamed");
            if successor {
                std::fs::create_dir(&machine).expect("made");
                std::fs::write(&path, "").expect("written");
            }
            drop(first);
            assert!(!waiter.join().expect("no panic"), "{successor}");
            std::fs::remove_dir_all(&grave).expect("removed");
            let _ = std::fs::remove_dir_all(&machine);
        }
    }

    #[test]
    fn a_lock_that_is_shared_is_held_until_the_child_gives_it_up() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("lock");
        let lock = CommandLock::take(&path, "start").expect("free");
        let lock = lock.expect("there");
        let mut child = std::process::Command::new("sleep");
        child.arg("60").stdin(lock.share().expect("shared"));
        let mut running = child.spawn().expect("sleep");
        drop((lock, child));
        let probe = open(&path).expect("opened");
        assert!(probe.try_lock().is_err(), "the child has it");
        running.kill().expect("killed");
        running.wait().expect("it ends");
        probe.lock().expect("given up");
    }
}
