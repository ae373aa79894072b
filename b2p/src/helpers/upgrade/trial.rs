//! `b2p upgrade-commit`, run by PID 1 where the boot menu says that a version is on trial: it is
//! kept once the machine is ready, and where that takes too long the machine starts
//! again, which brings the one before.

use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use config::{Role, Slot};
use control::{Request, ShutdownKind};
use log::{error, info, warn};
use nix::fcntl::FlockArg;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags as Watch, InitFlags, Inotify};
use nix::sys::reboot::{RebootMode, reboot};

use super::{change, mounts, place};
use crate::common::control_client::ControlClient;
use crate::common::degraded::Degraded;
use crate::helpers::data::wait;
use sys::paths::READY;

/// PID 1 waits for nothing longer than four minutes; whoever is not ready then hangs.
const LIMIT: Duration = Duration::from_secs(600);
/// What an orderly shutdown may take.
const END: Duration = Duration::from_secs(180);
/// The disk that GRUB was on may be on a bus that is slow.
const DISK: u16 = 60;

/// Does what the role of the slot asks for.
pub fn main(link: &ControlClient) -> i32 {
    match sys::config_sources::read().0.slot {
        Some(Slot {
            role: Role::Kept, ..
        })
        | None => 0,
        Some(Slot {
            name,
            role: Role::Fallback,
        }) => {
            let new = super::other(name);
            degraded(&format!(
                "the version in slot {new} did not become ready: this is the other one, from slot \
                 {name}; `b2p upgrade FILE` tries another, `b2p upgrade --keep` is content"
            ))
        }
        Some(Slot {
            name,
            role: Role::Trial,
        }) => trial(link, name),
    }
}

fn trial(link: &ControlClient, slot: char) -> i32 {
    match appears(Path::new(READY), LIMIT) {
        Ok(true) => keep(slot),
        Ok(false) => again(link, slot),
        Err(why) => degraded(&format!(
            "slot {slot} is on trial, and nobody watches it: {why}"
        )),
    }
}

/// The slot is what is booted from now on.
fn keep(slot: char) -> i32 {
    let kept = mounts::private().and_then(|()| {
        let found = wait::until(DISK, || place::find().transpose());
        let place = found.unwrap_or_else(|| Err("its disk is not found".into()))?;
        let _lock = super::lock(FlockArg::LockExclusive)?;
        change(&place, |env| {
            env.with("good", &slot.to_string()).with("tried", "")
        })
    });
    match kept {
        Ok(()) => {
            info!("upgrade: slot {slot} has become ready, and is kept");
            0
        }
        Err(why) => degraded(&format!(
            "slot {slot} is ready and cannot be marked so; the next boot is the version before: {why}"
        )),
    }
}

/// In good order, else at once.
fn again(link: &ControlClient, slot: char) -> i32 {
    error!(
        "upgrade: slot {slot} is not ready after {} s: starts again with the version before",
        LIMIT.as_secs()
    );
    if let Err(failure) = link.ask(&Request::Shutdown(ShutdownKind::Reboot, 0)) {
        warn!("upgrade: {failure}");
    }
    // The end ends this process, too.
    std::thread::sleep(END);
    let _ = reboot(RebootMode::RB_AUTOBOOT);
    1
}

fn degraded(why: &str) -> i32 {
    let mut degraded = Degraded::of("upgrade");
    degraded.warn(why);
    degraded.report()
}

/// Whether the file is there within this time.
fn appears(path: &Path, most: Duration) -> Result<bool, String> {
    let say = |e: nix::Error| format!("inotify: {e}");
    let until = Instant::now() + most;
    let watch = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).map_err(say)?;
    let dir = path.parent().unwrap_or(Path::new("/"));
    let flags = Watch::IN_MOVED_TO | Watch::IN_CREATE | Watch::IN_ONLYDIR;
    watch.add_watch(dir, flags).map_err(say)?;
    loop {
        if path.exists() {
            return Ok(true);
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        let ms = u16::try_from(left.as_millis()).unwrap_or(u16::MAX).max(1);
        let mut fds = [PollFd::new(watch.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut fds, PollTimeout::from(ms));
        let _ = watch.read_events();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_file_appears_or_does_not() {
        let dir = std::env::temp_dir().join(format!("b2p-trial-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("ready");
        assert_eq!(appears(&path, Duration::from_millis(50)), Ok(false));
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| appears(&path, Duration::from_secs(60)));
            std::fs::write(dir.join("other"), "").unwrap();
            sys::files::replace(&path, b"ready\n", 0o644).unwrap();
            assert_eq!(waits.join().unwrap(), Ok(true));
        });
        assert_eq!(appears(&path, Duration::ZERO), Ok(true));
        assert!(appears(&dir.join("no/such"), Duration::ZERO).is_err());
        std::fs::remove_dir_all(dir).unwrap();
    }
}
