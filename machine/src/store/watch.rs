// SPDX-License-Identifier: Apache-2.0
//! Watch on a file that grows: inotify(7) on Linux, kqueue(2) on macOS.

use anyhow::{Context, Result};
use std::path::Path;

/// Watch on one file.
pub struct Watch(system::Watch);

impl Watch {
    /// Begins to watch a file that exists.
    pub fn new(path: &Path) -> Result<Self> {
        let watch = system::Watch::new(path);
        Ok(Self(
            watch.with_context(|| format!("watch {}", path.display()))?,
        ))
    }

    /// Sleeps until the file has changed since the last call.
    pub fn wait(&self) -> Result<()> {
        self.0.wait().context("wait for a change of a file")
    }
}

#[cfg(target_os = "linux")]
mod system {
    use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
    use std::path::Path;

    pub struct Watch(Inotify);

    impl Watch {
        pub fn new(path: &Path) -> nix::Result<Self> {
            let inotify = Inotify::init(InitFlags::IN_CLOEXEC)?;
            inotify.add_watch(path, AddWatchFlags::IN_MODIFY)?;
            Ok(Self(inotify))
        }

        pub fn wait(&self) -> nix::Result<()> {
            self.0.read_events().map(|_| ())
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use nix::sys::event::{EvFlags, EventFilter, FilterFlag, KEvent, Kqueue};
    use std::fs::File;
    use std::io;
    use std::os::fd::AsRawFd;
    use std::path::Path;

    pub struct Watch {
        queue: Kqueue,
        _file: File,
    }

    impl Watch {
        pub fn new(path: &Path) -> io::Result<Self> {
            let file = File::open(path)?;
            let queue = Kqueue::new()?;
            let change = event(file.as_raw_fd());
            queue.kevent(&[change], &mut [], None)?;
            Ok(Self { queue, _file: file })
        }

        pub fn wait(&self) -> io::Result<()> {
            self.queue.kevent(&[], &mut [event(0)], None)?;
            Ok(())
        }
    }

    fn event(fd: i32) -> KEvent {
        KEvent::new(
            fd.unsigned_abs() as usize,
            EventFilter::EVFILT_VNODE,
            EvFlags::EV_ADD | EvFlags::EV_CLEAR,
            FilterFlag::NOTE_WRITE | FilterFlag::NOTE_EXTEND,
            0,
            0,
        )
    }
}
