// SPDX-License-Identifier: Apache-2.0
//! Watch over podman's store, by `b2p image-sync`: a store that is full, one that podman cannot open, and other
//! file systems in RAM that are full are degraded lines, which are taken back.

mod container_files;
mod counters;
mod database;
mod engine;
mod files;
mod lists;
mod memory;
mod others;
mod pause;
mod reserve;
mod room;
mod search;
mod space;
mod writers;
mod written;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use log::warn;
use sys::paths::USER_STORAGES;

use crate::common::degraded::Degraded;
use crate::common::paths::Paths;
use crate::helpers::data::mount;
use container_files::ContainerFiles;
use counters::Lack;
use engine::Engine;
use others::Others;
use pause::Paused;
use reserve::Reserve;
use room::{Growth, Room};
use space::{Need, Step, Usage};
use writers::Writers;

/// Service that the watch belongs to.
const SERVICE: &str = "image-sync";

/// The watch.
pub struct StoreWatch {
    store: PathBuf,
    /// Room that is kept; `None` if another's file is in the way.
    room: Option<Room>,
    /// Mount point of the data disk; `None` in RAM.
    disk: Option<PathBuf>,
    /// True if root's blocks are the machine's alone; `None` before the first look.
    keeps_blocks: Option<bool>,
    /// Reason of the line on a full store; `None` while there is room.
    full: Option<String>,
    writers: Writers,
    paused: Paused,
    engine: Engine,
    others: Others,
    container_files: ContainerFiles,
    limit: memory::Limit,
    degraded: Degraded,
}

impl StoreWatch {
    /// A watch over the store in RAM, or on the data disk.
    pub fn new(paths: &Paths, on_disk: bool) -> StoreWatch {
        let store = paths.containers();
        let disk = paths.data_disk();
        let bytes = Usage::of(&store).map_or(0, |usage| usage.bytes);
        StoreWatch {
            room: match on_disk {
                true => Some(Reserve::on(&disk, bytes))
                    .filter(is_own)
                    .map(Room::Disk),
                false => Growth::of(&store).map(Room::Ram),
            },
            disk: on_disk.then_some(disk),
            keeps_blocks: None,
            full: None,
            writers: Writers::new(),
            paused: Paused::load(pause::OF_STORE),
            engine: Engine::new(&store, on_disk),
            others: Others::beside(&store),
            container_files: ContainerFiles::new(),
            limit: memory::Limit::new(),
            store,
            degraded: Degraded::of(SERVICE),
        }
    }

    /// Checks the store, and returns the time until the next check.
    pub fn look(&mut self) -> Duration {
        // Of a disk that fails, the kernel gives no figures: the other looks do not need them.
        let of_store = match Usage::of(&self.store) {
            Ok(usage) => self.look_at_store(&usage),
            Err(e) => {
                warn!("store: {e}");
                space::LOOK
            }
        };
        self.limit.look();
        let (lines, next_look) = self.lines();
        self.degraded.update(lines);
        of_store.min(next_look)
    }

    /// Makes room in the store, and returns the time until the next look at the store.
    fn look_at_store(&mut self, usage: &Usage) -> Duration {
        let was_full = self.full.is_some() || self.lacks_reserve();
        let kept = self.room.as_ref().map_or(0, Room::bytes);
        let is_full = space::is_full(usage, was_full, kept);
        if !is_full {
            self.full = None;
        } else if self.full.is_none() {
            self.writers.begin_search();
            let lack = self.lack(usage);
            let culprit = self
                .writers
                .most(lack, space::share_of_a_culprit(usage, lack));
            self.full = Some(space::reason(usage, culprit.as_deref(), &self.store));
        }
        self.keep_reserve(is_full, usage);
        self.keep_blocks(is_full);
        space::next_look(usage, is_full)
    }

    /// Returns the degraded lines, and the time until the next look at the other file systems.
    fn lines(&mut self) -> (Vec<(&'static str, String)>, Duration) {
        let paused = self.paused.names().map_or(String::new(), |names| {
            format!("; paused until there is room: {names}")
        });
        let full = self.full.as_ref().map(|why| format!("{why}{paused}"));
        let in_run = self.container_files.look(&self.writers);
        let (others, next_look) = self.others.look();
        let store = full.into_iter().chain(in_run).chain(others);
        let engine = self.engine.fault().map(|why| ("engine", why));
        let lines = store.map(|why| ("store", why)).chain(engine).collect();
        (lines, next_look)
    }

    /// Keeps root's blocks for the machine while containers run that could take them. Where none do and
    /// the store is full, podman's own tests of overlays need them.
    fn keep_blocks(&mut self, is_full: bool) {
        let Some(disk) = &self.disk else { return };
        let keeps = Some(!is_full || !self.writers.containers().is_empty());
        if keeps != self.keeps_blocks {
            let kept = mount::keep_blocks(disk, keeps == Some(true));
            kept.unwrap_or_else(|e| warn!("store: {e}"));
            self.keeps_blocks = keeps;
        }
    }

    /// Returns the resource that the store lacks.
    fn lack(&self, usage: &Usage) -> Lack {
        match (usage.lacks_inodes(), &self.disk) {
            (true, _) => Lack::Inodes,
            (false, Some(_)) => Lack::DiskBytes,
            (false, None) => Lack::RamBytes,
        }
    }

    /// Returns true if room is to be kept, and a part of it is given back.
    fn lacks_reserve(&self) -> bool {
        self.room.as_ref().is_some_and(|room| !room.is_whole())
    }

    /// Gives the reserve back while the store is full, and then makes it again.
    fn keep_reserve(&mut self, is_full: bool, usage: &Usage) {
        let (missing, lack) = (self.lacks_reserve(), self.lack(usage));
        let Some(room) = &self.room else { return };
        if !is_full {
            self.paused.resume();
            if missing && let Err(why) = room.make() {
                warn!("store: there is no reserve: {why}");
                self.room = self.room.take().filter(|room| matches!(room, Room::Ram(_)));
            }
            return;
        }
        let Some(need) = self.need() else { return };
        match space::step(usage, room.has_first(), need) {
            Step::Wait => self.writers.begin_search(),
            Step::GiveFirst => {
                self.writers.begin_search();
                room.give_first();
            }
            Step::PauseAndGiveLast => self.pause_and_give_last(lack),
        }
    }

    /// Returns the room that podman needs; `None` if root's podman has its own in RAM, and no other has containers.
    fn need(&self) -> Option<Need> {
        match (&self.disk, has_containers(Path::new(USER_STORAGES))) {
            (_, true) => Some(Need::Everyones),
            (Some(_), false) => Some(Need::Roots),
            (None, false) => None,
        }
    }

    /// Pauses the containers that have used up the room, and frees the last part of the reserve; without such a container,
    /// after some looks. After the last part is used up as well, containers are still paused. A program outside of
    /// containers is not paused, and may still write until an error stops it.
    fn pause_and_give_last(&mut self, lack: Lack) {
        let Some(room) = &self.room else { return };
        self.paused.forget();
        let paused = self.paused.cgroups();
        let Some(found) = self.writers.search(lack, paused, room.has_last()) else {
            return;
        };
        let failed = found.iter().filter(|cgroup| !self.paused.add(cgroup));
        if failed.count() == 0 || self.writers.search_is_late() {
            self.writers.begin_search();
            room.give_last(!found.is_empty());
        }
    }
}

/// Returns true if a user other than root has a container, which runs or does not: podman has a directory for each
/// (containers/storage), and the user may have made others.
fn has_containers(storages: &Path) -> bool {
    let users = fs::read_dir(storages).into_iter().flatten().flatten();
    users.into_iter().any(|user| {
        let containers = fs::read_dir(user.path().join("overlay-containers"));
        let mut containers = containers.into_iter().flatten().flatten();
        containers.any(|container| writers::short_id(&container.path()).is_some())
    })
}

/// Returns true if the reserve can be made and given back: its names are not another's.
fn is_own(reserve: &Reserve) -> bool {
    let checked = reserve.check();
    checked
        .inspect_err(|why| warn!("store: there is no reserve: {why}"))
        .is_ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::Temp;

    #[test]
    fn a_users_container_is_known_by_its_directory() {
        let temp = Temp::new();
        assert!(!has_containers(&temp.path("none")));
        let containers = temp.path("1000/overlay-containers");
        fs::create_dir_all(containers.join("l")).unwrap();
        fs::write(containers.join("containers.json"), "[]").unwrap();
        assert!(!has_containers(temp.dir()));
        fs::create_dir(containers.join("a".repeat(64))).unwrap();
        assert!(has_containers(temp.dir()));
    }

    #[test]
    fn a_store_that_fails_ends_no_other_look() {
        let temp = Temp::new();
        let mut watch = StoreWatch::new(&Paths::below(temp.path("none")), false);
        fs::write(temp.path("list"), "4096\n").unwrap();
        fs::write(temp.path("memory.max"), "4096\n").unwrap();
        watch.limit = memory::Limit::of(temp.dir(), temp.path("users"), temp.path("list"));
        watch.look();
        let limit = fs::read_to_string(temp.path("memory.max")).unwrap();
        assert_eq!(limit.parse().ok(), sys::memory::containers_limit());
    }
}
