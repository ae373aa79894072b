// SPDX-License-Identifier: Apache-2.0
//! Files that podman makes for each container of root in /run, such as /etc/hosts. A container may write to them, and
//! they share one file system ([`CONTAINER_FILES`]): a container that fills it keeps podman from starting others.
//! The container is then paused, and its large files are emptied; `podman rm -f` and `podman restart` work on it.

use std::fs::{self, DirBuilder, File};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};

use log::{info, warn};
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use sys::paths::CONTAINER_FILES;

use super::pause::{self, Paused};
use super::space::{self, Usage};
use super::writers::{Writers, short_id};

/// podman's directory, which is a link to the file system (init/src/mounts.rs).
const LINK: &str = "/run/containers/storage/overlay-containers";
/// Size of all files of a container from which they are the container's own, in bytes, and the same as a part of a
/// small file system, or of its inodes. podman's have some KiB; the data of secrets are in the store.
const LARGE: u64 = 1 << 20;
const LARGE_PART: u64 = 16;
/// Size up to which a file is not emptied, in bytes.
const SMALL_FILE: u64 = 16 << 10;
/// Depth of the directories that are looked at. podman's are less deep: `userdata/run/secrets`.
const MAX_DEPTH: u32 = 8;

/// Watch over the files.
pub struct ContainerFiles {
    dir: PathBuf,
    link: PathBuf,
    paused: Paused,
}

impl ContainerFiles {
    /// The machine's.
    pub fn new() -> ContainerFiles {
        ContainerFiles {
            dir: CONTAINER_FILES.into(),
            link: LINK.into(),
            paused: Paused::load(pause::OF_FILES),
        }
    }

    /// Makes room if the file system is full, and returns a reason that names the containers that are paused, or
    /// the one that has most.
    pub fn look(&mut self, writers: &Writers) -> Option<String> {
        restore_link(&self.link, &self.dir);
        let usage = Usage::of(&self.dir).ok();
        let full = usage.filter(|usage| space::is_full(usage, false, 0));
        let most = full.and_then(|usage| self.make_room(writers, &usage));
        let dir = self.dir.display();
        match (self.paused.names(), most) {
            (Some(names), _) => Some(format!(
                "paused, because their /etc/hosts or /etc/resolv.conf filled {dir}: {names}; remove them: `podman rm -f`"
            )),
            (None, Some(id)) => Some(format!(
                "{dir} is full: container {id} has most there: `podman rm -f {id}`"
            )),
            (None, None) => None,
        }
    }

    /// Pauses the containers with large files, and empties the files. If there are none, returns the short id of the
    /// container with most.
    fn make_room(&mut self, writers: &Writers, usage: &Usage) -> Option<String> {
        self.paused.forget();
        let mut most = (0, None);
        let mut is_made = false;
        for container in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let dir = container.path();
            let Some(id) = short_id(&dir) else { continue };
            let held = Held::by(&dir);
            if held.is_large(usage) {
                is_made = true;
                self.stop_and_empty(&dir, writers.of_root(&id));
            } else if held.bytes > most.0 {
                most = (held.bytes, Some(id));
            }
        }
        most.1.filter(|_| !is_made)
    }

    /// Pauses the container, unless it does not run or is paused, and empties its large files. The container changes
    /// its files until it is paused, so that they are looked for again.
    fn stop_and_empty(&mut self, dir: &Path, cgroup: Option<PathBuf>) {
        let running = cgroup.filter(|cgroup| !self.paused.cgroups().contains(cgroup));
        if running.is_none_or(|cgroup| self.paused.add(&cgroup)) {
            let held = Held::by(dir);
            held.files.iter().for_each(|file| empty(dir, file));
        }
    }
}

/// Files of a container.
#[derive(Default)]
struct Held {
    bytes: u64,
    inodes: u64,
    /// True if there are directories below the depth that is looked at.
    is_deep: bool,
    /// Paths of the files that are not small, below the directory of the container.
    files: Vec<PathBuf>,
}

impl Held {
    /// The files in the directory of a container and below.
    fn by(dir: &Path) -> Held {
        let mut held = Held::default();
        if let Ok(root) = File::open(dir) {
            held.add(&root, Path::new("."), 0);
        }
        held
    }

    fn add(&mut self, root: &File, dir: &Path, depth: u32) {
        let Ok(opened) = open(root, dir, OFlag::O_RDONLY | OFlag::O_DIRECTORY) else {
            return;
        };
        let entries = fs::read_dir(format!("/proc/self/fd/{}", opened.as_raw_fd()));
        for entry in entries.into_iter().flatten().flatten() {
            let Ok(m) = entry.metadata() else { continue };
            let path = dir.join(entry.file_name());
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
    fn is_large(&self, usage: &Usage) -> bool {
        let has_inodes = usage.inodes > 0 && self.inodes > usage.inodes / LARGE_PART;
        self.is_deep || has_inodes || self.bytes > LARGE.min(usage.bytes / LARGE_PART)
    }
}

/// Opens a file below `root`. A container may put a link in the place of a directory of its own, at any moment: no
/// link is followed (openat2(2)).
fn open(root: &impl AsFd, path: &Path, flags: OFlag) -> nix::Result<OwnedFd> {
    let flags = flags | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let below = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS;
    openat2(root, path, OpenHow::new().flags(flags).resolve(below))
}

fn empty(dir: &Path, file: &Path) {
    let emptied = File::open(dir).and_then(|root| {
        let opened = open(&root, file, OFlag::O_WRONLY)?;
        File::from(opened).set_len(0)
    });
    let (dir, file) = (dir.display(), file.display());
    match emptied {
        Ok(()) => warn!("store: {file} of {dir} is emptied: a container filled /run with it"),
        Err(e) => warn!("store: {file} of {dir}: {e}"),
    }
}

/// Makes podman's directory a link again: `podman system reset` removes the link, and podman then makes a directory
/// in the machine's /run. One with files of containers stays until they are removed.
fn restore_link(link: &Path, dir: &Path) {
    if link.is_symlink() || !dir.is_dir() {
        return;
    }
    if link.exists() && fs::remove_dir(link).is_err() {
        return;
    }
    let parent = link.parent().unwrap_or(link);
    let made = DirBuilder::new().recursive(true).mode(0o700).create(parent);
    match made.and_then(|()| symlink(dir, link)) {
        Ok(()) => info!("store: {} is a link again", link.display()),
        Err(e) => warn!("store: {}: {e}", link.display()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::Temp;

    /// A file system of a machine with 256 MiB.
    const SMALLEST: Usage = Usage {
        bytes: 2 << 20,
        free_bytes: 0,
        free_bytes_of_root: 0,
        inodes: 1600,
        free_inodes: 9,
    };

    fn files(temp: &Temp) -> ContainerFiles {
        ContainerFiles {
            dir: temp.path("files"),
            link: temp.path("storage/link"),
            paused: Paused::of(&temp.path("list")),
        }
    }

    fn make(temp: &Temp, id: &str, name: &str, bytes: usize) {
        let file = temp.path(&format!("files/{id}/{name}"));
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, vec![1; bytes]).unwrap();
    }

    fn run(temp: &Temp, cgroup: &str) -> PathBuf {
        let cgroup = temp.path(cgroup);
        fs::create_dir_all(&cgroup).unwrap();
        fs::write(cgroup.join("cgroup.events"), "frozen 1\n").unwrap();
        cgroup
    }

    fn writers(temp: &Temp) -> Writers {
        Writers::of(["root", "user", "system"].map(|dir| temp.path(dir)))
    }

    #[test]
    fn a_container_that_fills_is_paused_and_its_files_are_emptied() {
        let temp = Temp::new();
        let ids = ["a", "b", "c", "d"].map(|digit| digit.repeat(64));
        let [a, b, c, d] = &ids;
        // No file of `a` is large, `b` does not run any more, and `d` is a quadlet's.
        let sizes = [
            (a, "userdata/hosts", 60 << 10, 0),
            (a, "userdata/hostname", 60 << 10, 0),
            (a, "userdata/run/secrets/x/y", 60 << 10, 0),
            (a, "userdata/resolv.conf", 9, 9),
            (b, "healthcheck.log", 2 << 20, 0),
            (c, "userdata/hosts", 60 << 10, 60 << 10),
            (d, "userdata/run/.containerenv", 2 << 20, 0),
        ];
        for (id, name, bytes, _) in sizes {
            make(&temp, id, name, bytes);
        }
        let [a, c] = [a, c].map(|id| run(&temp, &format!("root/libpod-{id}")));
        let d = run(&temp, &format!("system/web/main/libpod-payload-{d}"));
        let mut files = files(&temp);
        let writers = writers(&temp);
        assert_eq!(files.look(&writers), None, "there is room");
        assert_eq!(files.make_room(&writers, &SMALLEST), None);
        files.make_room(&writers, &SMALLEST);
        for (id, name, _, left) in sizes {
            let file = temp.path(&format!("files/{id}/{name}"));
            assert_eq!(fs::metadata(file).unwrap().len(), left, "{id} {name}");
        }
        let said = files.look(&writers).unwrap();
        for id in ["aaaaaaaaaaaa", "dddddddddddd"] {
            assert!(said.contains(id), "{said}");
        }
        assert!(!said.contains("cccccccccccc"), "{said}");
        let frozen = |cgroup: &Path| fs::read(cgroup.join("cgroup.freeze")).ok();
        let want = [Some(b"1".to_vec()), None, Some(b"1".to_vec())];
        assert_eq!([frozen(&a), frozen(&c), frozen(&d)], want);
    }

    #[test]
    fn a_container_that_was_restarted_is_paused_again() {
        let temp = Temp::new();
        let id = "a".repeat(64);
        let name = format!("root/libpod-{id}");
        let (mut files, writers) = (files(&temp), writers(&temp));
        for _ in 0..2 {
            make(&temp, &id, "userdata/hosts", 2 << 20);
            let cgroup = run(&temp, &name);
            files.make_room(&writers, &SMALLEST);
            let frozen = fs::read_to_string(cgroup.join("cgroup.freeze"));
            assert_eq!(frozen.unwrap(), "1");
            fs::remove_dir_all(cgroup).unwrap();
        }
    }

    #[test]
    fn the_container_with_most_is_named_if_none_is_large() {
        let temp = Temp::new();
        for (digit, bytes) in [("a", 20 << 10), ("b", 40 << 10), ("c", 30 << 10)] {
            make(&temp, &digit.repeat(64), "userdata/hosts", bytes);
        }
        let mut files = files(&temp);
        let most = files.make_room(&writers(&temp), &SMALLEST);
        assert_eq!(most.as_deref(), Some("bbbbbbbbbbbb"));
    }

    #[test]
    fn many_files_and_deep_directories_are_a_containers() {
        let temp = Temp::new();
        let held = |id: &str| Held::by(&temp.path(&format!("files/{id}")));
        (0..90).for_each(|n| make(&temp, "some", &format!("userdata/{n}"), 0));
        assert!(!held("some").is_large(&SMALLEST));
        (0..20).for_each(|n| make(&temp, "some", &format!("userdata/more{n}"), 0));
        assert!(held("some").is_large(&SMALLEST));
        let deep = "d/".repeat(9);
        make(&temp, "less", &format!("{}x", &deep[2..]), 0);
        assert!(!held("less").is_large(&SMALLEST));
        make(&temp, "deep", &format!("{deep}x"), 0);
        assert!(held("deep").is_large(&SMALLEST));
    }

    #[test]
    fn no_link_of_a_container_is_followed() {
        let temp = Temp::new();
        make(&temp, "other", "shadow", 99);
        make(&temp, "own", "hosts", 0);
        symlink(temp.path("files/other"), temp.path("files/own/secrets")).unwrap();
        for file in ["secrets/shadow", "../other/shadow"] {
            empty(&temp.path("files/own"), Path::new(file));
        }
        let left = fs::metadata(temp.path("files/other/shadow")).unwrap();
        assert_eq!(left.len(), 99);
    }

    #[test]
    fn the_link_of_podman_is_restored() {
        let temp = Temp::new();
        let (link, dir) = (temp.path("run/storage/link"), temp.path("files"));
        restore_link(&link, &dir);
        assert!(!link.is_symlink(), "nothing to link to");
        fs::create_dir(&dir).unwrap();
        let leads = || fs::read_link(&link).is_ok_and(|to| to == dir);
        restore_link(&link, &dir);
        assert!(leads(), "after a reset");
        fs::remove_file(&link).unwrap();
        fs::create_dir_all(link.join("c/userdata")).unwrap();
        restore_link(&link, &dir);
        assert!(link.join("c/userdata").is_dir(), "a container's");
        fs::remove_dir_all(link.join("c")).unwrap();
        restore_link(&link, &dir);
        assert!(leads(), "by an empty directory");
    }
}
