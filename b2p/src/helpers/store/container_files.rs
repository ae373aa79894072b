// SPDX-License-Identifier: Apache-2.0
//! Files that podman makes for each container of root in /run, such as /etc/hosts. A container may write to them, and
//! they share one file system ([`CONTAINER_FILES`]): a container that fills it keeps podman from starting others.
//! The container is then paused, and its large files are emptied; `podman rm -f` and `podman restart` work on it.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use log::warn;
use sys::paths::CONTAINER_FILES;

use super::pause::{self, Paused};
use super::space::{self, Usage};
use super::writers::{Writers, short_id};

/// Size from which a file is a container's own, in bytes: podman's have some hundred, a secret has up to 500 KiB.
const LARGE: u64 = 1 << 20;
/// Depth of the files below the directory of a container: `userdata/run/secrets/NAME`.
const MAX_DEPTH: u32 = 3;

/// Watch over the files.
pub struct ContainerFiles {
    dir: PathBuf,
    paused: Paused,
}

impl ContainerFiles {
    /// The machine's.
    pub fn new() -> ContainerFiles {
        ContainerFiles {
            dir: CONTAINER_FILES.into(),
            paused: Paused::load(pause::OF_FILES),
        }
    }

    /// Makes room if the file system is full, and returns a reason that names the containers that are paused.
    pub fn look(&mut self, writers: &Writers) -> Option<String> {
        if Usage::of(&self.dir).is_ok_and(|usage| space::is_full(&usage, false, 0)) {
            self.make_room(writers);
        }
        let names = self.paused.names()?;
        let dir = self.dir.display();
        Some(format!(
            "paused, because their /etc/hosts or /etc/resolv.conf filled {dir}: {names}; remove them: `podman rm -f`"
        ))
    }

    fn make_room(&mut self, writers: &Writers) {
        for container in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let Some(id) = short_id(&container.path()) else {
                continue;
            };
            let large = large_files(&container.path().join("userdata"), 0);
            if large.is_empty() {
                continue;
            }
            let cgroup = writers.of_root(&id);
            let running = cgroup.filter(|cgroup| !self.paused.cgroups().contains(cgroup));
            if running.is_none_or(|cgroup| self.paused.add(&cgroup)) {
                large.iter().for_each(|file| empty(file));
            }
        }
    }
}

/// Returns the large files in `dir` and below.
fn large_files(dir: &Path, depth: u32) -> Vec<PathBuf> {
    let mut large = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        match entry.metadata() {
            Ok(m) if m.is_dir() && depth < MAX_DEPTH => {
                large.extend(large_files(&entry.path(), depth + 1));
            }
            Ok(m) if m.is_file() && m.blocks() * 512 > LARGE => large.push(entry.path()),
            _ => {}
        }
    }
    large
}

fn empty(file: &Path) {
    let mut options = File::options();
    let opened = options
        .write(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(file);
    match opened.and_then(|opened| opened.set_len(0)) {
        Ok(()) => warn!(
            "store: {} is emptied: a container filled /run with it",
            file.display()
        ),
        Err(e) => warn!("store: {}: {e}", file.display()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::Temp;

    #[test]
    fn who_fills_is_paused_and_its_files_are_emptied() {
        let temp = Temp::new();
        let ids = ["a", "b", "c"].map(|digit| digit.repeat(64));
        let file = |id: &str, name: &str| temp.path(&format!("files/{id}/userdata/{name}"));
        let [a, b, c] = &ids;
        let sizes = [
            (a, "hosts", 2 << 20),
            (a, "resolv.conf", 9),
            (b, "run/.containerenv", 2 << 20),
            (c, "hosts", 99),
        ];
        for (id, name, bytes) in sizes {
            let file = file(id, name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, vec![1; bytes]).unwrap();
        }
        // `b` does not run any more.
        for id in [a, c] {
            let cgroup = temp.path(&format!("root/libpod-{id}"));
            fs::create_dir_all(&cgroup).unwrap();
            fs::write(cgroup.join("cgroup.events"), "frozen 1\n").unwrap();
        }
        let writers = Writers::of([temp.path("root"), temp.path("user")]);
        let mut files = ContainerFiles {
            dir: temp.path("files"),
            paused: Paused::of(&temp.path("list")),
        };
        assert_eq!(files.look(&writers), None, "there is room");
        files.make_room(&writers);
        files.make_room(&writers);
        for ((id, name, bytes), left) in sizes.into_iter().zip([0, 9, 0, 99]) {
            assert_eq!(
                fs::metadata(file(id, name)).unwrap().len(),
                left,
                "{id} {name} {bytes}"
            );
        }
        let said = files.look(&writers).unwrap();
        assert!(said.contains(": aaaaaaaaaaaa; remove them"), "{said}");
        let frozen =
            |id: &str| fs::read(temp.path(&format!("root/libpod-{id}/cgroup.freeze"))).ok();
        assert_eq!((frozen(a), frozen(c)), (Some(b"1".to_vec()), None));
    }
}
