// SPDX-License-Identifier: Apache-2.0
//! `b2p upgrade-commit`, which PID 1 runs where the boot menu says that a version is on trial:
//! keeps the version once the machine is ready. Where that takes too long, it reboots, and the
//! boot menu returns to the version before.

use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use config::{Role, Slot};
use control::{Request, ShutdownKind};
use log::{error, info, warn};
use nix::fcntl::FlockArg;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::reboot::{RebootMode, reboot};
use sys::error::{Doing, Error, Result};
use sys::paths::READY;
use sys::service_names::ready_limit_seconds;

use super::{boot_disk, change_grubenv, mounts};
use crate::common::control_client::ControlClient;
use crate::common::degraded::Degraded;
use crate::helpers::block::wait;

/// Time for an orderly shutdown.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(180);
/// Seconds for the boot disk to appear: it may be on a slow bus.
const DISK_LIMIT_SECONDS: u16 = 60;

/// Does what the role of the running slot requires.
pub fn main(client: &ControlClient) -> i32 {
    let config = sys::config_sources::read().0;
    let Some(Slot { name, role }) = config.slot else {
        return 0;
    };
    match role {
        Role::Confirmed => 0,
        Role::Trial => watch_trial(client, name, ready_limit_seconds(&config)),
        Role::Fallback => {
            let failed = super::other(name);
            report_degraded(&format!(
                "the version in slot {failed} did not become ready: this is the other one, from \
                 slot {name}; `b2p upgrade FILE` tries another, `b2p upgrade --keep` keeps this one"
            ))
        }
    }
}

/// Keeps the version of the slot if the machine is ready within `limit` seconds.
fn watch_trial(client: &ControlClient, slot: char, limit: u64) -> i32 {
    match appears(Path::new(READY), Duration::from_secs(limit)) {
        Ok(true) => commit(slot),
        Ok(false) => {
            error!(
                "upgrade: slot {slot} is not ready after {limit} s: reboots to the version before"
            );
            reboot_to_fallback(client)
        }
        Err(why) => report_degraded(&format!(
            "slot {slot} is on trial, and nothing watches it: {why}"
        )),
    }
}

/// Makes the slot the one that is booted from now on.
fn commit(slot: char) -> i32 {
    let committed = mounts::private().and_then(|()| {
        let found = wait::until(DISK_LIMIT_SECONDS, || boot_disk::find().transpose());
        let disk = found.unwrap_or_else(|| Err(Error::invalid("its disk is not found")))?;
        let _lock = super::lock(FlockArg::LockExclusive)?;
        change_grubenv(&disk, |env| {
            env.with("good", &slot.to_string()).with("tried", "")
        })
    });
    match committed {
        Ok(()) => {
            info!("upgrade: slot {slot} has become ready, and is kept");
            0
        }
        Err(why) => report_degraded(&format!(
            "slot {slot} is ready, but the next boot is the version before: GRUB's environment \
             cannot be changed: {why}"
        )),
    }
}

/// Asks PID 1 for a reboot, and reboots at once where that does not happen.
fn reboot_to_fallback(client: &ControlClient) -> i32 {
    if let Err(failure) = client.ask(&Request::Shutdown(ShutdownKind::Reboot, 0)) {
        warn!("upgrade: {failure}");
    }
    // An orderly shutdown ends this process during the sleep.
    std::thread::sleep(SHUTDOWN_LIMIT);
    let _ = reboot(RebootMode::RB_AUTOBOOT);
    1
}

fn report_degraded(why: &str) -> i32 {
    let mut degraded = Degraded::of("upgrade");
    degraded.warn(why);
    degraded.report()
}

/// Returns true once the file at `path` exists, or false after `limit`.
fn appears(path: &Path, limit: Duration) -> Result<bool> {
    let deadline = Instant::now() + limit;
    let dir = path.parent().unwrap_or(Path::new("/"));
    let inotify = watch(dir).doing("inotify")?;
    loop {
        if path.exists() {
            return Ok(true);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        let ms = u16::try_from(left.as_millis()).unwrap_or(u16::MAX).max(1);
        let mut fds = [PollFd::new(inotify.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut fds, PollTimeout::from(ms));
        let _ = inotify.read_events();
    }
}

fn watch(dir: &Path) -> nix::Result<Inotify> {
    let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
    let created = AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_CREATE;
    inotify.add_watch(dir, created | AddWatchFlags::IN_ONLYDIR)?;
    Ok(inotify)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::common::testing::Temp;

    #[test]
    fn a_file_appears_or_does_not() {
        let temp = Temp::new();
        let path = temp.path("ready");
        assert_eq!(appears(&path, Duration::from_millis(50)), Ok(false));
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| appears(&path, Duration::from_secs(60)));
            std::fs::write(temp.path("other"), "").unwrap();
            sys::files::replace(&path, b"ready\n", 0o644).unwrap();
            assert_eq!(waiter.join().unwrap(), Ok(true));
        });
        assert_eq!(appears(&path, Duration::ZERO), Ok(true));
        assert!(appears(&temp.path("no/such"), Duration::ZERO).is_err());
    }
}
