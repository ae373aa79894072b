// SPDX-License-Identifier: Apache-2.0
//! `b2p swap`: turns on the swap that flags request. PID 1 runs the helper once.
//!
//! zram is set up before swap on disks. A disk is read and never written: a device that holds no
//! swap area is not made one. Swap that is on already is left alone, so that the helper may run
//! again. Requested swap that is missing becomes a degraded line.

pub mod area;
pub mod device;
mod file;
mod tcswp;
pub mod zram;

use config::{Config, DiskSelector, Swap};
use log::info;
use sys::error::Result;

use crate::common::degraded::Degraded;
use crate::helpers::block::scan;

/// Turns on all requested areas. Swap that is missing does not fail the helper.
pub fn main() -> i32 {
    // PID 1 has reported the faults of the flags.
    let (config, _) = sys::config_sources::read();
    let mut degraded = Degraded::of("swap");
    for (wanted, outcome) in turn_on_all(&config) {
        match outcome {
            Ok(how) => info!("swap: {wanted}: {how}"),
            Err(why) => degraded.warn(format_args!("{wanted}: {why}")),
        }
    }
    degraded.report()
}

/// Turns on each kind of swap. Returns the kind, named as in the flag, with the area or the error.
fn turn_on_all(config: &Config) -> Vec<(String, Result<String>)> {
    let mut outcomes = Vec::new();
    if !config.swap_allowed {
        return outcomes;
    }
    let wait_seconds = config.waitusb.as_ref().map_or(0, |w| w.seconds);
    for swap in &config.swaps {
        outcomes.push(match swap {
            Swap::Zram(size) => ("zram".to_owned(), zram::swap_on(*size, config)),
            Swap::Disk(disk) => (disk.to_string(), swap_on_device(disk, wait_seconds)),
            Swap::File(mib) => (format!("a file of {mib} MiB"), file::swap_on(*mib)),
        });
    }
    if let Some(disk) = &config.swapfile {
        let wanted = format!("swapfile={disk}");
        outcomes.push((wanted, tcswp::swap_on(disk, wait_seconds)));
    }
    outcomes
}

fn swap_on_device(disk: &DiskSelector, wait_seconds: u16) -> Result<String> {
    let device = device::find(disk, wait_seconds, device::Content::Swap)?;
    area::swap_on(&scan::node(&device.name), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noswap_leaves_everything() {
        let config = Config {
            swap_allowed: false,
            swaps: vec![Swap::File(1)],
            swapfile: Some(DiskSelector::Label("x".into())),
            ..Config::default()
        };
        assert!(turn_on_all(&config).is_empty());
    }
}
