// SPDX-License-Identifier: Apache-2.0
//! The applet `init coldplug`, run by the service `late-drivers`: loads the drivers of all devices that have none yet
//! and the modules of container networks, and makes a mount that takes long. The applet is a separate process, because
//! probing a disk controller without disks takes a quarter of a second.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use log::warn;
use sys::error::Result;
use sys::modules::Modules;
use sys::uevent::{SYSFS, coldplug};
use sys::{config_sources, syscall};

use crate::{module_prefetch, mounts};

/// Time between two reads of the processor's idle time, which has to grow by [`IDLE_ENOUGH`]
/// meanwhile.
const POLL_PAUSE: Duration = Duration::from_millis(250);
/// Number of looks after which the drivers are loaded however busy the processor is.
const MAX_POLLS: u32 = 40;
/// Idle time within [`POLL_PAUSE`] that counts as idle, in hundredths of a second.
const IDLE_ENOUGH: u64 = 20;

/// Loads the drivers and makes the mount; returns the exit status.
pub fn main() -> i32 {
    // A container with all rights would load modules into the kernel of its host.
    if !syscall::in_initial_namespaces() {
        return 0;
    }
    if syscall::online_processors() == 1 {
        wait_until_idle();
    }
    let outcomes = [load_drivers(), mounts::mount_after_ready()];
    let errors = outcomes.into_iter().filter_map(Result::err);
    errors.map(|error| warn!("{error}")).count().min(1) as i32
}

fn load_drivers() -> Result<()> {
    let config = config_sources::read().0;
    let mut modules = Modules::open(Path::new("/"))?;
    let verify = config.modules == config::Modules::Verified;
    modules.configure(&config.blacklist, verify);
    coldplug(Path::new(SYSFS), &mut modules, |_| true);
    if config.podman != config::Podman::Off {
        module_prefetch::load_for_containers(&mut modules);
    }
    Ok(())
}

/// Waits until the only processor has been idle for most of [`POLL_PAUSE`]. Programs that waited
/// for the ready line run first. Priority does not achieve that: nothing preempts a driver
/// that starts (PREEMPT_VOLUNTARY), for 50 ms each.
fn wait_until_idle() {
    let idle_now = || idle_time(&fs::read_to_string("/proc/uptime").unwrap_or_default());
    for _ in 0..MAX_POLLS {
        let before = idle_now();
        thread::sleep(POLL_PAUSE);
        let (Some(before), Some(now)) = (before, idle_now()) else {
            return;
        };
        if now.saturating_sub(before) >= IDLE_ENOUGH {
            return;
        }
    }
}

/// Returns the second number of /proc/uptime, which has two decimals (proc_uptime(5)), in
/// hundredths of a second.
fn idle_time(uptime: &str) -> Option<u64> {
    let (seconds, hundredths) = uptime.split_whitespace().nth(1)?.split_once('.')?;
    let seconds: u64 = seconds.parse().ok()?;
    Some(seconds * 100 + hundredths.parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_time_is_the_second_number_of_proc_uptime() {
        assert_eq!(idle_time("350735.47 234388.90\n"), Some(23_438_890));
        assert_eq!(idle_time("350735.47\n"), None);
        assert_eq!(idle_time(""), None);
    }
}
