// SPDX-License-Identifier: Apache-2.0
//! Searches for the data disk, and waits only as long as a disk may appear.

use std::fs;
use std::time::{Duration, Instant};

use config::DiskSelector;
use disk::choose::{Choice, Decision, choose};
use disk::device::Device;

use super::options::Options;
use super::trigger::Trigger;
use crate::helpers::block::answers::Answers;
use crate::helpers::block::drivers::Drivers;
use crate::helpers::block::scan;
use crate::helpers::block::wait::DeviceWait;

/// Time for which the boot waits for disks that do not answer, where no other disk is the data disk: the kernel
/// itself gives up on a SCSI disk after 30 seconds (drivers/scsi/sd.h, `SD_TIMEOUT`).
const ANSWERS_LIMIT: Duration = Duration::from_secs(30);
/// Pause between two checks of disks that do not answer.
const ANSWERS_PAUSE: Duration = Duration::from_secs(1);

/// Number of the kernel's last uevent (Documentation/ABI/testing/sysfs-kernel-uevents).
const UEVENT_SEQNUM: &str = "/sys/kernel/uevent_seqnum";

/// A search for the data disk.
pub struct Search<'a> {
    options: &'a Options,
    wait: DeviceWait,
    answers: Answers,
    began: Instant,
    seqnum: u64,
}

impl Search<'_> {
    /// Begins a search. Only that of the boot waits: later, each disk that appears is a reason
    /// for another run.
    pub fn begin(options: &Options, trigger: Trigger, drivers: Drivers) -> Search<'_> {
        let seconds = match trigger {
            Trigger::Boot => options.wait.as_ref().map_or(0, |wait| wait.seconds),
            Trigger::Hotplug => 0,
        };
        let minimum = Duration::from_secs(seconds.into());
        Search {
            options,
            wait: DeviceWait::begin(minimum, trigger == Trigger::Boot, drivers),
            answers: Answers::default(),
            began: Instant::now(),
            seqnum: 0,
        }
    }

    /// Returns the number of the kernel's last uevent before devices were looked at last.
    pub fn seqnum(&self) -> u64 {
        self.seqnum
    }

    /// Makes the decision, and makes it again with each device that appears, until a disk can be
    /// used or there is no reason to wait.
    pub fn choose(&mut self) -> (Choice, Vec<Device>) {
        loop {
            // The remaining time is read before the devices: a device that appears in between
            // is seen.
            let remaining = self.remaining();
            // sysfs has everything that was announced up to this number.
            let seqnum = fs::read_to_string(UEVENT_SEQNUM).unwrap_or_default();
            self.seqnum = seqnum.trim().parse().unwrap_or(0);
            let devices = match self.options.selector {
                DiskSelector::Off => Vec::new(), // No disk is even read.
                _ => scan::scan(self.options.policy, &mut self.answers),
            };
            let choice = self.choose_by(&devices, &self.options.selector);
            // A data disk is used without a search on slow buses; a disk is formatted only if no
            // disk on a slow bus is a data disk.
            if !matches!(choice.decision, Decision::Use(..)) && self.load_slow_drivers() {
                continue;
            }
            let has_data = matches!(
                choice.decision,
                Decision::Use(..) | Decision::FinishFormat(_)
            );
            if !has_data && self.awaits_answers() {
                std::thread::sleep(ANSWERS_PAUSE);
                continue;
            }
            let is_over = remaining.is_zero() || self.awaited_is_there(&devices);
            if is_over || is_final(&choice.decision, &devices) {
                return (choice, devices);
            }
            self.wait.sleep(remaining);
            self.wait.drivers.load_new_slow_disks();
        }
    }

    /// Returns true while a disk that may be the data disk does not answer, for [`ANSWERS_LIMIT`] at most. No other
    /// disk is formatted meanwhile.
    fn awaits_answers(&mut self) -> bool {
        self.began.elapsed() < ANSWERS_LIMIT && self.answers.awaits_any()
    }

    fn choose_by(&self, devices: &[Device], selector: &DiskSelector) -> Choice {
        choose(devices, selector, self.options.policy)
    }

    /// Returns true if the disk is there that `waitusb=` names.
    fn awaited_is_there(&self, devices: &[Device]) -> bool {
        let wait = self.options.wait.as_ref();
        let awaited = wait.and_then(|wait| wait.disk.as_ref());
        awaited.is_some_and(|selector| has_disk(&self.choose_by(devices, selector)))
    }

    fn remaining(&mut self) -> Duration {
        match self.options.selector {
            DiskSelector::Off => Duration::ZERO,
            _ => self.wait.remaining(),
        }
    }

    /// Loads the drivers of slow controllers, once; returns true if there are new devices.
    fn load_slow_drivers(&mut self) -> bool {
        let drivers = &mut self.wait.drivers;
        if drivers.slow_disks_done() {
            return false;
        }
        // A flag that names a disk, or a time to wait, knows more than the firmware.
        let options = self.options;
        let is_explicit = options.selector != DiskSelector::Auto || options.wait.is_some();
        let loaded = match is_explicit {
            true => drivers.load_all_disks(),
            false => drivers.load_likely_disks(),
        };
        self.wait.restart();
        loaded
    }
}

/// Returns true if no disk that appears later changes the decision. A blank disk is formatted only if there
/// is no data disk, and a data disk may still be on its way; a disk with a format request was prepared for
/// the format.
fn is_final(decision: &Decision, devices: &[Device]) -> bool {
    match decision {
        Decision::Use(..) | Decision::FinishFormat(_) => true,
        Decision::Format(name) => devices.iter().any(|d| d.name == *name && !d.is_blank),
        Decision::NoDisk(_) => false,
    }
}

fn has_disk(choice: &Choice) -> bool {
    !matches!(choice.decision, Decision::NoDisk(_))
}

#[cfg(test)]
mod tests {
    use super::*;
    use disk::format_state::FormatState;
    use disk::signature::SignatureKind;

    #[test]
    fn no_blank_disk_is_formatted_while_another_is_on_its_way() {
        let device = |name: &str, is_blank| Device {
            name: name.into(),
            parent_disk: None,
            size: 1 << 30,
            read_only: false,
            is_virtual: false,
            in_use: None,
            partuuid: None,
            is_data_partition: false,
            signatures: Ok(Vec::new()),
            truncation: None,
            table_fault: None,
            format_state: FormatState::Unrelated,
            is_blank,
        };
        let devices = [device("vda", true), device("vdb", false)];
        let is_final = |decision| is_final(&decision, &devices);
        assert!(is_final(Decision::Use("sda1".into(), SignatureKind::Ext4)));
        assert!(is_final(Decision::FinishFormat("sda".into())));
        assert!(!is_final(Decision::Format("vda".into())));
        assert!(is_final(Decision::Format("vdb".into())), "a request");
        assert!(!is_final(Decision::NoDisk(String::new())));
    }
}
