// SPDX-License-Identifier: Apache-2.0
//! Watch over podman's store, by `b2p image-sync`: a store that is full, and one that podman cannot
//! open, are degraded lines, which are taken back.

mod engine;
mod space;
mod writers;

use std::path::PathBuf;
use std::time::Duration;

use log::warn;

use crate::common::degraded::Degraded;
use crate::common::paths::Paths;
use engine::Engine;
use space::{Reserve, Usage};

/// Service that the watch belongs to.
const SERVICE: &str = "image-sync";

/// The watch.
pub struct StoreWatch {
    store: PathBuf,
    /// Reserve on the data disk; `None` in RAM.
    reserve: Option<Reserve>,
    /// Reason of the line on a full store; `None` while there is room.
    full: Option<String>,
    engine: Engine,
    degraded: Degraded,
}

impl StoreWatch {
    /// A watch over the store in RAM, or on the data disk.
    pub fn new(paths: &Paths, on_disk: bool) -> StoreWatch {
        let store = paths.containers();
        let disk = paths.data_disk();
        let bytes = Usage::of(&store).map_or(0, |usage| usage.bytes);
        StoreWatch {
            reserve: on_disk.then(|| Reserve::on(&disk, bytes)),
            full: None,
            engine: Engine::new(&store, on_disk),
            store,
            degraded: Degraded::of(SERVICE),
        }
    }

    /// Looks at the store, and returns the time until the next look.
    pub fn look(&mut self) -> Duration {
        let Ok(usage) = Usage::of(&self.store).inspect_err(|e| warn!("store: {e}")) else {
            return space::LOOK;
        };
        let was_full = self.full.is_some() || self.lacks_reserve();
        let reserve = self.reserve.as_ref().map_or(0, Reserve::bytes);
        let is_full = space::is_full(&usage, was_full, reserve);
        if !is_full {
            self.full = None;
        } else if self.full.is_none() {
            let culprit = writers::most(self.reserve.is_some());
            self.full = Some(space::reason(&usage, culprit.as_deref()));
        }
        self.keep_reserve(is_full);
        let full = self.full.clone().map(|why| ("store", why));
        let engine = self.engine.fault().map(|why| ("engine", why));
        self.degraded.update(full.into_iter().chain(engine));
        space::next_look(&usage, is_full)
    }

    /// Returns true if there is to be a reserve, and there is none yet.
    fn lacks_reserve(&self) -> bool {
        self.reserve.as_ref().is_some_and(|r| !r.is_made())
    }

    /// Gives the reserve back while the store is full, and makes it again after that.
    fn keep_reserve(&mut self, is_full: bool) {
        let missing = self.lacks_reserve();
        let Some(reserve) = &self.reserve else { return };
        if is_full {
            reserve.give_back();
        } else if missing && let Err(why) = reserve.make() {
            warn!("store: there is no reserve: {why}");
            self.reserve = None;
        }
    }
}
