//! The drivers of disks, which nobody else in the boot waits for.

use std::path::Path;

use init::modules::Modules;
use init::{flags, sys, uevent};
use log::warn;

/// A driver finds devices that want one in turn: a controller, a disk on it; or a
/// USB host, a bridge, a disk. The module loader waits for what a driver looks for
/// (kernel/module/main.c, async_synchronize_full).
const DEEPEST: usize = 4;

/// What is left to be loaded.
#[derive(Debug, Default)]
pub struct Drivers(Option<Modules>);

impl Drivers {
    /// Of this machine; of a container, none: its kernel is somebody else's.
    pub fn of_the_machine() -> Drivers {
        if !sys::owns_kernel() {
            return Drivers(None);
        }
        let config = flags::all().0;
        let modules = Modules::open(Path::new("/")).map(|mut modules| {
            let verify = config.modules == config::Modules::Verified;
            modules.configure(&config.blacklist, verify);
            modules
        });
        Drivers(modules.inspect_err(|why| warn!("data: {why}")).ok())
    }

    /// Gives the disks their drivers that are known at once.
    pub fn quick(&mut self) {
        self.load(uevent::quick_disk);
    }

    /// Whether nothing is left to load.
    pub fn done(&self) -> bool {
        self.0.is_none()
    }

    /// All of them, once; `false` if there is nothing left to load. What comes later
    /// the kernel announces, and PID 1 hears it.
    pub fn all(&mut self) -> bool {
        let loaded = self.load(uevent::any_disk);
        self.0 = None;
        loaded
    }

    fn load(&mut self, wanted: fn(&str) -> bool) -> bool {
        let Some(modules) = &mut self.0 else {
            return false;
        };
        let mut look = || uevent::coldplug(Path::new(uevent::SYS), modules, wanted) > 0;
        (0..DEEPEST).take_while(|_| look()).count() > 0
    }
}
