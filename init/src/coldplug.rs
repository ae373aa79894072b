//! What nobody waits for, `init settle`: drivers of everything that has none yet, a slow
//! mount, the network of containers. A process beside the services: probing a disk
//! controller that has no disks takes a quarter of a second.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use log::warn;

use crate::{module_prefetch, mounts};
use sys::modules::Modules;
use sys::uevent::{SYSFS, coldplug};
use sys::{config_sources, syscall};

/// How often is looked whether the processor has nothing else to do, and how many times.
const POLL_PAUSE: Duration = Duration::from_millis(250);
const MAX_POLLS: u32 = 40;
/// Of that, in hundredths of a second.
const IDLE_ENOUGH: u64 = 20;

/// Does it; the exit status.
pub fn main() -> i32 {
    if !syscall::in_initial_user_namespace() {
        return 0;
    }
    if syscall::online_processors() == 1 {
        wait_until_idle();
    }
    let config = config_sources::read().0;
    let modules = Modules::open(Path::new("/")).map(|mut modules| {
        modules.configure(
            &config.blacklist,
            config.modules == config::Modules::Verified,
        );
        coldplug(Path::new(SYSFS), &mut modules, |_| true);
        if config.podman != config::Podman::Off {
            module_prefetch::for_containers(&mut modules);
        }
    });
    let failed = [modules.map_err(String::from), mounts::mount_late()]
        .into_iter()
        .filter_map(Result::err);
    failed.map(|why| warn!("{why}")).count().min(1) as i32
}

/// Waits until the one processor has been idle for most of a moment. Who has waited for
/// the ready line comes first, and priority is not enough for that: nobody takes the
/// processor from a driver that starts (PREEMPT_VOLUNTARY), for 50 ms each.
fn wait_until_idle() {
    let idle_now = || idle_time(&fs::read_to_string("/proc/uptime").unwrap_or_default());
    for _ in 0..MAX_POLLS {
        let before = idle_now();
        thread::sleep(POLL_PAUSE);
        let busy = |(now, before): (u64, u64)| now.saturating_sub(before) < IDLE_ENOUGH;
        if !idle_now().zip(before).is_some_and(busy) {
            return;
        }
    }
}

/// The second number of /proc/uptime, in hundredths of a second, which it always has
/// (proc_uptime(5)).
fn idle_time(text: &str) -> Option<u64> {
    let (seconds, hundredths) = text.split_whitespace().nth(1)?.split_once('.')?;
    let seconds: u64 = seconds.parse().ok()?;
    Some(seconds * 100 + hundredths.parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_number_is_how_long_it_was_idle() {
        assert_eq!(idle_time("350735.47 234388.90\n"), Some(23_438_890));
        assert_eq!(idle_time("350735.47\n"), None);
        assert_eq!(idle_time(""), None);
    }
}
