// SPDX-License-Identifier: Apache-2.0
//! `b2p image-sync`: writes an image to the disk soon after podman's store lists the image.
//!
//! containers/storage writes a layer without an fsync(2), then the list that has the layer, and
//! renames that list. With `nodelalloc` most of a layer is on the disk when the rename is, but not
//! data that was appended to a block of an earlier commit of the journal (observed once: the end of
//! a file was zero). When a list is renamed, everything is therefore synced: syncfs(2) writes the
//! data first and commits the rename last. No other program waits for the sync; between two lists
//! the helper sleeps.
//!
//! `b2p image-sync` also watches over the store ([`crate::helpers::store`]), on a disk and in RAM, and with a disk over the
//! log-ins of users ([`logins`]).

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use log::{error, warn};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use sys::syscall;

use crate::common::notify;
use crate::common::paths::Paths;
use crate::helpers::data::report::{EarlierRun, earlier_run};
use crate::helpers::engine::logins;
use crate::helpers::store::StoreWatch;

/// Store of root, below the directory of containers.
const ROOT_STORE: &str = "storage";
/// Directory with a store for each user.
const USER_STORES: &str = "user";
/// Directories of a store's lists.
const LISTS: &[&str] = &["overlay-layers", "overlay-images"];

/// Runs until PID 1 stops the service.
pub fn main() -> i32 {
    let paths = Paths::default();
    let containers = paths.containers();
    let on_disk = matches!(earlier_run(&paths), EarlierRun::Disk(_));
    if on_disk {
        std::thread::spawn(logins::keep_all);
    }
    let mut store = StoreWatch::new(&paths, on_disk);
    // Its notify socket is for the reports of the watch, too.
    notify::ready();
    let sync = || {
        // Nothing outlives the machine in RAM.
        if on_disk {
            let synced = File::open(&containers).and_then(|dir| syscall::syncfs(&dir));
            synced.unwrap_or_else(|e| warn!("image-sync: {}: {e}", containers.display()));
        }
        true
    };
    match watch(&containers, sync, || store.look()) {
        Ok(()) => 0,
        Err(why) => {
            error!("image-sync: {why}: after a power cut an image may be listed and broken");
            1
        }
    }
}

/// Calls `sync` once the watch is set, and after each change of a list, as long as `sync` returns
/// true. Calls `look` then, and again after each time that `look` returns.
fn watch(
    containers: &Path,
    mut sync: impl FnMut() -> bool,
    mut look: impl FnMut() -> Duration,
) -> nix::Result<()> {
    let inotify = Inotify::init(InitFlags::IN_CLOEXEC)?;
    loop {
        watch_store(&inotify, &containers.join(ROOT_STORE));
        let users = containers.join(USER_STORES);
        let created = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_ONLYDIR;
        let _ = inotify.add_watch(&users, created); // The directory may not exist.
        for store in fs::read_dir(users).into_iter().flatten().flatten() {
            watch_store(&inotify, &store.path());
        }
        if !sync() {
            return Ok(());
        }
        while !has_changed(&inotify, look())? {}
        inotify.read_events()?;
    }
}

/// Waits for a change of a list, or for a new user; returns false if there is none within the time.
fn has_changed(inotify: &Inotify, limit: Duration) -> nix::Result<bool> {
    let mut fds = [PollFd::new(inotify.as_fd(), PollFlags::POLLIN)];
    let limit = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
    match poll(&mut fds, limit) {
        Err(Errno::EINTR) => Ok(false),
        ready => Ok(ready? > 0),
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
                watch(temp.dir(), sync, || Duration::from_secs(60)).unwrap();
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
