//! An image is on the disk before podman's store says that it is: `b2p store`.
//!
//! containers/storage writes a layer without an fsync(2), and then, with one, the
//! list that has it. A power cut after that leaves an image that is listed, whose
//! files are empty, and that is used again when the same layer is loaded. Here such
//! a list is held at the open of its temporary file (fanotify(7)) until all that was
//! written before is on the disk. If this program fails, nothing is held any more.

use std::fs::{self, DirBuilder, File};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{DirBuilderExt, chown};
use std::path::Path;

use init::sys;
use log::{error, info, warn};
use nix::fcntl::AT_FDCWD;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::fanotify::{
    EventFFlags, Fanotify, FanotifyEvent, FanotifyResponse, InitFlags, MarkFlags, MaskFlags,
    Response,
};
use nix::sys::inotify::{AddWatchFlags, InitFlags as Watching, Inotify};
use nix::sys::statfs::{TMPFS_MAGIC, statfs};

/// Stores of containers/storage, and whose they are.
const STORES: &[(&str, u32)] = &[
    ("/var/lib/containers/storage", 0),
    ("/var/lib/containers/user/1000", 1000),
];

/// Where the lists are in a store.
const LISTS: &[&str] = &["overlay-layers", "overlay-images", "overlay-containers"];

/// What a list is called before it is renamed (containers/storage, pkg/ioutils).
const TEMPORARY: &str = ".tmp-";

/// Runs until it is ended.
pub fn main() -> i32 {
    match watch() {
        Ok(()) => 0,
        Err(why) => {
            error!("store: {why}: after a power cut an image may be listed and broken");
            1
        }
    }
}

fn watch() -> Result<(), String> {
    let say = |what: &str| {
        let what = what.to_owned();
        move |e: nix::Error| format!("{what}: {e}")
    };
    let class = InitFlags::FAN_CLASS_CONTENT | InitFlags::FAN_CLOEXEC;
    let files = EventFFlags::O_RDONLY | EventFFlags::O_CLOEXEC | EventFFlags::O_LARGEFILE;
    let held = Fanotify::init(class, files).map_err(say("fanotify"))?;
    let made = Inotify::init(Watching::IN_CLOEXEC | Watching::IN_NONBLOCK);
    let made = made.map_err(say("inotify"))?;
    let mounts = File::open("/proc/self/mountinfo").map_err(|e| e.to_string())?;
    loop {
        // A disk was mounted there, or `podman system reset` made a store anew.
        for (store, owner) in STORES {
            mark(Path::new(store), *owner, &held, &made)
                .unwrap_or_else(|e| warn!("store: {store}: {e}"));
        }
        loop {
            let mut fds = [
                PollFd::new(held.as_fd(), PollFlags::POLLIN),
                PollFd::new(made.as_fd(), PollFlags::POLLIN),
                PollFd::new(mounts.as_fd(), PollFlags::POLLPRI),
            ];
            match poll(&mut fds, PollTimeout::NONE) {
                Err(nix::Error::EINTR) => continue,
                other => other.map_err(say("poll"))?,
            };
            let [listed, new, mounted] = fds.map(|fd| fd.any().unwrap_or(true));
            if listed {
                let events = held.read_events().map_err(say("fanotify"))?;
                events.iter().try_for_each(|e| answer(&held, e))?;
            }
            if new || mounted {
                let _ = made.read_events();
                break;
            }
        }
    }
}

/// Marks the lists of a store that is on a disk.
fn mark(store: &Path, owner: u32, held: &Fanotify, made: &Inotify) -> Result<(), String> {
    let parent = store.parent().unwrap_or(store);
    let on_disk = statfs(parent).is_ok_and(|s| s.filesystem_type() != TMPFS_MAGIC);
    if !on_disk {
        return Ok(()); // nothing there outlives a power cut
    }
    for dir in std::iter::once(store.to_owned()).chain(LISTS.iter().map(|l| store.join(l))) {
        directory(&dir, owner)?;
    }
    let events = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_DELETE | AddWatchFlags::IN_ONLYDIR;
    made.add_watch(store, events).map_err(|e| e.to_string())?;
    for list in LISTS {
        let path = store.join(list);
        let mask = MaskFlags::FAN_OPEN_PERM | MaskFlags::FAN_EVENT_ON_CHILD;
        let flags = MarkFlags::FAN_MARK_ADD | MarkFlags::FAN_MARK_ONLYDIR;
        held.mark(flags, mask, AT_FDCWD, Some(&path))
            .map_err(|e| format!("{list}: {e}"))?;
    }
    Ok(())
}

/// As podman would make it.
fn directory(path: &Path, owner: u32) -> Result<(), String> {
    if path.is_dir() {
        return Ok(());
    }
    let made = DirBuilder::new().mode(0o700).create(path);
    made.and_then(|()| chown(path, Some(owner), Some(owner)))
        .map_err(|e| e.to_string())
}

/// Lets an open go on, that of a new list after all else is on the disk.
fn answer(held: &Fanotify, event: &FanotifyEvent) -> Result<(), String> {
    let Some(fd) = event.fd() else {
        return Ok(()); // so many came that some were let go
    };
    let path = fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).unwrap_or_default();
    // Not opened again: that would be held, too, and nobody would answer.
    if is_new(&path)
        && let Err(e) = fd
            .try_clone_to_owned()
            .map(File::from)
            .and_then(|f| sys::syncfs(&f))
    {
        info!("store: {}: {e}", path.display());
    }
    let response = FanotifyResponse::new(fd, Response::FAN_ALLOW);
    held.write_response(response)
        .map_err(|e| format!("fanotify: {e}"))
}

/// Whether a list is about to be written.
fn is_new(path: &Path) -> bool {
    let name = path.file_name().and_then(|n| n.to_str());
    name.is_some_and(|n| n.starts_with(TEMPORARY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_written_is_held() {
        for (name, new) in [
            (".tmp-images.json1234", true),
            ("images.json", false),
            ("images.lock", false),
            ("", false),
        ] {
            assert_eq!(
                is_new(&Path::new("/s/overlay-images").join(name)),
                new,
                "{name}"
            );
        }
    }
}
