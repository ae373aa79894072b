// SPDX-License-Identifier: Apache-2.0
//! Files that podman makes for each container in /run, such as /etc/hosts, and to which the container may write. The
//! files of root's containers share one file system ([`CONTAINER_FILES`]); the files of a user's containers are in the
//! user's runtime directory. A container that fills such a file system keeps podman from starting or removing other
//! containers. The container is then paused, and its large files are emptied; `podman rm -f` and `podman restart` still
//! work.

mod held;

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};

use log::{info, warn};
use sys::paths::{CONTAINER_FILES, USER_RUNTIME_DIRS};

use super::pause::{self, Paused};
use super::space::{self, Usage};
use super::writers::{Writers, short_id};
use held::{Held, empty, entries};

/// podman's directory, which is a link to the file system (init/src/mounts.rs).
const LINK: &str = "/run/containers/storage/overlay-containers";
/// podman's directory below the runtime directory of a user.
const OF_USER: &str = "containers/overlay-containers";

/// State of the check of these files.
pub struct ContainerFiles {
    dir: PathBuf,
    link: PathBuf,
    users: PathBuf,
    paused: Paused,
}

/// Directories of the containers of one user.
struct Place {
    owner: u32,
    /// File system.
    dir: PathBuf,
    /// podman's directory below, which may be a link that the user has made.
    below: PathBuf,
}

impl Place {
    /// Returns the text that names the container `id` in a degraded line.
    fn name(&self, id: &str) -> String {
        match self.owner {
            0 => format!("container {id} has most there: `podman rm -f {id}`"),
            uid => format!("container {id} of user {uid} has most there"),
        }
    }
}

impl ContainerFiles {
    /// Returns the state for the directories of the machine.
    pub fn new() -> ContainerFiles {
        ContainerFiles {
            dir: CONTAINER_FILES.into(),
            link: LINK.into(),
            users: USER_RUNTIME_DIRS.into(),
            paused: Paused::load(pause::OF_FILES),
        }
    }

    /// Makes room in each full file system. Returns a reason that names the paused containers, and a reason for each
    /// full file system without a large container.
    pub fn look(&mut self, writers: &Writers) -> Vec<String> {
        restore_link(&self.link, &self.dir);
        let mut reasons = Vec::new();
        for place in self.places() {
            let usage = Usage::of(&place.dir).ok();
            let full = usage.filter(|usage| space::is_full(usage, false, 0));
            let most = full.and_then(|usage| self.make_room(&place, writers, &usage));
            let dir = place.dir.display();
            reasons.extend(most.map(|id| format!("{dir} is full: {}", place.name(&id))));
        }
        let paused = self.paused.names().map(|names| {
            format!(
                "paused, because their /etc/hosts or /etc/resolv.conf filled a file system of /run: {names}; \
                 remove them: `podman rm -f`"
            )
        });
        paused.into_iter().chain(reasons).collect()
    }

    /// Returns the places of root and of each user.
    fn places(&self) -> Vec<Place> {
        let root = Place {
            owner: 0,
            dir: self.dir.clone(),
            below: PathBuf::from("."),
        };
        let users = fs::read_dir(&self.users).into_iter().flatten().flatten();
        let of_user = users.filter_map(|entry| {
            Some(Place {
                owner: entry.file_name().to_str()?.parse().ok()?,
                dir: entry.path(),
                below: PathBuf::from(OF_USER),
            })
        });
        std::iter::once(root).chain(of_user).collect()
    }

    /// Pauses the containers with large files, and empties the files. If there are no large files, returns the short id
    /// of the container with the most bytes.
    fn make_room(&mut self, place: &Place, writers: &Writers, usage: &Usage) -> Option<String> {
        self.paused.forget();
        let Ok(root) = File::open(&place.dir) else {
            return None;
        };
        let mut most = (0, None);
        let mut is_made = false;
        for (name, _) in entries(&root, &place.below) {
            let container = place.below.join(name);
            let Some(id) = short_id(&container) else {
                continue;
            };
            let held = Held::by(&root, &container);
            if held.is_large(usage) {
                is_made = true;
                self.stop_and_empty(place, &root, &container, writers.of_owner(place.owner, &id));
            } else if held.bytes > most.0 {
                most = (held.bytes, Some(id));
            }
        }
        most.1.filter(|_| !is_made)
    }

    /// Pauses the container, unless it does not run or is paused, and empties its large files. The container changes
    /// its files until it is paused, so that they are looked for again.
    fn stop_and_empty(
        &mut self,
        place: &Place,
        root: &File,
        container: &Path,
        cgroup: Option<PathBuf>,
    ) {
        let running = cgroup.filter(|cgroup| !self.paused.cgroups().contains(cgroup));
        if running.is_none_or(|cgroup| self.paused.add(&cgroup)) {
            let held = Held::by(root, container);
            held.files
                .iter()
                .for_each(|file| empty(&place.dir, root, file));
        }
    }
}

/// Makes podman's directory a link again: `podman system reset` removes the link, and podman then makes a directory
/// in the machine's /run. A directory with files of containers stays until the files are removed.
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
            users: temp.path("users"),
            paused: Paused::of(&temp.path("list")),
        }
    }

    /// Makes room in the place of root.
    fn make_room(files: &mut ContainerFiles, temp: &Temp) -> Option<String> {
        let root = files.places().swap_remove(0);
        files.make_room(&root, &writers(temp), &SMALLEST)
    }

    fn make(temp: &Temp, id: &str, name: &str, bytes: usize) {
        make_at(temp.path(&format!("files/{id}/{name}")), bytes);
    }

    fn make_at(file: PathBuf, bytes: usize) {
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
        assert!(files.look(&writers).is_empty(), "there is room");
        assert_eq!(make_room(&mut files, &temp), None);
        make_room(&mut files, &temp);
        for (id, name, _, left) in sizes {
            let file = temp.path(&format!("files/{id}/{name}"));
            assert_eq!(fs::metadata(file).unwrap().len(), left, "{id} {name}");
        }
        let said = files.look(&writers).concat();
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
        let mut files = files(&temp);
        for _ in 0..2 {
            make(&temp, &id, "userdata/hosts", 2 << 20);
            let cgroup = run(&temp, &name);
            make_room(&mut files, &temp);
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
        let most = make_room(&mut files, &temp);
        assert_eq!(most.as_deref(), Some("bbbbbbbbbbbb"));
    }

    #[test]
    fn many_files_and_deep_directories_are_a_containers() {
        let temp = Temp::new();
        let held = |id: &str| {
            let root = File::open(temp.path("files")).unwrap();
            Held::by(&root, Path::new(id))
        };
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
        let dir = temp.path("files/own");
        let root = File::open(&dir).unwrap();
        for file in ["secrets/shadow", "../other/shadow"] {
            empty(&dir, &root, Path::new(file));
        }
        assert!(entries(&root, Path::new("secrets")).is_empty());
        let left = fs::metadata(temp.path("files/other/shadow")).unwrap();
        assert_eq!(left.len(), 99);
    }

    #[test]
    fn a_users_container_is_paused_and_its_links_lead_nowhere() {
        let temp = Temp::new();
        let [a, b] = ["a", "b"].map(|digit| digit.repeat(64));
        let of_user = |uid: u32, id: &str| temp.path(&format!("users/{uid}/{OF_USER}/{id}"));
        make_at(of_user(1000, &a).join("userdata/hosts"), 2 << 20);
        // Root's container, to which user 1001 leads, and one of user 1000, to which a link of user 1002 leads.
        make(&temp, &b, "userdata/hosts", 2 << 20);
        fs::create_dir_all(temp.path("users/1001/containers")).unwrap();
        symlink(
            temp.path("files"),
            temp.path(&format!("users/1001/{OF_USER}")),
        )
        .unwrap();
        fs::create_dir_all(temp.path(&format!("users/1002/{OF_USER}"))).unwrap();
        symlink(of_user(1000, &a), of_user(1002, &a)).unwrap();
        let own = run(&temp, &format!("user/1000/x/libpod-{a}"));
        let roots = run(&temp, &format!("root/libpod-{b}"));
        // A cgroup of another user with the container's name.
        let forged = run(&temp, &format!("user/1001/libpod-{a}"));
        let mut files = files(&temp);
        let len = |file: PathBuf| fs::metadata(file).unwrap().len();
        for place in files
            .places()
            .into_iter()
            .filter(|place| place.owner > 1000)
        {
            assert_eq!(files.make_room(&place, &writers(&temp), &SMALLEST), None);
        }
        assert_eq!(len(of_user(1000, &a).join("userdata/hosts")), 2 << 20);
        for place in files
            .places()
            .into_iter()
            .filter(|place| place.owner == 1000)
        {
            files.make_room(&place, &writers(&temp), &SMALLEST);
        }
        assert_eq!(len(of_user(1000, &a).join("userdata/hosts")), 0);
        assert_eq!(
            len(temp.path(&format!("files/{b}/userdata/hosts"))),
            2 << 20
        );
        let is_frozen = |cgroup: &Path| cgroup.join("cgroup.freeze").exists();
        assert!(is_frozen(&own) && !is_frozen(&roots) && !is_frozen(&forged));
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
