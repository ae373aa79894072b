// SPDX-License-Identifier: Apache-2.0
//! `b2p image-sync`: writes an image to the disk soon after podman's store lists it.
//!
//! containers/storage writes a layer without an fsync(2), then the list that has the layer, and
//! renames that list. With `nodelalloc` most of a layer is on the disk when the rename is, but
//! not what was appended to a block that an earlier commit of the journal had (observed once:
//! the end of a file was zero). When a list is renamed, everything is therefore synced:
//! syncfs(2) writes the data first and commits the rename last. Nothing waits for it; between
//! two lists the helper sleeps.

use std::fs::File;
use std::path::{Path, PathBuf};

use log::{error, warn};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use sys::syscall;

use crate::common::paths::Paths;
use crate::helpers::data::report::{EarlierRun, earlier_run};

/// Stores of containers/storage, below the directory of containers.
const STORES: &[&str] = &["storage", "user/1000"];
/// Directories of a store's lists.
const LISTS: &[&str] = &["overlay-layers", "overlay-images"];

/// Runs until it is stopped. If the state is in RAM there is nothing to do.
pub fn main() -> i32 {
    let paths = Paths::default();
    if !matches!(earlier_run(&paths), EarlierRun::Disk(_)) {
        return 0;
    }
    let containers = paths.containers();
    let sync = || {
        let synced = File::open(&containers).and_then(|dir| syscall::syncfs(&dir));
        synced.unwrap_or_else(|e| warn!("image-sync: {}: {e}", containers.display()));
        true
    };
    match watch(&containers, sync) {
        Ok(()) => 0,
        Err(why) => {
            error!("image-sync: {why}: after a power cut an image may be listed and broken");
            1
        }
    }
}

/// Calls `sync` once it watches, and after each change of a list, as long as `sync` returns
/// true.
fn watch(containers: &Path, mut sync: impl FnMut() -> bool) -> nix::Result<()> {
    let inotify = Inotify::init(InitFlags::IN_CLOEXEC)?;
    loop {
        let stores = STORES.iter();
        stores.for_each(|store| watch_store(&inotify, &containers.join(store)));
        if !sync() {
            return Ok(());
        }
        inotify.read_events()?;
    }
}

/// Watches the lists of a store; if one does not exist yet, watches for its directory.
fn watch_store(inotify: &Inotify, store: &Path) {
    let renamed = AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_ONLYDIR;
    let watch_list = |name: &str| inotify.add_watch(&store.join(name), renamed).is_ok();
    if LISTS.iter().all(|list| watch_list(list)) {
        return;
    }
    let created = renamed | AddWatchFlags::IN_CREATE | AddWatchFlags::IN_ONESHOT;
    let existing: Option<PathBuf> = store.ancestors().find(|d| d.is_dir()).map(Path::to_owned);
    existing.map(|dir| inotify.add_watch(&dir, created));
    // A list may have been created before that watch.
    for list in LISTS {
        watch_list(list);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::Temp;
    use std::fs;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    #[test]
    fn a_list_that_is_renamed_is_synced_in_a_store_that_comes_later() {
        let temp = Temp::new();
        let (sender, synced) = channel();
        let images = temp.path("storage/overlay-images");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let sync = || sender.send(()).is_ok() && !temp.path("end").exists();
                watch(temp.dir(), sync).unwrap();
            });
            let wait = || synced.recv_timeout(Duration::from_secs(20)).unwrap();
            wait();
            // One directory at a time: each is seen before the next is made.
            fs::create_dir(temp.path("storage")).unwrap();
            wait();
            for list in LISTS {
                fs::create_dir(temp.path("storage").join(list)).unwrap();
                wait();
            }
            while synced.recv_timeout(Duration::from_millis(200)).is_ok() {}
            fs::write(temp.path("end"), "").unwrap();
            fs::write(images.join(".tmp-1"), "[]").unwrap();
            fs::rename(images.join(".tmp-1"), images.join("images.json")).unwrap();
            wait();
            assert!(images.join("images.json").exists());
        });
    }
}
