// SPDX-License-Identifier: Apache-2.0
//! Files of one container. The container, or the user whose container it is, may put a link in the place of any
//! directory at any moment: no link and no mount is followed (openat2(2)).

use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use log::warn;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};

use super::super::space::Usage;

/// Size of all files of a container from which they are the container's own, in bytes, and the same as a part of a
/// small file system, or of its inodes. podman's have some KiB; the data of secrets are in the store.
const LARGE: u64 = 1 << 20;
const LARGE_PART: u64 = 16;
/// Size up to which a file is not emptied, in bytes.
const SMALL_FILE: u64 = 16 << 10;
/// Depth of the directories that are looked at. podman's are less deep: `userdata/run/secrets`.
const MAX_DEPTH: u32 = 8;

/// Files of a container.
#[derive(Default)]
pub struct Held {
    pub bytes: u64,
    inodes: u64,
    /// True if there are directories below the depth that is looked at.
    is_deep: bool,
    /// Paths of the files that are not small.
    pub files: Vec<PathBuf>,
}

impl Held {
    /// The files in the directory `container` below `root`.
    pub fn by(root: &File, container: &Path) -> Held {
        let mut held = Held::default();
        held.add(root, container, 0);
        held
    }

    fn add(&mut self, root: &File, dir: &Path, depth: u32) {
        for (name, m) in entries(root, dir) {
            let path = dir.join(name);
            let bytes = m.blocks() * 512;
            self.inodes += 1;
            self.bytes += bytes;
            if m.is_dir() && depth < MAX_DEPTH {
                self.add(root, &path, depth + 1);
            } else if m.is_dir() {
                self.is_deep = true;
            } else if m.is_file() && bytes > SMALL_FILE {
                self.files.push(path);
            }
        }
    }

    /// Returns true if podman alone makes no such files in a file system of this usage.
    pub fn is_large(&self, usage: &Usage) -> bool {
        let has_inodes = usage.inodes > 0 && self.inodes > usage.inodes / LARGE_PART;
        self.is_deep || has_inodes || self.bytes > LARGE.min(usage.bytes / LARGE_PART)
    }
}

/// Returns the entries of the directory `dir` below `root`; none if a link or another file is in its place.
pub fn entries(root: &File, dir: &Path) -> Vec<(OsString, Metadata)> {
    let Ok(opened) = open(root, dir, OFlag::O_RDONLY | OFlag::O_DIRECTORY) else {
        return Vec::new();
    };
    let entries = fs::read_dir(format!("/proc/self/fd/{}", opened.as_raw_fd()));
    let entries = entries.into_iter().flatten().flatten();
    let with_metadata =
        entries.filter_map(|entry| Some((entry.file_name(), entry.metadata().ok()?)));
    with_metadata.collect()
}

/// Opens a file below `root`.
fn open(root: &impl AsFd, path: &Path, flags: OFlag) -> nix::Result<OwnedFd> {
    let flags = flags | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let below = ResolveFlag::RESOLVE_BENEATH
        | ResolveFlag::RESOLVE_NO_SYMLINKS
        | ResolveFlag::RESOLVE_NO_XDEV;
    openat2(root, path, OpenHow::new().flags(flags).resolve(below))
}

/// Empties a file below `root`, which is open at `dir`.
pub fn empty(dir: &Path, root: &File, file: &Path) {
    let emptied = open(root, file, OFlag::O_WRONLY).map_err(std::io::Error::from);
    let emptied = emptied.and_then(|opened| File::from(opened).set_len(0));
    let (dir, file) = (dir.display(), file.display());
    match emptied {
        Ok(()) => warn!("store: {file} of {dir} is emptied: a container filled /run with it"),
        Err(e) => warn!("store: {file} of {dir}: {e}"),
    }
}
