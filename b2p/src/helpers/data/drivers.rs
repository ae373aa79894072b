//! The drivers of disks, which nobody else in the boot waits for.

use std::path::Path;

use log::{info, warn};
use sys::modules::Modules;
use sys::{config_sources, syscall, uevent};

use super::firmware;

/// A driver finds devices that want one in turn: a controller, a disk on it; or a
/// USB host, a bridge, a disk. The module loader waits for what a driver looks for
/// (kernel/module/main.c, async_synchronize_full).
const DEEPEST: usize = 4;

/// Which devices are given theirs, by their modalias.
type Wanted = fn(&str) -> bool;

/// Who gives them theirs.
#[derive(Debug, Default)]
pub struct Drivers {
    modules: Option<Modules>,
    /// Those that are slow have had their turn; with what.
    slow: Option<Wanted>,
}

impl Drivers {
    /// Of this machine; of a container, none: its kernel is somebody else's.
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

    /// Gives the disks their drivers that are known at once.
    pub fn quick(&mut self) {
        self.load(uevent::is_fast_disk);
    }

    /// Gives CD drives theirs: of those whose bus has one.
    pub fn cds(&mut self) {
        self.load(|alias| alias.starts_with("scsi:t-0x05")); // TYPE_ROM
    }

    /// Whether the slow ones have theirs, too.
    pub fn done(&self) -> bool {
        self.slow.is_some() || self.modules.is_none()
    }

    /// Gives all of them theirs; `false` if there was nothing to load.
    pub fn all(&mut self) -> bool {
        self.slower(uevent::is_disk)
    }

    /// The same, but not to IDE and SATA where the firmware has looked and found no
    /// disk: `late-drivers` gives them theirs, and should a disk come, that is heard.
    pub fn likely(&mut self) -> bool {
        match firmware::no_disk(Path::new("/")) {
            true => {
                info!("data: the firmware lists no disk: IDE and SATA are not waited for");
                self.slower(uevent::is_non_ata_disk)
            }
            false => self.all(),
        }
    }

    /// The same for what has come since, where the slow ones have had their turn.
    pub fn again(&mut self) {
        if let Some(wanted) = self.slow {
            self.load(wanted);
        }
    }

    fn slower(&mut self, wanted: Wanted) -> bool {
        self.slow = Some(wanted);
        self.load(wanted)
    }

    /// Gives those that `wanted` picks theirs; `false` if there was nothing to load.
    pub fn load(&mut self, wanted: Wanted) -> bool {
        let Some(modules) = &mut self.modules else {
            return false;
        };
        let mut look = || uevent::coldplug(Path::new(uevent::SYSFS), modules, wanted) > 0;
        (0..DEEPEST).take_while(|_| look()).count() > 0
    }
}
