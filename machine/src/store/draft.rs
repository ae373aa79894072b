// SPDX-License-Identifier: Apache-2.0
//! Drafts: directories in which a command puts a machine together. The name of a draft has the pid of its process, so
//! that the remains of a killed process differ from work in progress.

use super::dirs::{make_private, remove_all};
use super::{Dirs, Machine, files};
use crate::compat;
use crate::fault::Fault;
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::os::fd::IntoRawFd;
use std::path::{Path, PathBuf};

/// Returns the directory in which a process puts a machine together.
#[must_use]
pub fn path(dirs: &Dirs, name: &str, pid: u32) -> PathBuf {
    dirs.machines().join(format!(".{name}.{pid}.tmp"))
}

/// Makes a draft and locks it, so that no other command removes the draft until this process ends: a command in another
/// container does not see this process, or has the same pid.
pub fn make(path: &Path) -> Result<()> {
    make_private(path)?;
    hold(path);
    Ok(())
}

/// Locks a directory or file by flock(2) until this process ends. On a file system without locks of directories, only
/// the pid shows that a draft is in use.
pub fn hold(path: &Path) {
    if let Ok(dir) = File::open(path)
        && dir.try_lock().is_ok()
    {
        // The descriptor stays open, and with it the lock.
        let _ = dir.into_raw_fd();
    }
}

fn is_held(path: &Path) -> bool {
    let locked = File::open(path).map(|dir| dir.try_lock());
    matches!(locked, Ok(Err(TryLockError::WouldBlock)))
}

/// Returns true if the process that made a draft has ended. Its pid may now be that of this process, because pids
/// repeat in containers.
fn is_abandoned(path: &Path, pid: i32) -> bool {
    let is_own = u32::try_from(pid).is_ok_and(|pid| pid == std::process::id());
    (is_own || kill(Pid::from_raw(pid), None) == Err(Errno::ESRCH)) && !is_held(path)
}

/// Renames a draft to the directory of the machine, unless another command has taken that name in the meantime. The
/// content is flushed to the host's disk before the name: programs that fill a draft, such as cp(1), flush nothing.
pub fn publish(draft: &Path, machine: &Machine) -> Result<()> {
    files::sync_tree(draft)?;
    rename(draft, machine)?;
    files::sync_dir(
        machine
            .dir
            .parent()
            .context("a machine without a directory")?,
    )
}

fn rename(draft: &Path, machine: &Machine) -> Result<()> {
    let taken = [ErrorKind::AlreadyExists, ErrorKind::DirectoryNotEmpty];
    match fs::rename(draft, &machine.dir) {
        Err(error) if taken.contains(&error.kind()) => {
            let text = format!("{} \"{}\" already exists", compat::kind(), machine.name);
            Err(Fault::new(text).into())
        }
        other => other.with_context(|| format!("rename {}", draft.display())),
    }
}

/// Removes a draft that may be written at the moment: under another name nothing is added to it.
pub fn discard(draft: &Path) -> Result<()> {
    let file = draft.file_name().unwrap_or_default().to_string_lossy();
    let aside = draft.with_file_name(format!(".undone{file}"));
    match fs::rename(draft, &aside) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => {
            other.with_context(|| format!("rename {}", draft.display()))?;
            // The one call that was under way when the name went may have added a file since.
            remove_all(&aside).or_else(|_| remove_all(&aside))
        }
    }
}

/// Removes the drafts of processes that have ended.
pub fn sweep(dirs: &Dirs) -> Result<()> {
    for draft in abandoned(dirs) {
        remove_all(&draft)?;
    }
    Ok(())
}

/// Removes the files of processes that have ended, whose names begin with `prefix` and end with a pid. A file that
/// cannot be removed does no harm.
pub fn sweep_files(dir: &Path, prefix: &str) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name.strip_prefix(prefix).and_then(|pid| pid.parse().ok());
        if pid.is_some_and(|pid| is_abandoned(&entry.path(), pid)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Returns the drafts of processes that have ended, and the runtime directories of those that were to be
/// templates.
pub fn abandoned(dirs: &Dirs) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for dir in [dirs.machines(), dirs.cache()] {
        // There is no cache before the first image.
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let file_name = entry.file_name().to_string_lossy().into_owned();
            let name = file_name.strip_suffix(".tmp");
            let Some((name, pid)) = name.and_then(draft_of_process) else {
                continue;
            };
            if is_abandoned(&entry.path(), pid) {
                let run = dirs.run(name);
                paths.extend(run.exists().then_some(run));
                paths.push(entry.path());
            }
        }
    }
    paths
}

/// Returns the name of a draft, and the process that makes it: `.NAME.PID`.
fn draft_of_process(name: &str) -> Option<(&str, i32)> {
    let (_, pid) = name.strip_prefix('.')?.rsplit_once('.')?;
    Some((name, pid.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::super::template;
    use super::*;

    #[test]
    fn files_of_ended_processes_are_removed() {
        let tmp = tempfile::tempdir().expect("a directory");
        let file = |name: String| {
            let path = tmp.path().join(name);
            fs::write(&path, "").expect("written");
            path
        };
        let dead = file("scp-4194304".into());
        let own = file(format!("scp-{}", std::process::id()));
        let parent = file(format!("scp-{}", std::os::unix::process::parent_id()));
        let others = ["scp-x", "scp-", "4194304"].map(|name| file(name.into()));
        hold(&own);
        sweep_files(tmp.path(), "scp-");
        assert!(!dead.exists() && own.exists() && parent.exists());
        assert!(others.iter().all(|path| path.exists()));
    }

    #[test]
    fn drafts_of_the_dead_are_swept() {
        let tmp = tempfile::tempdir().expect("a directory");
        let dirs = Dirs {
            storage: tmp.path().into(),
            runtime: tmp.path().join("run"),
        };
        let (dead, own) = (
            path(&dirs, "a.b", 4_194_304),
            path(&dirs, "c", std::process::id()),
        );
        let run = dirs.run(".saved.4194304");
        let template = template::draft(&dirs.cache(), 4_194_304);
        for dir in [&dead, &own, &dirs.machines().join("box"), &template, &run] {
            fs::create_dir_all(dir).expect("made");
        }
        hold(&own);
        let before = path(&dirs, "same-pid", std::process::id());
        fs::create_dir_all(&before).expect("made");
        sweep(&dirs).expect("swept");
        assert!(!before.exists(), "of an earlier process with this pid");
        assert!(!dead.exists() && own.exists() && dirs.machines().join("box").exists());
        assert!(!template.exists() && !run.exists());
        assert_eq!(Machine::names(&dirs).expect("listed"), ["box"]);
    }
}
