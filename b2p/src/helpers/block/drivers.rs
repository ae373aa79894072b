// SPDX-License-Identifier: Apache-2.0
//! Loads the drivers of disks and CD drives, which no other part of the boot waits for.

use std::path::Path;

use log::{info, warn};
use sys::modules::Modules;
use sys::{config_sources, syscall, uevent};

use super::firmware;

/// Rounds in which a driver may reveal devices that need drivers themselves: a controller, then
/// a disk on it; or a USB host, a bridge, a disk. The module loader waits for the probes of a
/// driver (kernel/module/main.c, async_synchronize_full).
const MAX_ROUNDS: usize = 4;

/// Selects devices by their modalias.
type Filter = fn(&str) -> bool;

/// Loader of drivers; without an index of modules the loader does nothing.
#[derive(Debug, Default)]
pub struct Drivers {
    modules: Option<Modules>,
    /// Devices on slow buses whose drivers were loaded; `None` before that.
    slow: Option<Filter>,
}

impl Drivers {
    /// Returns the loader of this machine, or one that does nothing in a container, whose
    /// kernel is the host's.
    pub fn of_the_machine() -> Drivers {
        if !syscall::in_initial_user_namespace() {
            return Drivers::default();
        }
        let config = config_sources::read().0;
        let modules = Modules::open(Path::new("/")).map(|mut modules| {
            let verify = config.modules == config::Modules::Verified;
            modules.configure(&config.blacklist, verify);
            modules
        });
        Drivers {
            modules: modules.inspect_err(|why| warn!("data: {why}")).ok(),
            slow: None,
        }
    }

    /// Loads the drivers of disks that are known as soon as their driver is loaded.
    pub fn load_fast_disks(&mut self) {
        self.load(uevent::is_fast_disk);
    }

    /// Loads the drivers of CD drives on buses that have a driver.
    pub fn load_cd_drives(&mut self) {
        self.load(|modalias| modalias.starts_with("scsi:t-0x05")); // TYPE_ROM
    }

    /// Returns true if the drivers of disks on slow buses are loaded, or cannot be.
    pub fn slow_disks_done(&self) -> bool {
        self.slow.is_some() || self.modules.is_none()
    }

    /// Loads the drivers of all disks; returns false if there was nothing to load.
    pub fn load_all_disks(&mut self) -> bool {
        self.load_slow(uevent::is_disk)
    }

    /// Loads the drivers of all disks, but not those of IDE and SATA where the firmware has
    /// found no disk there. The service `late-drivers` loads them; a disk that appears then is
    /// a hot-plug event. Returns false if there was nothing to load.
    pub fn load_likely_disks(&mut self) -> bool {
        match firmware::no_disk(Path::new("/")) {
            true => {
                info!("data: the firmware lists no disk: IDE and SATA are not waited for");
                self.load_slow(uevent::is_non_ata_disk)
            }
            false => self.load_all_disks(),
        }
    }

    /// Loads the drivers of slow disks that have appeared since the last load.
    pub fn load_new_slow_disks(&mut self) {
        if let Some(filter) = self.slow {
            self.load(filter);
        }
    }

    fn load_slow(&mut self, filter: Filter) -> bool {
        self.slow = Some(filter);
        self.load(filter)
    }

    /// Loads the drivers of the devices that `filter` selects; returns false if there was
    /// nothing to load.
    pub fn load(&mut self, filter: Filter) -> bool {
        let Some(modules) = &mut self.modules else {
            return false;
        };
        let sysfs = Path::new(uevent::SYSFS);
        let mut load_once = || uevent::coldplug(sysfs, modules, filter) > 0;
        (0..MAX_ROUNDS).take_while(|_| load_once()).count() > 0
    }
}
