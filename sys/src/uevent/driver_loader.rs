// SPDX-License-Identifier: Apache-2.0
//! Drivers of devices that appear while PID 1 runs.

use std::path::Path;

use super::{SYSFS, coldplug, load_driver};
use crate::modules::Modules;
use crate::syscall;

/// Number of devices that wait for a driver by name; beyond that, all devices are examined again.
const MAX_PENDING: usize = 256;

/// Drivers to be loaded: one child at a time loads them, because a driver may take as long as its
/// hardware does.
#[derive(Debug, Default)]
pub struct DriverLoader {
    child: Option<syscall::Child>,
    aliases: Vec<String>,
    /// Devices that are all to be looked at: those whose modalias passes.
    all: Option<fn(&str) -> bool>,
}

impl DriverLoader {
    /// Adds a device that needs a driver. If too many wait already, every device whose modalias passes
    /// `wanted` is added in its place.
    pub fn add(&mut self, alias: String, wanted: fn(&str) -> bool) {
        if self.aliases.len() < MAX_PENDING {
            self.aliases.push(alias);
        } else {
            self.add_all(wanted);
        }
    }

    /// Adds every device whose modalias passes `wanted`.
    pub fn add_all(&mut self, wanted: fn(&str) -> bool) {
        self.all = Some(wanted);
    }

    /// Returns true if devices wait for a driver.
    #[must_use]
    pub fn has_waiting(&self) -> bool {
        self.all.is_some() || !self.aliases.is_empty()
    }

    /// Starts a child for the waiting devices, unless one is still at work. The end of a child is the
    /// moment to call again.
    pub fn poll(&mut self, modules: Option<&mut Modules>) {
        let Some(modules) = modules.filter(|_| self.has_waiting()) else {
            return;
        };
        let busy = self.child.as_ref().is_some_and(|c| !c.exited_within(0));
        if !busy {
            self.start(modules, |load| syscall::in_child(load));
        }
    }

    /// Loads the drivers of the waiting devices by `in_child`. Without a child the devices continue
    /// to wait.
    fn start<F>(&mut self, modules: &mut Modules, in_child: F)
    where
        F: FnOnce(&mut dyn FnMut()) -> Option<syscall::Child>,
    {
        if !self.has_waiting() {
            return;
        }
        let DriverLoader { aliases, all, .. } = self;
        let mut load = || {
            for alias in aliases.iter() {
                load_driver(modules, alias);
            }
            if let Some(wanted) = *all {
                coldplug(Path::new(SYSFS), modules, wanted);
            }
        };
        let child = in_child(&mut load);
        if child.is_some() {
            self.aliases.clear();
            self.all = None;
        }
        self.child = child;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_child_devices_wait_on() {
        let mut modules = Modules::default();
        let mut loader = DriverLoader::default();
        loader.add("virtio:d1".into(), |_| true);
        loader.add_all(|_| true);
        for _ in 0..2 {
            loader.start(&mut modules, |_| None);
            assert!(loader.all.is_some() && loader.aliases == ["virtio:d1"]);
        }
        loader.start(&mut modules, |_| syscall::in_child(|| {}));
        assert!(loader.all.is_none() && loader.aliases.is_empty());
        loader.start(&mut modules, |_| unreachable!("nothing waits"));
    }

    #[test]
    fn a_flood_of_devices_adds_no_driver_that_the_caller_leaves_to_others() {
        let mut loader = DriverLoader::default();
        for _ in 0..=MAX_PENDING {
            loader.add("virtio:d1".into(), |alias| alias != "virtio:d2");
        }
        assert_eq!(loader.aliases.len(), MAX_PENDING);
        let wanted = loader.all.expect("the last one had no room");
        assert!(wanted("virtio:d1") && !wanted("virtio:d2"));
    }
}
