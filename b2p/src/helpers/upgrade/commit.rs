// SPDX-License-Identifier: Apache-2.0
//! `b2p upgrade-commit`, which PID 1 runs if the boot menu has started a trial of a version: keeps
//! the version once the machine is ready. After too long a time the helper reboots, and the boot
//! menu returns to the previous version.

use std::os::fd::AsFd;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use config::{Role, Slot};
use control::{Request, ShutdownKind};
use log::{error, info, warn};
use nix::fcntl::FlockArg;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::reboot::{RebootMode, reboot};
use sys::error::{Doing, Error, Result};
use sys::paths::{READY, UPGRADE_LOCK};
use sys::ready_limit::ready_limit_seconds;

use super::boot_disk::{self, BootDisk};
use super::grubenv::GrubEnv;
use super::trial::{self, Trial};
use super::{change_grubenv, mounts};
use crate::common::control_client::ControlClient;
use crate::common::degraded::Degraded;
use crate::helpers::block::wait;

/// Time for an orderly shutdown.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(180);
/// Seconds for the boot disk, which may be on a slow bus, to appear.
const DISK_LIMIT_SECONDS: u16 = 60;
/// Time limit for the disk's answer about the end of the trial.
const DECISION_LIMIT: Duration = Duration::from_secs(10);
/// Time for a `b2p upgrade` that runs to read and verify the new version, from a slow medium as well.
const UPGRADE_LIMIT: Duration = Duration::from_secs(600);
/// Part of the line about a trial that has been ended.
const DECIDED: &str = "its trial has been ended by `b2p upgrade`, and what that chose stays";

/// Keeps or ends a trial, by the role of the running slot.
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
        Ok(false) if has_been_decided(slot) => {
            warn!("upgrade: slot {slot} is not ready after {limit} s; {DECIDED}");
            0
        }
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

/// Returns the environment in which `slot` is the booted one, if its trial still runs. GRUB notes
/// the begin of the trial in `tried`; every `b2p upgrade` ends the trial, and the choice of its
/// user then stays. A damaged block names no slot at all.
fn kept(env: &GrubEnv, slot: char) -> Option<GrubEnv> {
    let slot = slot.to_string();
    let is_on_trial = env.get("tried") == slot || env.get("good").is_empty();
    is_on_trial.then(|| env.clone().with("good", &slot).with("tried", ""))
}

/// Makes the slot the one that is booted from now on, if its trial still runs.
fn commit(slot: char) -> i32 {
    let mut is_kept = false;
    let committed = mounts::private().and_then(|()| {
        let disk = booted_disk()?;
        let _lock = trial::lock(Path::new(UPGRADE_LOCK), FlockArg::LockExclusive)?;
        change_grubenv(&disk, |env| {
            let new = kept(&env, slot);
            is_kept = new.is_some();
            new.unwrap_or(env)
        })
    });
    match committed {
        Ok(()) if is_kept => {
            info!("upgrade: slot {slot} has become ready, and is kept");
            0
        }
        Ok(()) => {
            info!("upgrade: slot {slot} has become ready; {DECIDED}");
            0
        }
        Err(why) => report_degraded(&format!(
            "slot {slot} is ready, but the next boot is the version before: GRUB's environment \
             cannot be changed: {why}"
        )),
    }
}

/// Returns true if a `b2p upgrade` has ended the trial of the slot. Waits for a running `b2p upgrade`
/// without a decision, because a reboot would end it. Otherwise none can begin until the reboot.
fn has_been_decided(slot: char) -> bool {
    match trial::wait(Path::new(UPGRADE_LOCK), UPGRADE_LIMIT) {
        Ok(Trial::Ended) => true,
        Ok(Trial::Locked(lock)) => {
            std::mem::forget(lock);
            is_ended_on_disk(slot)
        }
        Ok(Trial::Unknown) => {
            warn!("upgrade: a `b2p upgrade` runs, and has not decided on a slot in time");
            false
        }
        Err(why) => {
            warn!("upgrade: {why}");
            is_ended_on_disk(slot)
        }
    }
}

/// Returns true if the trial of the slot has ended according to GRUB's environment, as far as that can be
/// read in time: the disk may not answer, which is a reason to go back.
fn is_ended_on_disk(slot: char) -> bool {
    let (sender, receiver) = mpsc::channel();
    let read = move || {
        // The mount ends with the namespace, which is that of this thread alone.
        let env = mounts::private().and_then(|()| super::read_grubenv(&booted_disk()?));
        let _ = sender.send(env.is_ok_and(|env| kept(&env, slot).is_none()));
    };
    std::thread::Builder::new().spawn(read).is_ok()
        && receiver.recv_timeout(DECISION_LIMIT).unwrap_or(false)
}

fn booted_disk() -> Result<BootDisk> {
    let found = wait::until(DISK_LIMIT_SECONDS, || boot_disk::find().transpose());
    found.unwrap_or_else(|| Err(Error::invalid("its disk is not found")))
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
    use crate::helpers::upgrade::committed;

    #[test]
    fn a_trial_that_a_person_has_ended_is_not_confirmed() {
        let env =
            |good: &str, tried: &str| GrubEnv::default().with("good", good).with("tried", tried);
        let trial = env("a", "b");
        assert_eq!(kept(&trial, 'b'), Some(env("b", "")));
        // `b2p upgrade --back`, `--keep`, and FILE, which writes over the other slot.
        for chosen in ['a', 'b'] {
            let chosen = committed(trial.clone(), chosen);
            assert_eq!(kept(&chosen, 'b'), None);
            assert_eq!(kept(&chosen.with("try", "a"), 'b'), None);
        }
        // The trial of the other slot is none of this one.
        assert_eq!(kept(&env("a", "a"), 'b'), None);
        // A new block in place of a damaged one.
        let repaired = kept(&GrubEnv::default(), 'b').unwrap();
        assert_eq!((repaired.get("good"), repaired.get("tried")), ("b", ""));
    }

    #[test]
    fn appears_waits_for_a_file_until_its_limit() {
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
