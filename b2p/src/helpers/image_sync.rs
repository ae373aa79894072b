//! An image is on the disk soon after podman's store says that it is: `b2p image-sync`.
//!
//! containers/storage writes a layer without an fsync(2), then the list that has it,
//! and renames that. With `nodelalloc` most of a layer is on the disk when the rename
//! is, but not what was added to a block that an earlier commit of the journal had
//! (seen once: the end of a file was zero). So when a list has been renamed, all is
//! synced: syncfs(2) writes the data first and commits the rename last. Nobody waits
//! for it; between two lists it sleeps.

use std::fs::File;
use std::path::{Path, PathBuf};

use log::{error, warn};
use nix::sys::inotify::{AddWatchFlags as Watch, InitFlags, Inotify};
use sys::syscall;

use crate::common::paths::Paths;
use crate::helpers::data::report::{Before, before};

/// Stores of containers/storage, below the disk's directory of containers.
const STORES: &[&str] = &["storage", "user/1000"];
/// Where its lists are in a store.
const LISTS: &[&str] = &["overlay-layers", "overlay-images"];

/// Runs until it is ended; where the state is in RAM there is nothing to do.
pub fn main() -> i32 {
    let paths = Paths::default();
    if !matches!(before(&paths), Before::Disk(_)) {
        return 0;
    }
    let disk = paths.containers();
    let sync = || {
        let synced = File::open(&disk).and_then(|d| syscall::syncfs(&d));
        synced.unwrap_or_else(|e| warn!("store: {}: {e}", disk.display()));
        true
    };
    match watch(&disk, sync) {
        Ok(()) => 0,
        Err(why) => {
            error!("store: {why}: after a power cut an image may be listed and broken");
            1
        }
    }
}

/// Calls `sync` when it has begun to watch and after each change of a list, as long
/// as it says so.
fn watch(containers: &Path, mut sync: impl FnMut() -> bool) -> Result<(), nix::Error> {
    let watch = Inotify::init(InitFlags::IN_CLOEXEC)?;
    loop {
        STORES.iter().for_each(|s| add(&watch, &containers.join(s)));
        if !sync() {
            return Ok(());
        }
        watch.read_events()?;
    }
}

/// Watches the lists of a store; where one is not there yet, for its coming.
fn add(watch: &Inotify, store: &Path) {
    let list = |name: &&str| {
        let flags = Watch::IN_MOVED_TO | Watch::IN_ONLYDIR;
        watch.add_watch(&store.join(name), flags).is_ok()
    };
    if LISTS.iter().all(list) {
        return;
    }
    let flags = Watch::IN_CREATE | Watch::IN_MOVED_TO | Watch::IN_ONLYDIR | Watch::IN_ONESHOT;
    let above: Option<PathBuf> = store.ancestors().find(|d| d.is_dir()).map(Path::to_owned);
    above.map(|dir| watch.add_watch(&dir, flags));
    // It may have come in between.
    LISTS.iter().map(list).count();
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    #[test]
    fn a_list_that_is_renamed_is_synced_in_a_store_that_comes_later() {
        let dir = std::env::temp_dir().join(format!("b2p-store-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let (tell, told) = channel();
        let seen = dir.clone();
        let done = || dir.join("storage/overlay-images/images.json").exists();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let sync = || tell.send(()).is_ok() && !seen.join("end").exists();
                watch(&seen, sync).unwrap();
            });
            let wait = || told.recv_timeout(Duration::from_secs(20)).unwrap();
            wait();
            // One directory at a time: each is seen before the next is made.
            fs::create_dir(dir.join("storage")).unwrap();
            wait();
            for list in LISTS {
                fs::create_dir(dir.join("storage").join(list)).unwrap();
                wait();
            }
            while told.recv_timeout(Duration::from_millis(200)).is_ok() {}
            fs::write(dir.join("end"), "").unwrap();
            let list = dir.join("storage/overlay-images");
            fs::write(list.join(".tmp-1"), "[]").unwrap();
            fs::rename(list.join(".tmp-1"), list.join("images.json")).unwrap();
            wait();
            assert!(done());
        });
        fs::remove_dir_all(dir).unwrap();
    }
}
