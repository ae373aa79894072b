// SPDX-License-Identifier: Apache-2.0
//! Data disks that outlive their machines: `rm --keep-disk` keeps one, and `create --data-disk` takes it back.
//!
//! A disk has two names for a moment, that in the machine's directory and that among the kept ones (link(2)): whatever
//! is killed between, one of them is left.

use super::dirs::make_private;
use super::media::check_qcow2;
use super::{Dirs, Machine, files, saved, space};
use crate::fault::{Fault, PRE_CREATE};
use crate::tool;
use anyhow::{Context, Result};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Gives the disk of a machine that is off a name that outlives the machine.
pub fn keep(dirs: &Dirs, machine: &Machine) -> Result<PathBuf> {
    let dir = dirs.disks();
    make_private(&dir)?;
    let disk = machine.disk();
    let mut number = 1;
    loop {
        let name = match number {
            1 => format!("{}.qcow2", machine.name),
            number => format!("{}-{number}.qcow2", machine.name),
        };
        let path = dir.join(name);
        match fs::hard_link(&disk, &path) {
            Ok(()) => break files::sync_dir(&dir).map(|()| path),
            // A removal that was cut short has kept the disk already.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                if is_same(&disk, &path) {
                    break Ok(path);
                }
            }
            Err(error) => {
                let place = || format!("keep {} as {}", disk.display(), path.display());
                break Err(error).with_context(place);
            }
        }
        number += 1;
    }
}

/// Tells whether two paths are names of one file.
fn is_same(one: &Path, other: &Path) -> bool {
    let file = |path: &Path| fs::metadata(path).map(|meta| (meta.dev(), meta.ino()));
    matches!((file(one), file(other)), (Ok(one), Ok(other)) if one == other)
}

/// Disk for a new machine.
#[derive(Clone, Debug)]
pub struct DataDisk {
    path: PathBuf,
    /// True for one that [`keep`] has kept: the machine gets it, and not a copy.
    is_kept: bool,
    /// Size in bytes that the guest sees.
    pub bytes: u64,
}

fn refused(path: &Path, why: &str) -> anyhow::Error {
    let text = format!("Error: --data-disk {}: {why}", path.display());
    Fault::with_status(text, PRE_CREATE).into()
}

impl DataDisk {
    /// Checks a disk, whose size `size` tells.
    pub fn open(dirs: &Dirs, path: &Path, size: impl FnOnce(&Path) -> Result<u64>) -> Result<Self> {
        if !path.is_file() {
            let why = "no such file: `rm --keep-disk` prints the path of a disk that it keeps";
            return Err(refused(path, why));
        }
        refuse_owned(dirs, path)?;
        let checked = check_qcow2(path).and_then(|()| size(path));
        let bytes = checked.map_err(|error| refused(path, &format!("{error:#}")))?;
        let path = fs::canonicalize(path)?;
        let is_kept = path.parent().is_some_and(|dir| is_same(dir, &dirs.disks()));
        Ok(Self {
            path,
            is_kept,
            bytes,
        })
    }

    /// Keeps other commands from making a machine of the same disk, until the lock that is returned is dropped.
    pub fn hold(&self, dirs: &Dirs) -> Result<Option<File>> {
        if !self.is_kept {
            return Ok(None);
        }
        let dir = dirs.disks();
        let file = File::open(&dir).with_context(|| dir.display().to_string())?;
        // Where directories have no locks, two commands of one moment are not told apart.
        let _ = file.lock();
        Ok(Some(file))
    }

    /// Puts the disk into the draft of a machine.
    pub fn put(&self, dirs: &Dirs, draft: &Path) -> Result<()> {
        let disk = draft.join("disk.qcow2");
        if self.is_kept {
            // Another command may have made a machine of it meanwhile.
            refuse_owned(dirs, &self.path)?;
            let linked = fs::hard_link(&self.path, &disk);
            linked.with_context(|| format!("use {}", self.path.display()))?;
        } else {
            let blocks = fs::metadata(&self.path).map_or(0, |meta| meta.blocks());
            space::check("the disk", draft, blocks.saturating_mul(512))?;
            let mut cp = Command::new("cp");
            cp.args(["--reflink=auto", "--sparse=always", "--"]);
            tool::run(cp.arg(&self.path).arg(&disk))?;
        }
        // The disk may have the snapshot of a suspension, whose memory is of no use.
        saved::mark_pending(draft)
    }

    /// Removes the name of a kept disk that is a machine's now.
    pub fn given(&self) -> Result<()> {
        match self.is_kept {
            true => super::dirs::remove_all(&self.path),
            false => Ok(()),
        }
    }
}

/// Returns the machine that has a disk.
fn owner(dirs: &Dirs, disk: &Path) -> Result<Option<String>> {
    let mut names = Machine::names(dirs)?.into_iter();
    Ok(names.find(|name| is_same(&Machine::at(dirs, name).disk(), disk)))
}

fn refuse_owned(dirs: &Dirs, disk: &Path) -> Result<()> {
    match owner(dirs, disk)? {
        None => Ok(()),
        Some(owner) => {
            let why = format!("it is the disk of machine \"{owner}\": `clone` copies a machine");
            Err(refused(disk, &why))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_kept_under_a_name_of_its_own() {
        let tmp = tempfile::tempdir().expect("a directory");
        let dirs = Dirs {
            storage: tmp.path().into(),
            runtime: tmp.path().join("run"),
        };
        let machine = Machine::at(&dirs, "box");
        let mut kept = Vec::new();
        for content in ["one", "two"] {
            fs::create_dir_all(&machine.dir).expect("made");
            fs::write(machine.disk(), content).expect("written");
            let path = keep(&dirs, &machine).expect("kept");
            // A second attempt, after a removal that was cut short.
            assert_eq!(keep(&dirs, &machine).expect("kept"), path);
            assert_eq!(owner(&dirs, &path).expect("read").as_deref(), Some("box"));
            fs::remove_dir_all(&machine.dir).expect("removed");
            assert_eq!(fs::read_to_string(&path).expect("read"), content);
            assert_eq!(owner(&dirs, &path).expect("read"), None);
            kept.push(path);
        }
        assert_eq!(
            kept,
            ["box.qcow2", "box-2.qcow2"].map(|name| dirs.disks().join(name))
        );
        let error = keep(&dirs, &machine).expect_err("it has no disk");
        assert!(format!("{error:#}").contains("No such file"), "{error:#}");
    }
}
