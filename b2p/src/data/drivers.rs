//! The drivers of disks, which nobody else in the boot waits for.

use std::path::Path;

use init::modules::Modules;
use init::{flags, sys, uevent};
use log::warn;

/// A driver finds devices that want one in turn: a controller, a disk on it; or a
/// USB host, a bridge, a disk. The module loader waits for what a driver looks for
/// (kernel/module/main.c, async_synchronize_full).
const DEEPEST: usize = 4;

/// Gives every disk that is there its driver. One that comes later has the
/// kernel's announcement, and PID 1 hears that.
pub fn load() {
    if !sys::owns_kernel() {
        return; // in a container the kernel is somebody else's
    }
    let config = flags::all().0;
    let mut modules = match Modules::open(Path::new("/")) {
        Ok(modules) => modules,
        Err(why) => return warn!("data: {why}"),
    };
    let verify = config.modules == config::Modules::Verified;
    modules.configure(&config.blacklist, verify);
    for _ in 0..DEEPEST {
        if uevent::coldplug(Path::new(uevent::SYS), &mut modules, uevent::holds_disks) == 0 {
            return;
        }
    }
}
